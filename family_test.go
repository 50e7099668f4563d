package accesstoken

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// aSigner signs tokens, and is the source of its key.
type aSigner struct{ key *ecdsa.PrivateKey }

func newSigner(t *testing.T) *aSigner {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &aSigner{key}
}

func (s *aSigner) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return []crypto.PublicKey{&s.key.PublicKey}, 1, nil
}

func (s *aSigner) token(t *testing.T, issuer string, audience ...string) string {
	t.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": issuer, "sub": "alice", "aud": audience, "client_id": "web", "jti": "1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	token.Header["typ"] = "at+jwt"
	signed, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// A token that one resource refuses is cached only if it is for another one that is open.
func TestWhichTokensOfOthersAreCached(t *testing.T) {
	s := newSigner(t)
	v, err := NewValidator(Config{Resource: "r", Issuers: []Issuer{{URL: "https://a.example", Keys: s}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	child := func(id string) *Validator {
		c, err := v.ForResource(Resource{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := child("first"), child("second")
	want := func(by *Validator, audience string, isCached bool) {
		t.Helper()
		token := s.token(t, "https://a.example", audience)
		if _, err := by.Validate(t.Context(), Bearer(token)); err == nil {
			t.Errorf("for %s: got it accepted", audience)
		}
		if got := v.cache.Get(v.cache.KeyOf(token)) != nil; got != isCached {
			t.Errorf("for %s: got it cached: %v; want %v", audience, got, isCached)
		}
	}
	want(v, "first", true)
	want(v, "second", true)
	want(first, "second", true)
	want(first, "r", true)
	want(v, "nobody", false)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	want(v, "first", false)
	want(v, "second", true)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	want(v, "second", false)
}

// deaf is a transport that does not heed the context of its requests.
type deaf struct{ release chan struct{} }

func (d deaf) RoundTrip(*http.Request) (*http.Response, error) {
	<-d.release
	return nil, context.Canceled
}

// Close reports a fetch that cannot be ended, and waits for those of removed issuers.
func TestCloseReportsAFetchThatCannotBeEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := deaf{make(chan struct{})}
		issuer := Issuer{URL: "https://a.example", HTTPClient: &http.Client{Transport: transport}}
		v, err := NewValidator(Config{Resource: "r", Issuers: []Issuer{issuer}})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Ready() // begins the fetch
		synctest.Wait()
		if err := v.Close(); err == nil || !strings.Contains(err.Error(), "a fetch is still running") {
			t.Errorf("got %v; want that a fetch is still running", err)
		}
		v, err = NewValidator(Config{Resource: "r", Issuers: []Issuer{issuer}})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Ready()
		synctest.Wait()
		if err := v.SetIssuers(Issuer{URL: "https://b.example"}); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if err := v.Close(); err != nil || time.Since(before) != 5*time.Second {
			t.Errorf("the issuer was removed: got %v after %v; want nil after 5 s", err, time.Since(before))
		}
		close(transport.release)
	})
}
