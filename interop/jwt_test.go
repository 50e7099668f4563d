//go:build interop

package interop_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
)

// jwtTokens tests what holds on every server about JWT access tokens, with the
// keys that discovery finds. scopes are what the validator reads in a token that
// has read and write.
func jwtTokens(t *testing.T, s *server, profile accesstoken.Profile, scopes string) {
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: profile})
	token := s.issue(t, "jwt", resource, "read write")

	t.Run("for us", func(t *testing.T) {
		found := rs.expect(t, "/", token, allowed())
		expectCaller(t, found, caller{Issuer: s.issuer, Subject: "jwt", ClientID: "jwt", Audience: []string{resource}, Scopes: scopes, Expires: true})
	})
	t.Run("for another resource server", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "jwt", otherResource, "read"), invalid(accesstoken.AudienceMismatch))
	})
	t.Run("tampered with", func(t *testing.T) {
		other := s.issue(t, "jwt", otherResource, "read write")
		signature := token[strings.LastIndexByte(token, '.'):]
		forged := other[:strings.LastIndexByte(other, '.')] + signature
		rs.expect(t, "/", forged, invalid(accesstoken.SignatureInvalid))
	})
	t.Run("an ID token", func(t *testing.T) {
		rs.expect(t, "/", s.logIn(t).ID, invalid(accesstoken.TokenTypeMismatch))
	})
	t.Run("an opaque token, with nobody to ask", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "opaque", resource, "read"), invalid(accesstoken.TokenMalformed))
	})
}

// gone tests what is left when the server is not there any more.
func gone(t *testing.T, s *server, profile accesstoken.Profile) {
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: profile, Introspection: newClient(t, s.asks())})
	opaque, first, second := s.issue(t, "opaque", resource, "read"), s.issue(t, "jwt", resource, "read"), s.issue(t, "jwt", resource, "read")
	rs.expect(t, "/", opaque, allowed())
	rs.expect(t, "/", first, allowed())
	s.process.stop()
	rs.expect(t, "/", opaque, unavailable(accesstoken.IntrospectionUnavailable))
	rs.expect(t, "/", first, allowed())
	rs.expect(t, "/", second, allowed())
}
