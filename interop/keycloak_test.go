//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
)

var keycloakColumn = column{
	name:    "Keycloak",
	version: "26.7.3",
	record:  "keycloak",
	start: func(t *testing.T) (*server, error) {
		s, err := startKeycloak(t)
		if err != nil {
			return nil, err
		}
		return s.server, nil
	},
	notes: together(
		none("Its access tokens are all JWTs.", "opaque: client credentials", "opaque: authorization code with PKCE",
			"opaque: refresh token grant", "opaque: the route needs another scope", "opaque: for another resource server",
			"opaque: revoked", "opaque: the answer is a signed JWT (RFC 9701)", "restart: opaque during and after it"),
		none(noSuchThing, "JWT: encrypted"),
		map[string]note{
			"JWT: checked against RFC 9068": {"401 TOKEN_TYPE_MISMATCH", otherType},
			"refresh token":                 {"401 ALGORITHM_NOT_ALLOWED", "Its refresh tokens are JWTs under HS512."},
		},
	),
}

// A keycloak is a running Keycloak. Its realm interop is the issuer, and its realm
// master is for the administrators.
type keycloak struct {
	*server
	java, home string // the program, and the folder with the database
	url        string
	rotations  int
	logout     chan string // logout tokens

	adminAccess string // of the administrator
	adminSince  time.Time
}

// startKeycloak starts Keycloak with an empty database, and sets the realm up. If this
// machine cannot run it, the error says why.
func startKeycloak(t *testing.T) (*keycloak, error) {
	t.Helper()
	dist, err := installKeycloak(t)
	if err != nil {
		return nil, err
	}
	java, err := findJava()
	if err != nil {
		return nil, err
	}
	s := &keycloak{server: &server{profile: accesstoken.Keycloak, audience: "scope", secret: newSecret()}, java: java, home: keycloakHome(t, dist), url: freeURL(t), logout: make(chan string, 1)}
	s.issuer = s.url + "/realms/interop"
	s.signIn, s.server.rotate, s.server.away = s.logAliceIn, s.rotate, s.away
	began := time.Now()
	s.run(t, "master")
	started := time.Since(began)
	s.makeRealm(t)
	t.Logf("Keycloak started in %v, and its realm was there after %v", started.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	s.metadata = s.process.await(s.issuer+"/.well-known/openid-configuration", s.issuer)
	s.introspection = s.endpoint(t, "introspection_endpoint")
	return s, nil
}

// keycloakHome makes a folder for one server, which is as in the distribution except for
// the database.
func keycloakHome(t *testing.T, dist string) (home string) {
	t.Helper()
	home = t.TempDir()
	for _, name := range []string{"lib", "providers", "themes", "conf"} {
		if err := os.Symlink(filepath.Join(dist, name), filepath.Join(home, name)); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// run starts the server on its folder, and waits for a realm.
func (s *keycloak) run(t *testing.T, realm string) {
	t.Helper()
	s.process = start(t, "Keycloak", func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, s.java, inJava(s.home, "start", "--optimized")...)
		cmd.Dir = s.home
		cmd.Env = append(os.Environ(),
			"KC_BOOTSTRAP_ADMIN_USERNAME=admin",
			"KC_BOOTSTRAP_ADMIN_PASSWORD="+s.secret,
			"KC_HOSTNAME="+s.url,
			"KC_HTTP_ENABLED=true",
			"KC_HTTP_HOST=127.0.0.1",
			"KC_HTTP_PORT="+portOf(s.url),
			"KC_CACHE=local",
			"KC_LOG_LEVEL=warn",
		)
		return cmd
	})
	s.process.await(s.url+"/realms/"+realm+"/.well-known/openid-configuration", s.url+"/realms/"+realm)
}

// makeRealm makes the realm of testdata/keycloak/realm.json. If a realm has client
// scopes, it gets none of Keycloak's own. So our scopes are added after it, and the
// clients, which may request all scopes, come last.
func (s *keycloak) makeRealm(t *testing.T) {
	t.Helper()
	file, err := os.ReadFile("testdata/keycloak/realm.json")
	if err != nil {
		t.Fatal(err)
	}
	settings := strings.NewReplacer("${secret}", s.secret, "${logout}", s.listen(t)).Replace(string(file))
	var realm map[string]any
	if err := json.Unmarshal([]byte(settings), &realm); err != nil {
		t.Fatal(err)
	}
	scopes, clients := realm["clientScopes"].([]any), realm["clients"].([]any)
	delete(realm, "clientScopes")
	delete(realm, "clients")
	s.admin(t, http.MethodPost, "", realm, http.StatusCreated)
	for _, scope := range scopes {
		s.admin(t, http.MethodPost, "/interop/client-scopes", scope, http.StatusCreated)
		id := scope.(map[string]any)["id"].(string)
		s.admin(t, http.MethodPut, "/interop/default-optional-client-scopes/"+id, nil, http.StatusNoContent)
	}
	for _, client := range clients {
		s.admin(t, http.MethodPost, "/interop/clients", client, http.StatusCreated)
	}
}

// listen takes the logout tokens that Keycloak sends to a client.
func (s *keycloak) listen(t *testing.T) (url string) {
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case s.logout <- r.PostFormValue("logout_token"):
		default: // of a login that no test uses
		}
	}))
	t.Cleanup(web.Close)
	return web.URL
}

