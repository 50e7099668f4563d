package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// written puts the key set of an authorization server into a file.
func written(t *testing.T, as *accesstokentest.Server) string {
	t.Helper()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	for _, key := range as.Keys() {
		text, err := json.Marshal(key.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, text)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "keys.json", string(text))
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The exit status tells what has to be done, and the text says it.
func TestExplain(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := written(t, as)
	token := as.Token(accesstokentest.Claims{"scope": "orders:read", "sub": canary, "email": canary})
	flags := func(more ...string) []string {
		return append([]string{"explain", "-issuer", as.URL, "-resource", "https://api.example.com", "-jwks", keys}, more...)
	}
	tomorrow := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
	for _, test := range []struct {
		name, token string
		args        []string
		status      int
		wants       []string
	}{
		{"it passes", token, flags(), 0, []string{"ok    audience", "The request would pass."}},
		{"it has the scope", "Bearer " + token, flags("-scope", "orders:read"), 0, []string{`All("orders:read")`, "would pass"}},
		{"it lacks a scope", token, flags("-scope", "orders:write"), 2, []string{
			"FAIL  policy", "SCOPE_INSUFFICIENT", "HTTP/1.1 403 Forbidden", `scope="orders:write"`, "code: 7", `reason: "SCOPE_INSUFFICIENT"`, "trailer www-authenticate: Bearer",
		}},
		{"it has expired", token, flags("-at", tomorrow), 1, []string{"FAIL  clock", "TOKEN_EXPIRED", "401 Unauthorized", `error="invalid_token"`}},
		{"another audience", as.Token(accesstokentest.Claims{"aud": "https://other.example"}), flags(), 1, []string{"FAIL  audience", "Advice: ", "TOKEN_INVALID"}},
		{"no access token of RFC 9068", as.Token(accesstokentest.Claims{"client_id": nil, "azp": "app", "typ": "Bearer"}), flags("-profile", "hydra"), 1, []string{"FAIL  kind"}},
		{"no key set", token, []string{"explain", "-issuer", as.URL, "-resource", "https://api.example.com", "-jwks", file(t, "none.json", "{}")}, 3, []string{"KEYS_UNAVAILABLE", "503 Service Unavailable", "Retry-After: "}},
	} {
		out, complaint, status := ask(t, test.token, test.args...)
		if status != test.status || complaint != "" {
			t.Errorf("%s: got status %d, and the complaint %q; want %d, and none\n%s", test.name, status, complaint, test.status, out)
		}
		for _, want := range test.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: got\n%s\nwant %q in it", test.name, out, want)
			}
		}
		if strings.Contains(out, canary) || strings.Contains(out, token[strings.LastIndexByte(token, '.'):]) {
			t.Errorf("%s: got a claim that nothing was compared with, or the signature, in\n%s", test.name, out)
		}
	}
	if out, _, _ := ask(t, token, flags("-show-claims")...); !strings.Contains(out, `"email": "`+canary) {
		t.Errorf("-show-claims: got\n%s\nwant the claims", out)
	}
	if out, _, status := ask(t, "", flags("-token", file(t, "token.txt", token+"\n"))...); status != 0 {
		t.Errorf("-token: got status %d and\n%s\nwant 0", status, out)
	}
}

// What is wrong with the settings is said, and the status is 4.
func TestExplainComplains(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := written(t, as)
	config := func(text string) []string { return []string{"explain", "-config", file(t, "config.json", text)} }
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", []string{"explain"}, "expected -config, or -issuer and -resource"},
		{"the token as an argument", []string{"explain", "-issuer", as.URL, "-resource", "a", canary}, "arguments stay in the history"},
		{"no keys", []string{"explain", "-issuer", as.URL, "-resource", "a"}, "allow with -online to fetch the metadata of " + as.URL},
		{"an unknown profile", []string{"explain", "-issuer", as.URL, "-resource", "a", "-jwks", keys, "-profile", "Keyclock"}, `there is no profile "Keyclock"; expected one of RFC9068, `},
		{"a time", []string{"explain", "-issuer", as.URL, "-resource", "a", "-jwks", keys, "-at", "noon"}, "expected a time such as"},
		{"a scope", []string{"explain", "-issuer", as.URL, "-resource", "a", "-jwks", keys, "-scope", `a"b`}, "scope"},
		{"no file of keys", []string{"explain", "-issuer", as.URL, "-resource", "a", "-jwks", "/none/keys.json"}, "no such file"},
		{"an unknown member", config(`{"resource": "a", "isuers": []}`), `unknown field "isuers"`},
		{"more than an object", config(`{"resource": "a", "issuers": []} x`), "something follows after the object"},
		{"no issuer", config(`{"resource": "a"}`), "Issuers is empty"},
		{"a duration", config(`{"resource": "a", "leeway": 30}`), "expected a duration"},
		{"introspection", config(`{"resource": "a", "issuers": [{"url": "https://a.example", "jwks_file": "k", "introspection": {}}]}`), "introspection needs -online"},
	} {
		out, complaint, status := ask(t, as.Token(nil), test.args...)
		if status != 4 || out != "" || !strings.Contains(complaint, test.want) {
			t.Errorf("%s: got status %d, %q and the complaint %q; want 4, nothing, and %q", test.name, status, out, complaint, test.want)
		}
		if strings.Contains(complaint, canary) {
			t.Errorf("%s: got the argument in the complaint %q", test.name, complaint)
		}
	}
}

// A file has what flags cannot say: several issuers, each with its dialect.
func TestExplainReadsAFile(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := written(t, as)
	text, err := json.Marshal(map[string]any{"resource": "https://api.example.com", "leeway": "10s", "issuers": []any{
		map[string]any{"url": "https://other.example", "jwks_file": keys},
		map[string]any{"url": as.URL, "jwks_file": filepath.Base(keys), "clients": []string{"app"}, "dialect": map[string]any{
			"name": "Ours", "types": []string{"JWT"}, "client": []string{"cid"}, "scope": []string{"scp"}, "kind_has": []string{"tier"},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(filepath.Dir(keys), "config.json")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"client_id": nil, "cid": "app", "scp": "a", "tier": "1"}))
	out, complaint, status := ask(t, token, "explain", "-config", config, "-scope", "a")
	if status != 0 || !strings.Contains(out, "the dialect Ours") || !strings.Contains(out, "leeway of 10s") {
		t.Errorf("got status %d, %q and\n%s\nwant 0", status, complaint, out)
	}
}

// With -online the keys are fetched, and the address is said before.
func TestExplainOnlineSaysWhatItFetches(t *testing.T) {
	_, complaint, status := ask(t, accesstokentest.NewServer(t).Token(nil), "explain", "-issuer", "https://127.0.0.1:1", "-resource", "a", "-online")
	if status != 1 || !strings.Contains(complaint, "-online: may fetch the metadata of https://127.0.0.1:1") {
		t.Errorf("got status %d and %q; want 1, for the foreign issuer, and the address", status, complaint)
	}
}

// The file that the documentation shows is one that explain reads.
func TestTheFileOfTheDocumentationIsRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/explain.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```json\n")
	text, _, _ := strings.Cut(rest, "```")
	config := file(t, "config.json", text)
	keys, err := os.ReadFile(written(t, accesstokentest.NewServer(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"login.json", "id.json", "other.json"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(config), name), keys, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, complaint, status := ask(t, "a.b.c", "explain", "-config", config)
	if status != 1 || !strings.Contains(out, "TOKEN_MALFORMED") {
		t.Errorf("got status %d, %q and %s; want 1, since the token is none", status, complaint, out)
	}
}
