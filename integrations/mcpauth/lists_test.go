package mcpauth_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// shelf is a server with three of each kind, whose pages have one item.
func shelf() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "shelf", Version: "1"}, &mcp.ServerOptions{PageSize: 1})
	for _, name := range []string{"free", "secret", "unlisted"} {
		server.AddPrompt(&mcp.Prompt{Name: name}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{}, nil
		})
		read := func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "text"}}}, nil
		}
		server.AddResource(&mcp.Resource{Name: name, URI: "file:///" + name}, read)
		server.AddResourceTemplate(&mcp.ResourceTemplate{Name: name, URITemplate: "file:///" + name + "/{x}"}, read)
	}
	return server
}

// ruled are rules for two of each kind, with the scopes that the second needs. The tools of
// open are whoami, delete and unlisted.
func ruled(o *mcpauth.Options) {
	none, some := accesstoken.Policy{Scopes: scopes.None()}, accesstoken.Policy{Scopes: scopes.All("more")}
	o.Tools = map[string]accesstoken.Policy{"whoami": none, "delete": {Scopes: scopes.None(), ACR: []string{"mfa"}}}
	o.Prompts = map[string]accesstoken.Policy{"free": none, "secret": some}
	o.Resources = map[string]accesstoken.Policy{
		"file:///free": none, "file:///secret": some, "file:///free/{x}": none, "file:///secret/{x}": some,
	}
}

func hidden(o *mcpauth.Options) {
	ruled(o)
	o.HideRefused = true
}

// lists are the names on all pages of all lists.
func lists(t *testing.T, session *mcp.ClientSession) string {
	t.Helper()
	var names [4][]string
	add := func(list int, name string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		names[list] = append(names[list], name)
	}
	for tool, err := range session.Tools(t.Context(), nil) {
		add(0, tool.Name, err)
	}
	for prompt, err := range session.Prompts(t.Context(), nil) {
		add(1, prompt.Name, err)
	}
	for resource, err := range session.Resources(t.Context(), nil) {
		add(2, resource.Name, err)
	}
	for template, err := range session.ResourceTemplates(t.Context(), nil) {
		add(3, template.Name, err)
	}
	return fmt.Sprint(names)
}

func TestAListShowsWhatTheCallerMayUse(t *testing.T) {
	const all = "[[delete unlisted whoami] [free secret unlisted] [free secret unlisted] [free secret unlisted]]"
	const free = "[[whoami] [free] [free] [free]]"
	for name, test := range map[string]struct {
		over   string
		change func(*mcpauth.Options)
		scope  string
		want   string
	}{
		"all, by default":            {"stateless", ruled, "mcp", all},
		"what has no rule, for none": {"stateless", func(o *mcpauth.Options) { o.Tools, o.HideRefused = nil, true }, "mcp", all},
		"without the scope":          {"stateless", hidden, "mcp", free},
		"without it, in a session":   {"stateful", hidden, "mcp", free},
		"with the scope":             {"stateless", hidden, "mcp more", "[[whoami] [free secret] [free secret] [free secret]]"},
		"no caller is known":         {"SSE", hidden, "mcp more", "[[] [] [] []]"},
		"no caller and no rules":     {"SSE", func(o *mcpauth.Options) { o.Tools, o.HideRefused = nil, true }, "mcp", all},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := openServer(t, test.over, shelf(), validator(t, nil), test.change), new(sender)
			s.token.Store(token("alice", test.scope))
			if got := lists(t, p.connect(t, test.over, s)); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
		})
	}
}

// A token with more scopes shows more, in the same session, and one with fewer less.
func TestAListIsThatOfTheToken(t *testing.T) {
	p, s := openServer(t, "stateful", shelf(), validator(t, nil), hidden), new(sender)
	s.token.Store(token("alice", "mcp more"))
	session := p.connect(t, "stateful", s)
	first := lists(t, session)
	s.token.Store(token("alice", "mcp"))
	if second := lists(t, session); second == first || strings.Contains(second, "secret") {
		t.Errorf("got %s, then %s; want the second without the secrets", first, second)
	}
}

// Nothing of what is hidden is in the answer: no name, no cursor, which has a name, and no sign
// that another caller may have the answer. OnRefuse and the log hear of no refusal.
func TestAHiddenListTellsNothing(t *testing.T) {
	var heard atomic.Int32
	logged := new(bytes.Buffer)
	v := validator(t, func(c *accesstoken.Config) {
		c.OnRefuse = func(context.Context, *accesstoken.Error) { heard.Add(1) }
		c.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	p := openServer(t, "stateless", shelf(), v, hidden)
	logged.Reset()
	for method, item := range map[string]string{"tools/list": "whoami", "prompts/list": "free", "resources/list": "free", "resources/templates/list": "free"} {
		for _, params := range []string{`{}`, `null`} {
			response, body := p.post(t, token("alice", "mcp"), "", "", `{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":`+params+`}`)
			for _, secret := range []string{"secret", "delete", "unlisted", "nextCursor", "public"} {
				if strings.Contains(body, secret) {
					t.Errorf("%s %s: got %q in %s", method, params, secret, body)
				}
			}
			if response.StatusCode != 200 || !strings.Contains(body, item) || !strings.Contains(body, `"cacheScope":"private"`) {
				t.Errorf("%s %s: got %d %s; want %s, private", method, params, response.StatusCode, body, item)
			}
		}
	}
	if heard.Load() != 0 || logged.Len() != 0 {
		t.Errorf("got %d refusals, and in the log %s; want neither", heard.Load(), logged)
	}
	// The call itself is a refusal.
	if response, _ := p.post(t, token("alice", "mcp"), "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"}}`); response.StatusCode != 401 || heard.Load() != 1 {
		t.Errorf("the hidden tool: got %d, and %d refusals; want 401 and 1", response.StatusCode, heard.Load())
	}
}

// A change of what is hidden is told without a name, and the new list is as short.
func TestAChangeOfTheListTellsNoName(t *testing.T) {
	server := shelf()
	p, s := openServer(t, "stateful", server, validator(t, nil), hidden), new(sender)
	s.base = p.Client().Transport
	s.token.Store(token("alice", "mcp"))
	told := make(chan *mcp.ToolListChangedParams, 10)
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, &mcp.ClientOptions{
		ToolListChangedHandler: func(_ context.Context, r *mcp.ToolListChangedRequest) { told <- r.Params },
	})
	session := p.connectClient(t, "stateful", s, client)
	before := lists(t, session)
	mcp.AddTool(server, &mcp.Tool{Name: "later"}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
		return nil, nil, errors.New("not called")
	})
	if params := <-told; params != nil && strings.Contains(fmt.Sprintf("%+v", *params), "later") {
		t.Errorf("got %+v; want no name", *params)
	}
	if after := lists(t, session); after != before {
		t.Errorf("got %s, then %s; want the same", before, after)
	}
}

// What a resource says is for who may read it.
func TestWhatAResourceSaysIsPrivate(t *testing.T) {
	p := openServer(t, "stateless", shelf(), validator(t, nil), ruled)
	_, body := p.post(t, token("alice", "mcp more"), "", "", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///secret"}}`)
	if !strings.Contains(body, `"cacheScope":"private"`) || !strings.Contains(body, `"text":"text"`) {
		t.Errorf("got %s; want the text, private", body)
	}
}
