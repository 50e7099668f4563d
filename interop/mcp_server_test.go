//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/rs/cors"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// An mcpServer is an MCP server of the Go SDK behind a Guard, and the authorization
// server for its clients. It has two tools, which answer who calls them with which
// scopes: look, for the scope read, and change, which needs the scope write too.
type mcpServer struct {
	as        *server
	url       string // of the endpoint, and the identifier of the server
	validator *accesstoken.Validator
	log       requestLog
	before    int // the lines in the log of as that are not of clients

	preflights []string // of the web page
}

// An mcpSetup says how both are set up.
type mcpSetup struct {
	registration string // of the authorization server: its setting
	stateless    bool   // as the Go SDK requires for revision 2026-07-28
	page         string // the origin of a web page that is a client
}

// startMCP starts both.
func startMCP(t *testing.T, setup mcpSetup) *mcpServer {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	host := web.Listener.Addr().String()
	m := &mcpServer{url: "http://" + host + "/mcp"}
	m.as = startOIDCProviderWith(t, map[string]any{
		"keys": []any{}, "resources": []string{m.url}, "registration": setup.registration, "page": setup.page, "log": true,
	})
	var err error
	m.validator, err = accesstoken.NewValidator(accesstoken.Config{
		Resource: m.url,
		Issuers:  []accesstoken.Issuer{{URL: m.as.issuer}},
		Metadata: &resourcemetadata.Metadata{Scopes: []string{"read", "write"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.validator.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.validator.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.before = len(m.accessLog(t))
	web.Config.Handler = m.log.wrap(m.handler(t, host, setup))
	web.Start()
	t.Cleanup(func() {
		web.CloseClientConnections() // the streams of clients that are gone
		web.Close()
	})
	return m
}

// handler is the MCP server as docs/mcp.md has it.
func (m *mcpServer) handler(t *testing.T, host string, setup mcpSetup) http.Handler {
	t.Helper()
	options := mcpauth.Options{
		Policy: accesstoken.Policy{Scopes: scopes.All("read")},
		Tools: map[string]accesstoken.Policy{
			"look":   {Scopes: scopes.None()},
			"change": {Scopes: scopes.All("write")},
		},
		Hosts: []string{host},
	}
	if setup.page != "" {
		options.Origins = []string{setup.page}
	}
	guard, err := mcpauth.New(m.validator, &options)
	if err != nil {
		t.Fatal(err)
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "interop", Version: "1"}, nil)
	server.AddReceivingMiddleware(guard.Receive)
	for _, name := range []string{"look", "change"} {
		mcp.AddTool(server, &mcp.Tool{Name: name, Description: name}, whoCalls)
	}
	handler := guard.Wrap(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: setup.stateless}))
	if setup.page != "" {
		handler = crossOrigin(setup.page).Handler(handler)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", handler)
	mux.Handle(resourcemetadata.Pattern(m.validator), resourcemetadata.Handler(m.validator))
	return mux
}

// crossOrigin lets the scripts of a web page use an MCP server.
func crossOrigin(origin string) *cors.Cors {
	return cors.New(cors.Options{
		AllowedOrigins: []string{origin},
		AllowedMethods: []string{"GET", "POST", "DELETE"},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Last-Event-ID", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Mcp-Session-Id"},
		ExposedHeaders: []string{"Mcp-Session-Id", "WWW-Authenticate"},
	})
}

// whoCalls answers with the caller.
func whoCalls(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok {
		return nil, nil, errors.New("no caller")
	}
	answer := claims.Subject + " " + strings.Join(knownScopes(claims.Scopes().String()), " ")
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: answer}}}, nil, nil
}

// A logged request is one line of a log. Its operation is the JSON-RPC method and the name
// of the tool, or what a preflight asks for.
type logged struct {
	method, path string
	operation    string
	revision     string // MCP-Protocol-Version
	status       int
}

