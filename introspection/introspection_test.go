package introspection_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
)

const (
	token  = "canary-token.of_an-alice"
	secret = "canary-secret:of the/api"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && goroutinesAreLeft() {
		code = 1
	}
	os.Exit(code)
}

// goroutinesAreLeft reports goroutines that outlive the tests, once those that
// are ending have had the time to.
func goroutinesAreLeft() bool {
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			return true
		}
	}
	return false
}

// serve runs an endpoint over TLS.
func serve(t testing.TB, endpoint http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(endpoint)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// newClient makes a client of the endpoint; change, which may be nil, has the
// last word about its Config.
func newClient(t testing.TB, server *httptest.Server, change func(*introspection.Config)) *introspection.Client {
	t.Helper()
	config := introspection.Config{
		Endpoint:     server.URL + "/introspect",
		ClientID:     "api",
		ClientSecret: secret,
		HTTPClient:   server.Client(),
	}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// answers returns an endpoint that always gives this answer.
func answers(status int, contentType, body string, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.Header()["Content-Type"] = nil // nothing is sniffed
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// wantNoCanary fails the test if text has the token or the secret in it, in any
// form in which they travel.
func wantNoCanary(t *testing.T, what, text string) {
	t.Helper()
	for _, canary := range []string{token, secret, url.QueryEscape(secret), "canary",
		base64.StdEncoding.EncodeToString([]byte(url.QueryEscape("api") + ":" + url.QueryEscape(secret)))} {
		if strings.Contains(text, canary) {
			t.Errorf("%s: got %q; want neither the token nor the secret in it", what, text)
			return
		}
	}
}

func TestTheRequest(t *testing.T) {
	const reserved = accesstokentest.ClientSecret // and ClientID has a colon
	for _, test := range []struct {
		name   string
		method introspection.AuthMethod
		basic  string // the credentials that are joined, form-encoded
		form   string
	}{
		{"by default", "", "orders%3Aapi:" + url.QueryEscape(reserved), "token=a%2Fb%2Bc%3D%3D&token_type_hint=access_token"},
		{"client_secret_basic", introspection.ClientSecretBasic, "orders%3Aapi:" + url.QueryEscape(reserved), "token=a%2Fb%2Bc%3D%3D&token_type_hint=access_token"},
		{"client_secret_post", introspection.ClientSecretPost, "",
			"client_id=orders%3Aapi&client_secret=" + url.QueryEscape(reserved) + "&token=a%2Fb%2Bc%3D%3D&token_type_hint=access_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got *http.Request
			var body []byte
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Clone(context.Background())
				body, _ = io.ReadAll(r.Body)
				answers(200, "application/json", `{"active":false}`)(w, r)
			})
			client := newClient(t, server, func(config *introspection.Config) {
				config.ClientID, config.ClientSecret, config.AuthMethod = accesstokentest.ClientID, reserved, test.method
			})
			if _, err := client.Introspect(t.Context(), "a/b+c=="); err != nil {
				t.Fatal(err)
			}
			if got.Method != http.MethodPost || got.RequestURI != "/introspect" {
				t.Errorf("got %s %s; want POST /introspect with nothing in the URL", got.Method, got.RequestURI)
			}
			if string(body) != test.form || got.ContentLength != int64(len(body)) {
				t.Errorf("got form %s; want %s", body, test.form)
			}
			want := map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", "Authorization": "", "Cookie": "", "Referer": ""}
			if test.basic != "" {
				want["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(test.basic))
			}
			for name, value := range want {
				if got := got.Header.Get(name); got != value {
					t.Errorf("%s: got %q; want %q", name, got, value)
				}
			}
			if got.TLS == nil {
				t.Error("got a request in cleartext; want TLS")
			}
		})
	}
}

// The test server demands credentials that need their encoding.
func TestReservedCharactersInTheCredentials(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, method := range []introspection.AuthMethod{introspection.ClientSecretBasic, introspection.ClientSecretPost} {
		client, err := introspection.NewClient(introspection.Config{
			Endpoint:     as.IntrospectionEndpoint(),
			ClientID:     accesstokentest.ClientID,
			ClientSecret: accesstokentest.ClientSecret,
			AuthMethod:   method,
			HTTPClient:   as.Client(),
		})
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Introspect(t.Context(), as.Opaque(accesstokentest.Claims{"scope": "a b"}))
		if err != nil || !response.Active || response.Subject != "alice" || !response.Scope.Has("b") {
			t.Errorf("%s: got %+v, %v; want alice with scope a b", method, response, err)
		}
	}
}

func TestEveryTokenIsAskedForAnew(t *testing.T) {
	as := accesstokentest.NewServer(t)
	client, err := introspection.NewClient(introspection.Config{Endpoint: as.IntrospectionEndpoint(),
		ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client()})
	if err != nil {
		t.Fatal(err)
	}
	opaque := as.Opaque(nil)
	for _, want := range []bool{true, true, false} {
		if response, err := client.Introspect(t.Context(), opaque); err != nil || response.Active != want {
			t.Errorf("got active %v, %v; want %v", response.Active, err, want)
		}
		if as.Requests(accesstokentest.IntrospectionPath) == 2 {
			as.Revoke(opaque)
		}
	}
}

// whole prints all that a Response has, which it does not by itself.
func whole(r introspection.Response) string {
	type open introspection.Response
	return fmt.Sprintf("%+v", open(r))
}

func TestAnActiveAnswer(t *testing.T) {
	const body = `{"active":true,"scope":"a b","client_id":"web","username":"al","token_type":"Bearer","exp":2000000000,"iat":1700000000.5,"nbf":1700000001,
		"sub":"alice","aud":["https://api.example.com","urn:other"],"iss":"https://login.example.com","jti":"7","private":{"n":9007199254740993}}`
	got, err := newClient(t, serve(t, answers(200, "application/json; charset=utf-8", body)), nil).Introspect(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	raw := got.Raw
	got.Raw = nil
	want := "{Active:true Scope:a b ClientID:web TokenType:Bearer Expiry:2033-05-18 03:33:20 +0000 UTC IssuedAt:2023-11-14 22:13:20.5 +0000 UTC " +
		"NotBefore:2023-11-14 22:13:21 +0000 UTC Subject:alice Audience:[https://api.example.com urn:other] Issuer:https://login.example.com ID:7 Raw:[]}"
	got.Expiry, got.IssuedAt, got.NotBefore = got.Expiry.UTC(), got.IssuedAt.UTC(), got.NotBefore.UTC()
	if text := whole(got); text != want {
		t.Errorf("got\n\t%s; want\n\t%s", text, want)
	}
	if string(raw) != body {
		t.Errorf("Raw: got %s; want the answer as it came", raw)
	}
}

func TestWhatTheServerLeftOutIsZero(t *testing.T) {
	got, err := newClient(t, serve(t, answers(200, "application/json", `{"active":true}`)), nil).Introspect(t.Context(), token)
	if err != nil || !got.Active || !got.Expiry.IsZero() || !got.IssuedAt.IsZero() || !got.NotBefore.IsZero() ||
		got.Scope.String()+got.Subject+got.ClientID+got.Issuer+got.ID+got.TokenType != "" || got.Audience != nil {
		t.Errorf("got %+v, %v; want an active answer with nothing else", got, err)
	}
}

// Whoever takes one of these for a yes lets strangers in; whoever takes one for
// a no logs everybody out.
func TestINTRO03And07AnAnswerThatCannotBeUsedSaysNothingOfTheToken(t *testing.T) {
	const jsonType = "application/json"
	for name, endpoint := range map[string]http.HandlerFunc{
		`active is "true"`:             answers(200, jsonType, `{"active":"true"}`),
		`active is "false"`:            answers(200, jsonType, `{"active":"false"}`),
		"active is 1":                  answers(200, jsonType, `{"active":1}`),
		"active is 0":                  answers(200, jsonType, `{"active":0}`),
		"active is null":               answers(200, jsonType, `{"active":null}`),
		"active is an array":           answers(200, jsonType, `{"active":[true]}`),
		"active is missing":            answers(200, jsonType, `{"sub":"alice"}`),
		"Active in another case":       answers(200, jsonType, `{"Active":true}`),
		"active only further down":     answers(200, jsonType, `{"token":{"active":true}}`),
		"active twice":                 answers(200, jsonType, `{"active":false,"active":true}`),
		"active twice, escaped":        answers(200, jsonType, `{"active":false,"\u0061ctive":true}`),
		"another member twice":         answers(200, jsonType, `{"active":true,"sub":"a","sub":"b"}`),
		"a member twice further down":  answers(200, jsonType, `{"active":true,"cnf":{"jkt":"a","jkt":"b"}}`),
		"two objects":                  answers(200, jsonType, `{"active":true}{"active":true}`),
		"an object that is cut off":    answers(200, jsonType, `{"active":true`),
		"an array":                     answers(200, jsonType, `[{"active":true}]`),
		"a bare true":                  answers(200, jsonType, `true`),
		"nothing":                      answers(200, jsonType, ``),
		"exp is a string":              answers(200, jsonType, `{"active":true,"exp":"2000000000"}`),
		"sub is a number":              answers(200, jsonType, `{"active":true,"sub":1}`),
		"aud has a number":             answers(200, jsonType, `{"active":true,"aud":["a",1]}`),
		"scope is an array":            answers(200, jsonType, `{"active":true,"scope":["a"]}`),
		"token_type is a number":       answers(200, jsonType, `{"active":true,"token_type":1}`),
		"no content type":              answers(200, "", `{"active":true}`),
		"HTML":                         answers(200, "text/html", `{"active":true}`),
		"plain text":                   answers(200, "text/plain", `{"active":true}`),
		"a signed answer":              answers(200, "application/token-introspection+jwt", `{"active":true}`),
		"a malformed content type":     answers(200, "application/json; =", `{"active":true}`),
		"too large":                    answers(200, jsonType, `{"active":true,"x":"`+strings.Repeat("x", 64<<10)+`"}`),
		"too large after the object":   answers(200, jsonType, `{"active":true}`+strings.Repeat(" ", 64<<10)),
		"another 2xx":                  answers(202, jsonType, `{"active":true}`),
		"no content":                   answers(204, "", ``),
		"a redirect with a body":       answers(302, jsonType, `{"active":true}`, "Location", "/introspect"),
		"not modified":                 answers(304, "", ``),
		"a bad request":                answers(400, jsonType, `{"error":"invalid_request"}`),
		"a bad request without a code": answers(400, "text/html", `<p>invalid_client`),
		"not found":                    answers(404, jsonType, `{"active":true}`),
		"an error with an answer":      answers(500, jsonType, `{"active":true}`),
		"a proxy's error":              answers(502, "text/html", `<p>bad gateway`),
		"it hangs up":                  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it hangs up in the middle": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			_, _ = io.WriteString(w, `{"active":true}`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := newClient(t, serve(t, endpoint), nil).Introspect(t.Context(), token)
			if err == nil || errors.Is(err, introspection.ErrClientRefused) || errors.Is(err, introspection.ErrTokenType) ||
				errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %+v, %v; want an error that says nothing is known", response, err)
			}
			if response.Active || response.Raw != nil {
				t.Errorf("beside the error: got %+v; want nothing", response)
			}
			if !strings.HasPrefix(err.Error(), "introspection: ") {
				t.Errorf("got %q; want it to begin with the package's name", err)
			}
			wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
		})
	}
}

