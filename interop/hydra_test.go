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
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
)

func TestHydra(t *testing.T) {
	s := startHydra(t)
	t.Run("opaque", func(t *testing.T) { opaqueTokens(t, s.server, "opaque") })
	t.Run("JWT", func(t *testing.T) { jwtTokens(t, s.server, accesstoken.Hydra, "read write") })
	t.Run("JWT, held against RFC 9068", func(t *testing.T) {
		rs := serve(t, accesstoken.Issuer{URL: s.issuer})
		rs.expect(t, "/", s.issue(t, "jwt", resource, "read"), invalid(accesstoken.TokenTypeMismatch))
	})
	t.Run("JWT without an audience", func(t *testing.T) {
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra})
		rs.expect(t, "/", s.issue(t, "jwt", "", "read"), invalid(accesstoken.AudienceMismatch))
		rs = serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra, DangerouslyAcceptNoAudience: true})
		rs.expect(t, "/", s.issue(t, "jwt", "", "read"), allowed())
	})
	t.Run("whoever asks is answered", func(t *testing.T) {
		config := s.asks()
		config.ClientSecret = "wrong"
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)})
		rs.expect(t, "/", s.issue(t, "opaque", resource, "read"), allowed())
	})
	t.Run("answers", func(t *testing.T) { hydraAnswers(t, s) })
	t.Run("a JWT at introspection", func(t *testing.T) {
		client, token := newClient(t, s.asks()), s.issue(t, "jwt", resource, "read")
		response, err := client.Introspect(t.Context(), token)
		if err != nil || !response.Active || response.Scope.String() != "read" {
			t.Errorf("got %+v, %v; want it active, with its scope", response, err)
		}
	})
	t.Run("a revoked JWT", func(t *testing.T) {
		speaks := accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra, Introspection: newClient(t, s.asks())}
		asked := accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra, Introspection: newClient(t, s.asks()), AlwaysIntrospect: true}
		alone, confirmed := serve(t, speaks), serve(t, asked)
		token := s.issue(t, "jwt", resource, "read")
		alone.expect(t, "/", token, allowed())
		confirmed.expect(t, "/", token, allowed())
		s.revoke(t, "jwt", token)
		alone.expect(t, "/", token, allowed()) // it speaks for itself until it expires
		confirmed.expect(t, "/", token, invalid(accesstoken.TokenInactive))
	})
	t.Run("signed answers, which it does not give", func(t *testing.T) {
		config := s.asks()
		config.Issuer, config.Keys = s.issuer, discovered(t, s.issuer)
		rs := serve(t, accesstoken.Issuer{URL: s.issuer, Introspection: newClient(t, config)})
		rs.expect(t, "/", s.issue(t, "opaque", resource, "read"), unavailable(accesstoken.IntrospectionUnavailable))
	})
	t.Run("rotation", func(t *testing.T) { rotation(t, s) })
	t.Run("gone", func(t *testing.T) { gone(t, s.server, accesstoken.Hydra) })
}

// hydraAnswers is what README.md says of it.
func hydraAnswers(t *testing.T, s *hydra) {
	const withAudience = "active:true aud:array(1) client_id:string exp:number iat:number iss:string nbf:number scope:string sub:string token_type:string token_use:string"
	opaque, user := s.issue(t, "opaque", resource, "read"), s.logIn(t)
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
	expectJWT(t, "JWT access token", s.issue(t, "jwt", resource, "read"),
		"alg:string kid:string typ:string",
		"aud:array(1) client_id:string exp:number ext:object iat:number iss:string jti:string nbf:number scp:array(1) sub:string")
	expectJWT(t, "ID token", user.ID,
		"alg:string kid:string typ:string",
		"at_hash:string aud:array(1) auth_time:number exp:number iat:number iss:string jti:string nonce:string rat:number sid:string sub:string")
}