// line is the part that all logs have.
func (l logged) line() string {
	return l.method + " " + l.path + " " + strconv.Itoa(l.status)
}

// A requestLog is the access log of our server, in the order in which requests came.
type requestLog struct {
	mu   sync.Mutex
	seen []*logged
}

func (l *requestLog) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		entry := &logged{method: r.Method, path: r.URL.Path, operation: operationOf(body), revision: r.Header.Get("Mcp-Protocol-Version")}
		if r.Method == http.MethodOptions {
			entry.operation = r.Header.Get("Access-Control-Request-Method") + " " + r.Header.Get("Access-Control-Request-Headers")
		}
		l.mu.Lock()
		l.seen = append(l.seen, entry)
		l.mu.Unlock()
		next.ServeHTTP(&statusWriter{ResponseWriter: w, write: func(status int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			entry.status = status
		}}, r)
	})
}

// taken returns what was logged since the last call.
func (l *requestLog) taken() (entries []logged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, entry := range l.seen {
		entries = append(entries, *entry)
	}
	l.seen = nil
	return entries
}

func operationOf(body []byte) string {
	var message struct {
		Method string
		Params struct{ Name string }
	}
	_ = json.Unmarshal(body, &message) // a body of another kind has no operation
	return strings.TrimSpace(message.Method + " " + message.Params.Name)
}

// A statusWriter reports the status of a response.
type statusWriter struct {
	http.ResponseWriter
	write func(status int)
	wrote bool
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.write(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// accessLog returns what the authorization server has logged about clients.
func (m *mcpServer) accessLog(t *testing.T) (entries []logged) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.as.issuer+"/log", nil)
	if err != nil {
		t.Fatal(err)
	}
	content, err := send(request, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		var entry logged
		if _, err := fmt.Sscan(line, &entry.method, &entry.path, &entry.status); err != nil {
			t.Fatalf("the log of the authorization server has the line %q", line)
		}
		entry.path = withoutID(entry.path)
		entries = append(entries, entry)
	}
	return entries[m.before:]
}

// withoutID returns the path without the id of an interaction, which is random.
func withoutID(path string) string {
	return regexp.MustCompile(`^/(auth|interaction|reg)/.+$`).ReplaceAllString(path, "/$1/…")
}

// A browser is the user's. At /open it opens a page of the authorization server, where
// alice is logged in and consents, and answers with the URL that she is sent back to.
type browser struct {
	url    string
	client *http.Client

	mu     sync.Mutex // for the rest
	seen   []logged
	opened [][]logged // the requests that each page led to
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{}
	b.client = &http.Client{Jar: jar, Transport: b, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*") // a web page opens a window instead
		callback, err := b.open(r.FormValue("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, callback)
	}))
	t.Cleanup(web.Close)
	b.url = web.URL + "/open"
	return b
}

// open follows the redirects of a page to the client.
func (b *browser) open(page string) (callback string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = nil
	defer func() { b.opened = append(b.opened, b.seen) }()
	response, err := b.client.Get(page)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	callback = response.Header.Get("Location")
	if !strings.HasPrefix(callback, redirectURI) {
		body, _ := io.ReadAll(response.Body)
		return "", fmt.Errorf("%s ends with %s and no redirect to the client: %s", page, response.Status, body)
	}
	return callback, nil
}

// RoundTrip makes the browser's requests, and remembers them. Of the first one, the
// operation is the scope that the client asks for, and the resource.
func (b *browser) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		operation := strings.TrimSpace(r.FormValue("scope") + " " + r.FormValue("resource"))
		b.seen = append(b.seen, logged{method: r.Method, path: withoutID(r.URL.Path), operation: operation, status: response.StatusCode})
	}
	return response, err
}

// taken returns the requests that the next page led to.
func (b *browser) taken() (seen []logged) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.opened) > 0 {
		seen, b.opened = b.opened[0], b.opened[1:]
	}
	return seen
}
