package mcpauth_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// A place is an MCP server behind a Guard.
type place struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // what the tools found, one line for each call
}

func (p *place) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	told := p.seen
	p.seen = nil
	return told
}

// open serves two tools, whoami and delete, over the transport.
func open(t *testing.T, over string, change func(*mcpauth.Options)) *place {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	return openServer(t, over, server, validator(t, nil), change)
}

func validator(t *testing.T, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	return testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Leeway = -1 // none
		c.Metadata = &resourcemetadata.Metadata{}
		if change != nil {
			change(c)
		}
	})
}

// openServer is open for a server that has more.
func openServer(t *testing.T, over string, server *mcp.Server, v *accesstoken.Validator, change func(*mcpauth.Options)) *place {
	t.Helper()
	p := new(place)
	p.Server = httptest.NewUnstartedServer(nil)
	host := p.Listener.Addr().String()
	options := mcpauth.Options{
		Policy: accesstoken.Policy{Scopes: scopes.All("mcp")},
		Tools: map[string]accesstoken.Policy{
			"whoami": {Scopes: scopes.None()},
			"delete": {Scopes: scopes.All("files:write")},
		},
		Hosts: []string{host},
	}
	if change != nil {
		change(&options)
	}
	guard, err := mcpauth.New(v, &options)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(over, "without Receive") {
		server.AddReceivingMiddleware(guard.Receive)
	}
	for _, name := range []string{"whoami", "delete", "unlisted"} {
		mcp.AddTool(server, &mcp.Tool{Name: name, Description: name}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			claims, ok := accesstoken.FromContext(ctx)
			p.mu.Lock()
			defer p.mu.Unlock()
			line := fmt.Sprintf("%s: %v %s %s", name, ok, claims.Subject, claims.Scopes())
			if r.Extra != nil {
				line += fmt.Sprint(" ", r.Extra.Header["Authorization"], r.Extra.Header["Dpop"])
			}
			p.seen = append(p.seen, line)
			return &mcp.CallToolResult{}, nil, nil
		})
	}
	get := func(*http.Request) *mcp.Server { return server }
	handler := map[string]http.Handler{
		"stateful":  mcp.NewStreamableHTTPHandler(get, nil),
		"stateless": mcp.NewStreamableHTTPHandler(get, &mcp.StreamableHTTPOptions{Stateless: true}),
		"SSE":       mcp.NewSSEHandler(get, nil),
	}[strings.Fields(over)[0]]
	p.Config.Handler = guard.Wrap(handler)
	if strings.HasSuffix(over, " behind another Wrap") {
		p.Config.Handler = middleware.New(v, nil).Wrap(p.Config.Handler)
	}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// A sender adds a token to each request, which can change.
type sender struct {
	base  http.RoundTripper
	token atomic.Pointer[string]
}

func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+*s.token.Load())
	return s.base.RoundTrip(r)
}

func token(subject, scope string) *string {
	text := as.Token(accesstokentest.Claims{"sub": subject, "scope": scope})
	return &text
}

// connect makes a session of the SDK's own client.
func (p *place) connect(t *testing.T, over string, s *sender) *mcp.ClientSession {
	t.Helper()
	s.base = p.Client().Transport
	return p.connectClient(t, over, s, mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil))
}

