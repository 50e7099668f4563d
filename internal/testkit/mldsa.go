//go:build go1.27

package testkit

import (
	"crypto"
	"crypto/mldsa"
	"encoding/base64"
	"fmt"
)

// HasMLDSA reports whether this Go has crypto/mldsa.
const HasMLDSA = true

// NewMLDSA returns a key for an algorithm of RFC 9964, and its public JWK without a kid.
// If HasMLDSA is false, the key is nil, and the values of the JWK have the right length.
func NewMLDSA(alg string) (key crypto.Signer, jwk string) {
	set := map[string]mldsa.Parameters{"ML-DSA-44": mldsa.MLDSA44(), "ML-DSA-65": mldsa.MLDSA65(), "ML-DSA-87": mldsa.MLDSA87()}[alg]
	made := Must(mldsa.GenerateKey(set))
	return made, fmt.Sprintf(`{"kty":"AKP","alg":"%s","pub":"%s"}`, alg, base64.RawURLEncoding.EncodeToString(made.PublicKey().Bytes()))
}
