//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
)

var hydraColumn = column{
	name:    "Ory Hydra",
	version: "2.3.0",
	record:  "hydra",
	start:   func(t *testing.T) (*server, error) { return startHydra(t).server, nil },
	notes: together(
		none(noSuchThing,
			"JWT: encrypted", "JWT: bound to a DPoP key, sent as Bearer", "JWT: bound to a DPoP key, with a proof",
			"JWT: bound to a DPoP key, with another key's proof", "opaque: the answer is a signed JWT (RFC 9701)"),
		map[string]note{
			"JWT: checked against RFC 9068":      {"401 TOKEN_TYPE_MISMATCH", otherType},
			"metadata":                           {"OpenID Connect Discovery", oneDocument},
			"introspection: our secret is wrong": {"401 TOKEN_INACTIVE", "The endpoint answers every request on the administrators' port, so you should keep that port closed."},
		},
	),
}

func TestHydra(t *testing.T) {
	s := startHydra(t)
	t.Run("opaque", func(t *testing.T) { opaqueTokens(t, s.server, "opaque") })
	t.Run("JWT", func(t *testing.T) { jwtTokens(t, s.server, "read write") })
	t.Run("JWT without an audience", func(t *testing.T) {
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra})
		rs.expect(t, "/", s.issue(t, "jwt", "", "read"), invalid(accesstoken.AudienceMismatch))
		rs = serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra, DangerouslyAcceptNoAudience: true})
		rs.expect(t, "/", s.issue(t, "jwt", "", "read"), allowed())
	})
	t.Run("answers", func(t *testing.T) { hydraAnswers(t, s) })
	t.Run("signed answers, which it does not give", func(t *testing.T) {
		config := s.asks()
		config.Issuer, config.Keys = s.issuer, discovered(t, s.issuer)
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)})
		rs.expect(t, "/", s.issue(t, "opaque", resource, "read"), unavailable(accesstoken.IntrospectionUnavailable))
	})
	t.Run("rotation", func(t *testing.T) { rotation(t, s) })
}

// hydraAnswers tests what README.md says about Hydra.
func hydraAnswers(t *testing.T, s *hydra) {
	const withAudience = "active:true aud:array(1) client_id:string exp:number iat:number iss:string nbf:number scope:string sub:string token_type:string token_use:string"
	opaque, user := s.issue(t, "opaque", resource, "read"), s.logIn(t, "app")
	if !strings.HasPrefix(opaque, "ory_at_") || strings.Count(opaque, ".") != 1 {
		t.Errorf("an opaque token begins with %.7q and has %d dots; want ory_at_ and 1", opaque, strings.Count(opaque, "."))
	}
	expectShape(t, "opaque token", s.introspect(t, opaque), withAudience)
	expectShape(t, "opaque token without audience", s.introspect(t, s.issue(t, "opaque", "", "read")),
		strings.Replace(withAudience, "array(1)", "array(0)", 1))
	expectShape(t, "opaque token of a user", s.introspect(t, user.Access), withAudience)
	expectShape(t, "refresh token", s.introspect(t, user.Refresh), withAudience)
	expectShape(t, "opaque token, asked for a signed answer", s.introspect(t, opaque, "application/token-introspection+jwt"), withAudience)
	expectShape(t, "unknown token", s.introspect(t, neverIssued), "active:false")
	expectShape(t, "JWT access token, introspected", s.introspect(t, s.issue(t, "jwt", resource, "read")), withAudience)
}

// rotation tests that new keys are seen, and withdrawn ones too, while the
// validator runs.
func rotation(t *testing.T, s *hydra) {
	rs := serve(t, s.jwts())
	rotate := func(kid string) (token string) {
		s.newKey(t, kid)
		return s.issue(t, "jwt", resource, "read")
	}
	first := s.issue(t, "jwt", resource, "read")
	rs.expect(t, "/", first, allowed())
	second := rotate("second")
	rs.expect(t, "/", second, allowed())
	rs.expect(t, "/", first, allowed())
	if _, err := sendJSON(t.Context(), http.MethodDelete, s.keySet()+"/second", nil, http.StatusNoContent); err != nil {
		t.Fatal(err)
	}
	rs.expect(t, "/", rotate("third"), allowed())
	withdrawnAfter(t, rs, second)
	rs.expect(t, "/", first, allowed())
}

// withdrawnAfter tests that a token whose key one answer lacked is accepted until a
// second answer lacks it (jwks.Config.WithdrawAfter), and then refused.
func withdrawnAfter(t *testing.T, rs *resourceServer, token string) {
	t.Helper()
	const doubted, answered = 5 * time.Second, 5 * time.Second
	began := time.Now()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	got, _ := rs.call(t, "/", token)
	if got != allowed() {
		t.Errorf("one answer lacks the key: got %+v; want %+v", got, allowed())
	}
	for ; got == allowed() && time.Since(began) < doubted+answered; <-again.C {
		got, _ = rs.call(t, "/", token)
	}
	if want := invalid(accesstoken.KeyNotFound); got != want {
		t.Errorf("%v after one answer lacked the key: got %+v; want %+v", time.Since(began), got, want)
	}
	t.Logf("the token of a withdrawn key was refused %v after the answer without it", time.Since(began))
}

// keySet is where the administrators find the keys of access tokens.
func (s *hydra) keySet() string { return s.admin + "/admin/keys/hydra.jwt.access-token" }