// connectClient is connect for a client that has more.
func (p *place) connectClient(t *testing.T, over string, s *sender, client *mcp.Client) *mcp.ClientSession {
	t.Helper()
	var transport mcp.Transport = &mcp.StreamableClientTransport{Endpoint: p.URL, HTTPClient: &http.Client{Transport: s}}
	if strings.HasPrefix(over, "SSE") {
		transport = &mcp.SSEClientTransport{Endpoint: p.URL, HTTPClient: &http.Client{Transport: s}}
	}
	session, err := client.Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func call(t *testing.T, session *mcp.ClientSession, tool string) error {
	t.Helper()
	_, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
	return err
}

// A tool sees the caller of its request: not the one that began the session, not with the
// scopes of an earlier token, and no token.
func TestAToolSeesTheCallerOfItsRequest(t *testing.T) {
	for over, want := range map[string]string{
		"stateful":  "whoami: true alice mcp [Bearer verified] []",
		"stateless": "whoami: true alice mcp [Bearer verified] []",
		"SSE":       "whoami: false  ",

		"stateful behind another Wrap": "whoami: true alice mcp [Bearer verified] []",
		"SSE behind another Wrap":      "whoami: false  ",

		"SSE without Receive behind another Wrap":      "whoami: false  ",
		"stateful without Receive behind another Wrap": "whoami: false   [Bearer verified] []",
	} {
		t.Run(over, func(t *testing.T) {
			p, s := open(t, over, nil), new(sender)
			s.token.Store(token("alice", "mcp files:write"))
			session := p.connect(t, over, s)
			if err := call(t, session, "delete"); err != nil {
				t.Fatalf("delete: got %v; want it done", err)
			}
			p.told()
			s.token.Store(token("alice", "mcp"))
			if err := call(t, session, "whoami"); err != nil {
				t.Fatalf("whoami: got %v; want it done", err)
			}
			if got := p.told(); len(got) != 1 || got[0] != want {
				t.Errorf("got %q; want %q", got, want)
			}
			if err := call(t, session, "delete"); err == nil || len(p.told()) != 0 {
				t.Error("delete, without its scope: got it done; want a refusal")
			}
		})
	}
}

// post sends a message as a client that has a session's id.
func (p *place) post(t *testing.T, token *string, session, path, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", p.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		r.Header.Set("Mcp-Session-Id", session)
	}
	if token != nil {
		r.Header.Set("Authorization", "Bearer "+*token)
	}
	for n := 0; n < len(fields); n += 2 {
		if fields[n] == "Host" {
			r.Host = fields[n+1]
		} else {
			r.Header.Add(fields[n], fields[n+1])
		}
	}
	response, err := p.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(text)
}

