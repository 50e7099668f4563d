package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// part encodes one part of a compact serialization.
func part[T string | []byte](raw T) string { return base64.RawURLEncoding.EncodeToString([]byte(raw)) }

// unpart decodes one part that a test has as text.
func unpart(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatalf("the test's own base64url %q: %v", text, err)
	}
	return raw
}

// mustParse parses a token that is known to be well-formed.
func mustParse(t testing.TB, token string) jose.Token {
	t.Helper()
	parsed, err := jose.Parse(token)
	if err != nil {
		t.Fatalf("Parse(%q): %v", token, err)
	}
	return parsed
}

// sign makes a token of exactly this header and payload.
func sign(t testing.TB, method jwt.SigningMethod, key crypto.PrivateKey, header, payload string) string {
	t.Helper()
	input := part(header) + "." + part(payload)
	signature, err := method.Sign(input, key)
	if err != nil {
		t.Fatalf("sign with %s: %v", method.Alg(), err)
	}
	return input + "." + part(signature)
}

// keys are made once: an RSA key takes a while.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	p256   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
	p384   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P384()) })
	p521   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P521()) })
	edKey  = sync.OnceValue(func() ed25519.PrivateKey {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	})
)

func newRSA(bits int) *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, bits)) }

func newEC(curve elliptic.Curve) *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(curve, rand.Reader))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// An algorithm is one that this package supports, with a key for it.
type algorithm struct {
	name   string
	method jwt.SigningMethod
	key    crypto.Signer
}

func algorithms() []algorithm {
	return []algorithm{
		{"RS256", jwt.SigningMethodRS256, rsaKey()},
		{"RS384", jwt.SigningMethodRS384, rsaKey()},
		{"RS512", jwt.SigningMethodRS512, rsaKey()},
		{"PS256", jwt.SigningMethodPS256, rsaKey()},
		{"PS384", jwt.SigningMethodPS384, rsaKey()},
		{"PS512", jwt.SigningMethodPS512, rsaKey()},
		{"ES256", jwt.SigningMethodES256, p256()},
		{"ES384", jwt.SigningMethodES384, p384()},
		{"ES512", jwt.SigningMethodES512, p521()},
		{"Ed25519", jwt.SigningMethodEdDSA, edKey()},
		{"EdDSA", jwt.SigningMethodEdDSA, edKey()},
	}
}