// admin calls Keycloak's administration, below /admin/realms.
func (s *keycloak) admin(t *testing.T, method, path string, document any, status int) (body []byte) {
	t.Helper()
	content, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, s.url+"/admin/realms"+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if time.Since(s.adminSince) > 30*time.Second { // it is good for a minute, and slow to get
		s.adminAccess, s.adminSince = s.adminToken(t), time.Now()
	}
	request.Header.Set("Authorization", "Bearer "+s.adminAccess)
	if body, err = send(request, status); err != nil {
		t.Fatal(err)
	}
	return body
}

// adminToken logs the administrator in.
func (s *keycloak) adminToken(t *testing.T) string {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {s.secret}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/realms/master/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	body, err := send(request, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	var got tokens
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	return got.Access
}

// loginForm is where Keycloak's login page sends what is filled in.
var loginForm = regexp.MustCompile(`<form id="kc-form-login"[^>]* action="([^"]+)"`)

// logAliceIn fills in the login page.
func (s *keycloak) logAliceIn(t *testing.T, browser *http.Client, page *http.Response) *http.Response {
	t.Helper()
	defer page.Body.Close()
	body, err := io.ReadAll(page.Body)
	if err != nil {
		t.Fatal(err)
	}
	form := loginForm.FindSubmatch(body)
	if form == nil {
		t.Fatalf("the page has no login form:\n%s", body)
	}
	next, err := browser.PostForm(html.UnescapeString(string(form[1])), url.Values{"username": {"alice"}, "password": {s.secret}})
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// rotate makes a new key that signs from now on; the old one stays published.
func (s *keycloak) rotate(t *testing.T) {
	t.Helper()
	s.rotations++
	s.admin(t, http.MethodPost, "/interop/components", map[string]any{
		"name":         fmt.Sprintf("rotated-%d", s.rotations),
		"providerId":   "rsa-generated",
		"providerType": "org.keycloak.keys.KeyProvider",
		"config": map[string]any{ // the highest priority signs; the first key has 100
			"priority": []string{fmt.Sprint(100 + s.rotations)}, "enabled": []string{"true"}, "active": []string{"true"}, "algorithm": []string{"RS256"},
		},
	}, http.StatusCreated)
}

// away ends the server while during runs, and starts it again: the same keys,
// users and sessions.
func (s *keycloak) away(t *testing.T, during func()) {
	t.Helper()
	began := time.Now()
	s.process.stop()
	t.Logf("Keycloak ended in %v", time.Since(began).Round(time.Millisecond))
	during()
	began = time.Now()
	s.run(t, "interop")
	t.Logf("Keycloak started again in %v", time.Since(began).Round(time.Millisecond))
}

func TestKeycloak(t *testing.T) {
	s, err := startKeycloak(t)
	if err != nil {
		t.Logf("Keycloak is not tried on this machine: %v", err)
		return
	}
	t.Run("JWT", func(t *testing.T) { keycloakTokens(t, s) })
	t.Run("other kinds", func(t *testing.T) { keycloakKinds(t, s) })
	t.Run("introspected as well", func(t *testing.T) { keycloakConfirmed(t, s) })
	t.Run("credentials", func(t *testing.T) { keycloakCredentials(t, s) })
	t.Run("shapes", func(t *testing.T) { keycloakShapes(t, s) })
	t.Run("answers", func(t *testing.T) { keycloakAnswers(t, s) })
	t.Run("step-up", func(t *testing.T) { keycloakStepUp(t, s) })
}

// keycloakTokens tests access tokens in the shapes that a realm can be set to.
func keycloakTokens(t *testing.T, s *keycloak) {
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Keycloak})
	token := s.issue(t, "jwt", resource, "read write")
	t.Run("for us", func(t *testing.T) {
		found := rs.expect(t, "/", token, allowed())
		expectCaller(t, found, caller{Issuer: s.issuer, Subject: s.serviceAccount(t, "jwt"), ClientID: "jwt", Audience: []string{resource}, Scopes: found.Scopes, Expires: true})
		rs.expect(t, "/write", token, allowed())
	})
	t.Run("for nobody in particular", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "jwt", "", "read"), invalid(accesstoken.AudienceMismatch))
	})
	t.Run("for the account console, as a client's is by default", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "jwt-default", "", "read"), invalid(accesstoken.AudienceMismatch))
		found := rs.expect(t, "/", s.issue(t, "jwt-default", resource, "read"), allowed())
		if want := []string{resource, "account"}; !slices.Equal(found.Audience, want) {
			t.Errorf("got aud %q; want %q", found.Audience, want)
		}
	})
	t.Run("lightweight", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "jwt-light", resource, "read"), allowed())
	})
	t.Run("with the typ of RFC 9068", func(t *testing.T) {
		rs.expect(t, "/", s.issue(t, "jwt-at", resource, "read"), allowed())
	})
	t.Run("with the typ of RFC 9068, held against that", func(t *testing.T) {
		rs := serve(t, accesstoken.Issuer{URL: s.issuer})
		rs.expect(t, "/", s.issue(t, "jwt-at", resource, "read"), allowed())
	})
	t.Run("of another realm", func(t *testing.T) {
		rs.expect(t, "/", s.adminToken(t), invalid(accesstoken.IssuerUnknown))
	})
}

