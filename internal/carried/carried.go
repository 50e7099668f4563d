// Package carried is the context node that brings claims from an adapter to
// its handler. It is one allocation, and only this module can make one that
// counts as authentication.
package carried

import "context"

// Key finds the node in a context.
type Key struct{}

// Context is a context with claims and the credentials that they came from. C is
// accesstoken.Claims, R accesstoken.Credentials and V accesstoken.Validator: the
// root package cannot be imported from here.
type Context[C, R, V any] struct {
	context.Context
	Claims      C
	Credentials R

	// By is the validator that authenticated the request, or nil for claims
	// that somebody put there by hand, which prove nothing to an adapter.
	By *V
}

// Value returns the node itself under [Key].
func (c *Context[C, R, V]) Value(key any) any {
	if key == (Key{}) {
		return c
	}
	return c.Context.Value(key)
}

// String is what the context package prints of a parent.
func (c *Context[C, R, V]) String() string { return "accesstoken.Context" }
