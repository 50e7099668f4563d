package accesstoken

import (
	"context"

	"github.com/accesstoken/accesstoken/internal/carried"
)

// NewContext returns a context with the claims. You can use it in tests of handlers,
// if your code authenticates by itself (see [Validator.Vouch]), and for a job that goes on
// after its request. An adapter never accepts these claims as authentication, and still
// demands a token. The claims do not end with a request.
func NewContext(ctx context.Context, claims Claims) context.Context {
	return &node{Context: ctx, Claims: claims}
}

// FromContext returns the claims that an adapter, or [NewContext], put into the
// context. It works the same behind net/http, Echo (with the request's context) and
// gRPC. If ok is false, there are no claims, and a handler that needs a caller must
// refuse.
//
// The claims of an adapter count while its request runs: once the Wrap or the
// interceptor has returned, ok is false. If a job goes on after its request, you
// should give it the claims with NewContext, and call [Validator.Check] again before
// you rely on the caller's rights.
func FromContext(ctx context.Context) (claims Claims, ok bool) {
	node, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || node.Ended() {
		return Claims{}, false
	}
	return node.Claims, true
}

func init() {
	carried.Gone = func(claims any) context.Context {
		if c := claims.(*Claims); c.facts != nil {
			return c.facts.issuer.gone
		}
		return context.Background()
	}
}

// A node is a context with claims.
type node = carried.Context[Claims, Credentials, Validator]
