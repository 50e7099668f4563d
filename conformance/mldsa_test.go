package conformance

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// mldsaLengths are the lengths of signatures (RFC 9964).
var mldsaLengths = map[string]int{"ML-DSA-44": 2420, "ML-DSA-65": 3309, "ML-DSA-87": 4627}

// TestMLDSA is JOSE-24. The algorithms are accepted if the issuer's list has them, in a
// program built with Go 1.27 or later. With an older Go the list cannot have them, and the
// key is left out and reported. In both, the RSA key with the same kid is used.
func TestMLDSA(t *testing.T) {
	wire := wireReasons(t)
	for alg, length := range mldsaLengths {
		t.Run(alg, func(t *testing.T) {
			earth.now = time.Now().Truncate(time.Second)
			key, jwk := testkit.NewMLDSA(alg)
			published := state{Keys: []keyDoc{{Set: with(members(jwk), members(`{"kid": "${canary}-RS256"}`))}, {Alg: "RS256"}}}
			input := mldsaInput(alg)
			signature, accepted := make([]byte, length), vector{Expect: "INVTOK", Reason: accesstoken.AlgorithmNotAllowed}
			if testkit.HasMLDSA {
				signature = must(jose.Sign(key, alg, input))
				accepted = vector{Expect: "OK", Config: setup{Issuer: issuerSetup{Algorithms: []string{"RS256", alg}}}}
			}
			token := input + "." + base64.RawURLEncoding.EncodeToString(signature)
			accepted.Token, accepted.Issuer = recipe{Literal: &token}, published
			playCase(t, earth, accepted, wire)

			off := vector{Expect: "INVTOK", Reason: accesstoken.AlgorithmNotAllowed, Token: accepted.Token, Issuer: published}
			playCase(t, earth, off, wire)
			beside := vector{Expect: "OK", Config: accepted.Config, Issuer: published}
			playCase(t, earth, beside, wire)
			if testkit.HasMLDSA {
				forged := accepted
				forged.Expect, forged.Reason, forged.Token.Mutate = "INVTOK", accesstoken.SignatureInvalid, "flip signature"
				playCase(t, earth, forged, wire)
			}
			checkMLDSAReported(t, vector{Issuer: published})
		})
	}
}

// mldsaInput returns the header and the payload of a good token.
func mldsaInput(alg string) string {
	x := texts{w: earth}
	encode := base64.RawURLEncoding.EncodeToString
	return encode(x.object(with(goodHeader(), members(`{"alg": "`+alg+`"}`)))) + "." + encode(x.object(goodClaims()))
}

// checkMLDSAReported checks what the log says about the key, which is the first of its set.
func checkMLDSAReported(t *testing.T, v vector) {
	t.Helper()
	s := earth.play(t, v)
	if _, err := s.validator.Validate(t.Context(), accesstoken.Bearer(earth.token(t, recipe{}))); err != nil {
		t.Errorf("got %v; want the RSA key used", err)
	}
	if err := s.validator.Close(); err != nil { // waits for the log line of the fetch
		t.Error(err)
	}
	const reason = "key 0: its kty is AKP, which only programs built with Go 1.27 or later can use"
	if got := strings.Contains(s.logs.String(), reason); got == testkit.HasMLDSA {
		t.Errorf("got %q; want the key reported: %t", s.logs.String(), !testkit.HasMLDSA)
	}
}
