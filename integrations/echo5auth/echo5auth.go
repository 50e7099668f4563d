// Package echo5auth protects Echo v5 handlers with access tokens. It gives the
// same answers as package middleware does for net/http.
//
//	auth := echo5auth.New(validator, nil)
//	e.Use(auth.Wrap)
//	e.POST("/orders", create, auth.Require(scopes.All("orders:write")).Wrap)
//
// A handler behind it finds the caller in the context of its request:
//
//	claims, ok := accesstoken.FromContext(c.Request().Context())
//
// It has the API of package echoauth, which is for Echo v4, and is a module of its
// own: a program that does not use Echo v5 does not download it.
//
// A refusal is returned as an *echo.HTTPError that wraps the *accesstoken.Error. Its
// header fields are already set, and the application's HTTPErrorHandler writes the
// body. (Echo's own handler sends the cause as well if it was made with
// echo.DefaultHTTPErrorHandler(true), which is not for production.) A handler may
// also return a refusal by itself: the error of accesstoken.Deny, an accesstoken.Reason, or an error
// that matches accesstoken.Unavailable when it could not find out.
//
// A token is looked at when the request comes. A response that may outlive it, such
// as server-sent events, a long poll or a WebSocket, ends with it where that is said:
//
//	e.GET("/events", events, auth.EndWithToken().Wrap)
//
// What package middleware says about WebSockets holds here.
package echo5auth

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/ending"
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
}

// New returns a Middleware that demands a valid token. options may be nil. It
// panics if v is nil.
func New(v *accesstoken.Validator, options *Options) *Middleware {
	if v == nil {
		panic("echo5auth: New needs a Validator")
	}
	m := &Middleware{validator: v}
	if options != nil {
		m.options = *options
	}
	return m
}

// Require returns a Middleware that demands the scopes as well. It is
// RequirePolicy(accesstoken.Policy{Scopes: r}).
func (m *Middleware) Require(r scopes.Requirement) *Middleware {
	return m.RequirePolicy(accesstoken.Policy{Scopes: r})
}

// RequirePolicy returns a Middleware that demands the policy beside what m
// demands already. It panics if the policy is invalid or demands nothing: both
// are slips of the program.
func (m *Middleware) RequirePolicy(policy accesstoken.Policy) *Middleware {
	if err := policy.Err(); err != nil {
		panic("echo5auth: " + err.Error())
	}
	stricter := *m
	stricter.policy, stricter.demanding = m.policy.And(policy), true
	return &stricter
}

// EndWithToken returns a Middleware whose responses end with their token, at
// [accesstoken.Claims.End]: for handlers that may go on for longer than that.
//
// The request's context is canceled then, and context.Cause of it is the refusal
// that the token would meet, an [*accesstoken.Error]. A handler that returns on it
// ends its response well; the cause is what it may return itself, and the client
// hears of it if nothing has been written yet. A handler that has not returned after
// a second is cut off, as far as the ResponseWriter has deadlines: its reads and
// writes fail, and the response is aborted. So are those of a connection that it has
// hijacked and not left, unless it sets deadlines of its own; to close that in good
// form is up to it. What has returned is left alone.
//
// A response to an introspected token without exp, or to nobody, has no such end. A
// token that is revoked in the meantime is noticed on the next request.
func (m *Middleware) EndWithToken() *Middleware {
	lasting := *m
	lasting.ending = true
	return &lasting
}

// Wrap is an echo.MiddlewareFunc. It calls next for the requests that may pass,
// with the claims in their context, and refuses the others before next can see
// them. Inside another Wrap of the same Validator it checks its policy only. Where
// DPoP nonces are demanded, answers to proofs carry the next one, and Cache-Control:
// no-store, which next may replace.
func (m *Middleware) Wrap(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		r := c.Request()
		if m.options.CORS && adapter.IsPreflight(r) {
			return m.pass(c, next)
		}
		credentials := accesstoken.CredentialsOf(r)
		if m.options.Optional && !m.demanding {
			c.Response().Header().Add("Vary", "Authorization") // RFC 9110 §12.5.5
			if credentials.Missing() {
				return m.pass(c, next)
			}
		}
		admission, err := adapter.Authorize(r.Context(), m.validator, "", credentials, m.policy)
		if err != nil {
			return m.Refuse(c, err)
		}
		defer admission.End()
		adapter.Accepted(c.Response().Header(), r, m.validator.Nonce(credentials), m.options.CORS)
		admitted := r.WithContext(admission.Context)
		c.SetRequest(admitted)
		if m.ending {
			return m.refuseDenied(c, m.untilTheEnd(c, admitted, admission.Claims, next))
		}
		return m.refuseDenied(c, next(c))
	}
}

// pass calls next for a request that needs no token.
func (m *Middleware) pass(c *echo.Context, next echo.HandlerFunc) error {
	r := c.Request()
	if ctx := adapter.Anonymous(r.Context()); ctx != r.Context() {
		c.SetRequest(r.WithContext(ctx))
	}
	return m.refuseDenied(c, next(c))
}

// untilTheEnd calls next with a context that ends with the token. What comes after
// next, such as the application's error handler, has the one that lasts.
func (m *Middleware) untilTheEnd(c *echo.Context, admitted *http.Request, claims accesstoken.Claims, next echo.HandlerFunc) (err error) {
	defer c.SetRequest(admitted)
	w := c.Response()
	if response, err := echo.UnwrapResponse(w); err == nil {
		w = response.ResponseWriter // of the server: what is put around it further in has no say
	}
	ending.Serve(admitted.Context(), w, m.validator, claims, func(ctx context.Context) {
		c.SetRequest(admitted.WithContext(ctx))
		err = next(c)
	})
	return err
}

// refuseDenied refuses what a handler returned as a refusal. Every other error, and
// one that has a status already, is left to the application.
func (m *Middleware) refuseDenied(c *echo.Context, err error) error {
	if err == nil || echo.StatusCode(err) != 0 || !adapter.IsRefusal(err) {
		return err
	}
	return m.Refuse(c, err)
}

// Check is Wrap without the wrapping: it returns the caller's claims, or the
// error to give to Refuse. A DPoP proof is used up by it, so that a second Check of
// the request refuses it; inside a Wrap it does not.
func (m *Middleware) Check(c *echo.Context) (accesstoken.Claims, error) {
	r := c.Request()
	admitted, err := adapter.Authorize(r.Context(), m.validator, "", accesstoken.CredentialsOf(r), m.policy)
	return admitted.Claims, err
}

// Refuse sets the header fields of a refusal and returns the error that a
// handler returns for it. err is an error of Check or of the Validator, one made with
// accesstoken.Deny, or an accesstoken.Reason. An error that matches
// accesstoken.Unavailable becomes a 503, and any other error a 500.
func (m *Middleware) Refuse(c *echo.Context, err error) error {
	refused := m.validator.Refuse(c.Request().Context(), err)
	adapter.Refused(c.Response().Header(), c.Request(), refused, m.options.CORS)
	return echo.HTTPError{Code: refused.HTTPStatus(), Message: refused.Public().Text}.Wrap(refused)
}
