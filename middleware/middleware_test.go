package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func TestWrapLetsGoodTokensInAndNothingElse(t *testing.T) {
	const (
		realm   = `Bearer realm="https://api.example.com"`
		invalid = realm + `, error="invalid_token", error_description="the access token is invalid"`
		request = realm + `, error="invalid_request", error_description="`
		scope   = `, scope="orders:read"`
	)
	var handler counter
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	server := serve(t, auth.Require(scopes.All("orders:read")).Wrap(&handler))
	good := bearer("orders:read")
	for _, client := range []struct {
		proto string
		*http.Client
	}{{"HTTP/1.1", onlyHTTP1(t, server)}, {"HTTP/2.0", server.Client()}} {
		for _, test := range []struct {
			name      string
			path      string
			fields    []string
			status    int
			challenge string
			runs      bool
		}{
			{"a good token", "", []string{"Authorization", good}, 200, "", true},
			{"a good token, scheme in lower case", "", []string{"Authorization", "b" + good[1:]}, 200, "", true},
			{"a good token beside one in the query", "?access_token=x", []string{"Authorization", good}, 200, "", true},
			{"no token", "", nil, 401, realm + scope, false},
			{"a token in the query only", "?access_token=" + good[len("Bearer "):], nil, 401, realm + scope, false},
			{"a token in a cookie only", "", []string{"Cookie", "access_token=" + good[len("Bearer "):]}, 401, realm + scope, false},
			{"a token in another field", "", []string{"X-Access-Token", good, "Proxy-Authorization", good}, 401, realm + scope, false},
			{"another scheme", "", []string{"Authorization", "Basic eA=="}, 401, realm + scope, false},
			{"no token after the scheme", "", []string{"Authorization", "Bearer"}, 400, request + `the credentials are malformed"`, false},
			{"two tokens in one line", "", []string{"Authorization", good + ", " + good}, 400, request + `the credentials are malformed"`, false},
			{"one token in two lines", "", []string{"Authorization", good, "Authorization", good}, 400, request + `the request has more than one credential"`, false},
			{"junk", "", []string{"Authorization", "Bearer junk"}, 401, invalid, false},
			{"a token for somebody else", "", []string{"Authorization", "Bearer " + as.Token(accesstokentest.Claims{"aud": "https://other.example.com"})}, 401, invalid, false},
			{"an expired token without the scope", "", []string{"Authorization", "Bearer " + as.Token(accesstokentest.Claims{"exp": 1000000000})}, 401,
				realm + `, error="invalid_token", error_description="the access token expired"`, false},
			{"a scope is missing", "", []string{"Authorization", bearer("orders")}, 403,
				realm + `, error="insufficient_scope", error_description="the access token lacks a required scope"` + scope, false},
		} {
			t.Run(client.proto+"/"+test.name, func(t *testing.T) {
				before := handler.calls.Load()
				got := send(t, client.Client, http.MethodGet, server.URL+test.path, "", test.fields...)
				if got.proto != client.proto {
					t.Fatalf("got protocol %s; want %s", got.proto, client.proto)
				}
				if got.status != test.status || got.challenge() != test.challenge {
					t.Errorf("got %d with challenge %s; want %d with %s", got.status, got.challenge(), test.status, test.challenge)
				}
				if ran := handler.calls.Load() > before; ran != test.runs {
					t.Errorf("the handler ran: got %v; want %v", ran, test.runs)
				}
				if test.runs && got.body != "alice may orders:read" {
					t.Errorf("the handler's claims: got %q; want those of the token", got.body)
				}
				if want := "no-store"; !test.runs && got.header.Get("Cache-Control") != want {
					t.Errorf("Cache-Control: got %q; want %q", got.header.Get("Cache-Control"), want)
				}
			})
		}
	}
}

func TestAnIssuerThatIsDownIsNotTheTokensFault(t *testing.T) {
	down := accesstokentest.NewServer(t)
	for _, path := range []string{accesstokentest.OAuthMetadataPath, accesstokentest.OpenIDMetadataPath} {
		down.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	}
	var handler counter
	got := get(t, middleware.New(testkit.NewValidator(t, down, nil), nil).Wrap(&handler), "Authorization", "Bearer "+down.Token(nil))
	if got.status != 503 || got.header.Get("Retry-After") == "" || got.challenge() != "" {
		t.Errorf("got %d, Retry-After %q, challenge %q; want 503, some, none", got.status, got.header.Get("Retry-After"), got.challenge())
	}
	handler.wantCalls(t, 0)
}

