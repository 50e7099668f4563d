package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

var (
	oldSecret = []byte("an old secret of more than 32 bytes")
	newSecret = []byte("a new secret, of more than 32 bytes")
)

// sealing is a Guard with secrets.
func sealing(t *testing.T, resource string, onRefuse func(context.Context, *accesstoken.Error), secrets ...[]byte) *mcpauth.Guard {
	t.Helper()
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Resource, c.OnRefuse = resource, onRefuse })
	guard, err := mcpauth.New(v, &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: []string{"example.com"}, SealSecrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

func caller(t *testing.T, claims accesstokentest.Claims) context.Context {
	return accesstokentest.NewContext(t.Context(), claims)
}

// What a tool has sealed opens for the same caller, use and resource only, unaltered, and in time.
func TestASealIsForOneCallerAndUse(t *testing.T) {
	var heard []string
	guard := sealing(t, "https://mcp.example.com", func(ctx context.Context, refused *accesstoken.Error) {
		who, _ := accesstoken.FromContext(ctx)
		heard = append(heard, fmt.Sprint(refused.Reason, " ", who.Subject))
	}, oldSecret)
	alice := accesstokentest.Claims{"sub": "alice", "client_id": "app"}
	sealed, err := guard.Seal(caller(t, alice), "cart", []byte("cart 12"), time.Hour)
	if err != nil || strings.Contains(sealed, "cart") {
		t.Fatalf("got %q, %v; want something sealed", sealed, err)
	}
	if content, err := guard.Open(caller(t, alice), "cart", sealed); err != nil || string(content) != "cart 12" {
		t.Errorf("got %q, %v; want the content", content, err)
	}
	if again, _ := guard.Seal(caller(t, alice), "cart", []byte("cart 12"), time.Hour); again == sealed {
		t.Error("got the same text twice; want to hide that the content is the same")
	}
	other := func(name string, value any) context.Context {
		return caller(t, accesstokentest.Claims{"sub": "alice", "client_id": "app", name: value})
	}
	ended, err := guard.Seal(caller(t, alice), "cart", []byte("cart 12"), 0)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]error{}
	open := func(name string, g *mcpauth.Guard, ctx context.Context, use, sealed string) {
		_, refused[name] = g.Open(ctx, use, sealed)
	}
	open("another user", guard, other("sub", "bob"), "cart", sealed)
	open("another client", guard, other("client_id", "other"), "cart", sealed)
	open("another issuer", guard, other("iss", "https://other.example.com"), "cart", sealed)
	open("another use", guard, caller(t, alice), "order", sealed)
	open("late", guard, caller(t, alice), "cart", ended)
	for n, change := range map[int]string{0: "A", len(sealed) / 2: "B", len(sealed) - 2: "C"} {
		if sealed[n:n+1] == change {
			change = "D"
		}
		open(fmt.Sprint("altered at ", n), guard, caller(t, alice), "cart", sealed[:n]+change+sealed[n+1:])
	}
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if text := sealed[:len(sealed)-1] + string(last); text != sealed {
			open("the last letter is "+string(last), guard, caller(t, alice), "cart", text)
		}
	}
	open("cut", guard, caller(t, alice), "cart", sealed[:10])
	open("nothing", guard, caller(t, alice), "cart", "")
	open("no base64url", guard, caller(t, alice), "cart", sealed+"=")
	for name, err := range refused {
		var said *accesstoken.Error
		if !errors.As(err, &said) || said.Reason != accesstoken.PolicyDenied || said.HTTPStatus() != 403 {
			t.Errorf("%s: got %v; want PolicyDenied", name, err)
		}
	}
	if len(heard) != len(refused) || heard[0] != "POLICY_DENIED bob" {
		t.Errorf("OnRefuse heard %q; want each of %d with its caller", heard, len(refused))
	}
	if _, err := sealing(t, "https://other.example.com", nil, oldSecret).Open(caller(t, alice), "cart", sealed); !errors.Is(err, accesstoken.PolicyDenied) {
		t.Errorf("another resource with the same secret: got %v; want PolicyDenied", err)
	}
}