func TestINTRO03AnInactiveAnswerHasNothingElse(t *testing.T) {
	for name, body := range map[string]string{
		"alone":                       `{"active":false}`,
		"among white space":           " {\n \"active\" : false\t} ",
		"with claims":                 `{"active":false,"sub":"alice","scope":"admin","exp":2000000000}`,
		"with claims of a wrong type": `{"sub":1,"exp":"soon","aud":{},"active":false}`,
		"with a refresh token's type": `{"active":false,"token_type":"refresh_token"}`,
	} {
		for _, require := range []bool{false, true} {
			client := newClient(t, serve(t, answers(200, "application/json", body)), func(config *introspection.Config) { config.RequireTokenType = require })
			response, err := client.Introspect(t.Context(), token)
			if got := whole(response); err != nil || got != whole(introspection.Response{}) {
				t.Errorf("%s: got %s, %v; want the zero Response", name, got, err)
			}
		}
	}
}

func TestINTRO07ContentTypesOfJSON(t *testing.T) {
	for _, contentType := range []string{"application/json", "Application/JSON;charset=UTF-8", "application/vnd.example.introspection+json"} {
		response, err := newClient(t, serve(t, answers(200, contentType, `{"active":true}`)), nil).Introspect(t.Context(), token)
		if err != nil || !response.Active {
			t.Errorf("%s: got active %v, %v; want an answer", contentType, response.Active, err)
		}
	}
}

