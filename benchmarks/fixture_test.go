package benchmarks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

const (
	resource  = "https://api.example.com"
	issuerURL = "https://login.example.com"

	// granted is what every token grants, and one scope of it.
	granted = "openid profile email orders:read orders:write invoices:read reports:read offline_access"
	writing = "orders:write"
)

var algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

// An issuer signs with the middle one of three keys.
type issuer struct {
	alg     string
	private crypto.Signer
	keys    *jwks.Set

	sync.Mutex
	minted []string
}

const keyID = "2"

var issuers = map[string]*issuer{
	"RS256": {alg: "RS256"}, "PS256": {alg: "PS256"}, "ES256": {alg: "ES256"}, "EdDSA": {alg: "EdDSA"},
}

// issuerOf returns the issuer that signs with alg. It makes the keys once.
func issuerOf(tb testing.TB, alg string) *issuer {
	tb.Helper()
	i := issuers[alg]
	i.Lock()
	defer i.Unlock()
	if i.keys != nil {
		return i
	}
	var published []jwkset.JWK
	for _, kid := range []string{"1", keyID, "3"} {
		private, err := generate(alg)
		if err != nil {
			tb.Fatal(err)
		}
		metadata := jwkset.JWKMetadataOptions{ALG: jwkset.ALG(alg), KID: kid, USE: jwkset.UseSig}
		key, err := jwkset.NewJWKFromKey(private.Public(), jwkset.JWKOptions{Metadata: metadata})
		if err != nil {
			tb.Fatal(err)
		}
		published = append(published, key)
		if kid == keyID {
			i.private = private
		}
	}
	i.keys = jwks.Static(published...)
	if err := i.keys.Err(); err != nil {
		tb.Fatal(err)
	}
	return i
}

func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

// sign returns a token of the form of RFC 9068, 902 bytes long with an
// RSA signature. A claim in changes replaces the usual one.
func (i *issuer) sign(tb testing.TB, id int, changes map[string]any) string {
	tb.Helper()
	now := time.Now()
	claims := jwt.MapClaims{
		"iss":          issuerURL,
		"sub":          "5f0e6a0c",
		"aud":          []string{resource, "urn:reports"},
		"exp":          now.Add(time.Hour).Unix(),
		"iat":          now.Unix(),
		"nbf":          now.Unix(),
		"jti":          fmt.Sprintf("%08d", id),
		"client_id":    "webshop",
		"scope":        granted,
		"roles":        []string{"clerk", "auditor"},
		"email":        "alice@example.com",
		"realm_access": map[string]any{"roles": []string{"user"}},
	}
	for name, value := range changes {
		claims[name] = value
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(i.alg), claims)
	token.Header["typ"] = "at+jwt"
	token.Header["kid"] = keyID
	signed, err := token.SignedString(i.private)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// tokens returns n different tokens.
func (i *issuer) tokens(tb testing.TB, n int) []string {
	tb.Helper()
	i.Lock()
	defer i.Unlock()
	for len(i.minted) < n {
		i.minted = append(i.minted, i.sign(tb, len(i.minted), nil))
	}
	return i.minted[:n]
}

// validator returns a new validator that trusts the issuer.
func (i *issuer) validator(tb testing.TB) *accesstoken.Validator {
	tb.Helper()
	return newValidator(tb, accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: issuerURL, Keys: i.keys, Algorithms: []string{i.alg}}},
	})
}

func newValidator(tb testing.TB, config accesstoken.Config) *accesstoken.Validator {
	tb.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = v.Close() })
	return v
}

// validating returns the shortest way into a validator.
func validating(v *accesstoken.Validator) func(token string) error {
	ctx := context.Background()
	return func(token string) error {
		_, err := v.Validate(ctx, accesstoken.Bearer(token))
		return err
	}
}