// The names of users and clients cannot be cut in another way.
func TestASealIsUnambiguous(t *testing.T) {
	guard := sealing(t, "https://mcp.example.com", nil, oldSecret)
	sealed, err := guard.Seal(caller(t, accesstokentest.Claims{"sub": `a","b`, "client_id": "c"}), "use", nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guard.Open(caller(t, accesstokentest.Claims{"sub": "a", "client_id": `b","c`}), "use", sealed); !errors.Is(err, accesstoken.PolicyDenied) {
		t.Errorf("got %v; want PolicyDenied", err)
	}
}

// The first secret seals, and all open.
func TestSecretsAreReplacedOneByOne(t *testing.T) {
	const resource = "https://mcp.example.com"
	before, during, after := sealing(t, resource, nil, oldSecret), sealing(t, resource, nil, newSecret, oldSecret), sealing(t, resource, nil, newSecret)
	alice := caller(t, accesstokentest.Claims{"sub": "alice"})
	for name, test := range map[string]struct {
		by, to *mcpauth.Guard
		opens  bool
	}{
		"old, opened by both": {before, during, true}, "old, opened by new": {before, after, false},
		"both, opened by new": {during, after, true}, "both, opened by old": {during, before, false},
	} {
		sealed, err := test.by.Seal(alice, "use", []byte("x"), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := test.to.Open(alice, "use", sealed); (err == nil) != test.opens {
			t.Errorf("%s: got %v; want it opened: %v", name, err, test.opens)
		}
	}
}

func TestSealFaults(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	for want, secrets := range map[string][][]byte{
		"SealSecrets is set but empty":                      {},
		"SealSecrets[1] has 31 bytes; expected at least 32": {oldSecret, oldSecret[:31]},
		"SealSecrets[1] is there twice":                     {oldSecret, oldSecret},
	} {
		_, err := mcpauth.New(v, &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: []string{"h"}, SealSecrets: secrets})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
	alice := caller(t, accesstokentest.Claims{"sub": "alice"})
	without, with := sealing(t, "https://mcp.example.com", nil), sealing(t, "https://mcp.example.com", nil, oldSecret)
	_, err1 := without.Seal(alice, "use", nil, time.Hour)
	_, err2 := without.Open(alice, "use", "")
	_, err3 := with.Seal(t.Context(), "use", nil, time.Hour)
	_, err4 := with.Open(t.Context(), "use", "")
	if err1 == nil || err2 == nil || err3 == nil || err4 == nil {
		t.Errorf("without secrets or a caller: got %v, %v, %v, %v; want errors", err1, err2, err3, err4)
	}
}

// asker is a server whose tools, prompts and resources ask for something first. They say what
// state they find.
func asker(elsewhere *atomic.Pointer[string]) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "asker", Version: "1"}, nil)
	ask := mcp.InputRequestMap{}
	step := "step 1"
	for _, name := range []string{"deploy", "destroy"} {
		mcp.AddTool(server, &mcp.Tool{Name: name}, func(_ context.Context, r *mcp.CallToolRequest, _ map[string]any) (*mcp.CallToolResult, any, error) {
			if r.Params.RequestState == "" {
				return &mcp.CallToolResult{InputRequests: ask, RequestState: step}, nil, nil
			}
			elsewhere.Store(&r.Params.RequestState)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "found " + r.Params.RequestState}}}, nil, nil
		})
	}
	server.AddPrompt(&mcp.Prompt{Name: "deploy"}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		if r.Params.RequestState == "" {
			return &mcp.GetPromptResult{InputRequests: ask, RequestState: step}, nil
		}
		return &mcp.GetPromptResult{Description: "found " + r.Params.RequestState}, nil
	})
	server.AddResource(&mcp.Resource{Name: "r", URI: "file:///r"}, func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		if r.Params.RequestState == "" {
			return &mcp.ReadResourceResult{InputRequests: ask, RequestState: step}, nil
		}
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "found " + r.Params.RequestState}}}, nil
	})
	return server
}

