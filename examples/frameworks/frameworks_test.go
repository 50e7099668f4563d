package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/gin-gonic/gin"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/middleware"
)

// as is one authorization server for all tests, because its keys take a while to make.
var as *accesstokentest.Server

func TestMain(m *testing.M) {
	gin.SetMode(gin.TestMode)
	var err error
	if as, err = accesstokentest.Start(); err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	m.Run()
}

func newValidator(t *testing.T) *accesstoken.Validator {
	t.Helper()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// serveHTTP serves over TLS and HTTP/2, which gRPC needs, until the test ends.
func serveHTTP(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// serveFiber serves with Fiber's own server.
func serveFiber(t *testing.T, app *fiber.App) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- app.Listener(l, fiber.ListenConfig{DisableStartupMessage: true}) }()
	t.Cleanup(func() {
		if err := errors.Join(app.Shutdown(), <-served); err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// A front is a running framework with the endpoints under test.
type front struct {
	name   string
	client *http.Client
	url    string
	hello  endpoint // requires a token
	secret endpoint // requires a scope too
	scope  string
}

type endpoint struct{ method, path, body string }

func fronts(t *testing.T) (all []front) {
	t.Helper()
	get := front{hello: endpoint{"GET", "/hello", ""}, secret: endpoint{"GET", "/secret", ""}, scope: "secret:read"}
	call := front{hello: endpoint{"POST", helloProcedure, "{}"}, secret: endpoint{"POST", secretProcedure, "{}"}, scope: "secret:read"}
	query := endpoint{"POST", "/graphql", `{"query":"{ hello }"}`}
	asked := map[string]front{"chi": get, "gin": get, "connect": call, "graphql": {hello: query, secret: query, scope: "graphql"}}
	for name, on := range frameworks {
		server := serveHTTP(t, on(newValidator(t)))
		f := asked[name]
		f.name, f.url, f.client = name, server.URL, server.Client()
		all = append(all, f)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	get.name, get.url, get.client = "fiber", serveFiber(t, onFiber(newValidator(t))), &http.Client{Transport: transport}
	return append(all, get)
}

// ask sends a request with any number of Authorization fields.
func (f front) ask(t *testing.T, e endpoint, lines ...string) (status int, challenge, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), e.method, f.url+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header["Authorization"] = lines
	r.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.Join(response.Header.Values("WWW-Authenticate"), "\n"), string(content)
}

func bearer(claims accesstokentest.Claims) string { return "Bearer " + as.Token(claims) }

// Callers get the same answers from every framework.
func TestEveryFrameworkAnswersAlike(t *testing.T) {
	const realm = `Bearer realm="https://api.example.com"`
	for _, f := range fronts(t) {
		t.Run(f.name, func(t *testing.T) {
			good := bearer(accesstokentest.Claims{"scope": f.scope})
			for _, test := range []struct {
				name      string
				endpoint  endpoint
				lines     []string
				status    int
				challenge string
			}{
				{"no token", f.hello, nil, 401, realm},
				{"no token where a scope is demanded", f.secret, nil, 401, realm},
				{"expired", f.hello, []string{bearer(accesstokentest.Claims{"scope": f.scope, "exp": time.Now().Add(-time.Hour).Unix()})}, 401,
					realm + `, error="invalid_token", error_description="the access token expired"`},
				{"two Authorization lines", f.hello, []string{good, good}, 400,
					realm + `, error="invalid_request", error_description="the request has more than one credential"`},
				{"another scope", f.secret, []string{bearer(accesstokentest.Claims{"scope": "other"})}, 403,
					realm + `, error="insufficient_scope", error_description="the access token lacks a required scope", scope="` + f.scope + `"`},
				{"a good token", f.hello, []string{good}, 200, ""},
				{"a good token with the scope", f.secret, []string{good}, 200, ""},
			} {
				status, challenge, body := f.ask(t, test.endpoint, test.lines...)
				if status != test.status || !strings.HasPrefix(challenge, test.challenge) || test.challenge == "" && challenge != "" {
					t.Errorf("%s: got %d, %s; want %d, %s", test.name, status, challenge, test.status, test.challenge)
				}
				if got, want := strings.Contains(body, "hello alice"), test.status == 200; got != want {
					t.Errorf("%s: the handler was called: got %v; want %v\n%s", test.name, got, want, body)
				}
			}
		})
	}
}

// Fiber reuses the memory of a request. Values that were read from it must not change.
func TestFiberKeepsCallersApart(t *testing.T) {
	kept := make(chan string, 2)
	app := fiber.New()
	app.Get("/hello", func(c fiber.Ctx) error {
		kept <- authorization(c).Header.Get("Authorization")
		return nil
	})
	transport := &http.Transport{MaxConnsPerHost: 1} // Fiber reuses memory per connection
	t.Cleanup(transport.CloseIdleConnections)
	f := front{url: serveFiber(t, app), client: &http.Client{Transport: transport}}
	for _, line := range []string{"Bearer alice", "Bearer bobby"} {
		f.ask(t, endpoint{"GET", "/hello", ""}, line)
	}
	for _, want := range []string{"Bearer alice", "Bearer bobby"} {
		if got := <-kept; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// The comment on fiberCheck says why it is needed. If this test fails because the
// claims arrive and two fields are refused, fiberCheck can be removed.
func TestFibersAdaptorLosesClaimsAndLines(t *testing.T) {
	found := make(chan bool, 2)
	app := fiber.New()
	app.Use(adaptor.HTTPMiddleware(middleware.New(newValidator(t), nil).Wrap))
	app.Get("/hello", func(c fiber.Ctx) error {
		_, inContext := accesstoken.FromContext(c.Context())
		_, inRequest := accesstoken.FromContext(c.RequestCtx())
		found <- inContext || inRequest
		return nil
	})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f := front{url: serveFiber(t, app), client: &http.Client{Transport: transport}}
	if status, _, _ := f.ask(t, endpoint{"GET", "/hello", ""}); status != 401 {
		t.Errorf("no token: got %d; want 401", status)
	}
	if status, _, _ := f.ask(t, endpoint{"GET", "/hello", ""}, bearer(nil)); status != 200 {
		t.Fatalf("a good token: got %d; want 200", status)
	}
	if status, _, _ := f.ask(t, endpoint{"GET", "/hello", ""}, bearer(nil), bearer(nil)); status != 200 {
		t.Errorf("two tokens: got %d; want 200", status)
	}
	if <-found {
		t.Error("the claims arrived")
	}
}

// withToken is a client of Connect that sends a token with each call.
type withToken struct {
	client *http.Client
	line   string
}

func (c withToken) Do(r *http.Request) (*http.Response, error) {
	if c.line != "" {
		r.Header.Set("Authorization", c.line)
	}
	return c.client.Do(r)
}

// The error codes that a Connect client sees for the refusals, over each protocol.
func TestConnectClientsSeeCodes(t *testing.T) {
	server := serveHTTP(t, onConnect(newValidator(t)))
	protocols := map[string][]connect.ClientOption{
		"Connect": nil, "gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()},
	}
	tests := []struct {
		name, line string
		want       connect.Code // zero if the call succeeds
	}{
		{"no token", "", connect.CodeUnauthenticated},
		{"no token of ours", "Bearer a.b.c", connect.CodeUnauthenticated},
		{"another scope", bearer(accesstokentest.Claims{"scope": "other"}), connect.CodePermissionDenied},
		{"a good token", bearer(accesstokentest.Claims{"scope": "secret:read"}), 0},
	}
	for protocol, options := range protocols {
		for _, test := range tests {
			client := withToken{server.Client(), test.line}
			unary := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](client, server.URL+secretProcedure, options...)
			stream := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](client, server.URL+greetProcedure, options...)
			got, err := callUnary(t.Context(), unary)
			wantCode(t, protocol+", unary, "+test.name, got, err, test.want, "hello alice")
			got, err = callStream(t.Context(), stream)
			wantCode(t, protocol+", stream, "+test.name, got, err, test.want, "hello alice, good bye alice")
		}
	}
}

func callUnary(ctx context.Context, client *connect.Client[emptypb.Empty, wrapperspb.StringValue]) (string, error) {
	response, err := client.CallUnary(ctx, connect.NewRequest(&emptypb.Empty{}))
	if err != nil {
		return "", err
	}
	return response.Msg.Value, nil
}

func callStream(ctx context.Context, client *connect.Client[emptypb.Empty, wrapperspb.StringValue]) (string, error) {
	stream, err := client.CallServerStream(ctx, connect.NewRequest(&emptypb.Empty{}))
	if err != nil {
		return "", err
	}
	var got []string
	for stream.Receive() {
		got = append(got, stream.Msg().Value)
	}
	return strings.Join(got, ", "), errors.Join(stream.Err(), stream.Close())
}

func wantCode(t *testing.T, name, got string, err error, code connect.Code, want string) {
	t.Helper()
	switch {
	case code == 0 && (err != nil || got != want):
		t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
	case code != 0 && (err == nil || connect.CodeOf(err) != code || got != ""):
		t.Errorf("%s: got %q, %v; want %v", name, got, err, code)
	}
}

// Malformed credentials are a 400, and only unary Connect calls read the body.
func TestConnectClientsSeeMalformedCredentials(t *testing.T) {
	server := serveHTTP(t, onConnect(newValidator(t)))
	client := withToken{server.Client(), "Bearer two tokens"}
	_, err := callUnary(t.Context(), connect.NewClient[emptypb.Empty, wrapperspb.StringValue](client, server.URL+helloProcedure))
	wantCode(t, "unary", "", err, connect.CodeUnauthenticated, "")
	_, err = callStream(t.Context(), connect.NewClient[emptypb.Empty, wrapperspb.StringValue](client, server.URL+greetProcedure))
	wantCode(t, "stream", "", err, connect.CodeInternal, "")
}

// A unary Connect call also gets the text and the challenge.
func TestConnectClientsSeeTheChallenge(t *testing.T) {
	server := serveHTTP(t, onConnect(newValidator(t)))
	client := connect.NewClient[emptypb.Empty, wrapperspb.StringValue](server.Client(), server.URL+helloProcedure)
	_, err := callUnary(t.Context(), client)
	var refused *connect.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v; want an error of Connect", err)
	}
	if got, want := refused.Error(), "unauthenticated: an access token is required"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	if got, want := refused.Meta().Get("WWW-Authenticate"), `Bearer realm="https://api.example.com"`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// If one field is refused, the rest of the query is still answered.
func TestGraphQLRefusesAField(t *testing.T) {
	server := serveHTTP(t, onGraphQL(newValidator(t)))
	f := front{url: server.URL, client: server.Client()}
	both := endpoint{"POST", "/graphql", `{"query":"{ hello secret }"}`}
	for scope, want := range map[string]string{
		"graphql": `{"data":{"hello":"hello alice","secret":null},"errors":[{"extensions":{"reason":"SCOPE_INSUFFICIENT","scope":"secret:read"},` +
			`"message":"the access token lacks a required scope","path":["secret"]}]}`,
		"graphql secret:read": `{"data":{"hello":"hello alice","secret":"the secret of alice"}}`,
	} {
		status, _, body := f.ask(t, both, bearer(accesstokentest.Claims{"scope": scope}))
		if got := sorted(t, body); status != 200 || got != want {
			t.Errorf("%s: got %d, %s; want 200, %s", scope, status, got, want)
		}
	}
}

// sorted returns JSON with its members sorted by name.
func sorted(t *testing.T, document string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(document), &value); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
