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

// publicJWKs writes the public halves as JWKs (RFC 7518 §6, RFC 8037 §2).
func publicJWKs(t *testing.T, keys map[string]crypto.Signer) (list []any) {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	for kid, key := range keys {
		jwk := map[string]string{"kid": kid, "use": "sig"}
		switch public := key.Public().(type) {
		case *ecdsa.PublicKey:
			point, err := public.Bytes() // 4, then x and y of 32 bytes each
			if err != nil {
				t.Fatal(err)
			}
			jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", "P-256", encode(point[1:33]), encode(point[33:])
		case *rsa.PublicKey:
			jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(public.N.Bytes()), encode(big.NewInt(int64(public.E)).Bytes())
		case ed25519.PublicKey:
			jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(public)
		}
		list = append(list, jwk)
	}
	return list
}
