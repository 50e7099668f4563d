package accesstoken_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
)

// manyScopes are implied by the scope "admin", so that facts about a token with it are
// large, and a few thousand fill the cache.
func manyScopes(c *accesstoken.Config) {
	var implied []string
	for i := range 300 {
		implied = append(implied, fmt.Sprintf("https://api.example.com/scopes/%08d", i))
	}
	c.ScopeImplies = map[string][]string{"admin": implied}
}

// A tenant with more tokens than the cache can hold evicts none of a tenant that was idle
// meanwhile.
func TestANoisyIssuerEvictsNoTokensOfAnother(t *testing.T) {
	const idle, noise = 200, 6_000
	quiet, noisy := newMint(t, "https://quiet.example"), newMint(t, "https://noisy.example")
	v := quiet.validator(t, func(c *accesstoken.Config) {
		c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: noisy.url, Keys: noisy.keys})
		manyScopes(c)
	})
	var first [idle]accesstoken.Claims
	tokens := make([]string, idle)
	for i := range tokens {
		tokens[i] = quiet.token(t, i, nil)
		first[i] = good(t, v, tokens[i])
	}
	for i := range noise {
		good(t, v, noisy.token(t, i, object{"scope": "admin"}))
	}
	for i, token := range tokens {
		if !isHit(good(t, v, token), first[i]) {
			t.Fatalf("token %d of the idle issuer: got a verification; want a hit", i)
		}
	}
}

// Facts about the tokens of a removed issuer would keep the issuer and its keys in memory.
func TestTheMemoryOfRemovedIssuersIsFree(t *testing.T) {
	const rounds, tokens = 40, 100
	kept := newMint(t, "https://kept.example")
	v := kept.validator(t, manyScopes)
	before := heap()
	for n := range rounds {
		m := newMint(t, fmt.Sprintf("https://%d.example", n))
		if err := v.SetIssuers(accesstoken.Issuer{URL: kept.url, Keys: kept.keys}, accesstoken.Issuer{URL: m.url, Keys: m.keys}); err != nil {
			t.Fatal(err)
		}
		for i := range tokens {
			good(t, v, m.token(t, i, object{"scope": "admin"}))
		}
	}
	if grown := heap() - before; grown > 8<<20 { // 40 issuers would have 46 MiB
		t.Errorf("the heap has grown by %d MiB; want no more than a few issuers have", grown>>20)
	}
}

// The same holds for an issuer of ResolveIssuer that is forgotten after an hour without use.
func TestTheMemoryOfForgottenIssuersIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, other := newMint(t, "https://one.example"), newMint(t, "https://other.example")
		v := resolving(t, func(_ context.Context, iss string) (*accesstoken.Issuer, error) {
			return &accesstoken.Issuer{URL: iss, Keys: map[string]accesstoken.KeySource{one.url: one.keys, other.url: other.keys}[iss]}, nil
		}, manyScopes)
		defer v.Close()
		before := heap()
		for i := range 1_000 {
			good(t, v, one.token(t, i, object{"scope": "admin"}))
		}
		full := heap() - before
		time.Sleep(2 * time.Hour)
		for i := range 200 {
			good(t, v, other.token(t, i, nil))
		}
		if grown := heap() - before; full < 8<<20 || grown > full/4 {
			t.Errorf("the heap has grown by %d MiB of %d; want no more than a quarter", grown>>20, full>>20)
		}
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(one.token(t, 0, nil))); err != nil {
			t.Errorf("the issuer that was forgotten: got %v; want it resolved again", err)
		}
	})
}
