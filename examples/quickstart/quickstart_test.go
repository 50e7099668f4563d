package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/examples/quickstart/issuer"
	"github.com/accesstoken/accesstoken/examples/quickstart/journal"
	"github.com/accesstoken/accesstoken/examples/quickstart/owner"
	"github.com/accesstoken/accesstoken/examples/quickstart/page"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the op package logs to it
	os.Exit(m.Run())
}

// newDemo starts every party on free ports and ends them with the test.
func newDemo(t *testing.T) *demo {
	t.Helper()
	return newDemoWith(t, nil)
}

// newDemoWith is like newDemo, with a different transport from the clients to the servers.
func newDemoWith(t *testing.T, back http.RoundTripper) *demo {
	t.Helper()
	d, err := start(t.Context(), options{host: "127.0.0.1", out: io.Discard, back: back})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("the demo did not close cleanly: %v", err)
		}
	})
	return d
}

// visitor is alice with a browser. If meddle is set, it can change the URLs of redirects.
func visitor(d *demo, meddle func(*url.URL)) owner.Owner {
	return owner.Owner{
		Login: alice.Login, Password: alice.Password, Transport: d.transport, Until: d.page, OnRequest: meddle,
	}
}

func TestOnceExitsCleanlyAndNamesEveryStep(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "127.0.0.1:0", true); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"1 requests authorization", "2 gives authorization", "3 passes authorization grant", "4 returns access token", "5 uses access token to access",
		"1 requests ID token", "2 returns ID token", "3 optionally uses access token to access",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q", want)
		}
	}
	if lines := strings.Count(out.String(), "\n"); lines > 125 {
		t.Errorf("got %d lines; want at most 125", lines)
	}
	for word := range strings.FieldsSeq(out.String()) {
		if journal.Shorten(word) != word {
			t.Errorf("the output shows a whole token: %.20s…", word)
		}
	}
}

func TestEveryFlowOpensTheDriveOverEveryCarrier(t *testing.T) {
	d := newDemo(t)
	for _, kind := range []journal.Kind{journal.OAuth, journal.OAuthOpaque, journal.OIDC} {
		t.Run(string(kind), func(t *testing.T) {
			flow, err := d.play(t.Context(), kind, asUsual)
			if err != nil {
				t.Fatal(err)
			}
			for _, deviation := range flowDeviations(flow) {
				t.Error(deviation)
			}
			for _, a := range flow.Answers {
				if want := []string{"beach.jpg", "birthday.jpg", "sunset.jpg"}; !slices.Equal(a.Files, want) {
					t.Errorf("%s: got the files %v; want %v", a.Carrier, a.Files, want)
				}
			}
		})
	}
}

// Each trial ends in one row of the outcome matrix, on three transports.
func TestEveryTrialEndsInItsRow(t *testing.T) {
	d := newDemo(t)
	rows := map[string]struct {
		want page.Want
		fine string
	}{
		"missing":   {noToken, "CREDENTIALS_MISSING"},
		"expired":   {expired, "TOKEN_EXPIRED"},
		"scope":     {insufficient, "SCOPE_INSUFFICIENT"},
		"idtoken":   {invalid, "TOKEN_TYPE_MISMATCH"},
		"audience":  {invalid, "AUDIENCE_MISMATCH"},
		"signature": {invalid, "SIGNATURE_INVALID"},
		"none":      {invalid, "ALGORITHM_NOT_ALLOWED"},
		"rotated":   {invalid, "KEY_NOT_FOUND"},
		"down":      {unavailable, "INTROSPECTION_UNAVAILABLE"},
		"revoked":   {inactive, "TOKEN_INACTIVE"},
	}
	if len(rows) != len(trials) {
		t.Fatalf("got %d trials; want %d", len(trials), len(rows))
	}
	for _, trial := range trials {
		t.Run(trial.name, func(t *testing.T) {
			got, err := d.try(t.Context(), trial.name)
			if err != nil {
				t.Fatal(err)
			}
			for _, deviation := range got.Deviations() {
				t.Error(deviation)
			}
			row := rows[trial.name]
			refusal := slices.IndexFunc(got.Parts, func(p page.Part) bool { return p.Refusal })
			if refusal < 0 {
				t.Fatal("the trial has no refusal")
			}
			if got.Parts[refusal].Want != row.want {
				t.Errorf("the trial wants %+v; want %+v", got.Parts[refusal].Want, row.want)
			}
			if !slices.Equal(got.Fine, []string{row.fine}) {
				t.Errorf("the operator saw %v; want %s", got.Fine, row.fine)
			}
		})
	}
}

