package accesstoken

import (
	"context"

	"github.com/accesstoken/accesstoken/internal/carried"
)

// NewContext returns a context that carries the claims: for tests of handlers, for
// code that authenticates by itself, and for a job that goes on after its request.
// An adapter never takes them for authentication: it asks for a token all the same.
// They do not end.
func NewContext(ctx context.Context, claims Claims) context.Context {
	return &node{Context: ctx, Claims: claims}
}

// FromContext returns the claims that an adapter, or [NewContext], put into
// the context. It works the same behind net/http, Echo (with the request's
// context) and gRPC. Without claims ok is false, and a handler must refuse.
//
// Claims that an adapter put there count for its request: once the Wrap or the
// interceptor has returned, ok is false. A job that goes on after its request
// takes its caller along with NewContext, and should ask [Validator.Check] again
// before it relies on the caller's rights.
func FromContext(ctx context.Context) (claims Claims, ok bool) {
	node, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || node.Ended() {
		return Claims{}, false
	}
	return node.Claims, true
}

// A node is a context with claims.
type node = carried.Context[Claims, Credentials, Validator]