func TestACallerThatGivesUpIsStillRefused(t *testing.T) {
	slow := accesstokentest.NewServer(t)
	ctx, giveUp := context.WithCancel(t.Context())
	slow.Handle(accesstokentest.JWKSPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		giveUp()
		<-r.Context().Done()
	}))
	var handler counter
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+slow.Token(nil))
	w := httptest.NewRecorder()
	middleware.New(testkit.NewValidator(t, slow, nil), nil).Wrap(&handler).ServeHTTP(w, r)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q; want 503 and some", w.Code, w.Header().Get("Retry-After"))
	}
	handler.wantCalls(t, 0)
}

func TestChainedCallsDemandAll(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	base := auth.Require(scopes.All("a"))
	policy := func(r scopes.Requirement) accesstoken.Policy { return accesstoken.Policy{Scopes: r} }
	for _, test := range []struct {
		name    string
		auth    *middleware.Middleware
		granted string
		status  int
		needed  string // by the challenge
	}{
		{"one link, met", base, "a", 200, ""},
		{"two links, both met", base.Require(scopes.All("b")), "b a", 200, ""},
		{"two links, the first met", base.Require(scopes.All("b")), "a", 403, "a b"},
		{"two links, the second met", base.Require(scopes.All("b")), "b", 403, "a b"},
		{"policies add up as well", auth.RequirePolicy(policy(scopes.All("a"))).RequirePolicy(policy(scopes.Any("b", "c"))), "a", 403, "a b"},
		{"an alternative in the second link", auth.RequirePolicy(policy(scopes.All("a"))).RequirePolicy(policy(scopes.Any("b", "c"))), "a c", 200, ""},
		{"None takes nothing back", base.Require(scopes.None()), "", 403, "a"},
		{"None alone lets any token in", auth.Require(scopes.None()), "", 200, ""},
		{"the middleware they were made from demands what it did", base, "a", 200, ""},
		{"the first of all demands no scope", auth, "", 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			got := get(t, test.auth.Wrap(&handler), "Authorization", bearer(test.granted))
			if got.status != test.status {
				t.Errorf("got %d; want %d", got.status, test.status)
			}
			if want := `scope="` + test.needed + `"`; test.needed != "" && !strings.HasSuffix(got.challenge(), want) {
				t.Errorf("got challenge %s; want it to end in %s", got.challenge(), want)
			}
			if ran := handler.calls.Load() == 1; ran != (test.status == 200) {
				t.Errorf("the handler ran: got %v; want %v", ran, !ran)
			}
		})
	}
}

func TestASlipOfTheProgramPanicsAtSetUp(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	for name, slip := range map[string]func(){
		"no validator":                func() { middleware.New(nil, nil) },
		"no validator, with options":  func() { middleware.New(nil, &middleware.Options{}) },
		"the zero Requirement":        func() { auth.Require(scopes.Requirement{}) },
		"the zero Policy":             func() { auth.RequirePolicy(accesstoken.Policy{}) },
		"All of an empty list":        func() { auth.Require(scopes.All()) },
		"Any of an empty list":        func() { auth.Require(scopes.Any()) },
		"two scopes in one string":    func() { auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.All("a b")}) },
		"a slip in the second link":   func() { auth.Require(scopes.All("a")).Require(scopes.All()) },
		"a slip joined to a good one": func() { auth.Require(scopes.All("a").And(scopes.Any(""))) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p == nil || !strings.HasPrefix(fmt.Sprint(p), "middleware: ") {
					t.Errorf("got panic %v; want one that begins with the package's name", p)
				}
			}()
			slip()
		})
	}
}

func TestOptional(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), &middleware.Options{Optional: true})
	for _, test := range []struct {
		name   string
		auth   *middleware.Middleware
		fields []string
		status int
		body   string // "" is any
		varies bool
	}{
		{"no credentials are anonymous", auth, nil, 200, "anonymous", true},
		{"a good token has claims", auth, []string{"Authorization", bearer("a")}, 200, "alice may a", true},
		{"an expired token is refused", auth, []string{"Authorization", "Bearer " + as.Token(accesstokentest.Claims{"exp": 1000000000})}, 401, "", true},
		{"junk is refused", auth, []string{"Authorization", "Bearer junk"}, 401, "", true},
		{"an empty field is no absent one", auth, []string{"Authorization", ""}, 400, "", true},
		{"a scheme without a token is refused", auth, []string{"Authorization", "Bearer"}, 400, "", true},
		{"another scheme is refused", auth, []string{"Authorization", "Basic eA=="}, 401, "", true},
		{"two lines are refused", auth, []string{"Authorization", "", "Authorization", ""}, 400, "", true},
		{"a route that requires a scope needs a token", auth.Require(scopes.All("a")), nil, 401, "", false},
		{"a route that requires any token needs one", auth.Require(scopes.None()), nil, 401, "", false},
		{"a route that requires a scope is open to it", auth.Require(scopes.All("a")), []string{"Authorization", bearer("a")}, 200, "alice may a", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			got := get(t, test.auth.Wrap(&handler), test.fields...)
			if got.status != test.status || test.body != "" && got.body != test.body {
				t.Errorf("got %d %q; want %d %q", got.status, got.body, test.status, test.body)
			}
			if varies := got.header.Get("Vary") == "Authorization"; varies != test.varies {
				t.Errorf("Vary: Authorization: got %v; want %v", varies, test.varies)
			}
			handler.wantCalls(t, map[bool]int32{true: 1}[test.status == 200])
		})
	}
}