func TestDeviationsAreFound(t *testing.T) {
	good := journal.Answer{Carrier: "net/http", HTTPStatus: 401, Challenge: `Bearer realm="r", error="invalid_token"`}
	for name, spoil := range map[string]func(*journal.Answer){
		"another status":    func(a *journal.Answer) { a.HTTPStatus = 200 },
		"no challenge":      func(a *journal.Answer) { a.Challenge = "" },
		"another error":     func(a *journal.Answer) { a.Challenge = `Bearer error="invalid_request"` },
		"a time to retry":   func(a *journal.Answer) { a.RetryAfter = "5" },
		"an unwanted scope": func(a *journal.Answer) { a.Challenge += `, scope="x"` },
	} {
		t.Run(name, func(t *testing.T) {
			answers := []journal.Answer{good, good, {Carrier: "gRPC", Code: invalid.Code, Reason: invalid.Reason, Challenge: good.Challenge}}
			if got := (page.Part{Answers: answers, Want: invalid}).Deviations(); len(got) != 0 {
				t.Fatalf("got %q for what is right", got)
			}
			spoil(&answers[0])
			if got := (page.Part{Answers: answers, Want: invalid}).Deviations(); len(got) == 0 {
				t.Error("the deviation was not found")
			}
		})
	}
}

// FLOW-01: if anything is wrong with the response, the code is not redeemed.
func TestClientsAbortOnAWrongAnswer(t *testing.T) {
	d := newDemo(t)
	for _, tc := range []struct {
		name   string
		spoil  func(url.Values)
		status int
		says   string // must be in the error of the flow, if the flow is known
	}{
		{"wrong state", func(q url.Values) { q.Set("state", "another") }, 400, ""},
		{"no state", func(q url.Values) { q.Del("state") }, 400, ""},
		{"wrong iss", func(q url.Values) { q.Set("iss", "https://attacker.example") }, 303, "the code was not redeemed"},
		{"no iss", func(q url.Values) { q.Del("iss") }, 303, "the code was not redeemed"},
	} {
		for _, kind := range []journal.Kind{journal.OAuth, journal.OIDC} {
			t.Run(tc.name+", "+string(kind), func(t *testing.T) {
				var state string
				_, status, err := visitor(d, func(u *url.URL) {
					if u.Path == "/authorize" {
						state = u.Query().Get("state")
					}
					if query := u.Query(); query.Has("code") {
						tc.spoil(query)
						u.RawQuery = query.Encode()
					}
				}).Visit(t.Context(), d.starts[kind])
				if err != nil {
					t.Fatal(err)
				}
				if status != tc.status {
					t.Errorf("got the status %d; want %d", status, tc.status)
				}
				flow, ok := d.journal.ByState(state)
				if !ok {
					t.Fatal("the flow is not in the journal")
				}
				got := flow.Snapshot()
				if tc.says != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), tc.says)) {
					t.Errorf("got the error %v; want one that says %q", got.Err, tc.says)
				}
				if got.AccessToken != "" || got.IDToken != "" {
					t.Error("the client went on and got tokens")
				}
				for _, step := range got.Steps {
					for _, e := range step.Exchanges {
						if strings.HasSuffix(e.URL, "/oauth/token") {
							t.Error("the client went on to the token endpoint")
						}
					}
				}
			})
		}
	}
}

