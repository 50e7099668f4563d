package jwks_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
)

// Over a real listener: whatever happens to the key server, a key that is held
// serves, a kid that cannot be asked for is not called absent, and a cache that
// never had a key has none, in bounded time. When the server is well again, so
// is the cache.
func TestFaultsOfARealServer(t *testing.T) {
	checkLeaks(t)
	as := accesstokentest.NewServer(t)
	const limit = 500 * time.Millisecond // for a fetch
	start := func(t *testing.T) *jwks.Cache {
		cache, err := jwks.NewCache(jwks.Config{
			Issuer:       as.URL,
			HTTPClient:   as.Client(),
			Logger:       slog.New(slog.DiscardHandler),
			FetchTimeout: limit,
			MissCooldown: 100 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cache.Close() })
		return cache
	}
	for _, c := range []struct {
		name  string
		fault accesstokentest.Fault
	}{
		{"slower than the fetch may be", accesstokentest.Fault{Latency: time.Minute}},
		{"stuck", accesstokentest.Fault{Hang: true}},
		{"a body that trickles", accesstokentest.Fault{Trickle: time.Minute}},
		{"a body that trickles, each byte in time", accesstokentest.Fault{Trickle: 10 * time.Millisecond}},
		{"crashed", accesstokentest.Fault{Reset: true}},
		{"a body that ends early", accesstokentest.Fault{Drop: true}},
		{"an error", accesstokentest.Fault{Status: 500}},
		{"too many requests", accesstokentest.Fault{Status: 429}},
		{"a good body under a bad status", accesstokentest.Fault{Status: 203}},
		{"a redirect to itself", accesstokentest.Fault{Status: 307, Header: http.Header{"Location": {as.JWKSURI()}}}},
		{"a web page", accesstokentest.Fault{Body: []byte("<html>down for maintenance</html>")}},
		{"nothing", accesstokentest.Fault{Body: []byte{}}},
		{"no keys", accesstokentest.Fault{Body: accesstokentest.HugeKeySet(0)}},
		{"ten thousand keys", accesstokentest.Fault{Body: accesstokentest.HugeKeySet(10_000)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Cleanup(func() { as.Mend(accesstokentest.JWKSPath) })
			held, never := start(t), start(t)
			warm(t, held)
			as.Break(accesstokentest.JWKSPath, c.fault)
			began := time.Now()
			ask(t, held, "made up", unavailable)
			ask(t, held, as.KeyID("ES256"), found)
			ask(t, never, as.KeyID("ES256"), unavailable)
			if took := time.Since(began); took > 10*limit {
				t.Errorf("took %v; want two fetches of %v at most", took, limit)
			}

			as.Mend(accesstokentest.JWKSPath)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for never.Warm(ctx) != nil && ctx.Err() == nil { // it says when it may be asked again
				<-time.After(10 * time.Millisecond)
			}
			ask(t, never, as.KeyID("ES256"), found)
		})
	}
}

// The same kid with another key, keys that are withdrawn, and 304 in between.
func TestARealServerRotates(t *testing.T) {
	checkLeaks(t)
	as := accesstokentest.NewServer(t)
	fetched := make(chan jwks.Fetch, 100)
	cache, err := jwks.NewCache(jwks.Config{
		Issuer:       as.URL,
		HTTPClient:   as.Client(),
		Logger:       slog.New(slog.DiscardHandler),
		RefreshAfter: 100 * time.Millisecond,
		OnFetch:      func(f jwks.Fetch) { fetched <- f },

		WithdrawAfter: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	until := func(what string, done func(jwks.Fetch) bool) {
		t.Helper()
		for {
			select {
			case f := <-fetched:
				if done(f) {
					return
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("nothing fetched: want %s", what)
			}
		}
	}
	warm(t, cache)
	until("304", func(f jwks.Fetch) bool { return f.NotModified })
	kid := as.KeyID("ES256")
	before, first, _ := cache.Keys(t.Context(), kid, "ES256")

	as.Replace()
	until("another generation", func(f jwks.Fetch) bool { return f.Generation > first })
	after, second, _ := cache.Keys(t.Context(), kid, "ES256")
	if len(before) != 1 || len(after) != 1 || before[0] == after[0] || second <= first {
		t.Errorf("got generations %d and %d; want another key of the same kid, and a later one", first, second)
	}

	as.Rotate()
	ask(t, cache, as.KeyID("ES256"), found)
	as.Withdraw()
	until("the old ones withdrawn", func(f jwks.Fetch) bool { return len(f.Withdrawn) > 0 })
	ask(t, cache, kid, notThere)
}
