// Package middleware protects net/http handlers with access tokens.
//
//	auth := middleware.New(validator, nil)
//	mux.Handle("GET /me", auth.Wrap(me))
//	mux.Handle("POST /orders", auth.Require(scopes.All("orders:write")).Wrap(create))
//
// A handler behind it finds the caller in its context:
//
//	claims, ok := accesstoken.FromContext(r.Context())
//
// Wrap the handler of a route, not a path that you compare yourself: the pattern
// that http.ServeMux matched is what decides, so that no spelling of the path
// gets around the rule. Everything that writes a response by itself, such as
// recovery and logging, goes outside; CORS too, or see [Options.CORS].
//
// It works with every router that takes func(http.Handler) http.Handler, and
// hands the body and the ResponseWriter of a request that it lets pass on as they
// are.
//
// A token is looked at when the request comes. A response that may outlive it, such
// as server-sent events, a long poll or a WebSocket, ends with it where that is said:
//
//	mux.Handle("GET /events", auth.EndWithToken().Wrap(events))
//
// A WebSocket is authenticated on its handshake, by the Authorization field as any
// request is. A token in the query, in Sec-WebSocket-Protocol or in a cookie is not
// looked at, so that a page in a browser, which can set no field on a handshake, has
// to come by other means. Whether its Origin may come is for the WebSocket library.
package middleware

import (
	"context"
	"fmt"
	"net/http"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/ending"
	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/scopes"
)

// A Middleware puts a Validator before handlers. It is immutable and safe for
// concurrent use.
type Middleware struct {
	validator *accesstoken.Validator
	options   Options
	policy    accesstoken.Policy
	demanding bool // a policy was set: an anonymous request does not satisfy it
	ending    bool // responses end with their token
}

// Options are what New may be given. The zero value is the default.
type Options struct {
	_ [0]func()

	// Optional lets a request without credentials through, and its handler
	// finds no claims. One with bad credentials is refused all the same. It
	// holds for Wrap only: a route that requires something needs a token.
	Optional bool

	// CORS lets genuine CORS preflights through to the wrapped handler (OPTIONS
	// with Origin and Access-Control-Request-Method; browsers send them without
	// credentials), and lets scripts of other origins read the challenge of a
	// refusal and the DPoP nonces. Any other OPTIONS request is authenticated.
	//
	// The wrapped handler then sees requests that nobody has authenticated. Set
	// it where a CORS handler is wrapped, which answers preflights and passes
	// nothing on; a CORS handler around this one does not need it.
	CORS bool

	// Body writes the body of a refusal; nil is one line of text. [Problem] is
	// another. Status and header fields are settled before it is asked. A panic in
	// it becomes an InternalError, of which OnRefuse hears as well.
	Body func(r *http.Request, refused *accesstoken.Error) (contentType string, body []byte)
}

// New returns a Middleware that demands a valid token. options may be nil. It
// panics if v is nil.
func New(v *accesstoken.Validator, options *Options) *Middleware {
	if v == nil {
		panic("middleware: New needs a Validator")
	}
	m := &Middleware{validator: v}
	if options != nil {
		m.options = *options
	}
	if m.options.Body == nil {
		m.options.Body = text
	}
	return m
}

// Require returns a Middleware that demands the scopes as well. It is
// RequirePolicy(accesstoken.Policy{Scopes: r}).
func (m *Middleware) Require(r scopes.Requirement) *Middleware {
	return m.RequirePolicy(accesstoken.Policy{Scopes: r})
}

// RequirePolicy returns a Middleware that demands the policy beside what m
// demands already. It panics if the policy is invalid or demands nothing, as
// http.ServeMux.Handle does for a bad pattern: both are slips of the program.
func (m *Middleware) RequirePolicy(policy accesstoken.Policy) *Middleware {
	if err := policy.Err(); err != nil {
		panic("middleware: " + err.Error())
	}
	stricter := *m
	stricter.policy, stricter.demanding = m.policy.And(policy), true
	return &stricter
}

// EndWithToken returns a Middleware whose responses end with their token, at
// [accesstoken.Claims.End]: for handlers that may go on for longer than that.
//
// The request's context is canceled then, and context.Cause(r.Context()) is the
// refusal that the token would meet, an [*accesstoken.Error]. A handler that
// returns on it ends its response well; one that has written nothing yet may give
// the cause to Refuse, if it is one. A handler that has not returned after a second
// is cut off, as far as the ResponseWriter has deadlines: its reads and writes
// fail, and the response is aborted. So are those of a connection that it has hijacked
// and not left, unless it sets deadlines of its own; to close that in good form is up
// to it. What has returned is left alone.
//
// A response to an introspected token without exp, or to nobody, has no such end. A
// token that is revoked in the meantime is noticed on the next request.
func (m *Middleware) EndWithToken() *Middleware {
	lasting := *m
	lasting.ending = true
	return &lasting
}