func TestOptionalKeepsTheVaryOfOthers(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), &middleware.Options{Optional: true})
	got := get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Language")
		auth.Wrap(new(counter)).ServeHTTP(w, r)
	}))
	if vary := strings.Join(got.header["Vary"], ", "); vary != "Accept-Language, Authorization" {
		t.Errorf("Vary: got %q; want both fields", vary)
	}
}

func TestCORS(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	const with, without = true, false
	origin := []string{"Origin", "https://app.example.com"}
	preflight := append([]string{"Access-Control-Request-Method", "POST"}, origin...)
	for _, test := range []struct {
		name     string
		cors     bool
		method   string
		fields   []string
		status   int
		exposed  bool
		handlers int32
	}{
		{"a genuine preflight passes", with, "OPTIONS", preflight, 200, false, 1},
		{"a preflight is authenticated when CORS is off", without, "OPTIONS", preflight, 401, false, 0},
		{"OPTIONS without Origin is authenticated", with, "OPTIONS", preflight[:2], 401, false, 0},
		{"OPTIONS without a requested method is authenticated", with, "OPTIONS", origin, 401, true, 0},
		{"OPTIONS alone is authenticated", with, "OPTIONS", nil, 401, false, 0},
		{"another method with a preflight's fields is authenticated", with, "POST", preflight, 401, true, 0},
		{"a refusal can be read by the script", with, "GET", origin, 401, true, 0},
		{"a 403 can be read by the script", with, "GET", append([]string{"Authorization", bearer("")}, origin...), 403, true, 0},
		{"a refusal outside CORS exposes nothing", with, "GET", nil, 401, false, 0},
		{"a refusal with CORS off exposes nothing", without, "GET", origin, 401, false, 0},
		{"what passes is left to the CORS handler", with, "GET", append([]string{"Authorization", bearer("a")}, origin...), 200, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			auth := middleware.New(v, &middleware.Options{CORS: test.cors}).Require(scopes.All("a"))
			server := serve(t, auth.Wrap(&handler))
			got := send(t, server.Client(), test.method, server.URL, "", test.fields...)
			if got.status != test.status {
				t.Errorf("got %d; want %d", got.status, test.status)
			}
			if exposed := got.header.Get("Access-Control-Expose-Headers") == "WWW-Authenticate"; exposed != test.exposed {
				t.Errorf("the challenge is exposed: got %v; want %v", exposed, test.exposed)
			}
			handler.wantCalls(t, test.handlers)
		})
	}
}

// Scripts of other origins can read the nonces, of refusals and of answers that pass,
// where CORS is said; the caches of others keep neither.
func TestScriptsCanReadTheNextNonce(t *testing.T) {
	prover := testkit.NewProver(t, as, "a")
	v := testkit.NewValidator(t, as, prover.Config)
	for _, test := range []struct {
		name         string
		cors, origin bool
		nonce        bool // is in the proof
		status       int
		exposed      string
	}{
		{"a refusal", true, true, false, 401, "WWW-Authenticate, DPoP-Nonce"},
		{"a refusal outside CORS", true, false, false, 401, ""},
		{"a refusal with CORS off", false, true, false, 401, ""},
		{"an answer", true, true, true, 200, "DPoP-Nonce"},
		{"an answer outside CORS", true, false, true, 200, ""},
		{"an answer with CORS off", false, true, true, 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			auth := middleware.New(v, &middleware.Options{CORS: test.cors}).Require(scopes.All("a"))
			nonce, fields := "", []string(nil)
			if test.nonce {
				nonce = prover.Nonce()
			}
			if test.origin {
				fields = []string{"Origin", "https://app.example.com"}
			}
			got := get(t, auth.Wrap(&handler), append(prover.Fields(t, nonce), fields...)...)
			if got.status != test.status || got.header.Get("DPoP-Nonce") == "" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %d, %v; want %d, a nonce, and no-store", got.status, got.header, test.status)
			}
			if exposed := strings.Join(got.header["Access-Control-Expose-Headers"], ", "); exposed != test.exposed {
				t.Errorf("exposed: got %q; want %q", exposed, test.exposed)
			}
		})
	}
}

