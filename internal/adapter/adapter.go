// Package adapter is the way of a request that all adapters share. They differ
// in the shape of what comes in and goes out, and in nothing else.
package adapter

import (
	"context"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/carried"
)

// Authorize lets the validator decide and puts the claims into the context. A
// request that this validator has let in before, in an adapter further out, is
// asked about the policy only: a second look at the credentials would cost a
// second introspection, and a proof of possession may be used only once. Claims
// that anybody else put into the context prove nothing.
func Authorize(ctx context.Context, v *accesstoken.Validator, credentials accesstoken.Credentials, policy accesstoken.Policy) (context.Context, accesstoken.Claims, error) {
	if node, ok := ctx.Value(carried.Key{}).(*carried.Context[accesstoken.Claims]); ok && node.By == v {
		return ctx, node.Claims, v.Check(ctx, node.Claims, policy)
	}
	claims, err := v.Authorize(ctx, credentials, policy)
	if err != nil {
		return ctx, accesstoken.Claims{}, err
	}
	return &carried.Context[accesstoken.Claims]{Context: ctx, Claims: claims, By: v}, claims, nil
}