const whoami = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`

// While alice's session is open, and its GET as well, bob cannot speak in it.
func TestASessionBelongsToItsCaller(t *testing.T) {
	p, s := open(t, "stateful", nil), new(sender)
	s.token.Store(token("alice", "mcp"))
	session := p.connect(t, "stateful", s)
	if err := call(t, session, "whoami"); err != nil {
		t.Fatal(err)
	}
	p.told()
	response, _ := p.post(t, token("bob", "mcp"), session.ID(), "", whoami)
	if response.StatusCode != 403 || len(p.told()) != 0 {
		t.Errorf("bob in alice's session: got %d; want 403, and no call", response.StatusCode)
	}
	for name, claims := range map[string]accesstokentest.Claims{
		"a client of her name": {"sub": "alice", "client_id": "alice"}, "another issuer's alice would need another iss": {"sub": "Alice"},
	} {
		claims["scope"] = "mcp"
		other := as.Token(claims)
		if response, _ := p.post(t, &other, session.ID(), "", whoami); response.StatusCode != 403 {
			t.Errorf("%s: got %d; want 403", name, response.StatusCode)
		}
	}
	if response, body := p.post(t, token("alice", "mcp other"), session.ID(), "", whoami); response.StatusCode != 200 {
		t.Errorf("alice with another token: got %d %s; want 200", response.StatusCode, body)
	}
	if got := p.told(); len(got) != 1 || got[0] != "whoami: true alice mcp other [Bearer verified] []" {
		t.Errorf("got %q", got)
	}
}

// Over SSE the SDK compares nothing, so the Guard does.
func TestAnSSESessionBelongsToItsCaller(t *testing.T) {
	p := open(t, "SSE", nil)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+*token("alice", "mcp"))
	response, err := p.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer cancel()
	lines := bufio.NewScanner(response.Body)
	endpoint := ""
	for endpoint == "" && lines.Scan() {
		endpoint = strings.TrimPrefix(lines.Text(), "data: ")
		if endpoint == lines.Text() {
			endpoint = ""
		}
	}
	path, err := url.Parse(endpoint)
	if err != nil || path.RawQuery == "" {
		t.Fatalf("got the endpoint %q, %v", endpoint, err)
	}
	if got, _ := p.post(t, token("bob", "mcp"), "", path.RequestURI(), whoami); got.StatusCode != 403 {
		t.Errorf("bob: got %d; want 403", got.StatusCode)
	}
	if got, body := p.post(t, token("alice", "mcp other"), "", path.RequestURI(), whoami); got.StatusCode != 202 {
		t.Errorf("alice: got %d %s; want 202", got.StatusCode, body)
	}
}

// A Guard that has not seen an SSE session begin does not know whose it is, so it lets no
// caller speak in it.
func TestAnSSESessionThatIsNotKnown(t *testing.T) {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	handler := mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return server }, nil)
	p, v := &place{Server: httptest.NewUnstartedServer(nil)}, validator(t, nil)
	wrap := func() http.Handler {
		return testkit.Must(mcpauth.New(v, &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: []string{p.Listener.Addr().String()}})).Wrap(handler)
	}
	mux := http.NewServeMux()
	mux.Handle("/", wrap())
	mux.Handle("/other", wrap())
	p.Config.Handler = mux
	p.StartTLS()
	t.Cleanup(p.Close)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := testkit.Must(http.NewRequestWithContext(ctx, "GET", p.URL, nil))
	r.Header.Set("Authorization", "Bearer "+*token("alice", "mcp"))
	response := testkit.Must(p.Client().Do(r))
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	_, query, _ := strings.Cut(lines.Text(), "?")
	if got, body := p.post(t, token("alice", "mcp"), "", "/?"+query, whoami); got.StatusCode != 202 {
		t.Errorf("alice: got %d %s; want 202", got.StatusCode, body)
	}
	bob := func(path string) int {
		response, _ := p.post(t, token("bob", "mcp"), "", path, whoami)
		return response.StatusCode
	}
	for path, want := range map[string]int{"/?" + query: 403, "/other?" + query: 404, "/?sessionid=invented": 404} {
		if got := bob(path); got != want {
			t.Errorf("bob at %s: got %d; want %d", path, got, want)
		}
	}
	cancel()
	for got, begun := 403, time.Now(); got != 404; got = bob("/?" + query) {
		if got != 403 || time.Since(begun) > time.Minute {
			t.Fatalf("bob, when the session has ended: got %d; want 404 in the end, because the Guard has forgotten it", got)
		}
	}
}

// A stream ends with the token that opened it.
func TestAStreamEndsWithItsToken(t *testing.T) {
	p := open(t, "SSE", nil)
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(time.Second).Truncate(time.Second).Add(time.Second)
	r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "mcp", "exp": ends.Unix()}))
	response, err := p.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); response.StatusCode != 200 || time.Now().Before(ends) {
		t.Errorf("got %d, and the end at %v, %v; want it at %v", response.StatusCode, time.Now(), err, ends)
	}
}

// What each request is told, before the SDK sees it.
func TestWhatTheClientIsTold(t *testing.T) {
	p := open(t, "stateless", func(o *mcpauth.Options) {
		o.Origins = []string{"https://app.example"}
		o.Resources = map[string]accesstoken.Policy{"file:///a": {Scopes: scopes.All("files:read")}}
		o.Prompts = map[string]accesstoken.Policy{"p": {Scopes: scopes.All("prompt")}}
		o.Methods = map[string]accesstoken.Policy{"completion/complete": {Scopes: scopes.All("complete")}}
	})
	const metadata = `resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`
	insufficient := func(scope string) string {
		return `Bearer realm="https://api.example.com", error="insufficient_scope", error_description="the access token lacks a required scope", scope="` + scope + `", ` + metadata
	}
	message := func(method, params string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
	}
	good := token("alice", "mcp")
	for name, test := range map[string]struct {
		token     *string
		body      string
		fields    []string
		status    int
		challenge string
	}{
		"no token":                    {nil, whoami, nil, 401, `Bearer realm="https://api.example.com", scope="mcp", ` + metadata},
		"without the scope of all":    {token("alice", "other"), whoami, nil, 403, insufficient("mcp")},
		"good":                        {good, whoami, nil, 200, ""},
		"a tool that needs more":      {good, message("tools/call", `{"name":"delete"}`), nil, 403, insufficient("mcp files:write")},
		"a tool without a rule":       {good, message("tools/call", `{"name":"unlisted"}`), nil, 403, ""},
		"a tool that does not exist":  {good, message("tools/call", `{"name":"invented"}`), nil, 403, ""},
		"a tool without a name":       {good, message("tools/call", `{}`), nil, 403, ""},
		"a name that is no text":      {good, message("tools/call", `{"name":["whoami"]}`), nil, 400, ""},
		"a header that says less":     {good, message("tools/call", `{"name":"delete"}`), []string{"Mcp-Method", "tools/list", "Mcp-Name", "whoami", "Mcp-Protocol-Version", "2026-07-28"}, 403, insufficient("mcp files:write")},
		"a resource":                  {good, message("resources/read", `{"uri":"file:///a"}`), nil, 403, insufficient("mcp files:read")},
		"a resource without a rule":   {good, message("resources/read", `{"uri":"file:///b"}`), nil, 403, ""},
		"another spelling of a URI":   {good, message("resources/read", `{"uri":"FILE:///a"}`), nil, 403, ""},
		"a subscription":              {good, message("resources/subscribe", `{"uri":"file:///a"}`), nil, 403, insufficient("mcp files:read")},
		"another method":              {good, message("completion/complete", `{"name":"x"}`), nil, 403, insufficient("mcp complete")},
		"a batch":                     {good, "[" + whoami + "," + message("tools/call", `{"name":"delete"}`) + "]", nil, 403, insufficient("mcp files:write")},
		"a listener":                  {good, message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///a"]}}`), nil, 403, insufficient("mcp files:read")},
		"a listener to what has none": {good, message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///b"]}}`), nil, 403, ""},
		"a listener in other letters": {good, message("subscriptions/listen", `{"Notifications":{"resourceSubscriptions":["file:///a"]}}`), nil, 400, ""},
		"a listener, other letters":   {good, message("subscriptions/listen", `{"notifications":{"ResourceSubscriptions":["file:///a"]}}`), nil, 400, ""},
		"a listener to no list":       {good, message("subscriptions/listen", `{"notifications":{"resourceSubscriptions":"file:///a"}}`), nil, 400, ""},
		"a completion of a resource":  {good, message("completion/complete", `{"ref":{"type":"ref/resource","uri":"file:///a"}}`), nil, 403, insufficient("mcp complete files:read")},
		"a completion of a prompt":    {good, message("completion/complete", `{"ref":{"type":"ref/prompt","name":"p"}}`), nil, 403, insufficient("mcp complete prompt")},
		"a completion of another":     {good, message("completion/complete", `{"ref":{"type":"ref/prompt","name":"q"}}`), nil, 403, ""},
		"a completion, other letters": {good, message("completion/complete", `{"ref":{"type":"ref/prompt","name":"p","Name":"q"}}`), nil, 400, ""},
		"a completion of no text":     {good, message("completion/complete", `{"ref":{"type":"ref/prompt","name":7}}`), nil, 400, ""},
		"an empty batch":              {good, "[]", nil, 400, ""},
		"a batch of texts":            {good, `["a"]`, nil, 400, ""},
		"a method twice":              {good, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete"},"method":"tools/list"}`, nil, 400, ""},
		"a name twice":                {good, message("tools/call", `{"name":"delete","name":"whoami"}`), nil, 400, ""},
		"a name twice, by an escape":  {good, message("tools/call", `{"name":"delete","n\u0061me":"whoami"}`), nil, 400, ""},
		"other letters":               {good, `{"jsonrpc":"2.0","id":1,"METHOD":"tools/list","method":"tools/call","params":{"name":"delete"}}`, nil, 400, ""},
		"a name in other letters":     {good, message("tools/call", `{"name":"whoami","NAME":"delete"}`), nil, 400, ""},
		"parameters in other letters": {good, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"},"Params":{"name":"delete"}}`, nil, 400, ""},
		"a URI in other letters":      {good, message("resources/read", `{"uri":"file:///a","URI":"file:///b"}`), nil, 400, ""},
		"not JSON":                    {good, "x", nil, 400, ""},
		"too large":                   {good, message("tools/call", `{"name":"whoami","x":"`+strings.Repeat("x", 1<<20)+`"}`), nil, 413, ""},
		"a page that is known":        {good, whoami, []string{"Origin", "https://app.example"}, 200, ""},
		"another page":                {good, whoami, []string{"Origin", "https://evil.example"}, 403, ""},
		"a page without an origin":    {good, whoami, []string{"Origin", "null"}, 403, ""},
		"two origins":                 {good, whoami, []string{"Origin", "https://app.example", "Origin", "https://evil.example"}, 403, ""},
		"a name that was rebound":     {good, whoami, []string{"Host", "evil.example", "Origin", "https://evil.example"}, 403, ""},
		"a rebound name, no token":    {nil, whoami, []string{"Host", "evil.example"}, 403, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p.told()
			response, body := p.post(t, test.token, "", "", test.body, test.fields...)
			if response.StatusCode != test.status || response.Header.Get("WWW-Authenticate") != test.challenge {
				t.Errorf("got %d %q %s; want %d %q", response.StatusCode, response.Header.Get("WWW-Authenticate"), body, test.status, test.challenge)
			}
			if got := p.told(); (len(got) == 1) != (test.status == 200) {
				t.Errorf("the tools ran: %q", got)
			}
		})
	}
}

