package jwks_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/jwks"
)

func TestATableFindsWhatIsInIt(t *testing.T) {
	for _, kids := range [][]string{
		{},
		{""},
		{"", "a", "b", "aa", "ab", "ba"},
		{"12345678", "1234567", "123456789", "12345678x12345678", "12345678y12345678"}, // equal ends
		random(500),
	} {
		asked := append(slices.Clone(kids), "made up", "12345678z12345678", strings.Repeat("k", 256), "\x00")
		found, slots := jwks.Lookup(kids, asked)
		for i, kid := range asked {
			if want := slices.Contains(kids, kid); found[i] != want {
				t.Errorf("%d kids: %q found: got %t; want %t", len(kids), kid, found[i], want)
			}
		}
		if slots&(slots-1) != 0 || slots < 2*len(kids) || slots > 4*len(kids)+4 {
			t.Errorf("%d kids: got %d slots; want a power of two, twice to four times as many", len(kids), slots)
		}
	}
}

func random(n int) (kids []string) {
	source := rand.New(rand.NewPCG(1, 2))
	for range n {
		kid := make([]byte, source.IntN(40))
		for i := range kid {
			kid[i] = byte('a' + source.IntN(3))
		}
		kids = append(kids, string(kid))
	}
	return kids
}

func TestEveryAlgorithmHasANumberOfItsOwn(t *testing.T) {
	seen := map[int]string{0: "none"}
	for _, alg := range append(jose.DefaultAlgorithms(), "ML-DSA-44", "ML-DSA-65", "ML-DSA-87") {
		n := jwks.Number(alg)
		if other, taken := seen[n]; taken {
			t.Errorf("%s: got the number of %s", alg, other)
		}
		seen[n] = alg
	}
	for _, alg := range []string{"", "none", "HS256", "rs256", "RS256 ", "ES256K"} {
		if n := jwks.Number(alg); n != 0 {
			t.Errorf("%q: got the number of %s; want 0", alg, seen[n])
		}
	}
}

// Four keys of 8192 bits for one kid would let every forged token cost as much as
// 64 of 2048.
func TestOneAnswerHasOneLargeKeyAtMost(t *testing.T) {
	large := []*rsa.PublicKey{modulus(8192, 65537), modulus(4097, 65537), modulus(8192, 3)}
	small := []*rsa.PublicKey{modulus(4096, 65537), modulus(2048, 65537)}
	var keys []members
	var jwkKeys []jwkset.JWK
	set := jwt.VerificationKeySet{}
	for _, key := range slices.Concat(large, small) {
		keys = append(keys, jwk(key, "a", nil))
		jwkKeys = append(jwkKeys, setKey(key, jwkset.JWKMetadataOptions{KID: "a"}))
		set.Keys = append(set.Keys, key)
	}
	cache := open(t, serve(document(keys...)), nil)
	for name, source := range map[string]interface {
		Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error)
	}{"a Cache": cache, "a View": cache.For("https://a.example"), "a Set": jwks.Static(jwkKeys...), "a KeyfuncSource": jwks.FromKeyfunc(odd{key: set})} {
		for _, kid := range []string{"a", ""} {
			got, _, err := source.Keys(t.Context(), kid, "RS256")
			n := 0
			for _, key := range got {
				if key.(*rsa.PublicKey).N.BitLen() > 4096 {
					n++
				}
			}
			if len(got) != 3 || n != 1 || err != nil {
				t.Errorf("%s, kid %q: got %d keys, %d of them above 4096 bits, %v; want 3, 1", name, kid, len(got), n, err)
			}
		}
	}
}
