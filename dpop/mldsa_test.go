//go:build go1.27

package dpop_test

import (
	"crypto"
	"encoding/json"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// mldsaProof is a proof with this alg and this jwk, signed by a key for signed.
func mldsaProof(key crypto.Signer, signed, alg, jwk string, change members) string {
	header := members{"typ": "dpop+jwt", "alg": alg, "jwk": json.RawMessage(jwk)}
	input := b64(must(json.Marshal(header))) + "." + b64(must(json.Marshal(claims().with(change))))
	return input + "." + b64(must(jose.Sign(key, signed, input)))
}

// JOSE-24: a proof by ML-DSA is accepted only if Algorithms lists it.
func TestProofsByMLDSA(t *testing.T) {
	for alg, size := range map[string]int{"ML-DSA-44": 5_800, "ML-DSA-65": 8_100, "ML-DSA-87": 11_000} {
		t.Run(alg, func(t *testing.T) {
			key, jwk := testkit.NewMLDSA(alg)
			ask := request(mldsaProof(key, alg, alg, jwk, nil))
			ask.Thumbprint = jkt(key)
			v := verifier(t, dpop.Config{Algorithms: []string{"ES256", alg}})
			check(t, v, ask, "accepted")
			if got := len(ask.Proofs[0]); got < size || got > size+200 {
				t.Errorf("got a proof of %d bytes; want some %d", got, size)
			}
			check(t, v, ask, "ErrReplayed")
			check(t, v, request(good(nil)), "accepted")
			for name, proof := range map[string]string{
				"changed":              mldsaProof(key, alg, alg, jwk, nil) + "A",
				"another alg":          mldsaProof(key, alg, "ES256", jwk, nil),
				"priv in the jwk":      mldsaProof(key, alg, alg, strings.Replace(jwk, "}", `,"priv":"AA"}`, 1), nil),
				"no alg in the jwk":    mldsaProof(key, alg, alg, strings.Replace(jwk, `"alg":"`+alg+`",`, "", 1), nil),
				"an RSA key's kty":     mldsaProof(key, alg, alg, strings.Replace(jwk, "AKP", "RSA", 1), nil),
				"16 KiB":               mldsaProof(key, alg, alg, jwk, members{"x": strings.Repeat("x", 12<<10)}),
				"the other ES256 key":  signed(p256(), header(p256()).with(members{"alg": alg}), claims()),
				"another key's proof":  good(nil),
				"a signature by ES256": mldsaProof(p256(), "ES256", alg, jwk, nil),
			} {
				ask.Proofs = []string{proof}
				if err := v.Verify(t.Context(), ask); err == nil {
					t.Errorf("%s: got nil; want an error", name)
				}
			}
			ask.Proofs = []string{mldsaProof(key, alg, alg, jwk, nil)}
			check(t, verifier(t, dpop.Config{}), ask, "ErrProof")
		})
	}
}

// If ML-DSA is listed, proofs may be longer, by whatever key they are.
func TestTheSizeOfProofsWithMLDSA(t *testing.T) {
	long := good(members{"x": strings.Repeat("x", 9000)})
	check(t, verifier(t, dpop.Config{Algorithms: []string{"ES256", "ML-DSA-44"}}), request(long), "accepted")
	check(t, verifier(t, dpop.Config{Algorithms: []string{"ES256"}}), request(long), "ErrProof: at most 8192 bytes")
	longer := good(members{"x": strings.Repeat("x", 13000)})
	check(t, verifier(t, dpop.Config{Algorithms: []string{"ES256", "ML-DSA-44"}}), request(longer), "ErrProof: or of 16384")
}
