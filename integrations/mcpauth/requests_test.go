package mcpauth_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/scopes"
)

// A client that sends its body slowly must not call a tool after its token has ended, and
// cannot hold the request open for longer.
func TestABodyThatComesAfterTheTokenHasEnded(t *testing.T) {
	for late, want := range map[time.Duration]int{-time.Second: 200, time.Millisecond: 401, time.Second / 2: 401} {
		synctest.Test(t, func(t *testing.T) {
			v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
				testkit.Offline(as)(c)
				c.Leeway = -1 // none
			})
			guard := testkit.Must(mcpauth.New(v, &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.All("mcp")}, Hosts: []string{"example.com"}}))
			calls := 0
			handler := guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
			begun := time.Now()
			body, send := io.Pipe()
			go func() {
				_, _ = io.WriteString(send, whoami[:10])
				time.Sleep(time.Minute + late)
				_, _ = io.WriteString(send, whoami[10:])
				_ = send.Close()
			}()
			r, w := httptest.NewRequest("POST", "/", body), httptest.NewRecorder()
			r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "mcp", "iat": begun.Unix(), "exp": begun.Add(time.Minute).Unix()}))
			handler.ServeHTTP(w, r)
			if got := w.Header().Get("WWW-Authenticate"); w.Code != want || strings.Contains(got, `error="invalid_token"`) != (want == 401) || calls > 0 != (want == 200) {
				t.Errorf("%v after the end: got %d %q, %d calls; want %d", late, w.Code, got, calls, want)
			}
		})
	}
}

// The SDK must not judge the token by a clock of its own.
func TestTheSDKDoesNotJudgeTheToken(t *testing.T) {
	past := time.Now().Add(-48 * time.Hour)
	v := validator(t, func(c *accesstoken.Config) { c.Now = func() time.Time { return past } })
	p := openServer(t, "stateless", mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil), v, nil)
	old := as.Token(accesstokentest.Claims{"scope": "mcp", "iat": past.Unix(), "exp": past.Add(time.Hour).Unix()})
	if response, body := p.post(t, &old, "", "", whoami); response.StatusCode != 200 {
		t.Errorf("got %d %s; want 200, because the Validator accepts it", response.StatusCode, body)
	}
}

// No field that a tool sees has the token, or a proof for it.
func TestNoFieldHasTheToken(t *testing.T) {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	p := openServer(t, "stateless", server, validator(t, nil), func(o *mcpauth.Options) { o.Tools = nil })
	seen := make(chan http.Header, 1)
	server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			if extra := r.GetExtra(); method == "tools/call" && extra != nil {
				seen <- extra.Header.Clone()
			}
			return next(ctx, method, r)
		}
	})
	good := token("alice", "mcp")
	response, body := p.post(t, good, "", "", whoami, "DPoP", "canary", "Cookie", "CF_Authorization="+*good, "X-Forwarded-Access-Token", *good, "X-Kept", "kept")
	if response.StatusCode != 200 {
		t.Fatalf("got %d %s", response.StatusCode, body)
	}
	header := <-seen
	if text := fmt.Sprint(header); strings.Contains(text, *good) || strings.Contains(text, "canary") || header.Get("X-Kept") != "kept" {
		t.Errorf("a tool sees %s", text)
	}
}

// A short opaque token may be a part of other fields by chance, for example of Accept.
func TestAShortTokenLeavesOtherFieldsAlone(t *testing.T) {
	introspecting := testkit.Must(introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	}))
	v := validator(t, func(c *accesstoken.Config) { c.Issuers[0].Introspection = introspecting })
	as.Remember("json", as.Claims(accesstokentest.Claims{"scope": "mcp"}))
	short := "json"
	p := openServer(t, "stateless", mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil), v, nil)
	if response, body := p.post(t, &short, "", "", whoami); response.StatusCode != 200 {
		t.Errorf("got %d %s; want 200", response.StatusCode, body)
	}
}

// Responses say what they depend on, as those of package middleware do.
func TestWhatAResponseDependsOn(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.TokenField = "X-Token" })
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	p := openServer(t, "stateless", server, v, nil)
	for name, text := range map[string]string{"accepted": *token("alice", "mcp"), "refused": "junk"} {
		response, _ := p.post(t, nil, "", "", whoami, "X-Token", text)
		if got := response.Header.Values("Vary"); !strings.Contains(strings.Join(got, ","), "X-Token") {
			t.Errorf("%s: got Vary %q; want X-Token", name, got)
		}
	}
	v = testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Authenticate = func(ctx context.Context, r *http.Request) (accesstoken.Identity, error) {
			return accesstoken.Identity{Issuer: "api-keys", Subject: "s", Scopes: scopes.Parse("mcp"), Expiry: time.Now().Add(time.Hour)}, nil
		}
	})
	guard := testkit.Must(mcpauth.New(v, &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: []string{"example.com"}}))
	w := httptest.NewRecorder()
	guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if got := w.Header().Get("Cache-Control"); w.Code != 200 || got != "private" {
		t.Errorf("a caller without a token: got %d, Cache-Control %q; want private", w.Code, got)
	}
}
