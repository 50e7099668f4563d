// Package echo5auth protects Echo v5 handlers with access tokens. It decides like
// package middleware, which is for net/http.
//
//	auth := echo5auth.New(validator, nil)
//	e.Use(auth.Wrap)
//	e.POST("/orders", create, auth.Require(scopes.All("orders:write")).Wrap)
//
// A handler finds the claims of its caller in the context of the request:
//
//	claims, ok := accesstoken.FromContext(c.Request().Context())
//
// It has the API of package echoauth, which is for Echo v4. It is a module of its
// own, so a program without Echo v5 does not download Echo v5.
//
// A refusal is returned as an *echo.HTTPError that wraps the *accesstoken.Error. Its
// header fields are already set, and the application's HTTPErrorHandler writes the
// body. (Echo's own handler also sends the cause if it was made with
// echo.DefaultHTTPErrorHandler(true), so you should not do that in production.) A
// handler may also return a refusal itself: the error of accesstoken.Deny, or an
// accesstoken.Reason. If it could not complete a check of its own, it should return
// an error that matches accesstoken.Unavailable.
//
// A token is checked when the request comes. A response can outlive its token, for
// example server-sent events, a long poll or a WebSocket. If it should end with the
// token, use EndWithToken:
//
//	e.GET("/events", events, auth.EndWithToken().Wrap)
//
// For WebSockets, see package middleware: the same holds here.
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
}

// New returns a Middleware that demands a valid token, unless Optional is set.
// options may be nil. New panics if v is nil.
func New(v *accesstoken.Validator, options *Options) *Middleware {
	if v == nil {
		panic("echo5auth: New needs a Validator")
	}
	v = adapter.Over(v, adapter.Echo)
	m := &Middleware{validator: v, field: v.Fields()[0], page: adapter.PageOf(v), own: adapter.Authenticates(v)}
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

// RequirePolicy returns a Middleware that demands the policy in addition to what m
// demands. It panics if [accesstoken.Validator.PolicyErr] returns an error, because that is a
// programming error.
func (m *Middleware) RequirePolicy(policy accesstoken.Policy) *Middleware {
	if err := policy.Err(); err != nil {
		panic("echo5auth: " + err.Error())
	}
	stricter := *m
	stricter.policy, stricter.demanding = m.policy.And(policy), true
	if err := m.validator.PolicyErr(stricter.policy); err != nil {
		panic("echo5auth: " + err.Error())
	}
	return &stricter
}

// EndWithToken returns a Middleware whose responses end when their token does, at
// [accesstoken.Claims.End]. Use it for handlers that may run until after that time.
//
// When the token ends, the request's context is canceled, and its context.Cause is
// the refusal that the token would now get, an [*accesstoken.Error]. The handler
// should then return, and it may return the cause. The client gets that refusal if
// nothing has been written yet.
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

// Wrap is an echo.MiddlewareFunc. It calls next with the claims in the context if the
// request may pass. If not, it refuses the request, and next does not see the
// request. Inside another Wrap of the same Validator it only checks its policy,
// unless the policy needs a fresh introspection. If DPoP nonces are demanded, a
// response to a proof carries the next nonce and Cache-Control: no-store, which next
// may replace. If the Config has Metadata, Wrap serves the document at its path,
// without authentication.
func (m *Middleware) Wrap(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		r := c.Request()
		if m.page.Serves(r) {
			m.page.ServeHTTP(c.Response(), r)
			return nil
		}
		if m.options.CORS && adapter.IsPreflight(r) {
			return m.pass(c, next)
		}
		credentials := m.validator.CredentialsOf(r)
		optional := m.options.Optional && !m.demanding
		adapter.Depends(c.Response().Header(), m.field, optional, m.own && credentials.Missing())
		if optional && credentials.Missing() && !m.own {
			return m.pass(c, next)
		}
		admission, err := m.authorize(r, credentials, optional)
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

// authorize decides whether a request may pass.
func (m *Middleware) authorize(r *http.Request, credentials accesstoken.Credentials, optional bool) (adapter.Admission, error) {
	if optional {
		return adapter.Optional(r.Context(), m.validator, credentials)
	}
	return adapter.Authorize(r.Context(), m.validator, "", credentials, m.policy)
}

// pass calls next for a request that needs no token.
func (m *Middleware) pass(c *echo.Context, next echo.HandlerFunc) error {
	r := c.Request()
	if ctx := adapter.Anonymous(r.Context()); ctx != r.Context() {
		c.SetRequest(r.WithContext(ctx))
	}
	return m.refuseDenied(c, next(c))
}

// untilTheEnd calls next with a context that ends with the token. After next, the
// request has the lasting context again, for example for the application's error
// handler.
func (m *Middleware) untilTheEnd(c *echo.Context, admitted *http.Request, claims accesstoken.Claims, next echo.HandlerFunc) (err error) {
	defer c.SetRequest(admitted)
	w := c.Response()
	if response, err := echo.UnwrapResponse(w); err == nil {
		w = response.ResponseWriter // taken now, so that wrappers which inner middleware adds later have no effect
	}
	ending.Serve(admitted.Context(), w, m.validator, claims, func(ctx context.Context) {
		c.SetRequest(admitted.WithContext(ctx))
		err = next(c)
	})
	return err
}

// refuseDenied turns an error of a handler into a refusal, if [adapter.IsRefusal]
// reports that the error is one. Any other error, and any error with an HTTP status,
// is returned unchanged.
func (m *Middleware) refuseDenied(c *echo.Context, err error) error {
	if err == nil || echo.StatusCode(err) != 0 || !adapter.IsRefusal(err) {
		return err
	}
	return m.Refuse(c, err)
}

// Check makes the checks of Wrap without calling a handler. It returns the claims of
// the caller, or the error to pass to Refuse. If the request has a DPoP proof, Check
// consumes it, so a second Check fails. Inside a Wrap of the same Validator the proof
// is not checked again, unless the policy needs a fresh introspection.
func (m *Middleware) Check(c *echo.Context) (accesstoken.Claims, error) {
	r := c.Request()
	admitted, err := adapter.Authorize(r.Context(), m.validator, "", m.validator.CredentialsOf(r), m.policy)
	return admitted.Claims, err
}

// Refuse sets the header fields of a refusal, and returns the error that a handler
// should return. err is an error of Check or of the Validator, one made with
// accesstoken.Deny, or an accesstoken.Reason. If it matches accesstoken.Unavailable,
// the status is 503. Any other error becomes a 500.
func (m *Middleware) Refuse(c *echo.Context, err error) error {
	refused := m.validator.Refuse(c.Request().Context(), err)
	adapter.Refused(c.Response().Header(), c.Request(), refused, m.options.CORS)
	return echo.HTTPError{Code: refused.HTTPStatus(), Message: refused.Public().Text}.Wrap(refused)
}
