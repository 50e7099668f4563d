//go:build interop

package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issueBound gets a token that is bound to a key of ours (RFC 9449 §5).
func (s *server) issueBound(t *testing.T, client, audience, scope string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	endpoint := s.endpoint(t, "token_endpoint")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(s.asksFor(audience, scope).Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("DPoP", proof(t, key, http.MethodPost, endpoint))
	request.SetBasicAuth(client, s.secret)
	body, err := send(request, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	var got tokens
	if err := json.Unmarshal(body, &got); err != nil || got.Access == "" {
		t.Fatalf("the token endpoint gave no bound token to %s: %v", client, err)
	}
	return got.Access
}

// proof shows a token endpoint that we have a key (RFC 9449 §4.2).
func proof(t *testing.T, key *ecdsa.PrivateKey, method, url string) string {
	t.Helper()
	made := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix()})
	made.Header["typ"] = "dpop+jwt"
	made.Header["jwk"] = jwkOf("", key, false)
	signed, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
