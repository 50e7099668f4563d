package benchmarks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken/jwks"
)

// BenchmarkKeys measures the lookup in a fetched key set that every request makes,
// whether its token is cached or not. For comparison, it measures a plain map of kids.
func BenchmarkKeys(b *testing.B) {
	for _, count := range []int{3, 100} {
		cache, kids := fetchedKeys(b, count)
		kid, ctx := kids[count/2], context.Background()
		b.Run(fmt.Sprintf("kids=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if keys, _, err := cache.Keys(ctx, kid, "ES256"); len(keys) != 1 || err != nil {
					b.Fatal(keys, err)
				}
			}
		})
		b.Run(fmt.Sprintf("kids=%d/parallel", count), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if keys, _, err := cache.Keys(ctx, kid, "ES256"); len(keys) != 1 || err != nil {
						b.Error(keys, err)
					}
				}
			})
		})
		plain := make(map[string]*int)
		for _, kid := range kids {
			plain[kid] = new(int)
		}
		b.Run(fmt.Sprintf("kids=%d/map", count), func(b *testing.B) {
			for b.Loop() {
				if plain[kid] == nil {
					b.Fatal(kid)
				}
			}
		})
	}
}

// fetchedKeys returns a cache that holds some P-256 keys, and their kids.
func fetchedKeys(tb testing.TB, count int) (cache *jwks.Cache, kids []string) {
	tb.Helper()
	var set jwkset.JWKSMarshal
	for i := range count {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(tb, err)
		kid := fmt.Sprintf("2026-11-%016x", i)
		key, err := jwkset.NewJWKFromKey(&private.PublicKey, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}})
		must(tb, err)
		kids, set.Keys = append(kids, kid), append(set.Keys, key.Marshal())
	}
	document, err := json.Marshal(set)
	must(tb, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(document) }))
	tb.Cleanup(server.Close)
	cache, err = jwks.NewCache(jwks.Config{URL: server.URL})
	must(tb, err)
	tb.Cleanup(func() { must(tb, cache.Close()) })
	must(tb, cache.Warm(context.Background()))
	return cache, kids
}