// The error of a handler is in the challenge of the scheme that the client used, as that of
// a policy is.
func TestTheChallengeOfAHandlersRefusal(t *testing.T) {
	prover := testkit.NewProver(t, as, "a")
	auth := middleware.New(testkit.NewValidator(t, as, prover.Config), nil)
	refuses := auth.WrapFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, accesstoken.StepUpRequired) })
	for first, fields := range map[string][]string{"DPoP": prover.Fields(t, prover.Nonce()), "Bearer": {"Authorization", bearer("a")}} {
		lines := get(t, refuses, fields...).header["Www-Authenticate"]
		if len(lines) != 2 || !strings.HasPrefix(lines[0], first+" ") || !strings.Contains(lines[0], "error=") || strings.Contains(lines[1], "error=") {
			t.Errorf("got %q; want the error in the first one, of the scheme %s", lines, first)
		}
	}
}

func TestCheckAndRefuseWithoutWrapping(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	auth := middleware.New(v, nil).Require(scopes.All("a"))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := auth.Check(r)
		if err != nil {
			auth.Refuse(w, r, fmt.Errorf("the handler says: %w", err))
			return
		}
		fmt.Fprint(w, claims.Subject)
	})
	wrapped := auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "alice") }))
	for name, fields := range map[string][]string{
		"a good token":       {"Authorization", bearer("a")},
		"no token":           nil,
		"junk":               {"Authorization", "Bearer junk"},
		"a scope is missing": {"Authorization", bearer("b")},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := get(t, handler, fields...), get(t, wrapped, fields...)
			if got.status != want.status || got.body != want.body || got.challenge() != want.challenge() {
				t.Errorf("got %d %q %s; want what Wrap answers, %d %q %s", got.status, got.body, got.challenge(), want.status, want.body, want.challenge())
			}
		})
	}
	t.Run("Check refuses an anonymous request on an optional middleware", func(t *testing.T) {
		optional := middleware.New(v, &middleware.Options{Optional: true})
		if _, err := optional.Check(httptest.NewRequest(http.MethodGet, "/", nil)); !errors.Is(err, accesstoken.CredentialsMissing) {
			t.Errorf("got %v; want a refusal for %s", err, accesstoken.CredentialsMissing)
		}
	})
}

// An outage is an error of an application that knows of Unavailable.
type outage struct{}

func (outage) Error() string        { return "the database is down" }
func (outage) Is(target error) bool { return target == accesstoken.Unavailable }

func TestWhatRefuseAnswers(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	_, expired := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"exp": 1000000000})))
	for _, test := range []struct {
		name       string
		err        error
		status     int
		text       string
		challenged bool
	}{
		{"a foreign error", errors.New("connection to db-7 lost"), 500, "internal error\n", false},
		{"the end of somebody's context", context.DeadlineExceeded, 500, "internal error\n", false},
		{"no error at all", nil, 500, "internal error\n", false},
		{"a nil *Error", (*accesstoken.Error)(nil), 500, "internal error\n", false},
		{"a bare Reason", accesstoken.TokenExpired, 401, "the access token expired\n", true},
		{"missing credentials", accesstoken.CredentialsMissing, 401, "an access token is required\n", true},
		{"a Reason, wrapped", fmt.Errorf("orders: %w", accesstoken.ScopeInsufficient), 403, "the access token lacks a required scope\n", true},
		{"a Reason that is none of ours", accesstoken.Reason("ACCOUNT_CLOSED"), 500, "internal error\n", false},
		{"the wire's own Reason", accesstoken.TokenInvalid, 500, "internal error\n", false},
		{"a database that is down", fmt.Errorf("db-7: %w", accesstoken.Unavailable), 503, "the access token could not be checked; try again\n", false},
		{"an error that matches Unavailable", outage{}, 503, "the access token could not be checked; try again\n", false},
		{"an error of the validator", expired, 401, "the access token expired\n", true},
		{"an error of the validator, wrapped", fmt.Errorf("orders: %w", expired), 401, "the access token expired\n", true},
		{"an application's no", accesstoken.Deny("ACCOUNT_CLOSED", errors.New("closed on 3 May")), 403, "access is denied\n", false},
		{"an application's no, wrapped", fmt.Errorf("orders: %w", accesstoken.Deny("ACCOUNT_CLOSED", nil)), 403, "access is denied\n", false},
		{"an application's no with a reason of ours", accesstoken.Deny(accesstoken.TokenExpired, nil), 403, "access is denied\n", false},
		{"an application's no with a malformed reason", accesstoken.Deny("account closed", nil), 403, "access is denied\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			auth := middleware.New(v, nil)
			got := get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, test.err) }))
			if got.status != test.status || got.body != test.text {
				t.Errorf("got %d %q; want %d %q", got.status, got.body, test.status, test.text)
			}
			if challenged := got.challenge() != ""; challenged != test.challenged {
				t.Errorf("got challenge %q; want one: %v", got.challenge(), test.challenged)
			}
			if ct := got.header.Get("Content-Type"); ct != "text/plain; charset=utf-8" || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("got Content-Type %q, X-Content-Type-Options %q; want plain text, nosniff", ct, got.header.Get("X-Content-Type-Options"))
			}
		})
	}
}