// A client gets each state sealed, and the handler finds what it has written. Nobody else can
// send it, nor with another request.
func TestAStateComesBackToItsRequest(t *testing.T) {
	var found atomic.Pointer[string]
	var heard atomic.Int32
	v := validator(t, func(c *accesstoken.Config) {
		c.OnRefuse = func(ctx context.Context, refused *accesstoken.Error) {
			if _, ok := accesstoken.FromContext(ctx); ok && refused.Reason == accesstoken.PolicyDenied {
				heard.Add(1)
			}
		}
	})
	p := openServer(t, "stateless", asker(&found), v, func(o *mcpauth.Options) {
		o.Tools, o.SealSecrets = nil, [][]byte{newSecret, oldSecret}
	})
	connect := func(claims accesstokentest.Claims) *mcp.ClientSession {
		s := &sender{base: p.Client().Transport}
		text := as.Token(claims)
		s.token.Store(&text)
		return p.connectClient(t, "stateless", s, mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, &mcp.ClientOptions{MultiRoundTrip: &mcp.MultiRoundTripOptions{Disabled: true}}))
	}
	alice := connect(accesstokentest.Claims{"sub": "alice", "client_id": "app", "scope": "mcp"})
	deploy := func(session *mcp.ClientSession, tool, state string, arguments any) (string, string, error) {
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments, RequestState: state})
		if err != nil {
			return "", "", err
		}
		text := ""
		for _, content := range result.Content {
			text += content.(*mcp.TextContent).Text
		}
		return result.RequestState, text, nil
	}
	big := map[string]any{"env": "test", "n": int64(9007199254740993)}
	state, _, err := deploy(alice, "deploy", "", big)
	if err != nil || state == "" || strings.Contains(state, "step") {
		t.Fatalf("got %q, %v; want a sealed state", state, err)
	}
	if _, text, err := deploy(alice, "deploy", state, big); err != nil || text != "found step 1" {
		t.Errorf("got %q, %v; want the state found", text, err)
	}
	plain, _, err := deploy(alice, "deploy", "", map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	heard.Store(0)
	refused := 0
	for name, attempt := range map[string]func() error{
		"another user": func() error {
			_, _, err := deploy(connect(accesstokentest.Claims{"sub": "bob", "client_id": "app", "scope": "mcp"}), "deploy", state, big)
			return err
		},
		"another client": func() error {
			_, _, err := deploy(connect(accesstokentest.Claims{"sub": "alice", "client_id": "other", "scope": "mcp"}), "deploy", state, big)
			return err
		},
		"other arguments": func() error {
			_, _, err := deploy(alice, "deploy", state, map[string]any{"env": "prod", "n": int64(9007199254740993)})
			return err
		},
		"a number that is almost the same": func() error {
			_, _, err := deploy(alice, "deploy", state, map[string]any{"env": "test", "n": int64(9007199254740992)})
			return err
		},
		"another tool": func() error {
			_, _, err := deploy(alice, "destroy", state, big)
			return err
		},
		"altered": func() error {
			_, _, err := deploy(alice, "deploy", "A"+state, big)
			return err
		},
		"invented": func() error {
			_, _, err := deploy(alice, "deploy", "step 1", big)
			return err
		},
		"a prompt": func() error {
			_, err := alice.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "deploy", RequestState: plain})
			return err
		},
	} {
		found.Store(nil)
		refused++
		if err := attempt(); err == nil || found.Load() != nil {
			t.Errorf("%s: got %v; want a refusal before the tool", name, err)
		}
	}
	if int(heard.Load()) != refused {
		t.Errorf("OnRefuse heard of %d denied callers; want %d", heard.Load(), refused)
	}
	// The refusal is a 403 without a challenge, before the SDK sees the request.
	response, body := p.post(t, token("alice", "mcp"), "", "", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"deploy","requestState":"`+state+`"}}`)
	if response.StatusCode != 403 || response.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("got %d %q %s; want 403 without a challenge", response.StatusCode, response.Header, body)
	}
}

func TestAStateOfPromptsAndResources(t *testing.T) {
	p := openServer(t, "stateless", asker(new(atomic.Pointer[string])), validator(t, nil), func(o *mcpauth.Options) {
		o.SealSecrets = [][]byte{oldSecret}
	})
	s := &sender{base: p.Client().Transport}
	s.token.Store(token("alice", "mcp"))
	// This client makes the request again by itself.
	session := p.connect(t, "stateless", s)
	prompt, err := session.GetPrompt(t.Context(), &mcp.GetPromptParams{Name: "deploy", Arguments: map[string]string{"b": "2", "a": "1"}})
	if err != nil || prompt.Description != "found step 1" {
		t.Errorf("a prompt: got %+v, %v; want the state found", prompt, err)
	}
	read, err := session.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "file:///r"})
	if err != nil || read.Contents[0].Text != "found step 1" {
		t.Errorf("a resource: got %+v, %v; want the state found", read, err)
	}
}

// A state lasts for half an hour.
func TestAStateEnds(t *testing.T) {
	guard := sealing(t, "https://mcp.example.com", nil, oldSecret)
	claims, _ := accesstoken.FromContext(caller(t, accesstokentest.Claims{"sub": "alice"}))
	handler := guard.Receive(func(_ context.Context, _ string, request mcp.Request) (mcp.Result, error) {
		return &mcp.CallToolResult{RequestState: "step after " + request.(*mcp.CallToolRequest).Params.RequestState}, nil
	})
	synctest.Test(t, func(t *testing.T) {
		call := func(state string, extra *mcp.RequestExtra) (string, error) {
			result, err := handler(t.Context(), "tools/call", &mcp.CallToolRequest{Params: &mcp.CallToolParamsRaw{Name: "deploy", RequestState: state}, Extra: extra})
			if err != nil {
				return "", err
			}
			return result.(*mcp.CallToolResult).RequestState, nil
		}
		alice := &mcp.RequestExtra{TokenInfo: &auth.TokenInfo{Extra: map[string]any{"accesstoken": claims}}}
		state, err := call("", alice)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30*time.Minute - 2*time.Second)
		if _, err := call(state, alice); err != nil {
			t.Errorf("in time: got %v; want it opened", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := call(state, alice); !errors.Is(err, accesstoken.PolicyDenied) {
			t.Errorf("late: got %v; want PolicyDenied", err)
		}
		if got, err := call("", nil); err == nil {
			t.Errorf("a caller that is not known: got %q; want no state", got)
		}
		if _, err := call(state, nil); err == nil {
			t.Error("a caller that is not known, with a state: got no error")
		}
	})
}