// keycloakKinds tests what Keycloak signs beside access tokens.
func keycloakKinds(t *testing.T, s *keycloak) {
	profiles := []accesstoken.Profile{accesstoken.Keycloak, accesstoken.RFC9068}
	user, offline := s.logInTo(t, "app-jwt", "openid read"), s.logInTo(t, "app-jwt", "openid offline_access read")
	for _, test := range []struct {
		name, token string
		want        accesstoken.Reason
	}{
		{"an ID token", user.ID, accesstoken.TokenTypeMismatch},
		{"a refresh token", user.Refresh, accesstoken.AlgorithmNotAllowed},
		{"an offline token", offline.Refresh, accesstoken.AlgorithmNotAllowed},
		{"a userinfo answer", s.userinfo(t, user.Access), accesstoken.TokenTypeMismatch},
		{"a logout token", s.logOut(t), accesstoken.TokenTypeMismatch},
	} {
		for _, profile := range profiles {
			rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: profile, Introspection: newClient(t, s.asks())})
			t.Run(test.name, func(t *testing.T) { rs.expect(t, "/", test.token, invalid(test.want)) })
		}
	}
}

// keycloakConfirmed tests JWTs that are also introspected.
func keycloakConfirmed(t *testing.T, s *keycloak) {
	asked := func(id string) *resourceServer {
		config := s.asks()
		config.ClientID = id
		return serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Keycloak, Introspection: newClient(t, config), AlwaysIntrospect: true})
	}
	t.Run("of a user who logs out", func(t *testing.T) {
		confirmed, user := asked("resource-server"), s.logInTo(t, "app-jwt", "openid read")
		confirmed.expect(t, "/", user.Access, allowed())
		s.logOut(t)
		confirmed.expect(t, "/", user.Access, invalid(accesstoken.TokenInactive))
	})
	t.Run("by a client whose id is the audience", func(t *testing.T) {
		asked(resource).expect(t, "/", s.issue(t, "jwt", resource, "read"), allowed())
	})
	t.Run("by a client that is not in the audience", func(t *testing.T) {
		asked("jwt").expect(t, "/", s.issue(t, "jwt-at", resource, "read"), invalid(accesstoken.TokenInactive))
	})
	t.Run("lightweight", func(t *testing.T) {
		asked("resource-server").expect(t, "/", s.issue(t, "jwt-light", resource, "read"), allowed())
	})
	t.Run("what is no JWT", func(t *testing.T) {
		asked("resource-server").expect(t, "/", neverIssued, invalid(accesstoken.TokenInactive))
	})
}

