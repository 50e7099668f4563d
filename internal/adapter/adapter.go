// Package adapter is the way of a request that all adapters share. They differ
// in the shape of what comes in and goes out, and in nothing else.
package adapter

import (
	"context"
	"errors"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/carried"
)

// node is what an adapter leaves in the context.
type node = carried.Context[accesstoken.Claims, accesstoken.Credentials, accesstoken.Validator]

// An Admission is a request that may pass.
type Admission struct {
	Context context.Context // with the claims
	Claims  accesstoken.Claims

	Stay *Stay // of the claims in the context; nil: an adapter further out put them there
}

// A Stay is how long claims are in a context. Its End takes them out again.
type Stay = node

// End ends the stay. The adapter defers it until its handler has returned.
func (a Admission) End() {
	if a.Stay != nil {
		a.Stay.End()
	}
}

// Authorize lets the validator decide and puts the claims into the context. If an
// adapter further out has let this very request in with the same credentials, only
// the policy is checked: a second look would cost a second introspection, and a
// proof of possession may be used only once. A policy that wants a fresh answer of
// the issuer gets one. Claims that other code put into the context prove nothing.
// Neither do the claims of an outer request about an inner one. Target tells requests
// apart whose credentials come without a request; it is empty for all others.
func Authorize(ctx context.Context, v *accesstoken.Validator, target string, credentials accesstoken.Credentials, policy accesstoken.Policy) (Admission, error) {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if ok && !outer.Ended() && outer.By == v && outer.Target == target && outer.Credentials.Equal(credentials) && !policy.FreshIntrospection {
		if err := v.Check(ctx, outer.Claims, policy); err != nil {
			return Admission{}, err
		}
		return Admission{Context: ctx, Claims: outer.Claims}, nil
	}
	claims, err := v.Authorize(ctx, credentials, policy)
	if err != nil {
		return Admission{}, err
	}
	made := &node{Context: ctx, Claims: claims, Credentials: credentials, Target: target, By: v}
	return Admission{Context: made, Claims: claims, Stay: made}, nil
}

// IsRefusal reports whether an error that a handler returned is for the Validator to
// turn into a refusal: an [*accesstoken.Error], one of the reasons, or what matches
// [accesstoken.Unavailable]. All others are the application's.
func IsRefusal(err error) bool {
	var refused *accesstoken.Error
	var reason accesstoken.Reason
	return errors.As(err, &refused) || errors.As(err, &reason) || errors.Is(err, accesstoken.Unavailable)
}

// Anonymous returns a context for the handler of a request that passes without
// credentials. An outer request, whose context this one has, may have been let in
// with a token of its own. Its claims are not those of this request.
func Anonymous(ctx context.Context) context.Context {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || outer.By == nil {
		return ctx
	}
	hidden := &node{Context: ctx}
	hidden.End()
	return hidden
}
