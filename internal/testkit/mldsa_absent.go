//go:build !go1.27

package testkit

import (
	"crypto"
	"encoding/base64"
	"fmt"
)

// HasMLDSA reports whether this Go has crypto/mldsa.
const HasMLDSA = false

// NewMLDSA returns a key for an algorithm of RFC 9964, and its public JWK without a kid.
// If HasMLDSA is false, the key is nil, and the values of the JWK have the right length.
func NewMLDSA(alg string) (key crypto.Signer, jwk string) {
	pub := make([]byte, map[string]int{"ML-DSA-44": 1312, "ML-DSA-65": 1952, "ML-DSA-87": 2592}[alg])
	return nil, fmt.Sprintf(`{"kty":"AKP","alg":"%s","pub":"%s"}`, alg, base64.RawURLEncoding.EncodeToString(pub))
}
