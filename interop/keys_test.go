//go:build interop

package interop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
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
func publicJWKs(keys map[string]crypto.Signer) (list []any) {
	for kid, key := range keys {
		list = append(list, jwkOf(kid, key, false))
	}
	return list
}
