//go:build !race

// These promises are for programs without the race detector, because that makes pools
// drop their contents on purpose and so adds allocations.

package benchmarks_test

import (
	"context"
	"slices"
	"testing"

	"github.com/accesstoken/accesstoken"
)

func TestAVerifiedTokenCostsNoAllocation(t *testing.T) {
	for _, alg := range algorithms {
		i := issuerOf(t, alg)
		serve, token := validating(i.validator(t)), i.tokens(t, 1)[0]
		must(t, serve(token))
		if got := testing.AllocsPerRun(1000, func() { must(t, serve(token)) }); got > 0 {
			t.Errorf("%s: got %v allocations; want 0", alg, got)
		}
	}
}

// Nor does a policy, with Authorize or with Check.
func TestAPolicyCostsNoAllocation(t *testing.T) {
	v, token, claims := loggedIn(t)
	for _, test := range policies {
		if got := testing.AllocsPerRun(1000, func() {
			_, err := v.Authorize(context.Background(), token, test.policy)
			must(t, err)
			must(t, v.Check(context.Background(), claims, test.policy))
		}); got > 0 {
			t.Errorf("%s: got %v allocations; want 0", test.demands, got)
		}
	}
}

// It makes no difference that issuers have changed.
func TestAVerifiedTokenCostsNoAllocationAfterIssuersChanged(t *testing.T) {
	i := issuerOf(t, "RS256")
	all, token := i.tenants(200), i.tokens(t, 1)[0]
	v := newValidator(t, accesstoken.Config{Resource: resource, Issuers: all})
	serve := validating(v)
	for n := range 100 {
		must(t, v.SetIssuers(all[:len(all)-n%2]...))
		must(t, serve(token))
	}
	if got := testing.AllocsPerRun(1000, func() { must(t, serve(token)) }); got > 0 {
		t.Errorf("got %v allocations; want 0", got)
	}
}

// To pass the claims on takes two allocations: the context and the request.
func TestAVerifiedTokenCostsAnAdapterTwoAllocations(t *testing.T) {
	i := issuerOf(t, "RS256")
	line := lines(i.tokens(t, 1))[0]
	for _, carrier := range carriers {
		serve := carrier.enter(i.validator(t))
		must(t, serve(line))
		if got := testing.AllocsPerRun(1000, func() { must(t, serve(line)) }); got > 2 {
			t.Errorf("%s: got %v allocations; want at most 2", carrier.name, got)
		}
	}
}

// Ten of them are crypto/rsa's own.
func TestANewTokenCostsFewAllocations(t *testing.T) {
	i := issuerOf(t, "RS256")
	serve, tokens, next := validating(i.validator(t)), i.tokens(t, lap), 0
	got := testing.AllocsPerRun(lap-1, func() { // it runs once more, to warm up
		must(t, serve(tokens[next]))
		next++
	})
	if got > 18 {
		t.Errorf("got %v allocations; want at most 18", got)
	}
}

// Most of them are crypto/ecdsa's own.
func TestAProofCostsFewAllocations(t *testing.T) {
	i := issuerOf(t, "RS256")
	c := newBoundClient(t, i)
	serve, requests, next := proving(t, i, c), c.requests(t, lap), 0
	got := testing.AllocsPerRun(lap-1, func() { // it runs once more, to warm up
		must(t, serve(requests[next]))
		next++
	})
	if got > 40 {
		t.Errorf("got %v allocations; want at most 40", got)
	}
	t.Logf("%v allocations", got)
}

// If an attacker can send a token at no cost, its refusal must cost almost nothing.
func TestGarbageCostsNoAllocation(t *testing.T) {
	for _, refused := range refusedCases(t) {
		if !slices.Contains([]string{"missing", "no-dots", "too-large"}, refused.cause) {
			continue
		}
		refuse := func() {
			if _, err := refused.validator.Authorize(context.Background(), refused.credentials[0], accesstoken.Policy{}); err == nil {
				t.Fatal("let in")
			}
		}
		if got := testing.AllocsPerRun(1000, refuse); got > 0 {
			t.Errorf("%s: got %v allocations; want 0", refused.cause, got)
		}
	}
}