// newKey makes Hydra sign access tokens with a new key.
func (s *hydra) newKey(t *testing.T, kid string) {
	t.Helper()
	key := map[string]any{"alg": "ES256", "use": "sig", "kid": kid}
	if _, err := sendJSON(t.Context(), http.MethodPost, s.keySet(), key, http.StatusCreated); err != nil {
		t.Fatal(err)
	}
}

// By default Hydra puts the scopes into scp, an array. RFC 9068 §2.2.3 has scope,
// a string, and Hydra can do that as well.
func TestHydraScopeClaim(t *testing.T) {
	s := startHydra(t, "STRATEGIES_JWT_SCOPE_CLAIM=string")
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra})
	rs.expect(t, "/write", s.issue(t, "jwt", resource, "read"), forbidden(accesstoken.ScopeInsufficient))
	rs.expect(t, "/write", s.issue(t, "jwt", resource, "read write"), allowed())
}

// A hydra is a running Ory Hydra. Its second port is for its administrators.
type hydra struct {
	*server
	admin string
}

// startHydra starts Hydra. settings are added to testdata/hydra.yml, as
// NAME=value.
func startHydra(t *testing.T, settings ...string) *hydra {
	t.Helper()
	program := installHydra(t)
	s := &hydra{server: &server{issuer: freeURL(t), profile: accesstoken.Hydra, audience: "audience", secret: newSecret()}, admin: freeURL(t)}
	pages := s.pages(t)
	settings = append(settings,
		"DSN=sqlite://"+filepath.Join(t.TempDir(), "hydra.sqlite")+"?_fk=true",
		"SERVE_PUBLIC_PORT="+portOf(s.issuer),
		"SERVE_ADMIN_PORT="+portOf(s.admin),
		"URLS_SELF_ISSUER="+s.issuer,
		"URLS_LOGIN="+pages+"/login",
		"URLS_CONSENT="+pages+"/consent",
		"SECRETS_SYSTEM="+newSecret(),
	)
	run(t, ".", settings, program, "migrate", "sql", "up", "--read-from-env", "--yes")
	launch := func() {
		s.process = start(t, "hydra", func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, program, "serve", "all", "--dev", "-c", "testdata/hydra.yml")
			cmd.Env = append(os.Environ(), settings...)
			return cmd
		})
		s.metadata = s.process.await(s.wellKnown("openid-configuration"), s.issuer)
	}
	launch()
	s.introspection = s.admin + "/admin/oauth2/introspect"
	s.rotate = func(t *testing.T) { s.newKey(t, "rotated") }
	s.away = func(t *testing.T, during func()) {
		s.process.stop()
		during()
		launch()
	}
	s.makeKeys(t)
	for _, client := range []map[string]any{
		{"client_id": "opaque", "access_token_strategy": "opaque", "grant_types": []string{"client_credentials"}},
		{"client_id": "jwt", "access_token_strategy": "jwt", "grant_types": []string{"client_credentials"}},
		{"client_id": "app", "access_token_strategy": "opaque", "grant_types": []string{"authorization_code", "refresh_token"},
			"response_types": []string{"code"}, "redirect_uris": []string{redirectURI}},
		{"client_id": "app-jwt", "access_token_strategy": "jwt", "grant_types": []string{"authorization_code", "refresh_token"},
			"response_types": []string{"code"}, "redirect_uris": []string{redirectURI}},
	} {
		client["client_secret"] = s.secret
		client["scope"] = "openid offline_access read write"
		client["audience"] = []string{resource, otherResource}
		if _, err := sendJSON(t.Context(), http.MethodPost, s.admin+"/admin/clients", client, http.StatusCreated); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// makeKeys makes Hydra generate its signing keys. Hydra does so at the first request for
// them, which may take longer than our request waits for keys.
func (s *hydra) makeKeys(t *testing.T) {
	t.Helper()
	began := time.Now()
	if _, err := readJSON(t, s.endpoint(t, "jwks_uri")); err != nil {
		t.Fatal(err)
	}
	t.Logf("Hydra made its keys in %v", time.Since(began).Round(time.Millisecond))
}

// pages are the login and consent pages, which Hydra does not have itself. They log
// alice in and give her consent to everything, without a question.
func (s *hydra) pages(t *testing.T) (url string) {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		s.accept(t, w, r, "login", map[string]any{"subject": "alice"})
	})
	pages.HandleFunc("GET /consent", func(w http.ResponseWriter, r *http.Request) {
		s.accept(t, w, r, "consent", map[string]any{
			"grant_scope":                 []string{"openid", "offline_access", "read"},
			"grant_access_token_audience": []string{resource},
		})
	})
	web := httptest.NewServer(pages)
	t.Cleanup(web.Close)
	return web.URL
}

// accept accepts a challenge, and sends the browser back.
func (s *hydra) accept(t *testing.T, w http.ResponseWriter, r *http.Request, what string, answer map[string]any) {
	challenge := what + "_challenge"
	query := url.Values{challenge: {r.FormValue(challenge)}}
	body, err := sendJSON(r.Context(), http.MethodPut, s.admin+"/admin/oauth2/auth/requests/"+what+"/accept?"+query.Encode(), answer, http.StatusOK)
	var next struct {
		URL string `json:"redirect_to"`
	}
	if err == nil {
		err = json.Unmarshal(body, &next)
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		http.Error(w, "there is no way back", http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, next.URL, http.StatusSeeOther)
}
