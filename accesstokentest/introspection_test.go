package accesstokentest_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

const form = "application/x-www-form-urlencoded"

// post sends body to the introspection endpoint.
func post(t *testing.T, as *accesstokentest.Server, body string, header http.Header) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, as.IntrospectionEndpoint(), strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, nil, nil
	}
	req.Header = header
	res, err := as.Client().Do(req)
	if err != nil {
		t.Error(err)
		return 0, nil, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, res.Header, answer
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func credentials() string {
	return basic(url.QueryEscape(accesstokentest.ClientID), url.QueryEscape(accesstokentest.ClientSecret))
}

// introspect sends a request about token with the right credentials.
func introspect(t *testing.T, as *accesstokentest.Server, token string) map[string]any {
	t.Helper()
	status, header, body := post(t, as, url.Values{"token": {token}}.Encode(),
		http.Header{"Content-Type": {form}, "Authorization": {credentials()}})
	if status != http.StatusOK || header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %s; want 200 application/json", status, header.Get("Content-Type"))
	}
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Error(err)
	}
	return answer
}

func TestOpaque(t *testing.T) {
	as := accesstokentest.NewServer(t)
	token := as.Opaque(accesstokentest.Claims{"scope": "orders:read", "client_id": nil, "sub": "bob"})
	if token == as.Opaque(nil) {
		t.Error("two opaque tokens are the same")
	}
	answer := introspect(t, as, token)
	for name, want := range map[string]any{
		"active": true, "iss": as.URL, "sub": "bob", "aud": "https://api.example.com",
		"scope": "orders:read", "token_type": "Bearer", "client_id": nil, "jti": nil,
	} {
		if answer[name] != want {
			t.Errorf("%s: got %v; want %v", name, answer[name], want)
		}
	}
	if end := time.Unix(int64(answer["exp"].(float64)), 0); time.Until(end) < 4*time.Minute {
		t.Errorf("got exp %v; want in five minutes", end)
	}
}

func TestIntrospectionOfUnknownAndRevokedTokens(t *testing.T) {
	as := accesstokentest.NewServer(t)
	inactive := func(when, token string) {
		t.Helper()
		if answer := introspect(t, as, token); len(answer) != 1 || answer["active"] != false {
			t.Errorf("%s: got %v; want active false alone", when, answer)
		}
	}
	inactive("unknown", "unknown")
	token := as.Opaque(nil)
	as.Revoke(token)
	inactive("revoked", token)
	as.Revoke(token)
	jwt := as.Token(nil)
	as.Revoke(jwt)
	inactive("revoked JWT", jwt)
}

func TestIntrospectionKnowsJWTs(t *testing.T) {
	as := accesstokentest.NewServer(t)
	answer := introspect(t, as, as.Token(accesstokentest.Claims{"sub": nil, "scope": "x"}))
	if answer["active"] != true || answer["scope"] != "x" || answer["jti"] == nil {
		t.Errorf("got %v; want it active, with its scope and jti", answer)
	}
	if sub, has := answer["sub"]; has {
		t.Errorf("got sub %v; want none, as in the token", sub)
	}
}

func TestRememberTakesAnyToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, token := range []string{"acme_1", "a.b.c", "a.b.c.d.e", as.Token(nil)} {
		as.Remember(token, accesstokentest.Claims{"sub": "carol", "active": "true"})
		if answer := introspect(t, as, token); answer["sub"] != "carol" || answer["active"] != "true" {
			t.Errorf("%s: got %v; want what was said", token, answer)
		}
	}
}

