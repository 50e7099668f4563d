package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "https://login.example.com"
	audience = "https://api.example.com"
)

// A key signs tokens with ES256, which is fast enough for all scenarios.
type key struct {
	kid     string
	private *ecdsa.PrivateKey
}

func newKey(kid string) key {
	return key{kid, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
}

// must unwraps results that cannot be errors, because the keys are our own.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// keySet returns a JWK Set (RFC 7517 §5) with the keys.
func keySet(keys ...key) string {
	published := []map[string]string{}
	for _, k := range keys {
		point := must(k.private.PublicKey.Bytes()) // 4, x, y
		published = append(published, map[string]string{
			"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": k.kid,
			"x": base64.RawURLEncoding.EncodeToString(point[1:33]),
			"y": base64.RawURLEncoding.EncodeToString(point[33:]),
		})
	}
	return string(must(json.Marshal(map[string]any{"keys": published})))
}

// sign returns an access token as in RFC 9068. If a claim is in changes, it replaces
// the usual one.
func (k key) sign(changes jwt.MapClaims) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "alice", "client_id": "webshop", "scope": "orders:read",
		"exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "jti": rand.Text(),
	}
	for name, value := range changes {
		claims[name] = value
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	token.Header["typ"] = "at+jwt"
	token.Header["kid"] = k.kid
	return must(token.SignedString(k.private))
}

// tokens yields n good tokens. All are different, because our Validator caches verified
// tokens and would not look up the key for a token that it knows.
func (k key) tokens(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range n {
			if !yield(k.sign(nil)) {
				return
			}
		}
	}
}

// forgeries yields n tokens that each have a different made-up kid and are otherwise
// like a good one. An attacker can make them without a key.
func (k key) forgeries(n int) iter.Seq[string] {
	_, rest, _ := strings.Cut(k.sign(nil), ".")
	return func(yield func(string) bool) {
		for i := range n {
			header := fmt.Sprintf(`{"alg":"ES256","kid":"made up %d","typ":"at+jwt"}`, i)
			if !yield(base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest) {
				return
			}
		}
	}
}
