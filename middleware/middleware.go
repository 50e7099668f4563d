// Package middleware protects net/http handlers with access tokens.
//
//	auth := middleware.New(validator, nil)
//	mux.Handle("GET /me", auth.Wrap(me))
//	mux.Handle("POST /orders", auth.Require(scopes.All("orders:write")).Wrap(create))
//
// A handler finds the claims of its caller in the context:
//
//	claims, ok := accesstoken.FromContext(r.Context())
//
// You should wrap the handler of a route, and not compare paths yourself. Then the
// pattern that http.ServeMux matched decides, and no spelling of the path gets around
// the rule. Middleware that must also see refusals, for example logging, goes
// outside. So does recovery from panics, and CORS, or see [Options.CORS].
//
// A Middleware works with every router that takes func(http.Handler) http.Handler. If
// a request passes, the handler gets its body and its ResponseWriter as they are.
//
// A token is checked when the request comes. A response can outlive its token, for
// example server-sent events, a long poll or a WebSocket. If it should end with the
// token, use EndWithToken:
//
//	mux.Handle("GET /events", auth.EndWithToken().Wrap(events))
//
// A WebSocket is authenticated on its handshake, by the Authorization field, as any
// request is. A token in the query, in Sec-WebSocket-Protocol or in a cookie is
// ignored. A page in a browser cannot set a field on a handshake, so it has to
// authenticate by other means, for example by its first message; see
// [accesstoken.Validator.Vouch]. Checking the Origin of a handshake is up to the
// WebSocket library.
//
// If a request has no token, Config.Authenticate of the Validator may know its caller, for
// example by an API key. The response then has Cache-Control: private, because no cache
// knows what it depends on. The handler may replace that.
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

// A Middleware puts a Validator in front of handlers. It is immutable and safe for
// concurrent use.
type Middleware struct {
	validator *accesstoken.Validator
	field     string        // in which the token comes
	page      *adapter.Page // nil without Config.Metadata
	own       bool          // requests without a token may have a caller, by Config.Authenticate
	options   Options
	policy    accesstoken.Policy
	demanding bool // a policy was set, so Optional has no effect
	ending    bool // responses end with their token
}

// Options configure a Middleware. The zero value is the default.
type Options struct {
	_ [0]func()

	// Optional lets a request without credentials through, and its handler finds no
	// claims, unless Config.Authenticate knows the caller. A request with bad credentials
	// is still refused. Optional has no effect on Check, nor after Require or
	// RequirePolicy, because such a route needs a token.
	Optional bool

	// CORS lets CORS preflights through to the wrapped handler. They are OPTIONS
	// requests with Origin and Access-Control-Request-Method, and browsers send them
	// without credentials. Any other OPTIONS request is authenticated. CORS also lets
	// scripts of other origins read the challenge of a refusal and the DPoP nonces.
	//
	// The wrapped handler then gets preflights that are not authenticated. You should
	// set CORS only if the wrapped handler is a CORS handler, which answers preflights
	// and does not pass them on. If the CORS handler is outside this Middleware, you do
	// not need CORS.
	CORS bool

	// Body returns the content type and the body of a refusal; nil means one line of
	// text. You can set it to [Problem], for example. It cannot change the status or
	// the other header fields. If it panics, the response is an InternalError (500),
	// and OnRefuse is called for that too.
	Body func(r *http.Request, refused *accesstoken.Error) (contentType string, body []byte)
}

