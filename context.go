package accesstoken

import (
	"context"

	"github.com/accesstoken/accesstoken/internal/carried"
)

// NewContext returns a context that carries the claims, for tests of handlers
// and for code that authenticates by itself. An adapter does not take them for
// authentication: it lets nobody in whose token it has not seen.
func NewContext(ctx context.Context, claims Claims) context.Context {
	return &carried.Context[Claims, Credentials, Validator]{Context: ctx, Claims: claims}
}

// FromContext returns the claims that an adapter, or [NewContext], put into
// the context. It works the same behind net/http, Echo (with the request's
// context) and gRPC. Without claims ok is false, and a handler must refuse.
func FromContext(ctx context.Context) (claims Claims, ok bool) {
	node, ok := ctx.Value(carried.Key{}).(*carried.Context[Claims, Credentials, Validator])
	if !ok {
		return Claims{}, false
	}
	return node.Claims, true
}
