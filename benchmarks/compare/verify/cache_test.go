package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/user"
)

// caches cache tokens. Ours is that of a validator, which checks key, clock, binding and
// audience again at each hit. That of Kubernetes, here with an authenticator that knows
// all tokens, returns a stored result for a limited time.
var caches = []peer{
	{name: "accesstoken", open: openCached},
	{
		name:    "kubernetes",
		modules: []string{"k8s.io/apiserver"},
		how:     "`cache.New` of `pkg/authentication/token/cache` with a TTL of one hour for successes, which no row outlasts, and no audiences. A hit is what was said before, whatever exp and the keys are now",
		open:    func(testing.TB, *issuer) row { return openKubernetes(func(string) bool { return true }) },
	},
}

var errUnauthenticated = errors.New("the token is not authenticated")

func openKubernetes(knows func(token string) bool) row {
	known := authenticator.TokenFunc(func(_ context.Context, token string) (*authenticator.Response, bool, error) {
		if !knows(token) {
			return nil, false, nil
		}
		return &authenticator.Response{User: &user.DefaultInfo{Name: "5f0e6a0c"}}, true, nil
	})
	remembered, ctx := cache.New(known, false, time.Hour, 0), context.Background()
	return row{remembers: true, serve: func(token string) (caller, error) {
		response, ok, err := remembered.AuthenticateToken(ctx, token)
		if err != nil {
			return caller{}, err
		}
		if !ok {
			return caller{}, errUnauthenticated
		}
		return caller{subject: response.User.GetName()}, nil
	}}
}

// BenchmarkCache measures tokens that were verified before: always the same one, or
// 10,000 in random order.
func BenchmarkCache(b *testing.B) {
	for _, count := range []int{1, 10_000} {
		for _, c := range caches {
			name := fmt.Sprintf("tokens=%d/by=%s", count, c.name)
			b.Run(name, func(b *testing.B) {
				i, tokens := padded(b, count)
				measureHits(b, c.open(b, i), tokens)
			})
			b.Run(name+"/parallel", func(b *testing.B) {
				i, tokens := padded(b, count)
				measureParallelHits(b, c.open(b, i), tokens)
			})
		}
	}
}

// paddedTokens are shared by all rows.
var paddedTokens []string

// padded returns an issuer and n different tokens from it. They are signed with EdDSA,
// because this is fast, and padded to the length of an RS256 token.
func padded(tb testing.TB, n int) (*issuer, []string) {
	tb.Helper()
	i := issuerOf(tb, "EdDSA")
	missing := 902 - len(i.tokens(tb, 1)[0])
	for id := len(paddedTokens); id < n; id++ {
		pad := fmt.Sprintf("%0*d", missing*3/4-len(`"pad":"",`), id)
		paddedTokens = append(paddedTokens, i.sign(tb, id, nil, map[string]any{"pad": pad}))
	}
	return i, paddedTokens[:n]
}

func measureHits(b *testing.B, r row, tokens []string) {
	b.Helper()
	prime(b, r, tokens)
	random := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.serve(tokens[random.IntN(len(tokens))]); err != nil {
			b.Fatal(err)
		}
	}
}

func measureParallelHits(b *testing.B, r row, tokens []string) {
	b.Helper()
	prime(b, r, tokens)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		random := rand.New(rand.NewPCG(1, rand.Uint64()))
		for pb.Next() {
			if _, err := r.serve(tokens[random.IntN(len(tokens))]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