// rotation tests that new keys are seen, and withdrawn ones too, while the
// validator runs.
func rotation(t *testing.T, s *hydra) {
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra})
	keySet := s.admin + "/admin/keys/hydra.jwt.access-token"
	rotate := func(kid string) (token string) {
		key := map[string]any{"alg": "ES256", "use": "sig", "kid": kid}
		if _, err := sendJSON(t.Context(), http.MethodPost, keySet, key, http.StatusCreated); err != nil {
			t.Fatal(err)
		}
		return s.issue(t, "jwt", resource, "read")
	}
	first := s.issue(t, "jwt", resource, "read")
	rs.expect(t, "/", first, allowed())
	second := rotate("second")
	rs.expect(t, "/", second, allowed())
	rs.expect(t, "/", first, allowed())
	if _, err := sendJSON(t.Context(), http.MethodDelete, keySet+"/second", nil, http.StatusNoContent); err != nil {
		t.Fatal(err)
	}
	rs.expect(t, "/", rotate("third"), allowed())
	rs.expect(t, "/", second, invalid(accesstoken.KeyNotFound))
	rs.expect(t, "/", first, allowed())
}

// By default Hydra puts the scopes into scp, an array. RFC 9068 §2.2.3 has scope,
// a string, and Hydra can do that as well.
func TestHydraScopeClaim(t *testing.T) {
	s := startHydra(t, "STRATEGIES_JWT_SCOPE_CLAIM=string")
	rs := serve(t, accesstoken.Issuer{URL: s.issuer, Profile: accesstoken.Hydra})
	rs.expect(t, "/write", s.issue(t, "jwt", resource, "read"), forbidden(accesstoken.ScopeInsufficient))
	rs.expect(t, "/write", s.issue(t, "jwt", resource, "read write"), allowed())
}

// A hydra is Ory Hydra at work. Its second port is for its administrators.
type hydra struct {
	*server
	admin string
}

// startHydra starts Hydra. settings are added to testdata/hydra.yml, as
// NAME=value.
func startHydra(t *testing.T, settings ...string) *hydra {
	t.Helper()
	program := installHydra(t)
	s := &hydra{server: &server{issuer: freeURL(t), audience: "audience", secret: newSecret()}, admin: freeURL(t)}
	pages := s.pages(t)
	s.process = start(t, "hydra", func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "serve", "all", "--dev", "-c", "testdata/hydra.yml")
		cmd.Env = append(os.Environ(),
			"SERVE_PUBLIC_PORT="+portOf(s.issuer),
			"SERVE_ADMIN_PORT="+portOf(s.admin),
			"URLS_SELF_ISSUER="+s.issuer,
			"URLS_LOGIN="+pages+"/login",
			"URLS_CONSENT="+pages+"/consent",
			"SECRETS_SYSTEM="+newSecret(),
		)
		cmd.Env = append(cmd.Env, settings...)
		return cmd
	})
	s.metadata = s.process.await(s.issuer+"/.well-known/openid-configuration", s.issuer)
	s.introspection = s.admin + "/admin/oauth2/introspect"
	s.makeKeys(t)
	for _, client := range []map[string]any{
		{"client_id": "opaque", "access_token_strategy": "opaque", "grant_types": []string{"client_credentials"}},
		{"client_id": "jwt", "access_token_strategy": "jwt", "grant_types": []string{"client_credentials"}},
		{"client_id": "app", "access_token_strategy": "opaque", "grant_types": []string{"authorization_code", "refresh_token"},
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

// makeKeys has Hydra make its signing keys. It does so when somebody first asks
// for them, which may take longer than a request waits for keys.
func (s *hydra) makeKeys(t *testing.T) {
	t.Helper()
	began := time.Now()
	if _, err := readJSON(t, s.endpoint(t, "jwks_uri")); err != nil {
		t.Fatal(err)
	}
	t.Logf("Hydra made its keys in %v", time.Since(began).Round(time.Millisecond))
}

// pages are what Hydra leaves to others: they log alice in and have her consent
// to everything, without asking.
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

// accept says yes to a challenge, and sends the browser back.
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