func TestINTRO07TheLargestAnswer(t *testing.T) {
	body := `{"active":true,"x":"` + strings.Repeat("x", 64<<10-22) + `"}`
	response, err := newClient(t, serve(t, answers(200, "application/json", body)), nil).Introspect(t.Context(), token)
	if err != nil || len(response.Raw) != 64<<10 {
		t.Errorf("got %d bytes, %v; want all %d", len(response.Raw), err, 64<<10)
	}
}

func TestINTRO07ARedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			hits := 0
			target := serve(t, func(w http.ResponseWriter, r *http.Request) {
				hits++
				answers(200, "application/json", `{"active":true}`)(w, r)
			})
			server := serve(t, answers(status, "", "", "Location", target.URL))
			base := server.Client()
			followed := func(*http.Request, []*http.Request) error { return nil }
			base.CheckRedirect = followed
			response, err := newClient(t, server, nil).Introspect(t.Context(), token)
			if err == nil || response.Active || !strings.Contains(err.Error(), fmt.Sprint(status)) {
				t.Errorf("got %+v, %v; want an error that names %d", response, err, status)
			}
			if hits != 0 {
				t.Errorf("the target was asked: got %d times; want 0", hits)
			}
			if base.CheckRedirect == nil {
				t.Error("the caller's HTTPClient was changed")
			}
		})
	}
}

