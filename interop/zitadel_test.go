//go:build interop

package interop_test

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/accesstoken/accesstoken"
)

var zitadelColumn = column{
	name:    "zitadel/oidc",
	version: "3.51.17",
	record:  "zitadel",
	start:   func(t *testing.T) (*server, error) { return startZitadel(t, "").server, nil },
	notes: together(
		none(noSuchThing, "JWT: encrypted", "JWT: bound to a DPoP key, sent as Bearer", "JWT: bound to a DPoP key, with a proof",
			"JWT: bound to a DPoP key, with another key's proof", "opaque: the answer is a signed JWT (RFC 9701)"),
		map[string]note{
			"JWT: checked against RFC 9068": {"401 TOKEN_TYPE_MISMATCH", otherType},
			"metadata":                      {"OpenID Connect Discovery", oneDocument},
			"refresh token":                 {"401 TOKEN_INACTIVE", "It does not introspect its refresh tokens."},
		},
	),
}

// A zitadel is an authorization server made with ZITADEL's library, in this
// process. Its storage is in zitadel_storage_test.go.
type zitadel struct {
	*server
	memory  *memory
	address string
	handler http.Handler
	web     *httptest.Server
}

// startZitadel starts a server. Its issuer ends in the suffix, which is "/" or "".
func startZitadel(t *testing.T, suffix string) *zitadel {
	t.Helper()
	s := &zitadel{server: &server{profile: accesstoken.Zitadel, issuer: freeURL(t) + suffix, audience: "scope", secret: newSecret()}}
	s.address = strings.TrimSuffix(strings.TrimPrefix(s.issuer, "http://"), "/")
	s.memory = newMemory(t, s.issuer, s.secret)
	settings := &op.Config{CodeMethodS256: true, GrantTypeRefreshToken: true}
	rand.Read(settings.CryptoKey[:])
	provider, err := op.NewProvider(settings, s.memory, op.StaticIssuer(s.issuer),
		op.WithAllowInsecure(), // http, because it is on loopback
		op.WithAccessTokenVerifierOpts(op.WithSupportedAccessTokenSigningAlgorithms("RS256", "ES256")),
	)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	// In place of a login page: alice is logged in, and the browser goes on.
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		s.memory.logIn(r.FormValue("id"), "alice")
		http.Redirect(w, r, "/authorize/callback?"+url.Values{"id": {r.FormValue("id")}}.Encode(), http.StatusSeeOther)
	})
	s.handler = mux
	s.server.rotate, s.server.away = s.rotate, s.away
	s.listen(t)
	t.Cleanup(func() { s.web.Close() })
	if s.metadata, err = readJSON(t, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration"); err != nil {
		t.Fatal(err)
	}
	s.introspection = s.endpoint(t, "introspection_endpoint")
	return s
}

// listen serves on the server's own address.
func (s *zitadel) listen(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.web = &httptest.Server{Listener: listener, Config: &http.Server{Handler: s.handler}}
	s.web.Start()
}

// rotate makes a new key that signs from now on; the old one stays published.
func (s *zitadel) rotate(t *testing.T) {
	t.Helper()
	s.memory.addKey(t)
}

// away ends the server while during runs, and starts it again with the same state.
func (s *zitadel) away(t *testing.T, during func()) {
	t.Helper()
	http.DefaultClient.CloseIdleConnections() // Close waits for those
	s.web.Close()
	during()
	s.listen(t)
}

func TestZitadel(t *testing.T) {
	for _, suffix := range []string{"", "/"} {
		t.Run("issuer ends in "+strconv.Quote(suffix), func(t *testing.T) {
			s := startZitadel(t, suffix)
			t.Run("opaque", func(t *testing.T) { opaqueTokens(t, s.server, "opaque") })
			t.Run("JWT", func(t *testing.T) { jwtTokens(t, s.server, "") })
			t.Run("kinds", func(t *testing.T) { zitadelKinds(t, s) })
			t.Run("answers", func(t *testing.T) { zitadelAnswers(t, s) })
		})
	}
}

