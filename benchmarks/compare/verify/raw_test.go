package verify_test

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

// A signed is a token's signing input and signature.
type signed struct{ input, signature []byte }

// raw is the minimum for every row: the standard library verifies the signature,
// including the digest of the signing input. Parsing, base64 and claims are not included.
func (i *issuer) raw(tb testing.TB) func(signed) bool {
	tb.Helper()
	switch key := i.private.Public().(type) {
	case ed25519.PublicKey:
		return func(s signed) bool { return ed25519.Verify(key, s.input, s.signature) }
	case *ecdsa.PublicKey:
		return func(s signed) bool {
			digest := sha256.Sum256(s.input)
			return ecdsa.VerifyASN1(key, digest[:], s.signature)
		}
	case *rsa.PublicKey:
		if i.alg == "PS256" {
			options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return func(s signed) bool {
				digest := sha256.Sum256(s.input)
				return rsa.VerifyPSS(key, crypto.SHA256, digest[:], s.signature, options) == nil
			}
		}
		return func(s signed) bool {
			digest := sha256.Sum256(s.input)
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.signature) == nil
		}
	}
	tb.Fatalf("no raw verifier for %s", i.alg)
	return nil
}

// signed splits n tokens beforehand.
func (i *issuer) signed(tb testing.TB, n int) []signed {
	tb.Helper()
	parts := make([]signed, n)
	for n, token := range i.tokens(tb, n) {
		dot := strings.LastIndexByte(token, '.')
		signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
		must(tb, err)
		if i.alg == "ES256" {
			signature = derOf(tb, signature)
		}
		parts[n] = signed{[]byte(token[:dot]), signature}
	}
	return parts
}

// derOf converts the 64 bytes of RFC 7518 §3.4 to the form that crypto/ecdsa reads.
func derOf(tb testing.TB, signature []byte) []byte {
	tb.Helper()
	half := len(signature) / 2
	der, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]),
	})
	must(tb, err)
	return der
}