// FLOW-07: the client starts with the URL of the drive.
func TestAClientFindsTheAuthorizationServer(t *testing.T) {
	d := newDemo(t)
	flow, err := d.play(t.Context(), journal.OAuth, asUsual)
	if err != nil {
		t.Fatal(err)
	}
	step := flow.Steps[journal.RequestsAuthorization]
	var lines []string
	for _, e := range step.Exchanges {
		lines = append(lines, e.Line())
	}
	want := []string{
		"GET /files → 401 Unauthorized", "GET /.well-known/oauth-protected-resource/files → 200 OK",
		"GET /.well-known/oauth-authorization-server → 200 OK", "GET /authorize → 302 Found",
	}
	if !slices.Equal(lines, want) || step.Fact() != want[3] {
		t.Errorf("got %q, and in short %q; want %q, and in short the last one", lines, step.Fact(), want)
	}
}

// FLOW-07: metadata that is not about this drive, or not of the client's authorization
// server, ends the flow before the user is asked.
func TestAClientAbortsOnWrongMetadata(t *testing.T) {
	for name, test := range map[string]struct {
		path, old, new string // what is wrong in which document; a redirect, if old is empty
		says           string
	}{
		"another resource":                        {"/.well-known/oauth-protected-resource/files", `/files"`, `/other"`, "RFC 9728 §3.3"},
		"another authorization server":            {"/.well-known/oauth-protected-resource/files", `servers":["http://`, `servers":["https://`, "registered at"},
		"the metadata of another server":          {"/.well-known/oauth-authorization-server", `"issuer":"http://`, `"issuer":"https://`, "metadata is of"},
		"a server that does not know the drive":   {"/.well-known/oauth-authorization-server", `/files"`, `/other"`, "protected_resources"},
		"a redirect":                              {"/.well-known/oauth-authorization-server", "", "/.well-known/oauth-authorization-server?elsewhere", "want its metadata"},
		"no metadata of the authorization server": {"/.well-known/oauth-authorization-server", `{`, ``, "want its metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			d := newDemoWith(t, roundTrip(func(r *http.Request) (*http.Response, error) {
				response, err := transport.RoundTrip(r)
				if err != nil || r.URL.RequestURI() != test.path {
					return response, err
				}
				if test.old == "" {
					response.StatusCode = http.StatusTemporaryRedirect
					response.Header.Set("Location", test.new)
					return response, nil
				}
				defer response.Body.Close()
				body, err := io.ReadAll(response.Body)
				if !bytes.Contains(body, []byte(test.old)) {
					t.Errorf("%s lacks %s", body, test.old)
				}
				response.Body = io.NopCloser(strings.NewReader(strings.ReplaceAll(string(body), test.old, test.new)))
				response.ContentLength = -1
				return response, err
			}))
			var at *url.URL
			_, _, err := visitor(d, func(u *url.URL) {
				at = u
				if u.Path == "/authorize" {
					t.Error("the client went on to the authorization server")
				}
			}).Visit(t.Context(), d.starts[journal.OAuth])
			if err != nil {
				t.Fatal(err)
			}
			flow, ok := d.journal.ByID(at.Query().Get("flow"))
			if !ok {
				t.Fatalf("the flow ended at %s; want the page", at)
			}
			if got := flow.Snapshot(); got.Err == nil || !strings.Contains(got.Err.Error(), test.says) {
				t.Errorf("got the error %v; want one that says %q", got.Err, test.says)
			}
		})
	}
}

// FLOW-04: the ID token must contain the nonce of the request.
func TestTheGuestBookChecksTheNonce(t *testing.T) {
	d := newDemo(t)
	got := playAs(t, d, journal.OIDC, func(u *url.URL) {
		if query := u.Query(); u.Path == "/authorize" {
			query.Set("nonce", "another")
			u.RawQuery = query.Encode()
		}
	})
	if got.Err == nil || !strings.Contains(got.Err.Error(), "nonce") || got.IDToken != "" {
		t.Errorf("got the error %v; want one about the nonce, and no tokens", got.Err)
	}
}

