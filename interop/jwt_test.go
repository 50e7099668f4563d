//go:build interop

package interop_test

import "testing"

// jwtTokens tests what a handler finds out about a JWT. scopes are the scopes that the
// validator reads from a token with read and write.
func jwtTokens(t *testing.T, s *server, scopes string) {
	found := serve(t, s.jwts()).expect(t, "/", s.issue(t, "jwt", resource, "read write"), allowed())
	expectCaller(t, found, caller{Issuer: s.issuer, Subject: "jwt", ClientID: "jwt", Audience: []string{resource}, Scopes: scopes, Expires: true})
}
