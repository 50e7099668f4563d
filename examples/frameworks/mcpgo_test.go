package main

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestMCPGo(t *testing.T) {
	server := serveHTTP(t, onMCPGo(newValidator(t)))
	f := front{name: "mcp-go", client: server.Client(), url: server.URL}
	mcp := bearer(accesstokentest.Claims{"sub": "alice", "scope": "mcp"})
	for name, test := range map[string]struct {
		tool, token string
		status      int
		want        string
	}{
		"no token":               {"hello", "", 401, "an access token is required"},
		"without the scope mcp":  {"hello", bearer(accesstokentest.Claims{"scope": "other"}), 403, "lacks a required scope"},
		"a tool":                 {"hello", mcp, 200, "hello alice"},
		"a tool that needs more": {"secret", mcp, 200, "lacks a required scope"},
		"with what it needs":     {"secret", bearer(accesstokentest.Claims{"sub": "alice", "scope": "mcp secret:read"}), 200, "hello alice"},
		"a tool that is unknown": {"other", mcp, 200, "tool 'other' not found"},
	} {
		var lines []string
		if test.token != "" {
			lines = []string{test.token}
		}
		call := endpoint{"POST", "/", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + test.tool + `"}}`}
		status, challenge, body := f.ask(t, call, lines...)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: got %d %s; want %d %q", name, status, body, test.status, test.want)
		}
		if (challenge != "") != (status == 401 || status == 403) {
			t.Errorf("%s: got the challenge %q", name, challenge)
		}
	}
}
