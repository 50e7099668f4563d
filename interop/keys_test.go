//go:build interop

package interop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"testing"
)

// newKeys makes a key of each kind that the introspection client signs with, by
// kid.
func newKeys(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	onCurve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ofPrimes, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"p-256": onCurve, "rsa": ofPrimes, "ed25519": edwards}
}

// publicJWKs writes the public halves as JWKs.
func publicJWKs(t *testing.T, keys map[string]crypto.Signer) (list []any) {
	t.Helper()
	for kid, key := range keys {
		jwk := publicJWK(t, key.Public())
		jwk["kid"], jwk["use"] = kid, "sig"
		list = append(list, jwk)
	}
	return list
}

// publicJWK writes a key as a JWK (RFC 7518 §6, RFC 8037 §2).
func publicJWK(t *testing.T, key crypto.PublicKey) map[string]string {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	switch public := key.(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes() // 4, then x and y of 32 bytes each
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes())}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "x": encode(public)}
	}
	t.Fatalf("there is no JWK of a %T", key)
	return nil
}
