// Package carried is the context node that takes claims from an adapter to its
// handler. It costs one allocation, and only this module can make a node that counts
// as authentication.
package carried

import (
	"context"
	"sync/atomic"
)

// TestKeys is implemented by a key source of accesstokentest. If that key source
// verified a token, every Validator accepts the token's claims in Check. Packages
// outside this module cannot name Key, so they cannot implement TestKeys.
type TestKeys interface{ ForTests(Key) }

// Gone returns a context that ends when the claims, an *accesstoken.Claims, no longer count
// whatever the clock says, because SetIssuers has removed their issuer. Until the context
// ends, it costs a waiting stream no goroutine. The root package sets Gone.
var Gone func(claims any) context.Context

// Authenticates reports whether an *accesstoken.Validator has a Config.Authenticate, so
// that a request without a token may have a caller. The root package sets it.
var Authenticates func(v any) bool

// Identify asks the Config.Authenticate of an *accesstoken.Validator about
// accesstoken.Credentials without a token. It returns accesstoken.Claims, or false if
// there is no caller, which it does not report as a refusal. The root package sets it.
var Identify func(ctx context.Context, v, credentials any) (claims any, ok bool, err error)

// Satisfies reports whether accesstoken.Claims satisfy an accesstoken.Policy by the rules of
// an *accesstoken.Validator. It is for lists of what a caller may do, so a false is not
// reported as a refusal. It does not look at the clock: the claims must be those of the
// request that is being served. The root package sets it.
var Satisfies func(v, claims, policy any) bool

// ResourceOf returns the identifier of the resource server that an *accesstoken.Validator
// protects. The root package sets it.
var ResourceOf func(v any) string

// A Transport is how a request reaches a Validator.
type Transport int

// The transports. The zero value is a call of the application's own code.
const (
	Direct Transport = iota
	HTTP
	Echo
	GRPC
	Transports // how many there are
)

// String returns the name that OnDecide and Stats have for the transport.
func (t Transport) String() string { return [...]string{"", "net/http", "echo", "grpc"}[t] }

// Over returns an *accesstoken.Validator that decides as v does, for requests that come
// over the transport. For the same arguments it returns the same pointer. The root package
// sets it.
var Over func(v any, transport Transport) any

// Watching returns an *accesstoken.Validator that decides as v does, for repeated looks at
// what is open, such as a stream. Its Authorize and Check report no decision. If one
// refuses, and what is open is therefore ended, its Refuse reports the end. The root
// package sets Watching.
var Watching func(v any) any

// Same reports whether two *accesstoken.Validator are the same one, whatever the transport.
// The root package sets it.
var Same func(a, b any) bool

// Key finds the node in a context.
type Key struct{}

// Context is a context with claims and the credentials that they came from. C is
// accesstoken.Claims, R accesstoken.Credentials and V accesstoken.Validator, because
// this package cannot import the root package.
type Context[C, R, V any] struct {
	context.Context
	Claims      C
	Credentials R
	Target      string // tells requests apart whose credentials have no http.Request

	// By is the validator that authenticated the request. If it is nil, the claims were
	// not put there by an adapter, and adapters do not accept them as authentication.
	By *V

	ended atomic.Bool
}

// End takes the claims out of the context for good. Contexts that are derived from c
// may outlive the request, and lose the claims too.
func (c *Context[C, R, V]) End() { c.ended.Store(true) }

// Ended reports whether the claims no longer count.
func (c *Context[C, R, V]) Ended() bool { return c.ended.Load() }

// Value returns the node itself under [Key].
func (c *Context[C, R, V]) Value(key any) any {
	if key == (Key{}) {
		return c
	}
	return c.Context.Value(key)
}

// String is what package context prints for a parent.
func (c *Context[C, R, V]) String() string { return "accesstoken.Context" }
