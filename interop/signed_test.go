//go:build interop

package interop_test

import (
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// signedAnswers tests answers that are JWTs (RFC 9701), with the keys that
// discovery finds.
func signedAnswers(t *testing.T, s *server) {
	keys := discovered(t, s.issuer)
	asks := func(id string, keys introspection.KeySource) *resourceServer {
		config := s.asks()
		config.ClientID, config.Issuer, config.Keys = id, s.issuer, keys
		return serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)})
	}
	rs := asks("resource-server", keys) // under RS256, as it has no setting of its own
	token := s.issue(t, "opaque", resource, "read")

	t.Run("active", func(t *testing.T) {
		found := rs.expect(t, "/", token, allowed())
		expectCaller(t, found, caller{Issuer: s.issuer, ClientID: "opaque", Audience: []string{resource}, Scopes: "read", Expires: true})
	})
	t.Run("for another resource server", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "opaque", otherResource, "read"), invalid(accesstoken.AudienceMismatch))
	})
	t.Run("revoked", func(t *testing.T) {
		token := s.issue(t, "opaque", resource, "read")
		s.revoke(t, "opaque", token)
		rs.expect(t, "/", token, invalid(accesstoken.TokenInactive))
	})
	t.Run("a refresh token", func(t *testing.T) {
		rs.expect(t, "/", s.logIn(t, "app").Refresh, invalid(accesstoken.AudienceMismatch))
	})
	t.Run("active, under ES256", func(t *testing.T) {
		asks("resource-server-ES256", keys).expect(t, "/", token, allowed())
	})
	t.Run("not wanted", func(t *testing.T) {
		asks("resource-server", nil).expect(t, "/", token, allowed())
	})
	t.Run("with a wrong secret", func(t *testing.T) {
		config := s.asks()
		config.ClientSecret, config.Issuer, config.Keys = "wrong", s.issuer, keys
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)})
		rs.expect(t, "/", token, misconfigured())
	})
	t.Run("with another server's keys", func(t *testing.T) {
		others := discovered(t, startOIDCProvider(t).issuer)
		asks("resource-server", others).expect(t, "/", token, unavailable(accesstoken.IntrospectionUnavailable))
	})
}

// discovered finds an issuer's keys.
func discovered(t *testing.T, issuer string) *jwks.Cache {
	t.Helper()
	keys, err := jwks.NewCache(jwks.Config{Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := keys.Close(); err != nil {
			t.Error(err)
		}
	})
	return keys
}