// Wrap returns a handler that calls next for the requests that may pass, with
// the claims in their context, and refuses the others before next can see them.
// Inside another Wrap of the same Validator it checks its policy only. Where DPoP
// nonces are demanded, answers to proofs carry the next one, and Cache-Control:
// no-store, which next may replace.
func (m *Middleware) Wrap(next http.Handler) http.Handler { return &wrapped{m, next} }

// WrapFunc is Wrap for a function, as http.HandleFunc is Handle for one.
func (m *Middleware) WrapFunc(next http.HandlerFunc) http.Handler { return m.Wrap(next) }

// A wrapped handler is one behind a Middleware. It has a type so that a Wrap further
// out can find it, see demand.
type wrapped struct {
	*Middleware
	next http.Handler
}

func (m *wrapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.options.CORS && adapter.IsPreflight(r) {
		m.pass(w, r)
		return
	}
	credentials := accesstoken.CredentialsOf(r)
	if m.options.Optional && !m.demanding {
		w.Header().Add("Vary", "Authorization") // RFC 9110 §12.5.5
		if credentials.Missing() {
			m.pass(w, r)
			return
		}
	}
	policy := m.policy
	if credentials.Missing() {
		policy = m.demand(r) // for the scope of the challenge
	}
	admitted, err := adapter.Authorize(r.Context(), m.validator, "", credentials, policy)
	if err != nil {
		m.Refuse(w, r, err)
		return
	}
	defer admitted.End()
	adapter.Accepted(w.Header(), r, m.validator.Nonce(credentials), m.options.CORS)
	if m.ending {
		ending.Serve(admitted.Context, w, m.validator, admitted.Claims, func(ctx context.Context) { m.next.ServeHTTP(w, r.WithContext(ctx)) })
		return
	}
	m.next.ServeHTTP(w, r.WithContext(admitted.Context))
}

// pass calls the handler for a request that needs no token.
func (m *wrapped) pass(w http.ResponseWriter, r *http.Request) {
	if ctx := adapter.Anonymous(r.Context()); ctx != r.Context() {
		r = r.WithContext(ctx)
	}
	m.next.ServeHTTP(w, r)
}

// demand returns what the request needs here and further in. A client without a
// token is told all the scopes to ask for at once, although the Wrap that refuses it
// need not be the one that demands them.
func (m *wrapped) demand(r *http.Request) accesstoken.Policy {
	policy, next := m.policy, m.next
	for range 16 { // a mux in a mux may lead back to itself
		switch inner := next.(type) {
		case *wrapped:
			if inner.validator != m.validator {
				return policy
			}
			policy, next = policy.And(inner.policy), inner.next
		case *http.ServeMux:
			next, _ = inner.Handler(r)
		default:
			return policy
		}
	}
	return policy
}

// Check is Wrap without the wrapping: it returns the caller's claims, or the
// error to give to Refuse. A DPoP proof is used up by it, so that a second Check of
// the request refuses it; inside a Wrap it does not.
func (m *Middleware) Check(r *http.Request) (accesstoken.Claims, error) {
	admitted, err := adapter.Authorize(r.Context(), m.validator, "", accesstoken.CredentialsOf(r), m.policy)
	return admitted.Claims, err
}

// Refuse answers a request with a refusal: an error of Check or of the Validator, one
// made with accesstoken.Deny, or an accesstoken.Reason. An error that matches
// accesstoken.Unavailable becomes a 503, and any other error a 500. The caller writes
// nothing more.
func (m *Middleware) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	refused := m.validator.Refuse(r.Context(), err)
	contentType, body, err := m.body(r, refused)
	if err != nil {
		refused = m.validator.Refuse(r.Context(), err)
		contentType, body = text(r, refused)
	}
	adapter.Refused(w.Header(), r, refused, m.options.CORS)
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(refused.HTTPStatus())
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone: there is nobody to tell
	}
}

// body asks the hook. One that panics fails closed, as an error does.
func (m *Middleware) body(r *http.Request, refused *accesstoken.Error) (contentType string, body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("middleware: the Body hook panicked: %s", panics.Describe(p))
		}
	}()
	contentType, body = m.options.Body(r, refused)
	return contentType, body, nil
}