// New returns a Middleware that demands a valid token, unless Optional is set.
// options may be nil. New panics if v is nil.
func New(v *accesstoken.Validator, options *Options) *Middleware {
	if v == nil {
		panic("middleware: New needs a Validator")
	}
	v = adapter.Over(v, adapter.HTTP)
	m := &Middleware{validator: v, field: v.Fields()[0], page: adapter.PageOf(v), own: adapter.Authenticates(v)}
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

// RequirePolicy returns a Middleware that demands the policy in addition to what m
// demands. It panics if [accesstoken.Validator.PolicyErr] returns an error, because that is a
// programming error. http.ServeMux.Handle does the same for a bad pattern.
func (m *Middleware) RequirePolicy(policy accesstoken.Policy) *Middleware {
	if err := policy.Err(); err != nil {
		panic("middleware: " + err.Error())
	}
	stricter := *m
	stricter.policy, stricter.demanding = m.policy.And(policy), true
	if err := m.validator.PolicyErr(stricter.policy); err != nil {
		panic("middleware: " + err.Error())
	}
	return &stricter
}

// EndWithToken returns a Middleware whose responses end when their token does, at
// [accesstoken.Claims.End]. Use it for handlers that may run until after that time.
//
// When the token ends, the request's context is canceled, and
// context.Cause(r.Context()) is the refusal that the token would now get, an
// [*accesstoken.Error]. The handler should then return. If it has written nothing yet
// and the cause is such an error, it can pass the cause to Refuse. (The context may
// also end for another reason.)
//
// If a handler has not returned a second later, and the ResponseWriter supports
// deadlines, its reads and writes fail and the response is aborted. This includes a
// hijacked connection that the handler still uses, unless it sets deadlines of its
// own. Closing such a connection properly is up to the handler. A handler that has
// returned is not affected.
//
// A response to an introspected token without exp, or to an anonymous request, is not
// ended. If a token is revoked in the meantime, only the next request is refused.
func (m *Middleware) EndWithToken() *Middleware {
	lasting := *m
	lasting.ending = true
	return &lasting
}

// Wrap returns a handler. It calls next with the claims in the context if the request
// may pass. If not, it refuses the request, and next does not see the request. Inside
// another Wrap of the same Validator it only checks its policy, unless the policy
// needs a fresh introspection. If DPoP nonces are demanded, a response to a proof
// carries the next nonce and Cache-Control: no-store, which next may replace. If the
// Config has Metadata, Wrap serves the document at its path, without authentication.
func (m *Middleware) Wrap(next http.Handler) http.Handler { return &wrapped{m, next} }

// WrapFunc is to Wrap as http.HandleFunc is to http.Handle.
func (m *Middleware) WrapFunc(next http.HandlerFunc) http.Handler { return m.Wrap(next) }

// A wrapped handler is a handler behind a Middleware. It has a type of its own so
// that an outer Wrap can find it, see demand.
type wrapped struct {
	*Middleware
	next http.Handler
}

func (m *wrapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.page.Serves(r) {
		m.page.ServeHTTP(w, r)
		return
	}
	if m.options.CORS && adapter.IsPreflight(r) {
		m.pass(w, r)
		return
	}
	credentials := m.validator.CredentialsOf(r)
	optional := m.options.Optional && !m.demanding
	adapter.Depends(w.Header(), m.field, optional, m.own && credentials.Missing())
	if optional && credentials.Missing() && !m.own {
		m.pass(w, r)
		return
	}
	admitted, err := m.authorize(r, credentials, optional)
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

// authorize decides whether a request may pass. If it has no token, the demands of inner
// Wraps are added, for the scope of the challenge.
func (m *wrapped) authorize(r *http.Request, credentials accesstoken.Credentials, optional bool) (adapter.Admission, error) {
	switch {
	case optional:
		return adapter.Optional(r.Context(), m.validator, credentials)
	case credentials.Missing():
		return adapter.Authorize(r.Context(), m.validator, "", credentials, m.demand(r))
	}
	return adapter.Authorize(r.Context(), m.validator, "", credentials, m.policy)
}

// pass calls the handler for a request that needs no token.
func (m *wrapped) pass(w http.ResponseWriter, r *http.Request) {
	if ctx := adapter.Anonymous(r.Context()); ctx != r.Context() {
		r = r.WithContext(ctx)
	}
	m.next.ServeHTTP(w, r)
}

// demand returns the policies of this Wrap and of the Wraps of the same Validator directly
// inside it, also through an http.ServeMux. A client without a token is thus told the scopes of all
// these Wraps at once.
func (m *wrapped) demand(r *http.Request) accesstoken.Policy {
	policy, next := m.policy, m.next
	for range 16 { // limited, because a mux in a mux may lead back to itself
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

// Check makes the checks of Wrap without calling a handler. It returns the claims of
// the caller, or the error to pass to Refuse. If the request has a DPoP proof, Check
// consumes it, so a second Check fails. Inside a Wrap of the same Validator the proof
// is not checked again, unless the policy needs a fresh introspection.
func (m *Middleware) Check(r *http.Request) (accesstoken.Claims, error) {
	admitted, err := adapter.Authorize(r.Context(), m.validator, "", m.validator.CredentialsOf(r), m.policy)
	return admitted.Claims, err
}

// Refuse responds to a request with a refusal: an error of Check or of the Validator,
// one made with accesstoken.Deny, or an accesstoken.Reason. If an error matches
// accesstoken.Unavailable, the status is 503. Any other error becomes a 500. The
// caller must not write anything to w afterwards.
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
		_, _ = w.Write(body) // fails only if the client is gone
	}
}

// body calls the Body hook. It returns an error if the hook panics.
func (m *Middleware) body(r *http.Request, refused *accesstoken.Error) (contentType string, body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("middleware: the Body hook panicked: %s", panics.Describe(p))
		}
	}()
	contentType, body = m.options.Body(r, refused)
	return contentType, body, nil
}