// A handler may have announced its body before it finds out that it must
// refuse. http.Error takes these fields back too.
func TestRefuseTakesBackWhatWasSaidAboutAnotherBody(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	announced := map[string]string{"Content-Length": "3", "Content-Encoding": "gzip", "Etag": `"v1"`, "Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT"}
	w := httptest.NewRecorder()
	for name, value := range announced {
		w.Header().Set(name, value)
	}
	auth.Refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), accesstoken.Deny("ACCOUNT_CLOSED", nil))
	for name := range announced {
		if got := w.Header().Get(name); got != "" {
			t.Errorf("%s: got %q; want it gone", name, got)
		}
	}
}

func TestTheBodyOfARefusal(t *testing.T) {
	custom := func(r *http.Request, refused *accesstoken.Error) (string, []byte) {
		return "text/html", fmt.Appendf(nil, "<p>%s %s %d", r.URL.Path, refused.Reason, refused.HTTPStatus())
	}
	panics := func(*http.Request, *accesstoken.Error) (string, []byte) { panic("half a body, and a secret") }
	aborts := func(*http.Request, *accesstoken.Error) (string, []byte) { panic(http.ErrAbortHandler) }
	const problem = `{"title":"Forbidden","status":403,"detail":"the access token lacks a required scope"}`
	for _, test := range []struct {
		name              string
		hook              func(*http.Request, *accesstoken.Error) (string, []byte)
		method            string
		status            int
		contentType, body string
		challenged        bool
	}{
		{"one line of text", nil, "GET", 403, "text/plain; charset=utf-8", "the access token lacks a required scope\n", true},
		{"a problem", middleware.Problem, "GET", 403, "application/problem+json", problem, true},
		{"one of the application", custom, "GET", 403, "text/html", "<p>/orders SCOPE_INSUFFICIENT 403", true},
		{"none for HEAD", nil, "HEAD", 403, "text/plain; charset=utf-8", "", true},
		{"no problem for HEAD", middleware.Problem, "HEAD", 403, "application/problem+json", "", true},
		{"a hook that panics", panics, "GET", 500, "text/plain; charset=utf-8", "internal error\n", false},
		{"a hook that panics, for HEAD", panics, "HEAD", 500, "text/plain; charset=utf-8", "", false},
		{"a hook that wants to abort", aborts, "GET", 500, "text/plain; charset=utf-8", "internal error\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			auth := middleware.New(testkit.NewValidator(t, as, nil), &middleware.Options{Body: test.hook})
			// The recorder has what was written, the server what was sent.
			r := httptest.NewRequest(test.method, "/orders", nil)
			r.Header.Set("Authorization", bearer("b"))
			w := httptest.NewRecorder()
			auth.Require(scopes.All("a")).Wrap(&handler).ServeHTTP(w, r)
			if w.Body.String() != test.body {
				t.Errorf("wrote %q; want %q", w.Body, test.body)
			}
			server := serve(t, auth.Require(scopes.All("a")).Wrap(&handler))
			got := send(t, server.Client(), test.method, server.URL+"/orders", "", "Authorization", bearer("b"))
			if got.status != test.status || got.body != test.body || got.header.Get("Content-Type") != test.contentType {
				t.Errorf("got %d %s %q; want %d %s %q", got.status, got.header.Get("Content-Type"), got.body, test.status, test.contentType, test.body)
			}
			if challenged := got.challenge() != ""; challenged != test.challenged {
				t.Errorf("got challenge %q; want one: %v", got.challenge(), test.challenged)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control: got %q; want no-store", got.header.Get("Cache-Control"))
			}
			handler.wantCalls(t, 0)
		})
	}
}

