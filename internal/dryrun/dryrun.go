// Package dryrun marks the context of a decision that is only explained. Whoever works with
// such a context answers as always, and may ask an issuer, but stores nothing, uses nothing
// up and counts nothing.
package dryrun

import "context"

type key struct{}

// Context returns a context that is marked.
func Context(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, true) }

// Is reports whether a context is marked.
func Is(ctx context.Context) bool { return ctx.Value(key{}) != nil }
