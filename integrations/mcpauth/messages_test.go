package mcpauth_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// Arguments belong to the tool: they may be deep and long, and are not taken for the names of
// operations.
func TestArgumentsMayBeDeepAndLong(t *testing.T) {
	p, good := open(t, "stateless", nil), token("alice", "mcp")
	members := make([]string, 300)
	for n := range members {
		members[n] = fmt.Sprintf(`"m%d":%d`, n, n)
	}
	for name, arguments := range map[string]string{
		"nested": strings.Repeat(`{"a":`, 100) + `1` + strings.Repeat(`}`, 100),
		"a list": `{"a":[0` + strings.Repeat(`,0.5`, 5000) + `]}`,
		"many":   "{" + strings.Join(members, ",") + "}",
	} {
		for how, body := range map[string]string{
			"alone":   `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","_meta":` + arguments + `,"arguments":{}}}`,
			"a batch": `[{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","_meta":` + arguments + `,"arguments":{}}}]`,
		} {
			response, text := p.post(t, good, "", "", body)
			if told := p.told(); response.StatusCode != 200 || len(told) != 1 {
				t.Errorf("%s, %s: got %d %.200s; want 200, and a call", name, how, response.StatusCode, text)
			}
		}
	}
	response, _ := p.post(t, good, "", "", `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","arguments":`+strings.Repeat(`{"a":`, 30)+`{"b":1,"b":2}`+strings.Repeat(`}`, 30)+`}}`)
	if response.StatusCode != 400 || len(p.told()) != 0 {
		t.Errorf("a member twice, deep inside: got %d; want 400", response.StatusCode)
	}
}

// What a body costs grows with its size only, however often it names the same operation.
func TestABodyThatNamesAnOperationOftenIsCheap(t *testing.T) {
	p := open(t, "stateless", func(o *mcpauth.Options) {
		o.Resources = map[string]accesstoken.Policy{"a": {Scopes: scopes.All("other"), ACR: []string{"mfa"}}}
	})
	listen := `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["a"` + strings.Repeat(`,"a"`, 200_000) + `]}}}`
	begun := time.Now()
	response, _ := p.post(t, token("alice", "mcp"), "", "", listen)
	if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != 403 || !strings.Contains(got, `scope="mcp other"`) {
		t.Errorf("got %d %q; want 403", response.StatusCode, got)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	for messages, want := range map[int]int{100: 200, 101: 413} {
		batch := strings.Repeat(`,{"jsonrpc":"2.0","id":1,"method":"ping"}`, messages)[1:]
		if response, body := p.post(t, token("alice", "mcp"), "", "", "["+batch+"]"); response.StatusCode != want {
			t.Errorf("%d messages: got %d %.200s; want %d", messages, response.StatusCode, body, want)
		}
	}
}

// A rule for a method whose operations have rules of their own would never be looked at.
func TestMethodsCannotHaveWhatOtherRulesDecide(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	for _, method := range []string{"tools/call", "prompts/get", "resources/read", "resources/subscribe", "resources/unsubscribe"} {
		_, err := mcpauth.New(v, &mcpauth.Options{
			Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: []string{"example.com"},
			Methods: map[string]accesstoken.Policy{method: {Scopes: scopes.All("admin")}},
		})
		if err == nil || !strings.Contains(err.Error(), `Methods["`+method+`"]`) {
			t.Errorf("%s: got %v; want a fault", method, err)
		}
	}
}