// newIntrospecting makes a validator that asks the server about every opaque
// token, each time anew.
func newIntrospecting(t *testing.T, as *accesstokentest.Server) *accesstoken.Validator {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return testkit.NewValidator(t, as, func(config *accesstoken.Config) { config.Issuers[0].Introspection = client })
}

func TestAWrapInsideAWrap(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, other := newIntrospecting(t, as), newIntrospecting(t, as)
	auth := middleware.New(v, nil)
	optional := middleware.New(v, &middleware.Options{Optional: true})
	a, b := auth.Require(scopes.All("a")), auth.Require(scopes.All("b"))
	byHand := func(next http.Handler) http.Handler { // claims that no adapter has seen
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := accesstokentest.NewContext(r.Context(), accesstokentest.Claims{"sub": "mallory", "scope": "a b"})
			next.ServeHTTP(w, r.WithContext(ctx))
		})
	}
	// replace gives the request other credentials, as a handler does that makes
	// requests of its own out of one.
	replace := func(authorization ...string) func(http.Handler) http.Handler {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner := r.Clone(r.Context())
				inner.Header["Authorization"] = authorization
				next.ServeHTTP(w, inner)
			})
		}
	}
	for _, test := range []struct {
		name     string
		wraps    []func(http.Handler) http.Handler // the outermost first
		token    bool                              // with scope a
		status   int
		requests int
	}{
		{"of the same validator asks once", []func(http.Handler) http.Handler{auth.Wrap, a.Wrap}, true, 200, 1},
		{"of the same Middleware asks once", []func(http.Handler) http.Handler{a.Wrap, a.Wrap, a.Wrap}, true, 200, 1},
		{"of another Middleware with the same validator asks once", []func(http.Handler) http.Handler{optional.Wrap, a.Wrap}, true, 200, 1},
		{"checks its policy", []func(http.Handler) http.Handler{a.Wrap, b.Wrap}, true, 403, 1},
		{"does not undo the outer policy", []func(http.Handler) http.Handler{b.Wrap, auth.Wrap}, true, 403, 1},
		{"of another validator authenticates again", []func(http.Handler) http.Handler{auth.Wrap, middleware.New(other, nil).Wrap}, true, 200, 2},
		{"in an optional one needs a token", []func(http.Handler) http.Handler{optional.Wrap, a.Wrap}, false, 401, 0},
		{"in an optional one may be optional", []func(http.Handler) http.Handler{optional.Wrap, optional.Wrap}, false, 200, 0},
		{"claims put there by hand let nobody in", []func(http.Handler) http.Handler{byHand, a.Wrap}, false, 401, 0},
		{"claims put there by hand give no scope", []func(http.Handler) http.Handler{byHand, b.Wrap}, true, 403, 1},
		{"of a request with other credentials looks at those", []func(http.Handler) http.Handler{a.Wrap, replace("Bearer unknown"), a.Wrap}, true, 401, 2},
		{"of a request without credentials lets nobody in", []func(http.Handler) http.Handler{a.Wrap, replace(), a.Wrap}, true, 401, 1},
		{"claims put there by hand hide those of the outer Wrap", []func(http.Handler) http.Handler{auth.Wrap, byHand, b.Wrap}, true, 403, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var inner counter
			var handler http.Handler = &inner
			for i := range test.wraps {
				handler = test.wraps[len(test.wraps)-1-i](handler)
			}
			var fields []string
			if test.token {
				fields = []string{"Authorization", "Bearer " + as.Opaque(accesstokentest.Claims{"scope": "a"})}
			}
			before := as.Requests(accesstokentest.IntrospectionPath)
			got := get(t, handler, fields...)
			if got.status != test.status {
				t.Errorf("got %d; want %d", got.status, test.status)
			}
			if test.token && test.status == 200 && got.body != "alice may a" {
				t.Errorf("got %q; want the claims of the token", got.body)
			}
			if requests := as.Requests(accesstokentest.IntrospectionPath) - before; requests != test.requests {
				t.Errorf("introspections: got %d; want %d", requests, test.requests)
			}
			inner.wantCalls(t, map[bool]int32{true: 1}[test.status == 200])
		})
	}
}