// A tool whose policy demands authorization_details tells the client what to request, by the
// draft.
func TestTheRemediationOfATool(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.DetailTypes, c.DraftRARMetadataRemediation = map[string]accesstoken.DetailType{"payment": {}}, true
	})
	guard, err := mcpauth.New(v, &mcpauth.Options{
		Policy: accesstoken.Policy{Scopes: scopes.All("mcp")}, Hosts: []string{"example.com"},
		Tools: map[string]accesstoken.Policy{"pay": {Scopes: scopes.None(), Details: []accesstoken.DetailRequirement{{Type: "payment"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{}}}`))
	r.Header.Set("Authorization", "Bearer "+*token("alice", "mcp"))
	w := httptest.NewRecorder()
	guard.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
	want := `error="insufficient_authorization", error_description="the access token lacks required authorization details", authorization_remediation="` +
		base64.RawURLEncoding.EncodeToString([]byte(`{"authorization_details":[{"type":"payment"}]}`)) + `"`
	if got := w.Header().Get("WWW-Authenticate"); w.Code != 401 || !strings.Contains(got, want) || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %d %v; want 401, %s and no-store", w.Code, w.Header(), want)
	}
}

func TestFaults(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	_, err := mcpauth.New(v, &mcpauth.Options{
		Origins: []string{"null"},
		Tools:   map[string]accesstoken.Policy{"a": {}, "b": {Scopes: scopes.None(), FreshIntrospection: true}},
	})
	for _, want := range []string{"Policy: accesstoken: the policy has no Scopes", "Hosts is empty", "Origins has an empty element, or null", `Tools["a"]: accesstoken: the policy has no Scopes`, `Tools["b"]: FreshIntrospection`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want a line with %q", err, want)
		}
	}
	if _, err := mcpauth.New(nil, &mcpauth.Options{}); err == nil {
		t.Error("without a Validator: got nil")
	}
	if _, err := mcpauth.New(v, nil); err == nil {
		t.Error("without Options: got nil")
	}
}

// A host is the same in capitals, and what no client sends is a fault.
func TestHostsAndOrigins(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	guardOf := func(hosts, origins []string) (*mcpauth.Guard, error) {
		return mcpauth.New(v, &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: hosts, Origins: origins})
	}
	guard := testkit.Must(guardOf([]string{"mcp.example.com", "MCP2.example.com:8443"}, nil))
	handler := guard.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, want := range map[string]int{
		"mcp.example.com": 200, "MCP.Example.Com": 200, "mcp2.example.com:8443": 200, "": 403,
		"mcp2.example.com": 403, "mcp.example.com:8443": 403, "mcp.example.com.": 403, "evil.mcp.example.com": 403, "mcp.example.com@evil.example": 403,
	} {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		r.Host = host
		r.Header.Set("Authorization", "Bearer "+*token("alice", ""))
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("Host %q: got %d; want %d", host, w.Code, want)
		}
	}
	for _, host := range []string{"https://mcp.example.com", "mcp.example.com/mcp", "*.example.com", "*", "user@mcp.example.com", "mcp.example.com:", "mcp example.com", "mcp.example.com:port", ":8080"} {
		if _, err := guardOf([]string{"h", host}, nil); err == nil || !strings.Contains(err.Error(), "mcpauth: Hosts[1]") {
			t.Errorf("Hosts %q: got %v; want a fault", host, err)
		}
	}
	for _, origin := range []string{"app.example.com", "https://app.example.com/", "https://App.example.com", "https://*.example.com", "*", "https://u@app.example.com", "https://app.example.com?x", "https://app.example.com:443", "http://app.example.com:80", "https://app.example.com:"} {
		if _, err := guardOf([]string{"h"}, []string{"https://a", origin}); err == nil || !strings.Contains(err.Error(), "mcpauth: Origins[1]") {
			t.Errorf("Origins %q: got %v; want a fault", origin, err)
		}
	}
	if _, err := guardOf([]string{"h", "[::1]:8080", "127.0.0.1:80", "h_x.example"}, []string{"https://app.example.com", "http://localhost:3000", "https://[::1]:8443", "vscode-webview://1abc"}); err != nil {
		t.Errorf("got %v; want no fault", err)
	}
}

