// Package carried is the context node that brings claims from an adapter to
// its handler. It is one allocation, and only this module can make one that
// counts as authentication.
package carried

import (
	"context"
	"sync/atomic"
)

// TestKeys is a key source of accesstokentest, whose claims any Validator takes for
// its own in Check. No other package can name this interface.
type TestKeys interface{ ForTests(Key) }

// Key finds the node in a context.
type Key struct{}

// Context is a context with claims and the credentials that they came from. C is
// accesstoken.Claims, R accesstoken.Credentials and V accesstoken.Validator: the
// root package cannot be imported from here.
type Context[C, R, V any] struct {
	context.Context
	Claims      C
	Credentials R
	Target      string // of a request that the credentials do not hold

	// By is the validator that authenticated the request, or nil for claims
	// that somebody put there by hand, which prove nothing to an adapter.
	By *V

	ended atomic.Bool
}

// End takes the claims out of the context, for good: the request that they came
// with is over. What is derived from the context keeps its values, and outlives
// the request with them.
func (c *Context[C, R, V]) End() { c.ended.Store(true) }

// Ended reports whether the claims count no more.
func (c *Context[C, R, V]) Ended() bool { return c.ended.Load() }

// Value returns the node itself under [Key].
func (c *Context[C, R, V]) Value(key any) any {
	if key == (Key{}) {
		return c
	}
	return c.Context.Value(key)
}

// String is what the context package prints of a parent.
func (c *Context[C, R, V]) String() string { return "accesstoken.Context" }
