//go:build interop

package interop_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
)

// opaqueTokens tests tokens that have to be introspected, in ways that apply to every
// server. subject is the subject of a client that acts for itself.
func opaqueTokens(t *testing.T, s *server, subject string) {
	issuer := accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, s.asks())}
	rs := serve(t, issuer)

	t.Run("active", func(t *testing.T) {
		found := rs.expect(t, "/", s.issue(t, "opaque", resource, "read"), allowed())
		expectCaller(t, found, caller{Issuer: s.issuer, Subject: subject, ClientID: "opaque", Audience: []string{resource}, Scopes: "read", Expires: true})
	})
	t.Run("for nobody in particular", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "opaque", "", "read"), invalid(accesstoken.AudienceMismatch))
	})
	t.Run("many bad ones", func(t *testing.T) { crowd(t, s) })
	t.Run("revoked, and cached", func(t *testing.T) { remembered(t, s) })
}

const (
	neverIssued = "nobody-has-issued-this"

	// JWE has five parts, and a header that can be read: {"alg":"dir"}.
	encrypted = "eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA"
)

// crowd presents bad tokens of each kind. From their failures, the client must not
// conclude that the endpoint is down.
func crowd(t *testing.T, s *server) {
	good := s.issue(t, "opaque", resource, "read")
	for name, bad := range map[string]string{
		"never issued":                neverIssued,
		"for another resource server": s.issue(t, "opaque", otherResource, "read"),
		"for nobody in particular":    s.issue(t, "opaque", "", "read"),
		"refresh":                     s.logIn(t, "app").Refresh,
		"encrypted":                   encrypted,
	} {
		t.Run(name, func(t *testing.T) {
			rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, s.asks())})
			for range 20 {
				if got, _ := rs.call(t, "/", bad); got.status != http.StatusUnauthorized {
					t.Fatalf("got %+v; want it refused as what it is: a bad token", got)
				}
			}
			rs.expect(t, "/", good, allowed())
		})
	}
}

// remembered tests the delay that a cached answer causes, and how a route can avoid it.
func remembered(t *testing.T, s *server) {
	config := s.asks()
	config.CacheFor = time.Hour
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)})
	token := s.issue(t, "opaque", resource, "read")
	rs.expect(t, "/", token, allowed())
	s.revoke(t, "opaque", token)
	rs.expect(t, "/", token, allowed())
	rs.expect(t, "/fresh", token, invalid(accesstoken.TokenInactive))
	rs.expect(t, "/", token, invalid(accesstoken.TokenInactive))
}
