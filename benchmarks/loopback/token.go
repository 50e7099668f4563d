package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

// The tokens have the same claims as in package benchmarks, but live for a day.
const (
	resource  = "https://api.example.com"
	issuerURL = "https://login.example.com"
	keyID     = "1"
	subject   = "5f0e6a0c"
	writing   = "orders:write"
	granted   = "openid profile email orders:read " + writing + " invoices:read reports:read offline_access"
)

// mint signs n different tokens with a new RSA key, and returns its public key in the
// form that newValidator expects. It uses all cores, because nothing is measured yet.
func mint(n int) (key string, tokens []string, err error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return "", nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", nil, err
	}
	workers := runtime.GOMAXPROCS(0)
	faults := make([]error, workers)
	tokens = make([]string, n)
	var signing sync.WaitGroup
	for w := range workers {
		signing.Go(func() {
			for i := w; i < n && faults[w] == nil; i += workers {
				tokens[i], faults[w] = sign(private, i)
			}
		})
	}
	signing.Wait()
	for _, fault := range faults {
		if fault != nil {
			return "", nil, fault
		}
	}
	return base64.StdEncoding.EncodeToString(public), tokens, nil
}

func sign(private *rsa.PrivateKey, id int) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss":          issuerURL,
		"sub":          subject,
		"aud":          []string{resource, "urn:reports"},
		"exp":          now.Add(24 * time.Hour).Unix(),
		"iat":          now.Unix(),
		"nbf":          now.Unix(),
		"jti":          fmt.Sprintf("%08d", id),
		"client_id":    "webshop",
		"scope":        granted,
		"roles":        []string{"clerk", "auditor"},
		"email":        "alice@example.com",
		"realm_access": map[string]any{"roles": []string{"user"}},
	})
	token.Header["typ"] = "at+jwt"
	token.Header["kid"] = keyID
	return token.SignedString(private)
}

// newValidator returns a validator that trusts a key from mint.
func newValidator(key string) (*accesstoken.Validator, error) {
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	published, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{
		Metadata: jwkset.JWKMetadataOptions{ALG: jwkset.AlgRS256, KID: keyID, USE: jwkset.UseSig},
	})
	if err != nil {
		return nil, err
	}
	return accesstoken.NewValidator(accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: issuerURL, Keys: jwks.Static(published), Algorithms: []string{"RS256"}}},
		Logger:   slog.New(slog.DiscardHandler),
	})
}
