// Package adapter is the way of a request that all adapters share. They differ
// in the shape of what comes in and goes out, and in nothing else.
package adapter

import (
	"context"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/carried"
)

// node is what an adapter leaves in the context.
type node = carried.Context[accesstoken.Claims, accesstoken.Credentials, accesstoken.Validator]

// Authorize lets the validator decide and puts the claims into the context. A
// request that this validator has let in before with the same credentials, in an
// adapter further out, is asked about the policy only: a second look would cost
// a second introspection, and a proof of possession may be used only once. A
// policy that wants a fresh answer of the issuer gets one.
// Claims that anybody else put into the context prove nothing, and neither do
// those of an outer request about an inner one that brings other credentials.
func Authorize(ctx context.Context, v *accesstoken.Validator, credentials accesstoken.Credentials, policy accesstoken.Policy) (context.Context, accesstoken.Claims, error) {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if ok && outer.By == v && outer.Credentials.Equal(credentials) && !policy.FreshIntrospection {
		return ctx, outer.Claims, v.Check(ctx, outer.Claims, policy)
	}
	claims, err := v.Authorize(ctx, credentials, policy)
	if err != nil {
		return ctx, accesstoken.Claims{}, err
	}
	return &node{Context: ctx, Claims: claims, Credentials: credentials, By: v}, claims, nil
}