// FLOW-04: a UserInfo response with a different sub is rejected.
func TestTheGuestBookComparesUserInfoWithTheIDToken(t *testing.T) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	d := newDemoWith(t, roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path != "/userinfo" {
			return transport.RoundTrip(r)
		}
		return &http.Response{
			StatusCode: http.StatusOK, Status: "200 OK", Request: r,
			Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"sub":"mallory"}`)),
		}, nil
	}))
	got := playAs(t, d, journal.OIDC, asIs)
	if got.Err == nil || !strings.Contains(got.Err.Error(), "a different user") || len(got.Answers) != 0 {
		t.Errorf("got the error %v and %d answers; want one about a different user, and none", got.Err, len(got.Answers))
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func asIs(*url.URL) {}

// playAs runs a flow in which meddle changes the URLs of redirects.
func playAs(t *testing.T, d *demo, kind journal.Kind, meddle func(*url.URL)) journal.Snapshot {
	t.Helper()
	var state string
	_, _, err := visitor(d, func(u *url.URL) {
		if u.Path == "/authorize" {
			state = u.Query().Get("state")
		}
		meddle(u)
	}).Visit(t.Context(), d.starts[kind])
	if err != nil {
		t.Fatal(err)
	}
	flow, ok := d.journal.ByState(state)
	if !ok {
		t.Fatal("the flow is not in the journal")
	}
	return flow.Snapshot()
}

func TestAnAnswerCountsOnce(t *testing.T) {
	d := newDemo(t)
	var answer string
	person := visitor(d, func(u *url.URL) {
		if u.Query().Has("code") {
			answer = u.String()
		}
	})
	if _, _, err := person.Visit(t.Context(), d.starts[journal.OAuth]); err != nil {
		t.Fatal(err)
	}
	_, status, err := person.Visit(t.Context(), answer)
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusBadRequest {
		t.Errorf("got the status %d for a replayed answer; want 400", status)
	}
}

func TestTheResourceOwnerMaySayNo(t *testing.T) {
	d := newDemo(t)
	var state string
	person := visitor(d, func(u *url.URL) {
		if u.Path == "/authorize" {
			state = u.Query().Get("state")
		}
	})
	person.Deny = true
	if _, _, err := person.Visit(t.Context(), d.starts[journal.OAuth]); err != nil {
		t.Fatal(err)
	}
	flow, _ := d.journal.ByState(state)
	if got := flow.Snapshot(); got.Err == nil || !strings.Contains(got.Err.Error(), "access_denied") {
		t.Errorf("got the error %v; want access_denied", got.Err)
	}
}

func TestAWrongPasswordStaysAtTheLoginPage(t *testing.T) {
	d := newDemo(t)
	person := visitor(d, nil)
	person.Password = "looking-glass"
	if _, _, err := person.Visit(t.Context(), d.starts[journal.OAuth]); err == nil {
		t.Error("the login form went away")
	}
}

// The authorization server must refuse these requests before it shows a page.
func TestAuthorizationServerRefuses(t *testing.T) {
	d := newDemo(t)
	for _, tc := range []struct {
		name  string
		spoil func(url.Values)
		error string // the error parameter; "" if the browser must not be redirected to the client
	}{
		{"no PKCE", func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request"},
		{"plain PKCE", func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		{"an unknown resource", func(q url.Values) { q.Set("resource", "https://attacker.example") }, "invalid_target"},
		{"no resource", func(q url.Values) { q.Del("resource") }, "invalid_target"},
		{"the implicit grant", func(q url.Values) { q.Set("response_type", "id_token token") }, ""},
		{"another redirect URI", func(q url.Values) { q.Set("redirect_uri", q.Get("redirect_uri")+"/x") }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var answer url.Values
			_, status, err := visitor(d, func(u *url.URL) {
				query := u.Query()
				if u.Path == "/authorize" {
					tc.spoil(query)
					u.RawQuery = query.Encode()
				}
				if strings.HasSuffix(u.Path, "/callback") {
					answer = query
				}
			}).Visit(t.Context(), d.starts[journal.OAuth])
			if err != nil {
				t.Fatal(err)
			}
			if got := answer.Get("error"); got != tc.error {
				t.Errorf("got the error %q; want %q", got, tc.error)
			}
			if tc.error == "" && status != http.StatusBadRequest {
				t.Errorf("got the status %d; want 400", status)
			}
			if tc.error != "" && answer.Get("iss") != d.url {
				t.Errorf("got the iss %q; want %q", answer.Get("iss"), d.url)
			}
		})
	}
}

// FLOW-06.
func TestOnlyLoopback(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1", "127.0.0.1:http"} {
		for _, once := range []bool{true, false} {
			if err := run(t.Context(), io.Discard, addr, once); err == nil {
				t.Errorf("-addr %s was not refused", addr)
			}
		}
	}
	for _, issuerURL := range []string{"http://192.0.2.1:8081", "https://login.example.com", "http://[::]:8081", "http://:8081"} {
		if _, err := issuer.New(issuer.Config{URL: issuerURL}); err == nil {
			t.Errorf("the issuer %s was not refused", issuerURL)
		}
	}
}

func TestATakenPortIsSaid(t *testing.T) {
	d := newDemo(t)
	at, err := url.Parse(d.page)
	if err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), io.Discard, at.Host, false)
	if err == nil || !strings.Contains(err.Error(), "taken") {
		t.Errorf("got %v; want an error that says the port is taken", err)
	}
}

func TestRotationKeepsTheOldKeyForItsTokens(t *testing.T) {
	d := newDemo(t)
	old, err := d.accessToken(t.Context(), journal.OAuth)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.issuer.Rotate(false); err != nil {
		t.Fatal(err)
	}
	if got := len(d.issuer.KeyIDs()); got != 2 {
		t.Errorf("got %d keys; want 2", got)
	}
	fresh, err := d.accessToken(t.Context(), journal.OAuth)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{"old": old, "fresh": fresh} {
		part := page.Part{Caption: name, Answers: slices.Collect(d.calls.List(t.Context(), token)), Want: passes}
		for _, deviation := range part.Deviations() {
			t.Error(deviation)
		}
	}
}

// The page is used as a browser would use it, but without a browser.
func TestThePage(t *testing.T) {
	d := newDemo(t)
	person := visitor(d, nil)
	person.Until = ""
	at, status, err := person.Visit(t.Context(), d.starts[journal.OIDC])
	if err != nil {
		t.Fatal(err)
	}
	if status != http.StatusOK || !strings.HasPrefix(at.String(), d.page) {
		t.Errorf("the flow ended at %s with %d; want the page and 200", at, status)
	}

	browser := &http.Client{Transport: d.transport, Timeout: 10 * time.Second}
	body := get(t, browser, d.page)
	for _, id := range []string{"start-oauth", "start-oauth-opaque", "start-oidc"} {
		if !strings.Contains(body, `id="`+id+`"`) {
			t.Errorf("the page lacks #%s", id)
		}
	}
	for _, trial := range trials {
		if !strings.Contains(body, `id="break-`+trial.name+`"`) {
			t.Errorf("the page lacks #break-%s", trial.name)
		}
	}
	if strings.Contains(body, "<script") {
		t.Error("the page has a script")
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser.Jar = jar
	resp, err := browser.PostForm(d.page+"/break/scope", url.Values{"flow": {"oidc"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	body = get(t, browser, d.page)
	for _, want := range []string{`id="refusal" data-status="403"`, "PERMISSION_DENIED", "SCOPE_INSUFFICIENT", "scope=&#34;files:write&#34;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.page+"/break/missing", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err = browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site's form got %d; want 403", resp.StatusCode)
	}
}

func get(t *testing.T, client *http.Client, target string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Close waits for everything that start started. Some goroutines of closed connections
// need a moment to end.
func TestCloseEndsEveryGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	d, err := start(context.Background(), options{host: "127.0.0.1", out: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.play(t.Context(), journal.OAuthOpaque, asUsual); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("got %d goroutines; want %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