func TestOnRefuseHearsOfEveryRefusalOnce(t *testing.T) {
	type key struct{}
	var mu sync.Mutex
	var heard []string
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(ctx context.Context, err *accesstoken.Error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, fmt.Sprint(ctx.Value(key{}), " ", err.Reason))
		}
	})
	auth := middleware.New(v, nil)
	a := auth.Require(scopes.All("a"))
	panicking := middleware.New(v, &middleware.Options{Body: func(*http.Request, *accesstoken.Error) (string, []byte) { panic("no template") }})
	refuse := func(fail func(*http.Request) error) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, fail(r)) })
	}
	for _, test := range []struct {
		name    string
		handler http.Handler
		fields  []string
		heard   string
	}{
		{"a request that passes", auth.Wrap(new(counter)), []string{"Authorization", bearer("")}, "[]"},
		{"a Wrap", auth.Wrap(new(counter)), nil, "[here CREDENTIALS_MISSING]"},
		{"a Wrap, by its policy", a.Wrap(new(counter)), []string{"Authorization", bearer("")}, "[here SCOPE_INSUFFICIENT]"},
		{"a Wrap inside a Wrap", auth.Wrap(a.Wrap(new(counter))), []string{"Authorization", bearer("")}, "[here SCOPE_INSUFFICIENT]"},
		{"an error of Check", refuse(func(r *http.Request) error { _, err := a.Check(r); return err }), nil, "[here CREDENTIALS_MISSING]"},
		{"an error of Check, wrapped", refuse(func(r *http.Request) error { _, err := a.Check(r); return fmt.Errorf("no: %w", err) }), nil, "[here CREDENTIALS_MISSING]"},
		{"an error of the Validator's Check", auth.Wrap(refuse(func(r *http.Request) error {
			claims, _ := accesstoken.FromContext(r.Context())
			return v.Check(r.Context(), claims, accesstoken.Policy{Scopes: scopes.All("a")})
		})), []string{"Authorization", bearer("")}, "[here SCOPE_INSUFFICIENT]"},
		{"Deny", refuse(func(*http.Request) error { return accesstoken.Deny("ACCOUNT_CLOSED", nil) }), nil, "[here ACCOUNT_CLOSED]"},
		{"Deny, inside a Wrap", auth.Wrap(refuse(func(*http.Request) error { return accesstoken.Deny("ACCOUNT_CLOSED", nil) })),
			[]string{"Authorization", bearer("")}, "[here ACCOUNT_CLOSED]"},
		{"a foreign error", refuse(func(*http.Request) error { return errors.New("lost") }), nil, "[here INTERNAL_ERROR]"},
		{"a Body hook that panics is a second one", panicking.Wrap(new(counter)), nil, "[here CREDENTIALS_MISSING here INTERNAL_ERROR]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			heard = nil
			get(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				test.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "here")))
			}), test.fields...)
			mu.Lock()
			defer mu.Unlock()
			if got := fmt.Sprint(heard); got != test.heard {
				t.Errorf("got %s; want %s", got, test.heard)
			}
		})
	}
}

func TestARefusalHookThatPanicsLetsNobodyIn(t *testing.T) {
	var handler counter
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(context.Context, *accesstoken.Error) { panic("the metrics are gone") }
	})
	got := get(t, middleware.New(v, nil).Wrap(&handler))
	if got.status != 500 || got.body != "internal error\n" {
		t.Errorf("got %d %q; want 500 %q", got.status, got.body, "internal error\n")
	}
	handler.wantCalls(t, 0)
}

func TestTheRequestsBodyIsNotTouched(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	body := "access_token=in+the+form&" + strings.Repeat("x", 1<<16)
	server := serve(t, auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })))
	got := send(t, server.Client(), http.MethodPost, server.URL, body,
		"Authorization", bearer(""), "Content-Type", "application/x-www-form-urlencoded")
	if got.status != 200 || got.body != body {
		t.Errorf("got %d and %d bytes; want 200 and the %d bytes that were sent", got.status, len(got.body), len(body))
	}

	unread := &reader{text: strings.NewReader("access_token=" + strings.TrimPrefix(bearer(""), "Bearer "))}
	r := httptest.NewRequest(http.MethodPost, "/", unread)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	auth.Wrap(new(counter)).ServeHTTP(w, r)
	if w.Code != 401 || unread.reads != 0 {
		t.Errorf("a token in a form: got %d after %d reads; want 401 after none", w.Code, unread.reads)
	}
}

type reader struct {
	text  io.Reader
	reads int
}

func (r *reader) Read(p []byte) (int, error) {
	r.reads++
	return r.text.Read(p)
}

