package benchmarks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
)

// BenchmarkRaw measures the minimum for all other benchmarks: the standard library
// verifies one signature. The digest of the signing input is included; parsing, base64
// and claims are not.
func BenchmarkRaw(b *testing.B) {
	for _, alg := range algorithms {
		b.Run("alg="+alg, func(b *testing.B) {
			i := issuerOf(b, alg)
			verify := rawVerifier(b, i, i.tokens(b, 1)[0])
			b.ReportAllocs()
			for b.Loop() {
				if !verify() {
					b.Fatal("the signature is wrong")
				}
			}
		})
	}
}

// rawVerifier returns the cheapest call that verifies the token.
func rawVerifier(tb testing.TB, i *issuer, token string) func() bool {
	tb.Helper()
	dot := strings.LastIndexByte(token, '.')
	input := []byte(token[:dot])
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		tb.Fatal(err)
	}
	switch key := i.private.Public().(type) {
	case ed25519.PublicKey:
		return func() bool { return ed25519.Verify(key, input, signature) }
	case *ecdsa.PublicKey:
		der := derOf(tb, signature)
		return func() bool {
			digest := sha256.Sum256(input)
			return ecdsa.VerifyASN1(key, digest[:], der)
		}
	case *rsa.PublicKey:
		if i.alg == "PS256" {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return func() bool {
				digest := sha256.Sum256(input)
				return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, options) == nil
			}
		}
		return func() bool {
			digest := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) == nil
		}
	}
	tb.Fatalf("no raw verifier for %s", i.alg)
	return nil
}

// derOf converts the 64 bytes of RFC 7518 §3.4 to the form that crypto/ecdsa reads.
func derOf(tb testing.TB, signature []byte) []byte {
	tb.Helper()
	half := len(signature) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return der
}
