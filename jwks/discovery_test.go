package jwks_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/jwks"
)

const metadataURL = issuer + "/.well-known/oauth-authorization-server"

// described makes an issuer that keeps its keys at uri and says so.
func described(uri string, more members) *server {
	m := members{"issuer": issuer, "jwks_uri": uri}
	for name, value := range more {
		m[name] = value
	}
	s := serve("")
	s.set(uri, page{body: ec("a")})
	s.set(metadataURL, page{body: string(must(json.Marshal(m)))})
	return s
}

func wantMismatch(t *testing.T, cache *jwks.Cache) {
	t.Helper()
	if err := cache.Warm(t.Context()); !errors.Is(err, discovery.ErrMismatch) {
		t.Errorf("got %v; want discovery.ErrMismatch", err)
	}
}

func TestDISC05PublicAddressesOnly(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	for _, url := range []string{server.URL, strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "https://169.254.169.254/jwks", "https://[::ffff:10.0.0.1]/jwks"} {
		cache, err := jwks.NewCache(jwks.Config{URL: url, PublicAddressesOnly: true, Logger: (&lockedBuffer{}).logger()})
		if err != nil {
			t.Fatal(err)
		}
		if err := cache.Warm(t.Context()); err == nil || !strings.Contains(err.Error(), "not a public address") {
			t.Errorf("%s: got %v; want it refused as not public", url, err)
		}
		cache.Close()
	}
	if got := asked.Load(); got != 0 {
		t.Errorf("got %d requests; want 0", got)
	}
}

func TestDISC06SameOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sameOrigin := func(c *jwks.Config) { c.URL, c.Issuer, c.SameOrigin = "", issuer, true }
		warm(t, open(t, described(keysURL, nil), sameOrigin))
		elsewhere := described("https://keys.example.com/jwks", nil)
		wantMismatch(t, open(t, elsewhere, sameOrigin))
		warm(t, open(t, elsewhere, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer }))
	})
}

func TestDISC09SignedMetadata(t *testing.T) {
	key := must(jwkset.NewJWKFromKey(&ecKey().PublicKey, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "federation"}}))
	signed := func(uri string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": issuer, "issuer": issuer, "jwks_uri": uri})
		token.Header["kid"] = "federation"
		return must(token.SignedString(ecKey()))
	}
	demanding := func(c *jwks.Config) { c.URL, c.Issuer, c.MetadataKeys = "", issuer, jwks.Static(key) }
	synctest.Test(t, func(t *testing.T) {
		s := described(issuer+"/forged", members{"signed_metadata": signed(keysURL)})
		s.publish(ec("b"))
		cache := open(t, s, demanding)
		ask(t, cache, "b", found) // the signed value wins
		if got := s.fetches(issuer + "/forged"); got != 0 {
			t.Errorf("asked the unsigned place %d times; want 0", got)
		}
		wantMismatch(t, open(t, described(keysURL, nil), demanding))
		token := signed(keysURL)
		wantMismatch(t, open(t, described(keysURL, members{"signed_metadata": token[:len(token)-4] + "AAAA"}), demanding))
		warm(t, open(t, described(keysURL, members{"signed_metadata": "junk"}), func(c *jwks.Config) { c.URL, c.Issuer = "", issuer }))
	})
}
