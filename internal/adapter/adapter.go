// Package adapter is the path of a request that all adapters share. Adapters differ
// only in the form of the requests that they read and of the responses that they
// write.
package adapter

import (
	"context"
	"errors"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/carried"
)

// node is what an adapter puts into the context.
type node = carried.Context[accesstoken.Claims, accesstoken.Credentials, accesstoken.Validator]

// An Admission is an accepted request.
type Admission struct {
	Context context.Context // with the claims
	Claims  accesstoken.Claims

	Stay *Stay // of the claims in the context; nil if an outer adapter put them there
}

// A Stay is the time for which claims are in a context. End takes them out again.
type Stay = node

// End ends the stay. The adapter should defer it, so that it runs when the handler
// has returned.
func (a Admission) End() {
	if a.Stay != nil {
		a.Stay.End()
	}
}

// Authorize lets the validator decide and puts the claims into the context. If an
// outer adapter of v has accepted this very request with the same credentials, only
// the clock and the policy are checked. A full check would cost a second
// introspection, and a proof of possession can be used only once. If the policy has
// FreshIntrospection, v.Authorize is called all the same. Claims that other code put
// into the context, or that belong to an outer request, do not count as
// authentication. target distinguishes requests whose credentials come without an
// http.Request, for example gRPC calls. For HTTP it is empty.
func Authorize(ctx context.Context, v *accesstoken.Validator, target string, credentials accesstoken.Credentials, policy accesstoken.Policy) (Admission, error) {
	if outer := accepted(ctx, v, target, credentials); outer != nil && !policy.FreshIntrospection {
		if err := v.Check(ctx, outer.Claims, policy); err != nil {
			return Admission{}, err
		}
		return Admission{Context: ctx, Claims: outer.Claims}, nil
	}
	claims, err := v.Authorize(ctx, credentials, policy)
	if err != nil {
		return Admission{}, err
	}
	return admit(ctx, v, target, credentials, claims), nil
}

// accepted returns the node of an outer adapter of v that has accepted this very request
// with the same credentials, or nil.
func accepted(ctx context.Context, v *accesstoken.Validator, target string, credentials accesstoken.Credentials) *node {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if ok && !outer.Ended() && outer.By != nil && carried.Same(outer.By, v) && outer.Target == target && outer.Credentials.Equal(credentials) {
		return outer
	}
	return nil
}

func admit(ctx context.Context, v *accesstoken.Validator, target string, credentials accesstoken.Credentials, claims accesstoken.Claims) Admission {
	made := &node{Context: ctx, Claims: claims, Credentials: credentials, Target: target, By: v}
	return Admission{Context: made, Claims: claims, Stay: made}
}

// Optional is [Authorize] for a request over HTTP that may pass without a caller. If it
// brought no credentials, Config.Authenticate is asked. If that knows no caller either, the
// admission has no claims, and its context is that of [Anonymous].
func Optional(ctx context.Context, v *accesstoken.Validator, credentials accesstoken.Credentials) (Admission, error) {
	if !credentials.Missing() || accepted(ctx, v, "", credentials) != nil {
		return Authorize(ctx, v, "", credentials, accesstoken.Policy{})
	}
	claims, ok, err := carried.Identify(ctx, v, credentials)
	switch {
	case err != nil:
		return Admission{}, err
	case !ok:
		return Admission{Context: Anonymous(ctx)}, nil
	}
	return admit(ctx, v, "", credentials, claims.(accesstoken.Claims)), nil
}

// The transports of this module's adapters.
const (
	HTTP = carried.HTTP
	Echo = carried.Echo
	GRPC = carried.GRPC
)

// Over returns the Validator for the requests of an adapter, so that OnDecide and Stats
// name the transport.
func Over(v *accesstoken.Validator, transport carried.Transport) *accesstoken.Validator {
	return carried.Over(v, transport).(*accesstoken.Validator)
}

// Watching returns the Validator of an adapter for repeated looks at a stream. Its
// Authorize and Check report no decision. If one refuses, and the adapter therefore ends
// the stream, it should pass the error to its Refuse, which reports the end.
func Watching(v *accesstoken.Validator) *accesstoken.Validator {
	return carried.Watching(v).(*accesstoken.Validator)
}

// Authenticates reports whether the Validator may know callers without a token, by its
// Config.Authenticate.
func Authenticates(v *accesstoken.Validator) bool { return carried.Authenticates(v) }

// Satisfies reports whether the claims of the request that is being served satisfy a policy.
// It is for lists of what a caller may do: a false is not reported as a refusal.
func Satisfies(v *accesstoken.Validator, claims accesstoken.Claims, policy accesstoken.Policy) bool {
	return carried.Satisfies(v, claims, policy)
}

// ResourceOf returns the identifier of the resource server that the Validator protects.
func ResourceOf(v *accesstoken.Validator) string { return carried.ResourceOf(v) }

// IsRefusal reports whether the Validator should turn an error of a handler into a
// refusal: an [*accesstoken.Error], an [accesstoken.Reason], or an error that wraps
// or matches one. All other errors are the application's.
func IsRefusal(err error) bool {
	_, isError := errors.AsType[*accesstoken.Error](err)
	_, isReason := errors.AsType[accesstoken.Reason](err)
	return isError || isReason || errors.Is(err, accesstoken.Unavailable)
}

// Anonymous returns a context for the handler of a request that passes without
// credentials. If the context is derived from an outer request that was accepted
// with a token, the claims of the outer request are hidden.
func Anonymous(ctx context.Context) context.Context {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || outer.By == nil {
		return ctx
	}
	hidden := &node{Context: ctx}
	hidden.End()
	return hidden
}

// Gone returns a context that ends when the claims no longer count whatever the clock says,
// because SetIssuers, or an answer of ResolveIssuer, has removed their issuer. A stream that
// waits for that needs no goroutine.
func Gone(claims accesstoken.Claims) context.Context { return carried.Gone(&claims) }