func TestINTRO08WhenTheEndpointRefusesUs(t *testing.T) {
	huge := strings.Repeat("x", 100<<10)
	for name, endpoint := range map[string]http.HandlerFunc{
		"401":                           answers(401, "application/json", `{"error":"invalid_client"}`),
		"401 without a body":            answers(401, "", ""),
		"401 with an answer":            answers(401, "application/json", `{"active":false}`),
		"403":                           answers(403, "text/html", "<p>forbidden"),
		"400 with invalid_client":       answers(400, "application/json", `{"error":"invalid_client","error_description":"?"}`),
		"400 with unauthorized_client":  answers(400, "application/json", `{"error":"unauthorized_client"}`),
		"401 with a page of a firewall": answers(401, "text/html", huge),
		"403 with a page of a firewall": answers(403, "text/html", huge),
	} {
		t.Run(name, func(t *testing.T) {
			response, err := newClient(t, serve(t, endpoint), nil).Introspect(t.Context(), token)
			if !errors.Is(err, introspection.ErrClientRefused) || response.Active {
				t.Errorf("got %+v, %v; want ErrClientRefused", response, err)
			}
			wantNoCanary(t, "the error", fmt.Sprint(err))
		})
	}
	t.Run("the wrong secret at a real endpoint", func(t *testing.T) {
		as := accesstokentest.NewServer(t)
		client, err := introspection.NewClient(introspection.Config{Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID,
			ClientSecret: "wrong", HTTPClient: as.Client()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Introspect(t.Context(), as.Opaque(nil)); !errors.Is(err, introspection.ErrClientRefused) {
			t.Errorf("got %v; want ErrClientRefused", err)
		}
	})
}

func TestINTRO08WhenToComeBack(t *testing.T) {
	huge := strings.Repeat("x", 100<<10)
	date := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		name     string
		endpoint http.HandlerFunc
		min, max time.Duration
	}{
		{"429 with seconds", answers(429, "", "", "Retry-After", "7"), 7 * time.Second, 7 * time.Second},
		{"503 with seconds", answers(503, "", "", "Retry-After", "120"), 2 * time.Minute, 2 * time.Minute},
		{"503 with a date", answers(503, "", "", "Retry-After", date), 50 * time.Minute, time.Hour},
		{"503 with a date that has passed", answers(503, "", "", "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), 0, 0},
		{"503 with more than a day", answers(503, "", "", "Retry-After", "4000000000"), 24 * time.Hour, 24 * time.Hour},
		{"503 with a negative number", answers(503, "", "", "Retry-After", "-5"), 0, 0},
		{"503 with junk", answers(503, "", "", "Retry-After", "soon"), 0, 0},
		{"503 without the field", answers(503, "", ""), 0, 0},
		{"500 with the field", answers(500, "", "", "Retry-After", "7"), 0, 0},
		{"503 with a large page", answers(503, "text/html", huge, "Retry-After", "7"), 7 * time.Second, 7 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newClient(t, serve(t, test.endpoint), nil).Introspect(t.Context(), token)
			var timed interface{ RetryAfter() time.Duration }
			if !errors.As(err, &timed) {
				t.Fatalf("got %v; want an error with a method RetryAfter", err)
			}
			if got := timed.RetryAfter(); got < test.min || got > test.max {
				t.Errorf("RetryAfter: got %v; want %v to %v", got, test.min, test.max)
			}
		})
	}
}

func TestINTRO06OnlyAccessTokensAreAccepted(t *testing.T) {
	const required, optional = true, false
	for _, test := range []struct {
		name, body string
		require    bool
		want       error
	}{
		{"Bearer", `{"active":true,"token_type":"Bearer"}`, optional, nil},
		{"bearer, in another case", `{"active":true,"token_type":"bEaReR"}`, required, nil},
		{"DPoP", `{"active":true,"token_type":"DPoP"}`, required, nil},
		{"access_token", `{"active":true,"token_type":"access_token"}`, required, nil},
		{"the URN of RFC 8693", `{"active":true,"token_type":"urn:ietf:params:oauth:token-type:access_token"}`, required, nil},
		{"absent", `{"active":true}`, optional, nil},
		{"absent, and required", `{"active":true}`, required, introspection.ErrTokenType},
		{"empty, and required", `{"active":true,"token_type":""}`, required, introspection.ErrTokenType},
		{"refresh_token", `{"active":true,"token_type":"refresh_token"}`, optional, introspection.ErrTokenType},
		{"Refresh", `{"active":true,"token_type":"Refresh"}`, optional, introspection.ErrTokenType},
		{"the URN of a refresh token", `{"active":true,"token_type":"urn:ietf:params:oauth:token-type:refresh_token"}`, optional, introspection.ErrTokenType},
		{"an ID token", `{"active":true,"token_type":"urn:ietf:params:oauth:token-type:id_token"}`, optional, introspection.ErrTokenType},
		{"MAC", `{"active":true,"token_type":"mac"}`, optional, introspection.ErrTokenType},
		{"with a space", `{"active":true,"token_type":"Bearer "}`, optional, introspection.ErrTokenType},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := newClient(t, serve(t, answers(200, "application/json", test.body)), func(config *introspection.Config) { config.RequireTokenType = test.require })
			response, err := client.Introspect(t.Context(), token)
			if !errors.Is(err, test.want) || response.Active != (test.want == nil) {
				t.Errorf("got active %v, %v; want %v", response.Active, err, test.want)
			}
		})
	}
}