func TestIntrospectionAuthenticatesTheClient(t *testing.T) {
	as := accesstokentest.NewServer(t)
	token := as.Opaque(nil)
	id, secret := accesstokentest.ClientID, accesstokentest.ClientSecret
	if !strings.ContainsAny(secret, ":") || !strings.Contains(secret, "%") || !strings.Contains(secret, "+") || !strings.Contains(secret, " ") {
		t.Fatalf("the secret %q has not the characters that clients get wrong", secret)
	}
	query := url.Values{"token": {token}}.Encode()
	inBody := func(id, secret string) string {
		return url.Values{"token": {token}, "client_id": {id}, "client_secret": {secret}}.Encode()
	}
	cases := []struct {
		name          string
		body          string
		authorization string
		want          int
	}{
		{"client_secret_basic", query, credentials(), 200},
		{"client_secret_basic with %20 for a space", query,
			basic(url.QueryEscape(id), strings.ReplaceAll(url.QueryEscape(secret), "+", "%20")), 200},
		{"client_secret_basic and the client_id again", query + "&client_id=x", credentials(), 200},
		{"client_secret_post", inBody(id, secret), "", 200},
		{"no credentials", query, "", 401},
		{"Basic without form encoding", query, basic(id, secret), 401},
		{"Basic with the id not encoded", query, basic(id, url.QueryEscape(secret)), 401},
		{"Basic with the secret not encoded", query, basic(url.QueryEscape(id), secret), 401},
		{"Basic encoded twice", query, basic(url.QueryEscape(id), url.QueryEscape(url.QueryEscape(secret))), 401},
		{"Basic that does not decode", query, basic(url.QueryEscape(id), "%zz"), 401},
		{"Basic that is no base64", query, "Basic ???", 401},
		{"wrong id", query, basic("other", url.QueryEscape(secret)), 401},
		{"wrong secret", inBody(id, "wrong"), "", 401},
		{"secret encoded twice in the body", inBody(id, url.QueryEscape(secret)), "", 401},
		{"another scheme", query, "Bearer x", 401},
		{"two methods at once", inBody(id, secret), credentials(), 400},
		{"token twice", query + "&" + query, credentials(), 400},
		{"no token", "", credentials(), 400},
		{"body that is no form", "%zz", credentials(), 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			header := http.Header{"Content-Type": {form}}
			if c.authorization != "" {
				header.Set("Authorization", c.authorization)
			}
			status, got, body := post(t, as, c.body, header)
			if status != c.want {
				t.Fatalf("got status %d %s; want %d", status, body, c.want)
			}
			if got.Get("Cache-Control") != "no-store" {
				t.Errorf("got Cache-Control %q; want no-store", got.Get("Cache-Control"))
			}
			if challenge := got.Get("WWW-Authenticate"); (challenge != "") != (c.want == 401) {
				t.Errorf("got challenge %q with status %d", challenge, status)
			}
			if active := object(t, body)["active"]; (active == true) != (c.want == 200) {
				t.Errorf("got active %v with status %d", active, status)
			}
		})
	}
}

func TestIntrospectionReadsTheBodyOfAPostOnly(t *testing.T) {
	as := accesstokentest.NewServer(t)
	header := http.Header{"Authorization": {credentials()}}
	if status, _, _ := post(t, as, `{"token":"x"}`, header); status != http.StatusBadRequest {
		t.Errorf("JSON: got status %d; want 400", status)
	}
	status, _, _ := get(t, as, accesstokentest.IntrospectionPath+"?token="+as.Opaque(nil))
	if status != http.StatusMethodNotAllowed {
		t.Errorf("GET: got status %d; want 405", status)
	}
}

func TestSignedIntrospection(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := fetchKeys(t, as)
	for name, token := range map[string]string{"active": as.Opaque(nil), "inactive": "unknown"} {
		t.Run(name, func(t *testing.T) {
			_, header, body := post(t, as, url.Values{"token": {token}}.Encode(), http.Header{
				"Content-Type":  {form},
				"Authorization": {credentials()},
				"Accept":        {"application/token-introspection+jwt"},
			})
			if got := header.Get("Content-Type"); got != "application/token-introspection+jwt" {
				t.Errorf("got content type %q", got)
			}
			signed, err := jwt.Parse(string(body), keys.Keyfunc,
				jwt.WithIssuer(as.URL), jwt.WithAudience(accesstokentest.ClientID), jwt.WithIssuedAt())
			if err != nil {
				t.Fatal(err)
			}
			if got := signed.Header["typ"]; got != "token-introspection+jwt" {
				t.Errorf("got typ %v; want token-introspection+jwt", got)
			}
			answer := signed.Claims.(jwt.MapClaims)["token_introspection"].(map[string]any)
			if want := name == "active"; answer["active"] != want {
				t.Errorf("got active %v; want %v", answer["active"], want)
			}
		})
	}
}