// keycloakCredentials tests how the resource server authenticates to Keycloak.
func keycloakCredentials(t *testing.T, s *keycloak) {
	keys := newKeys(t)
	set, err := json.Marshal(map[string]any{"keys": publicJWKs(keys)})
	if err != nil {
		t.Fatal(err)
	}
	everything := "allow.token.introspection.without.audience.check"
	for id, client := range map[string]map[string]any{
		"resource-server-key":  {"clientAuthenticatorType": "client-jwt", "attributes": map[string]string{everything: "true", "use.jwks.string": "true", "jwks.string": string(set)}},
		"resource-server-hmac": {"clientAuthenticatorType": "client-secret-jwt", "secret": s.secret, "attributes": map[string]string{everything: "true"}},
	} {
		client["clientId"], client["standardFlowEnabled"] = id, false
		s.admin(t, http.MethodPost, "/interop/clients", client, http.StatusCreated)
	}
	token := s.issue(t, "jwt", resource, "read")
	assertion := func(kid, algorithm string) func(*introspection.Config) {
		return func(c *introspection.Config) {
			c.ClientID, c.ClientSecret, c.AuthMethod, c.Issuer = "resource-server-key", "", introspection.PrivateKeyJWT, s.issuer
			c.ClientKey, c.ClientKeyID, c.ClientKeyAlgorithm = keys[kid], kid, algorithm
		}
	}
	for _, test := range []struct {
		name   string
		change func(*introspection.Config)
		want   verdict
	}{
		{"client_secret_basic", func(*introspection.Config) {}, allowed()},
		{"client_secret_post", func(c *introspection.Config) { c.AuthMethod = introspection.ClientSecretPost }, allowed()},
		{"client_secret_jwt", func(c *introspection.Config) {
			c.ClientID, c.AuthMethod, c.Issuer = "resource-server-hmac", introspection.ClientSecretJWT, s.issuer
		}, allowed()},
		{"private_key_jwt, P-256", assertion("p-256", ""), allowed()},
		{"private_key_jwt, RSA", assertion("rsa", ""), allowed()},
		{"private_key_jwt, PS256", assertion("rsa", "PS256"), allowed()},
		{"private_key_jwt, Ed25519", assertion("ed25519", ""), allowed()},
		{"private_key_jwt, a key that is not registered", func(c *introspection.Config) {
			assertion("p-256", "")(c)
			c.ClientKey = newKeys(t)["p-256"]
		}, misconfigured()},
		{"client_secret_basic, a wrong secret", func(c *introspection.Config) { c.ClientSecret = "wrong" }, misconfigured()},
		{"client_secret_basic, an unknown client", func(c *introspection.Config) { c.ClientID = "unknown" }, misconfigured()},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := s.asks()
			test.change(&config)
			rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Keycloak, Introspection: newClient(t, config), AlwaysIntrospect: true})
			rs.expect(t, "/", token, test.want)
		})
	}
}

// keycloakShapes tests what README.md says about Keycloak's tokens.
func keycloakShapes(t *testing.T, s *keycloak) {
	const (
		header  = "alg:string kid:string typ:string"
		user    = " auth_time:number azp:string email:string email_verified:false exp:number family_name:string given_name:string iat:number iss:string jti:string name:string"
		account = "acr:string aud:string azp:string clientAddress:string clientHost:string client_id:string email_verified:false exp:number iat:number iss:string jti:string preferred_username:string scope:string sub:string typ:string"
	)
	tokens := s.logInTo(t, "app-jwt", "openid read")
	offline := s.logInTo(t, "app-jwt", "openid offline_access read")
	expectJWT(t, "of a service account", s.issue(t, "jwt", resource, "read"), header, account)
	expectJWT(t, "with typ at+jwt", s.issue(t, "jwt-at", resource, "read"), header, account)
	expectJWT(t, "without an audience", s.issue(t, "jwt", "", "read"), header, strings.Replace(account, " aud:string", "", 1))
	expectJWT(t, "as a client is by default", s.issue(t, "jwt-default", resource, "read"), header,
		"acr:string aud:array(2) azp:string clientAddress:string clientHost:string client_id:string email_verified:false exp:number iat:number iss:string jti:string preferred_username:string realm_access:object resource_access:object scope:string sub:string typ:string")
	expectJWT(t, "lightweight", s.issue(t, "jwt-light", resource, "read"), header,
		"aud:string azp:string exp:number iat:number iss:string jti:string scope:string sub:string typ:string")
	expectJWT(t, "lightweight, with a mapper that says nothing of it", s.issue(t, "jwt-light", otherResource, "read"), header,
		"azp:string exp:number iat:number iss:string jti:string scope:string sub:string typ:string")
	expectJWT(t, "bound to a key", s.issueBound(t, "bound", resource, ""), header,
		strings.Replace(account, "client_id:string ", "client_id:string cnf:object ", 1))
	expectJWT(t, "of a user", tokens.Access, header,
		"acr:string allowed-origins:array(1) aud:string"+user+" preferred_username:string scope:string sid:string sub:string typ:string")
	expectJWT(t, "ID token", tokens.ID, header,
		"acr:string at_hash:string aud:string"+user+" nonce:string preferred_username:string sid:string sub:string typ:string")
	expectJWT(t, "refresh token", tokens.Refresh, header,
		"aud:string aud_x:string azp:string exp:number iat:number iss:string jti:string prov:string scope:string sid:string sub:string typ:string")
	expectJWT(t, "offline token", offline.Refresh, header,
		"aud:string aud_x:string azp:string iat:number iss:string jti:string prov:string scope:string sid:string sub:string typ:string")
	expectJWT(t, "userinfo answer", s.userinfo(t, tokens.Access), header,
		"aud:string email:string email_verified:false family_name:string given_name:string iss:string name:string preferred_username:string sub:string")
	expectJWT(t, "logout token", s.logOut(t), header,
		"aud:string events:object exp:number iat:number iss:string jti:string sid:string sub:string typ:string")
}