func TestTheResponseWriterIsHandedOnAsItIs(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), &middleware.Options{Optional: true, CORS: true})
	protect := func(handler http.HandlerFunc) http.Handler {
		return auth.Require(scopes.None()).Wrap(auth.EndWithToken().Wrap(handler))
	}
	good := bearer("")

	t.Run("flush", func(t *testing.T) {
		flushed := make(chan struct{})
		server := serve(t, protect(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "data: one\n\n")
			w.(http.Flusher).Flush()
			<-flushed // the client has it, and the handler still runs
		}))
		r, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		r.Header.Set("Authorization", good)
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		line, err := bufio.NewReader(response.Body).ReadString('\n')
		close(flushed)
		if err != nil || line != "data: one\n" {
			t.Errorf("got %q, %v; want the event while the handler runs", line, err)
		}
	})
	t.Run("hijack", func(t *testing.T) {
		server := serve(t, protect(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		}))
		r, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		r.Header = http.Header{"Authorization": {good}, "Connection": {"Upgrade"}, "Upgrade": {"echo"}}
		response, err := onlyHTTP1(t, server).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 101 {
			t.Errorf("got %d; want 101", response.StatusCode)
		}
	})
	t.Run("ResponseController", func(t *testing.T) {
		server := serve(t, protect(func(w http.ResponseWriter, r *http.Request) {
			controller := http.NewResponseController(w)
			for name, err := range map[string]error{
				"SetReadDeadline":  controller.SetReadDeadline(time.Time{}),
				"SetWriteDeadline": controller.SetWriteDeadline(time.Now().Add(time.Minute)),
				"Flush":            controller.Flush(),
			} {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}))
		if got := send(t, server.Client(), http.MethodGet, server.URL, "", "Authorization", good); got.status != 200 {
			t.Errorf("got %d; want 200", got.status)
		}
	})
	t.Run("the very same value", func(t *testing.T) {
		outer := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", good)
		protect(func(w http.ResponseWriter, _ *http.Request) {
			if w != http.ResponseWriter(outer) {
				t.Errorf("got a %T; want the server's own ResponseWriter", w)
			}
		}).ServeHTTP(outer, r)
	})
}

func TestItWorksWithRouters(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.PathValue("id"), " ", r.Pattern)
	})))
	mux.Handle("GET /admin/", auth.Require(scopes.All("admin")).Wrap(new(counter)))
	chain := func(final http.Handler, with ...func(http.Handler) http.Handler) http.Handler { // as chi does it
		for i := range with {
			final = with[len(with)-1-i](final)
		}
		return final
	}
	server := serve(t, chain(mux, auth.Wrap, auth.Require(scopes.None()).Wrap))
	client := *server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, test := range []struct {
		name, method, path string
		authorization      string
		status             int
		body               string // "" is any
	}{
		{"the path's values arrive", "GET", "/orders/7", bearer(""), 200, "7 GET /orders/{id}"},
		{"no token", "GET", "/orders/7", "", 401, ""},
		{"HEAD follows GET", "HEAD", "/admin/", bearer(""), 403, ""},
		{"the stricter pattern decides", "GET", "/admin/x", bearer(""), 403, ""},
		{"the stricter pattern lets its own in", "GET", "/admin/x", bearer("admin"), 200, "alice may admin"},
		{"an escaped letter", "GET", "/%61dmin/x", bearer(""), 403, ""},
		{"an escaped dot segment", "GET", "/orders/%2e%2e/admin/x", bearer(""), 404, ""},
		{"two slashes", "GET", "//admin/x", bearer(""), 307, ""},
		{"a route that is not there, without a token", "GET", "/nowhere", "", 401, ""},
		{"a route that is not there", "GET", "/nowhere", bearer(""), 404, ""},
		{"another method", "DELETE", "/orders/7", bearer(""), 405, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var fields []string
			if test.authorization != "" {
				fields = []string{"Authorization", test.authorization}
			}
			got := send(t, &client, test.method, server.URL+test.path, "", fields...)
			if got.status != test.status || test.body != "" && got.body != test.body {
				t.Errorf("got %d %q; want %d %q", got.status, got.body, test.status, test.body)
			}
		})
	}
}

func TestOneMiddlewareServesManyRequestsAtOnce(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	server := serve(t, auth.Require(scopes.All("a")).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, _ := accesstoken.FromContext(r.Context())
		fmt.Fprint(w, claims.Subject)
	})))
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			subject := fmt.Sprint("user", i)
			token := "Bearer " + as.Token(accesstokentest.Claims{"sub": subject, "scope": "a"})
			for range 10 {
				auth.Require(scopes.All("b")) // leaves auth as it is
				if got := send(t, server.Client(), http.MethodGet, server.URL, "", "Authorization", token); got.status != 200 || got.body != subject {
					t.Errorf("got %d %q; want 200 %q", got.status, got.body, subject)
				}
			}
		})
	}
	wait.Wait()
}