// A handler of the SDK that is reached past the Guard finds no caller.
func TestTheSDKAloneRefuses(t *testing.T) {
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	guard, err := mcpauth.New(testkit.NewValidator(t, as, nil), &mcpauth.Options{Policy: accesstoken.Policy{Scopes: scopes.None()}, Hosts: []string{"example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	handler := guard.Wrap(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	r := httptest.NewRequest("POST", "https://example.com/", strings.NewReader(whoami))
	r.Header.Set("Authorization", "Bearer verified")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("the text that the Guard gives the SDK, from a client: got %d; want 401", w.Code)
	}
}

// What is not an access token of this server counts for nothing, also for who has a session.
func TestOnlyAnAccessTokenForThisServerCounts(t *testing.T) {
	implies := validator(t, func(c *accesstoken.Config) { c.ScopeImplies = map[string][]string{"admin": {"mcp", "read"}} })
	p, s := openServer(t, "stateful", mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil), implies, func(o *mcpauth.Options) {
		o.Tools["delete"] = accesstoken.Policy{Scopes: scopes.Any("read", "manage")}
	}), new(sender)
	s.token.Store(token("alice", "mcp"))
	session := p.connect(t, "stateful", s)
	claims := accesstokentest.Claims{"sub": "alice", "scope": "mcp"}
	signed := func(typ string, change func(accesstokentest.Claims)) *string {
		all := as.Claims(claims)
		if change != nil {
			change(all)
		}
		text := as.Sign(map[string]any{"typ": typ}, all)
		return &text
	}
	deletes := strings.Replace(whoami, "whoami", "delete", 1)
	for name, test := range map[string]struct {
		token      *string
		path, body string
		status     int
		challenge  string
	}{
		"an access token":               {signed("at+jwt", nil), "", whoami, 200, ""},
		"an authorization grant":        {signed("oauth-id-jag+jwt", nil), "", whoami, 401, `error="invalid_token"`},
		"an ID token":                   {signed("JWT", nil), "", whoami, 401, `error="invalid_token"`},
		"a token for another server":    {signed("at+jwt", func(c accesstokentest.Claims) { c["aud"] = "https://other.example.com" }), "", whoami, 401, `error="invalid_token"`},
		"an expired token":              {signed("at+jwt", func(c accesstokentest.Claims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), "", whoami, 401, `error="invalid_token"`},
		"a token in the query":          {nil, "/?access_token=" + *signed("at+jwt", nil), whoami, 401, `scope="mcp"`},
		"one of two scopes is needed":   {signed("at+jwt", nil), "", deletes, 403, `scope="mcp read"`},
		"a scope that implies both":     {token("alice", "admin"), "", deletes, 200, ""},
		"a session and no token at all": {nil, "", whoami, 401, `scope="mcp"`},
	} {
		response, body := p.post(t, test.token, session.ID(), test.path, test.body)
		if got := response.Header.Get("WWW-Authenticate"); response.StatusCode != test.status || !strings.Contains(got, test.challenge) || (got == "") != (test.challenge == "") {
			t.Errorf("%s: got %d %q %s; want %d %s", name, response.StatusCode, got, body, test.status, test.challenge)
		}
	}
}

// The SDK refuses a token whose Expiration is past, also one that is still in its leeway. So it
// gets the end, and what else a server may ask it.
func TestWhatTheSDKKnowsOfAToken(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Leeway = time.Minute })
	told := make(chan *auth.TokenInfo, 2)
	server := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "tell"}, func(_ context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		told <- r.Extra.TokenInfo
		return &mcp.CallToolResult{}, nil, nil
	})
	p := openServer(t, "stateless", server, v, func(o *mcpauth.Options) { o.Tools = nil })
	exp := time.Now().Add(-10 * time.Second).Truncate(time.Second)
	token := as.Token(accesstokentest.Claims{"sub": "alice", "client_id": "app", "scope": "mcp other", "exp": exp.Unix()})
	response, body := p.post(t, &token, "", "", strings.Replace(whoami, "whoami", "tell", 1))
	if response.StatusCode != 200 {
		t.Fatalf("got %d %s; want 200", response.StatusCode, body)
	}
	info := <-told
	if want := `["` + as.URL + `","alice"]`; info.UserID != want || !info.Expiration.Equal(exp.Add(time.Minute)) || fmt.Sprint(info.Scopes) != "[mcp other]" || info.Extra["client_id"] != "app" || info.Extra["issuer"] != as.URL {
		t.Errorf("got %+v; want the user %s, the end of the leeway, the scopes, client and issuer", info, want)
	}
}