// keycloakAnswers tests what README.md says about Keycloak's introspection.
func keycloakAnswers(t *testing.T, s *keycloak) {
	const (
		account = "acr:string active:true aud:string azp:string client_id:string email_verified:false exp:number iat:number iss:string jti:string preferred_username:string scope:string sub:string token_type:string typ:string username:string"
		user    = " auth_time:number azp:string client_id:string email:string email_verified:false exp:number family_name:string given_name:string iat:number iss:string jti:string name:string"
	)
	token, tokens := s.issue(t, "jwt", resource, "read"), s.logInTo(t, "app-jwt", "openid read")
	expectShape(t, "of a service account", s.introspect(t, token), account)
	expectShape(t, "lightweight", s.introspect(t, s.issue(t, "jwt-light", resource, "read")), account)
	expectShape(t, "of a user", s.introspect(t, tokens.Access),
		"acr:string active:true allowed-origins:array(1) aud:string"+user+" preferred_username:string scope:string sid:string sub:string token_type:string typ:string username:string")
	expectShape(t, "refresh token", s.introspect(t, tokens.Refresh),
		"acr:string active:true allowed-origins:array(1) aud:array(2)"+user+" preferred_username:string scope:string sid:string sub:string token_type:string typ:string username:string")
	expectShape(t, "ID token", s.introspect(t, tokens.ID),
		"acr:string active:true allowed-origins:array(1) aud:string"+user+" nonce:string preferred_username:string sid:string sub:string token_type:string typ:string username:string")
	expectShape(t, "unknown token", s.introspect(t, neverIssued), "active:false")
	expectShape(t, "asked as RFC 9701 says", s.introspect(t, token, "application/token-introspection+jwt"), account)
	form := url.Values{"token": {token}}
	expectShape(t, "asked for application/jwt", s.post(t, s.introspection, "resource-server-jwt", form, "application/jwt"),
		strings.Replace(account, " preferred_username", " jwt:string preferred_username", 1))
}

// serviceAccount is the sub of a client that acts for itself: a user of its own.
func (s *keycloak) serviceAccount(t *testing.T, client string) string {
	t.Helper()
	var clients []struct{ ID string }
	body := s.admin(t, http.MethodGet, "/interop/clients?clientId="+client, nil, http.StatusOK)
	if err := json.Unmarshal(body, &clients); err != nil || len(clients) != 1 {
		t.Fatalf("got %d clients, %v; want the one called %s", len(clients), err, client)
	}
	var user struct{ ID string }
	body = s.admin(t, http.MethodGet, "/interop/clients/"+clients[0].ID+"/service-account-user", nil, http.StatusOK)
	if err := json.Unmarshal(body, &user); err != nil {
		t.Fatal(err)
	}
	return user.ID
}

// logOut ends all of alice's sessions, and returns a logout token that a client
// gets then (OpenID Connect Back-Channel Logout §2.4).
func (s *keycloak) logOut(t *testing.T) (token string) {
	t.Helper()
	select {
	case <-s.logout: // of an earlier time
	default:
	}
	s.admin(t, http.MethodPost, "/interop/users/alice/logout", nil, http.StatusNoContent)
	deadline := time.NewTimer(ending)
	defer deadline.Stop()
	select {
	case token = <-s.logout:
	case <-deadline.C:
		t.Fatalf("no logout token came within %v", ending)
	}
	return token
}

// userinfo asks for the claims of a user, which come as a JWT.
func (s *keycloak) userinfo(t *testing.T, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.endpoint(t, "userinfo_endpoint"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	body, err := send(request, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
