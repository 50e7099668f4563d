package mcpauth_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// A refusal is a JSON-RPC error, with the id of the request if it was read.
func TestARefusalIsAJSONRPCError(t *testing.T) {
	p := open(t, "stateless", nil)
	const denied = `"error":{"code":403,"message":"access is denied"}}`
	const scope = `"error":{"code":403,"message":"the access token lacks a required scope"}}`
	call := func(id, name string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + name + `"}}`
	}
	good := token("alice", "mcp")
	for name, test := range map[string]struct {
		token        *string
		body, origin string
		want         string
	}{
		"no token":               {nil, whoami, "", `{"jsonrpc":"2.0","error":{"code":401,"message":"an access token is required"}}`},
		"a bad token":            {new(string), whoami, "", `{"jsonrpc":"2.0","error":{"code":400,`},
		"a page":                 {good, whoami, "https://evil.example", `{"jsonrpc":"2.0","error":{"code":403,`},
		"a scope of all":         {token("alice", "x"), whoami, "", `{"jsonrpc":"2.0",` + scope},
		"a number":               {good, call("7", "delete"), "", `{"jsonrpc":"2.0","id":7,` + scope},
		"a negative number":      {good, call("-7", "delete"), "", `{"jsonrpc":"2.0","id":-7,` + scope},
		"a string":               {good, call(`"<a>"`, "delete"), "", `{"jsonrpc":"2.0","id":"\u003ca\u003e",` + scope},
		"without a rule":         {good, call("7", "unlisted"), "", `{"jsonrpc":"2.0","id":7,` + denied},
		"no id":                  {good, strings.Replace(call("7", "delete"), `"id":7,`, "", 1), "", `{"jsonrpc":"2.0",` + scope},
		"null":                   {good, call("null", "delete"), "", `{"jsonrpc":"2.0",` + scope},
		"an object":              {good, call(`{"a":1}`, "delete"), "", `{"jsonrpc":"2.0",` + scope},
		"a long id":              {good, call(`"`+strings.Repeat("x", 255)+`"`, "delete"), "", `{"jsonrpc":"2.0",` + scope},
		"a batch":                {good, "[" + call("7", "delete") + "," + call("8", "delete") + "]", "", `{"jsonrpc":"2.0",` + scope},
		"not JSON":               {good, "x", "", `{"jsonrpc":"2.0","error":{"code":-32600,`},
		"too large":              {good, `"` + strings.Repeat("x", 1<<20) + `"`, "", `{"jsonrpc":"2.0","error":{"code":-32600,`},
		"a name that is no text": {good, call("7", `"}],"`), "", `{"jsonrpc":"2.0","error":{"code":-32600,`},
	} {
		t.Run(name, func(t *testing.T) {
			var fields []string
			if test.origin != "" {
				fields = []string{"Origin", test.origin}
			}
			response, body := p.post(t, test.token, "", "", test.body, fields...)
			if got := response.Header.Get("Content-Type"); got != "application/json" || !json.Valid([]byte(body)) || !strings.HasPrefix(body, test.want) {
				t.Errorf("got %d %s %s; want %s", response.StatusCode, got, body, test.want)
			}
		})
	}
}

// The SDK's client goes on after a refusal, and tells the program why.
func TestAClientOutlivesARefusal(t *testing.T) {
	for _, over := range []string{"stateless", "stateful"} {
		p, s := open(t, over, nil), new(sender)
		s.token.Store(token("alice", "mcp"))
		session := p.connect(t, over, s)
		for range 2 {
			if err := call(t, session, "delete"); err == nil || !strings.Contains(err.Error(), "the access token lacks a required scope") {
				t.Errorf("%s: got %v; want the reason", over, err)
			}
		}
		if err := call(t, session, "whoami"); err != nil {
			t.Errorf("%s: another call: got %v; want it done", over, err)
		}
	}
}

// The answer to a request of the server is no request, so a refusal does not repeat its id.
func TestARefusedResponseIsNotAnswered(t *testing.T) {
	p := open(t, "stateless", func(o *mcpauth.Options) {
		o.Methods = map[string]accesstoken.Policy{"": {Scopes: scopes.All("more")}}
	})
	response, body := p.post(t, token("alice", "mcp"), "", "", `{"jsonrpc":"2.0","id":7,"result":{}}`)
	if response.StatusCode != 403 || strings.Contains(body, `"id"`) {
		t.Errorf("got %d %s; want 403 without an id", response.StatusCode, body)
	}
}
