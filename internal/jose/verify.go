package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithms lists every supported signature algorithm: the default ones and, in a
// program built with Go 1.27 or later, those of RFC 9964.
func Algorithms() []string { return append(DefaultAlgorithms(), postQuantum...) }

// DefaultAlgorithms lists the signature algorithms that are safe to accept if none
// are configured: asymmetric, registered, and each with keys of one kind. RFC 9864
// deprecates EdDSA in favour of Ed25519, but most issuers still send the old name.
// EdDSA is accepted for Ed25519 keys only.
func DefaultAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"}
}

// Choices lists the supported algorithms for an error about a configuration. It is the
// same text with every Go, so that the error for ML-DSA says which Go is needed.
func Choices() string {
	return fmt.Sprintf("%v, or in a program built with Go 1.27 or later ML-DSA-44, ML-DSA-65 and ML-DSA-87", DefaultAlgorithms())
}

// Supported reports whether [Token.Verify] supports the algorithm. HMAC is not
// supported, because a secret that is shared with the issuer is not a public key.
func Supported(algorithm string) bool {
	_, ok := methods[algorithm]
	return ok
}

// A method is one algorithm together with the only keys that it is used with. The
// type of the key selects the primitive; the header never does (8725bis §3.1).
type method struct {
	verifier
	fits      func(crypto.PublicKey) bool
	signature int // length in bytes; 0 means as long as the key's modulus
}

// A verifier verifies signatures under keys that fit its method.
type verifier interface {
	Verify(input string, signature []byte, key any) error
}

var methods = map[string]method{
	"RS256":   {jwt.SigningMethodRS256, isRSA, 0},
	"RS384":   {jwt.SigningMethodRS384, isRSA, 0},
	"RS512":   {jwt.SigningMethodRS512, isRSA, 0},
	"PS256":   {pss(jwt.SigningMethodPS256), isRSA, 0},
	"PS384":   {pss(jwt.SigningMethodPS384), isRSA, 0},
	"PS512":   {pss(jwt.SigningMethodPS512), isRSA, 0},
	"ES256":   {jwt.SigningMethodES256, isCurve("P-256"), 64},
	"ES384":   {jwt.SigningMethodES384, isCurve("P-384"), 96},
	"ES512":   {jwt.SigningMethodES512, isCurve("P-521"), 132},
	"Ed25519": {jwt.SigningMethodEdDSA, isEd25519, ed25519.SignatureSize},
	"EdDSA":   {jwt.SigningMethodEdDSA, isEd25519, ed25519.SignatureSize},
}

// pss requires a salt of the hash's length (RFC 7518 §3.5), because golang-jwt
// accepts a salt of any length.
func pss(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: options, VerifyOptions: options}
}

func isRSA(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && checkRSA(k) == nil
}

// isCurve binds an ECDSA algorithm to its curve (RFC 7518 §3.4), because golang-jwt
// alone would verify ES512 with a P-256 key.
func isCurve(name string) func(crypto.PublicKey) bool {
	return func(key crypto.PublicKey) bool {
		k, ok := key.(*ecdsa.PublicKey)
		//lint:ignore SA1019 this checks only that the point is set
		return ok && k != nil && k.Curve != nil && k.X != nil && k.Y != nil && k.Curve.Params().Name == name
	}
}

// isEd25519 checks the length, because crypto/ed25519 panics if the length is
// wrong.
func isEd25519(key crypto.PublicKey) bool {
	k, ok := key.(ed25519.PublicKey)
	return ok && len(k) == ed25519.PublicKeySize
}

// Fits reports whether a key may verify signatures of this algorithm.
func Fits(algorithm string, key crypto.PublicKey) bool {
	m, ok := methods[algorithm]
	return ok && m.fits(key)
}

// Contains reports whether keys has a key that is equal to key.
func Contains(keys []crypto.PublicKey, key crypto.PublicKey) bool {
	return slices.ContainsFunc(keys, func(other crypto.PublicKey) bool {
		comparable, ok := other.(interface{ Equal(crypto.PublicKey) bool }) // as crypto.PublicKey promises
		return ok && comparable.Equal(key)
	})
}

// HasPossibleSignature reports whether the signature has a length that is possible
// for the header's algorithm. A caller should check this before it fetches a key.
func (t Token) HasPossibleSignature() bool {
	const shortest, longest = shortestRSA / 8, longestRSA / 8
	m := methods[t.Algorithm]
	if m.signature == 0 {
		return len(t.Signature) >= shortest && len(t.Signature) <= longest
	}
	return len(t.Signature) == m.signature
}

// Verify checks the token's signature under the key. It returns [ErrAlgorithm] if
// the key does not fit the header's algorithm, and [ErrSignature] if the signature
// is wrong in any way.
func (t Token) Verify(key crypto.PublicKey) error {
	m, ok := methods[t.Algorithm]
	if !ok || !m.fits(key) {
		return ErrAlgorithm
	}
	length := m.signature
	if k, ok := key.(*rsa.PublicKey); ok {
		length = k.Size()
	}
	if len(t.Signature) != length || m.Verify(t.SigningInput, t.Signature, key) != nil {
		return ErrSignature
	}
	return nil
}
