//go:build go1.27

package jose

import (
	"crypto"
	"crypto/mldsa"
	"encoding/base64"
	"errors"
	"fmt"
)

// postQuantum has the algorithms of RFC 9964. They are not among the default ones,
// because their signatures have 2420 to 4627 bytes and take longer to verify. Operators
// should choose them on purpose.
var postQuantum = []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}

var parameters = map[string]mldsa.Parameters{"ML-DSA-44": mldsa.MLDSA44(), "ML-DSA-65": mldsa.MLDSA65(), "ML-DSA-87": mldsa.MLDSA87()}

func init() {
	for alg, set := range parameters {
		methods[alg] = method{mldsaVerifier{}, isMLDSA(set), set.SignatureSize()}
		signing[alg] = crypto.Hash(0)
	}
}

var errAKP = errors.New("its kty is AKP, and its alg is not ML-DSA-44, ML-DSA-65 or ML-DSA-87")

// ReadAKP returns the public key of a JWK whose kty is AKP, from its alg, which RFC 9964
// requires, and its pub.
func ReadAKP(alg, pub string) (crypto.PublicKey, error) {
	set, ok := parameters[alg]
	if !ok {
		return nil, errAKP
	}
	raw, err := Base64(pub)
	if err != nil || len(raw) != set.PublicKeySize() {
		return nil, ErrKeyValues
	}
	key, err := mldsa.NewPublicKey(set, raw)
	if err != nil { // the FIPS 140-3 module of this program has no ML-DSA
		return nil, err
	}
	return key, nil
}

func writeAKP(key crypto.PublicKey) (string, error) {
	for alg, set := range parameters {
		if isMLDSA(set)(key) {
			pub := base64.RawURLEncoding.EncodeToString(key.(*mldsa.PublicKey).Bytes())
			return fmt.Sprintf(`{"alg":"%s","kty":"AKP","pub":"%s"}`, alg, pub), nil
		}
	}
	return "", errKeyType
}

// isMLDSA binds an algorithm to its parameter set. It checks for the zero key, whose
// methods panic.
func isMLDSA(set mldsa.Parameters) func(crypto.PublicKey) bool {
	return func(key crypto.PublicKey) bool {
		k, ok := key.(*mldsa.PublicKey)
		return ok && k != nil && *k != mldsa.PublicKey{} && k.Parameters() == set
	}
}

type mldsaVerifier struct{}

// Verify demands the empty context string (RFC 9964).
func (mldsaVerifier) Verify(input string, signature []byte, key any) error {
	return mldsa.Verify(key.(*mldsa.PublicKey), []byte(input), signature, nil)
}