// hang returns an endpoint that writes first, and then nothing for as long as
// the test runs.
func hang(t *testing.T, first func(http.ResponseWriter)) *httptest.Server {
	over := make(chan struct{})
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		first(w)
		<-over
	})
	t.Cleanup(func() { close(over) }) // before the server is closed
	return server
}

func half(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"active":`)
	_ = http.NewResponseController(w).Flush()
}

func TestINTRO08ACallIsBoundedInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and does not shake hands
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, endpoint := range map[string]string{
		"no answer":      hang(t, func(http.ResponseWriter) {}).URL,
		"half an answer": hang(t, half).URL,
		"no handshake":   "https://" + silent.Addr().String(),
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, answers(200, "application/json", `{"active":true}`))
			client := newClient(t, server, func(config *introspection.Config) {
				config.Endpoint, config.Timeout = endpoint, 50*time.Millisecond
			})
			begin := time.Now()
			_, err := client.Introspect(t.Context(), token)
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("took %v; want about the Timeout", took)
			}
			if err == nil || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				t.Errorf("got %v; want an error that is not the end of the caller's context", err)
			}
			if !strings.Contains(fmt.Sprint(err), "50ms") {
				t.Errorf("got %v; want it to name the Timeout", err)
			}
			wantNoCanary(t, "the error", fmt.Sprint(err))
		})
	}
}

func TestTheCallersContextEndsTheCall(t *testing.T) {
	for name, first := range map[string]func(http.ResponseWriter){"no answer": func(http.ResponseWriter) {}, "half an answer": half} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := hang(t, func(w http.ResponseWriter) { first(w); cancel() })
			_, err := newClient(t, server, nil).Introspect(ctx, token)
			if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "introspection: ") {
				t.Errorf("got %v; want errors.Is to find context.Canceled behind the package's name", err)
			}
		})
	}
	t.Run("a deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := newClient(t, hang(t, half), nil).Introspect(ctx, token)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want errors.Is to find context.DeadlineExceeded", err)
		}
		wantNoCanary(t, "the error", fmt.Sprint(err))
	})
	// A server that notices the end may still finish its half answer, before
	// the connection is down.
	t.Run("an answer that ends in the middle because the caller did", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			_ = r.Body.Close()
			body := io.MultiReader(strings.NewReader(`{"active":`), readFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body), Request: r}, nil
		})
		client := newClient(t, serve(t, nil), func(config *introspection.Config) { config.HTTPClient = &http.Client{Transport: transport} })
		if _, err := client.Introspect(ctx, token); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want errors.Is to find context.Canceled", err)
		}
	})
	t.Run("before the call", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var requests atomic.Int32
		client := newClient(t, serve(t, nil), func(config *introspection.Config) {
			config.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				requests.Add(1)
				return nil, errors.New("this is made for nobody")
			})}
		})
		for i := range 1000 {
			if _, err := client.Introspect(ctx, fmt.Sprint(token, i)); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v; want context.Canceled", err)
			}
		}
		if got := requests.Load(); got > 0 {
			t.Errorf("requests: got %d; want 0", got)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A server, or what sits before it, may send back what it was sent: an error
// must not quote it.
func TestINTRO16ErrorsQuoteNothingThatTheServerReflects(t *testing.T) {
	for name, reply := range map[string]string{
		"in the status line":         "HTTP/1.1 " + token + "\r\n\r\n",
		"instead of HTTP":            token + "\r\n\r\n",
		"in a field without a colon": "HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n",
		"in Content-Length":          "HTTP/1.1 200 OK\r\nContent-Length: " + token + "\r\n\r\n",
		"in two Content-Lengths":     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + token + "\r\n\r\n",
		"in Transfer-Encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + token + "\r\n\r\n",
		"in the size of a chunk":     "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + token + "\r\n",
		"in Content-Type":            "HTTP/1.1 200 OK\r\nContent-Type: " + token + "\r\nContent-Length: 2\r\n\r\n{}",
		"in a member's name":         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"" + token + "\":1,\"" + token + "\":2}",
		"in active":                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"active\":\"" + token + "\"}",
		"in a member":                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"active\":true,\"exp\":\"" + token + "\"}",
		"in Location":                "HTTP/1.1 302 Found\r\nLocation: https://" + token + "\r\nContent-Length: 0\r\n\r\n",
		"in a broken Location":       "HTTP/1.1 302 Found\r\nLocation: %zz" + token + "\r\nContent-Length: 0\r\n\r\n",
		"in Retry-After":             "HTTP/1.1 503 No\r\nRetry-After: " + token + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, reply)
			}))
			defer server.Close()
			_, err := newClient(t, server, nil).Introspect(t.Context(), token)
			if err == nil {
				t.Fatal("got nil; want an error")
			}
			for ; err != nil; err = errors.Unwrap(err) {
				wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
			}
		})
	}
}

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%p", "%T"}

func TestAClientPrintsAsItsEndpoint(t *testing.T) {
	server := serve(t, answers(200, "application/json", `{"active":true}`))
	client := newClient(t, server, func(config *introspection.Config) { config.Endpoint = server.URL + "/introspect?key=canary" })
	want := "introspection.Client(" + server.URL + "/introspect)"
	for _, verb := range verbs {
		got := fmt.Sprintf(verb, client)
		wantNoCanary(t, verb, got)
		if verb != "%p" && verb != "%T" && got != want {
			t.Errorf("%s: got %q; want %q", verb, got, want)
		}
		wantNoCanary(t, verb+" of a struct around it", fmt.Sprintf(verb, struct{ Client *introspection.Client }{client}))
		wantNoCanary(t, verb+" of a list", fmt.Sprintf(verb, []any{client}))
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "client", client)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "client", client)
	wantNoCanary(t, "slog", log.String())
	//lint:ignore SA9005 that nothing comes of it is what is tested
	text, err := json.Marshal(client)
	wantNoCanary(t, "JSON", fmt.Sprintf("%s %v", text, err))
}

// fmt calls no methods of what it reaches by itself: the Client's own struct,
// and unexported fields of somebody else's.
func TestAClientKeepsItsSecretWhereNoMethodIsCalled(t *testing.T) {
	client := newClient(t, serve(t, answers(200, "application/json", `{"active":true}`)), nil)
	for _, verb := range verbs {
		wantNoCanary(t, verb+" of what it points to", fmt.Sprintf(verb, *client))
		wantNoCanary(t, verb+" of a struct that hides it", fmt.Sprintf(verb, struct{ client *introspection.Client }{client}))
	}
}

func TestNewClientReportsEveryFaultAtOnce(t *testing.T) {
	good := introspection.Config{Endpoint: "https://login.example.com/introspect", ClientID: "api", ClientSecret: secret}
	for _, test := range []struct {
		name   string
		change func(*introspection.Config)
		faults []string // one for each line
	}{
		{"nothing is wrong", func(*introspection.Config) {}, nil},
		{"nothing is wrong, with everything set", func(c *introspection.Config) {
			c.AuthMethod, c.Timeout, c.RequireTokenType, c.HTTPClient = introspection.ClientSecretPost, time.Second, true, http.DefaultClient
		}, nil},
		{"http on a loopback host", func(c *introspection.Config) { c.Endpoint = "http://127.0.0.1:8080/introspect" }, nil},
		{"http elsewhere, said aloud", func(c *introspection.Config) {
			c.Endpoint, c.DangerouslyAllowHTTP = "http://login.example.com/introspect", true
		}, nil},
		{"no endpoint", func(c *introspection.Config) { c.Endpoint = "" }, []string{"Endpoint"}},
		{"http elsewhere", func(c *introspection.Config) { c.Endpoint = "http://login.example.com/introspect" }, []string{"Endpoint"}},
		{"a path for an endpoint", func(c *introspection.Config) { c.Endpoint = "/introspect" }, []string{"Endpoint"}},
		{"credentials in the endpoint", func(c *introspection.Config) { c.Endpoint = "https://api:canary@login.example.com/introspect" }, []string{"Endpoint"}},
		{"an endpoint that cannot be parsed", func(c *introspection.Config) { c.Endpoint = "https://api:canary@login.example.com:port/" }, []string{"Endpoint"}},
		{"a fragment in the endpoint", func(c *introspection.Config) { c.Endpoint += "#x" }, []string{"Endpoint"}},
		{"no client id", func(c *introspection.Config) { c.ClientID = "" }, []string{"ClientID"}},
		{"no secret", func(c *introspection.Config) { c.ClientSecret = "" }, []string{"ClientSecret"}},
		{"a method that is not supported", func(c *introspection.Config) { c.AuthMethod = "tls" }, []string{`"tls"`}},
		{"a negative Timeout", func(c *introspection.Config) { c.Timeout = -time.Second }, []string{"Timeout"}},
		{"everything at once", func(c *introspection.Config) {
			*c = introspection.Config{ClientSecret: secret, AuthMethod: "none", Timeout: -1}
		}, []string{"Endpoint", "ClientID", `"none"`, "Timeout"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := good
			test.change(&config)
			client, err := introspection.NewClient(config)
			if len(test.faults) == 0 {
				if err != nil || client == nil {
					t.Errorf("got %v, %v; want a client", client, err)
				}
				return
			}
			if err == nil || client != nil {
				t.Fatalf("got %v, %v; want an error and nothing else", client, err)
			}
			wantNoCanary(t, "the error", err.Error())
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.faults) {
				t.Errorf("got %d faults; want %d:\n%v", len(lines), len(test.faults), err)
			}
			for i, line := range lines[:min(len(lines), len(test.faults))] {
				if !strings.HasPrefix(line, "introspection: ") || !strings.Contains(line, test.faults[i]) {
					t.Errorf("line %d: got %q; want it to begin with the package and say %q", i, line, test.faults[i])
				}
			}
		})
	}
}

// The certificate of the server is nobody's that a client of our own trusts.
func TestAClientOfOurOwnChecksTheCertificate(t *testing.T) {
	hits := 0
	server := serve(t, func(http.ResponseWriter, *http.Request) { hits++ })
	client := newClient(t, server, func(config *introspection.Config) { config.HTTPClient = nil })
	if _, err := client.Introspect(t.Context(), token); err == nil || hits > 0 {
		t.Errorf("got %v after %d requests; want an error after none", err, hits)
	}
}

func TestOneClientAsksForManyTokensAtOnce(t *testing.T) {
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answers(200, "application/json", fmt.Sprintf(`{"active":true,"sub":%q}`, r.PostFormValue("token")))(w, r)
	})
	client := newClient(t, server, nil)
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			token := fmt.Sprint("token", i)
			if response, err := client.Introspect(t.Context(), token); err != nil || response.Subject != token {
				t.Errorf("got %q, %v; want the answer for %s", response.Subject, err, token)
			}
		})
	}
	wait.Wait()
}

func TestAnHTTPClientThatPanicsSaysNothingOfTheToken(t *testing.T) {
	client := newClient(t, serve(t, nil), func(config *introspection.Config) {
		config.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("no transport today") })}
	})
	response, err := client.Introspect(t.Context(), token)
	if err == nil || response.Active || errors.Is(err, introspection.ErrClientRefused) {
		t.Errorf("got %+v, %v; want an error that says nothing is known", response, err)
	}
}