// zitadelKinds tests the tokens that op signs, with our audience wherever possible.
func zitadelKinds(t *testing.T, s *zitadel) {
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Zitadel, Introspection: newClient(t, s.asks())})
	user := s.logInTo(t, "app-jwt", "openid offline_access read")
	again := s.grant(t, "app-jwt", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {user.Refresh}})
	t.Run("an access token of a user", func(t *testing.T) {
		for _, token := range []string{user.Access, again.Access} {
			found := rs.expect(t, "/", token, allowed())
			expectCaller(t, found, caller{Issuer: s.issuer, Subject: "alice", ClientID: "app-jwt", Audience: []string{resource}, Expires: true})
		}
	})
	t.Run("an ID token", func(t *testing.T) {
		rs.expect(t, "/", user.ID, invalid(accesstoken.TokenTypeMismatch))
	})
	t.Run("an ID token without nonce, as refreshing gives", func(t *testing.T) {
		rs.expect(t, "/", again.ID, invalid(accesstoken.TokenTypeMismatch))
	})
	t.Run("an ID token without nonce and at_hash, of the implicit flow", func(t *testing.T) {
		rs.expect(t, "/", s.implicitID(t), invalid(accesstoken.TokenTypeMismatch))
	})
	t.Run("a refresh token", func(t *testing.T) {
		rs.expect(t, "/", again.Refresh, invalid(accesstoken.TokenInactive))
	})
	t.Run("a JWT for nobody in particular, which is for its client", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "jwt", "", "read"), invalid(accesstoken.TokenTypeMismatch))
	})
	t.Run("the issuer with the other end", func(t *testing.T) {
		other, slash := strings.CutSuffix(s.issuer, "/")
		if !slash {
			other += "/"
		}
		rs := serve(t, accesstoken.Issuer{URL: other, Profile: accesstoken.Zitadel})
		rs.expect(t, "/", user.Access, invalid(accesstoken.IssuerUnknown))
	})
}

// implicitID gets an ID token alone, from the authorization endpoint (OpenID
// Connect Core §3.2). A nonce is required there, but op does not insist.
func (s *zitadel) implicitID(t *testing.T) string {
	t.Helper()
	request := url.Values{
		"response_type": {"id_token"},
		"response_mode": {"query"}, // where authorize looks
		"client_id":     {"app-jwt"},
		"redirect_uri":  {redirectURI},
		"scope":         {"openid read"},
	}
	s.askFor(request, resource)
	return s.authorize(t, newJar(t), request).Get("id_token")
}

// zitadelAnswers tests what README.md says about ZITADEL's library.
func zitadelAnswers(t *testing.T, s *zitadel) {
	const (
		header = "alg:string kid:string typ:string"
		active = "active:true aud:array(1) client_id:string exp:number iat:number iss:string jti:string nbf:number scope:string sub:string token_type:string"
		access = "aud:array(1) client_id:string exp:number iat:number iss:string jti:string nbf:number sub:string"
	)
	opaque, user := s.issue(t, "opaque", resource, "read"), s.logInTo(t, "app-jwt", "openid offline_access read")
	if got := strings.Count(opaque, "."); got != 4 {
		t.Errorf("an opaque token has %d dots; want the 4 of a compact JWE", got)
	}
	expectShape(t, "opaque token", s.introspect(t, opaque), active)
	expectShape(t, "JWT access token, introspected", s.introspect(t, user.Access), active)
	expectShape(t, "refresh token", s.introspect(t, user.Refresh), "active:false")
	expectShape(t, "ID token, introspected", s.introspect(t, user.ID), "active:false")
	expectShape(t, "unknown token", s.introspect(t, neverIssued), "active:false")
	expectJWT(t, "JWT access token", s.issue(t, "jwt", resource, "read"), header, access)
	expectJWT(t, "JWT access token of a user", user.Access, header, access)
	expectJWT(t, "ID token", user.ID, header, // it has our audience as well
		"at_hash:string aud:array(2) azp:string c_hash:string client_id:string exp:number iat:number iss:string nonce:string sub:string")
	expectJWT(t, "ID token, of the implicit flow", s.implicitID(t), header,
		"aud:array(2) azp:string client_id:string exp:number iat:number iss:string sub:string")
	again := s.grant(t, "app-jwt", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {user.Refresh}})
	expectJWT(t, "ID token, of refreshing", again.ID, header,
		"at_hash:string aud:array(2) azp:string client_id:string exp:number iat:number iss:string sub:string")
}
