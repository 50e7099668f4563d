package echoauth_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// route returns an Echo with one route, /, behind the middlewares.
func route(handler echo.HandlerFunc, with ...echo.MiddlewareFunc) *echo.Echo {
	e := newEcho()
	e.Any("/", handler, with...)
	return e
}

// Each refusal is asked of both adapters. What describes the body belongs to
// the application's error handler and may differ.
func TestRefusalsAreThoseOfNetHTTP(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	down := accesstokentest.NewServer(t)
	down.Handle(accesstokentest.JWKSPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	unavailable := testkit.NewValidator(t, down, nil)
	misconfigured := newIntrospecting(t, as, "not the secret")
	for _, test := range []struct {
		name   string
		v      *accesstoken.Validator
		fields []string
		status int
		text   string
	}{
		{"no token", v, nil, 401, "an access token is required"},
		{"another scheme", v, []string{"Authorization", "Basic eA=="}, 401, "this authentication scheme is not supported"},
		{"no token after the scheme", v, []string{"Authorization", "Bearer"}, 400, "the credentials are malformed"},
		{"two lines", v, []string{"Authorization", "Bearer a", "Authorization", "Bearer a"}, 400, "the request has more than one credential"},
		{"junk", v, []string{"Authorization", "Bearer junk"}, 401, "the access token is invalid"},
		{"an expired token", v, []string{"Authorization", "Bearer " + as.Token(accesstokentest.Claims{"exp": 1000000000})}, 401, "the access token expired"},
		{"a scope is missing", v, []string{"Authorization", bearer("b")}, 403, "the access token lacks a required scope"},
		{"the keys cannot be had", unavailable, []string{"Authorization", "Bearer " + down.Token(nil)}, 503, "the access token could not be checked; try again"},
		{"we are misconfigured", misconfigured, []string{"Authorization", "Bearer opaque"}, 500, "the resource server is misconfigured"},
		{"a script of another origin", v, []string{"Origin", "https://app.example.com"}, 401, "an access token is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			auth := echoauth.New(test.v, &echoauth.Options{CORS: true}).Require(scopes.All("a"))
			got := get(t, route(handler.handle, auth.Wrap), test.fields...)
			plain := middleware.New(test.v, &middleware.Options{CORS: true}).Require(scopes.All("a"))
			want := get(t, plain.Wrap(http.NotFoundHandler()), test.fields...)

			if got.status != test.status || got.status != want.status {
				t.Errorf("got %d; want %d, as net/http: %d", got.status, test.status, want.status)
			}
			for _, header := range []http.Header{got.header, want.header} {
				for _, name := range []string{"Date", "Content-Type", "Content-Length"} {
					header.Del(name)
				}
			}
			if !maps.EqualFunc(got.header, want.header, slices.Equal) {
				t.Errorf("got header\n\t%v; want that of net/http\n\t%v", got.header, want.header)
			}
			if body := fmt.Sprintf("{\"message\":%q}\n", test.text); got.body != body {
				t.Errorf("got body %s; want Echo's own, %s", got.body, body)
			}
			handler.wantCalls(t, 0)
		})
	}
}

func TestNothingIsSniffedFromARefusal(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	got := get(t, route(new(counter).handle, auth.Wrap))
	if nosniff := got.header.Get("X-Content-Type-Options"); nosniff != "nosniff" {
		t.Errorf("X-Content-Type-Options: got %q; want nosniff, as net/http has it", nosniff)
	}
}

// A handler may have announced its body before it finds out that it must
// refuse. Whoever writes the error's body writes another one.
func TestRefuseTakesBackWhatWasSaidAboutAnotherBody(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	announced := map[string]string{"Content-Length": "3", "Content-Encoding": "gzip", "Etag": `"v1"`, "Last-Modified": "Mon, 02 Jan 2006 15:04:05 GMT"}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", bearer(""))
	w := httptest.NewRecorder()
	route(func(c echo.Context) error {
		for name, value := range announced {
			c.Response().Header().Set(name, value)
		}
		return accesstoken.Deny("ACCOUNT_CLOSED", nil)
	}, auth.Wrap).ServeHTTP(w, r)
	for name := range announced {
		if got := w.Header().Get(name); got != "" {
			t.Errorf("%s: got %q; want it gone", name, got)
		}
	}
}

func TestTheApplicationsErrorHandlerWritesTheBody(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil).Require(scopes.All("a"))
	e := route(new(counter).handle, auth.Wrap)
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		var written *echo.HTTPError
		var refused *accesstoken.Error
		if !errors.As(err, &written) || !errors.As(err, &refused) {
			t.Errorf("got %T; want an *echo.HTTPError with an *accesstoken.Error inside", err)
			return
		}
		if !errors.Is(err, accesstoken.ScopeInsufficient) {
			t.Errorf("got %v; want errors.Is to find %s", err, accesstoken.ScopeInsufficient)
		}
		_ = c.HTML(written.Code, fmt.Sprintf("<p>%s: %v", refused.Reason, written.Message))
	}
	got := get(t, e, "Authorization", bearer("b"))
	if want := "<p>SCOPE_INSUFFICIENT: the access token lacks a required scope"; got.status != 403 || got.body != want {
		t.Errorf("got %d %q; want 403 %q", got.status, got.body, want)
	}
	if !strings.HasSuffix(got.challenge(), `scope="a"`) {
		t.Errorf("got challenge %q; want it to be set already", got.challenge())
	}
}

func TestARefusalOfHEADHasNoBody(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	w := httptest.NewRecorder()
	route(new(counter).handle, auth.Wrap).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", nil))
	if w.Code != 401 || w.Body.Len() > 0 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("got %d %q, challenge %q; want 401, no body, a challenge", w.Code, w.Body, w.Header().Get("WWW-Authenticate"))
	}
}

func TestChainedCallsDemandAll(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	base := auth.Require(scopes.All("a"))
	for _, test := range []struct {
		name    string
		auth    *echoauth.Middleware
		granted string
		status  int
	}{
		{"two links, both met", base.Require(scopes.All("b")), "b a", 200},
		{"two links, the first met", base.Require(scopes.All("b")), "a", 403},
		{"two links, the second met", base.Require(scopes.All("b")), "b", 403},
		{"policies add up as well", base.RequirePolicy(accesstoken.Policy{Scopes: scopes.Any("b", "c")}), "a", 403},
		{"an alternative in the second link", base.RequirePolicy(accesstoken.Policy{Scopes: scopes.Any("b", "c")}), "a c", 200},
		{"None takes nothing back", base.Require(scopes.None()), "", 403},
		{"None alone lets any token in", auth.Require(scopes.None()), "", 200},
		{"the middleware they were made from demands what it did", base, "a", 200},
		{"the first of all demands no scope", auth, "", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			got := get(t, route(handler.handle, test.auth.Wrap), "Authorization", bearer(test.granted))
			if got.status != test.status || got.status == 200 && got.body != "alice may "+test.granted {
				t.Errorf("got %d %q; want %d, and the claims where it is 200", got.status, got.body, test.status)
			}
			handler.wantCalls(t, map[bool]int32{true: 1}[test.status == 200])
		})
	}
}

func TestASlipOfTheProgramPanicsAtSetUp(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	for name, slip := range map[string]func(){
		"no validator":               func() { echoauth.New(nil, nil) },
		"no validator, with options": func() { echoauth.New(nil, &echoauth.Options{}) },
		"the zero Requirement":       func() { auth.Require(scopes.Requirement{}) },
		"the zero Policy":            func() { auth.RequirePolicy(accesstoken.Policy{}) },
		"All of an empty list":       func() { auth.Require(scopes.All()) },
		"Any of an empty list":       func() { auth.Require(scopes.Any()) },
		"two scopes in one string":   func() { auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.All("a b")}) },
		"a slip in the second link":  func() { auth.Require(scopes.All("a")).Require(scopes.All()) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p == nil || !strings.HasPrefix(fmt.Sprint(p), "echoauth: ") {
					t.Errorf("got panic %v; want one that begins with the package's name", p)
				}
			}()
			slip()
		})
	}
}

func TestOptional(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), &echoauth.Options{Optional: true})
	for _, test := range []struct {
		name   string
		auth   *echoauth.Middleware
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
		{"another scheme is refused", auth, []string{"Authorization", "Basic eA=="}, 401, "", true},
		{"two lines are refused", auth, []string{"Authorization", "", "Authorization", ""}, 400, "", true},
		{"a route that requires a scope needs a token", auth.Require(scopes.All("a")), nil, 401, "", false},
		{"a route that requires any token needs one", auth.Require(scopes.None()), nil, 401, "", false},
		{"a route that requires a scope is open to it", auth.Require(scopes.All("a")), []string{"Authorization", bearer("a")}, 200, "alice may a", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			got := get(t, route(handler.handle, test.auth.Wrap), test.fields...)
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
		{"a refusal outside CORS exposes nothing", with, "GET", nil, 401, false, 0},
		{"a refusal with CORS off exposes nothing", without, "GET", origin, 401, false, 0},
		{"what passes is left to the CORS handler", with, "GET", append([]string{"Authorization", bearer("a")}, origin...), 200, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			auth := echoauth.New(v, &echoauth.Options{CORS: test.cors}).Require(scopes.All("a"))
			server := serve(t, route(handler.handle, auth.Wrap))
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
			auth := echoauth.New(v, &echoauth.Options{CORS: test.cors}).Require(scopes.All("a"))
			nonce, fields := "", []string(nil)
			if test.nonce {
				nonce = prover.Nonce()
			}
			if test.origin {
				fields = []string{"Origin", "https://app.example.com"}
			}
			got := get(t, route(handler.handle, auth.Wrap), append(prover.Fields(t, nonce), fields...)...)
			if got.status != test.status || got.header.Get("DPoP-Nonce") == "" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("got %d, %v; want %d, a nonce, and no-store", got.status, got.header, test.status)
			}
			if exposed := strings.Join(got.header["Access-Control-Expose-Headers"], ", "); exposed != test.exposed {
				t.Errorf("exposed: got %q; want %q", exposed, test.exposed)
			}
		})
	}
}

func TestWhatAHandlerReturns(t *testing.T) {
	var heard []accesstoken.Reason
	var mu sync.Mutex
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(_ context.Context, err *accesstoken.Error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, err.Reason)
		}
	})
	lost := errors.New("connection to db-7 lost")
	teapot := echo.NewHTTPError(http.StatusTeapot, "short and stout")
	policy := accesstoken.Policy{Scopes: scopes.All("b")}
	for _, test := range []struct {
		name       string
		fail       func(echo.Context) error
		status     int
		text       string
		challenged bool
		heard      string
	}{
		{"Deny", func(echo.Context) error { return accesstoken.Deny("ACCOUNT_CLOSED", lost) }, 403, "access is denied", false, "[ACCOUNT_CLOSED]"},
		{"Deny, wrapped", func(echo.Context) error { return fmt.Errorf("orders: %w", accesstoken.Deny("ACCOUNT_CLOSED", nil)) }, 403, "access is denied", false, "[ACCOUNT_CLOSED]"},
		{"an error of the Validator's Check", func(c echo.Context) error {
			claims, _ := accesstoken.FromContext(c.Request().Context())
			return v.Check(c.Request().Context(), claims, policy)
		}, 403, "the access token lacks a required scope", true, "[SCOPE_INSUFFICIENT]"},
		{"an error of the Validator's Check, joined", func(c echo.Context) error {
			claims, _ := accesstoken.FromContext(c.Request().Context())
			return errors.Join(lost, v.Check(c.Request().Context(), claims, policy))
		}, 403, "the access token lacks a required scope", true, "[SCOPE_INSUFFICIENT]"},
		{"a foreign error", func(echo.Context) error { return lost }, 500, "Internal Server Error", false, "[]"},
		{"an HTTPError", func(echo.Context) error { return teapot }, 418, "short and stout", false, "[]"},
		{"an HTTPError around Deny", func(echo.Context) error {
			return echo.NewHTTPError(http.StatusNotFound, "no such order").SetInternal(accesstoken.Deny("ACCOUNT_CLOSED", nil))
		}, 404, "no such order", false, "[]"},
	} {
		for _, optional := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, "/optional=", optional), func(t *testing.T) {
				heard = nil
				auth := echoauth.New(v, &echoauth.Options{Optional: optional})
				got := get(t, route(test.fail, auth.Wrap, auth.Wrap), "Authorization", bearer("a"))
				if want := fmt.Sprintf("{\"message\":%q}\n", test.text); got.status != test.status || got.body != want {
					t.Errorf("got %d %s; want %d %s", got.status, got.body, test.status, want)
				}
				if challenged := got.challenge() != ""; challenged != test.challenged {
					t.Errorf("got challenge %q; want one: %v", got.challenge(), test.challenged)
				}
				mu.Lock()
				defer mu.Unlock()
				if got := fmt.Sprint(heard); got != test.heard {
					t.Errorf("OnRefuse: got %s; want %s", got, test.heard)
				}
			})
		}
	}
}

func TestErrorsOfTheApplicationStayTheVerySame(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	for name, want := range map[string]error{
		"a foreign error": errors.New("lost"),
		"an HTTPError":    echo.ErrNotFound,
		"no error":        nil,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", bearer(""))
		c := newEcho().NewContext(r, httptest.NewRecorder())
		if got := auth.Wrap(func(echo.Context) error { return want })(c); got != want {
			t.Errorf("%s: got %v; want the very same", name, got)
		}
	}
}

func TestADenialOfAnAnonymousOrPreflightRequest(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), &echoauth.Options{Optional: true, CORS: true})
	server := serve(t, route(func(echo.Context) error { return accesstoken.Deny("CLOSED_TODAY", nil) }, auth.Wrap))
	for name, method := range map[string]string{"an anonymous request": http.MethodGet, "a preflight": http.MethodOptions} {
		t.Run(name, func(t *testing.T) {
			got := send(t, server.Client(), method, server.URL, "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST")
			if got.status != 403 {
				t.Errorf("got %d; want 403", got.status)
			}
		})
	}
}

func TestCheckAndRefuseWithoutWrapping(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	auth := echoauth.New(v, nil).Require(scopes.All("a"))
	handler := func(c echo.Context) error {
		claims, err := auth.Check(c)
		if err != nil {
			return auth.Refuse(c, fmt.Errorf("the handler says: %w", err))
		}
		return c.String(http.StatusOK, claims.Subject)
	}
	wrapped := func(c echo.Context) error { return c.String(http.StatusOK, "alice") }
	for name, fields := range map[string][]string{
		"a good token":       {"Authorization", bearer("a")},
		"no token":           nil,
		"junk":               {"Authorization", "Bearer junk"},
		"a scope is missing": {"Authorization", bearer("b")},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := get(t, route(handler), fields...), get(t, route(wrapped, auth.Wrap), fields...)
			if got.status != want.status || got.body != want.body || got.challenge() != want.challenge() {
				t.Errorf("got %d %q %s; want what Wrap answers, %d %q %s", got.status, got.body, got.challenge(), want.status, want.body, want.challenge())
			}
		})
	}
	for name, err := range map[string]error{"a foreign error": errors.New("lost"), "no error at all": nil} {
		t.Run(name+" is a 500", func(t *testing.T) {
			got := get(t, route(func(c echo.Context) error { return auth.Refuse(c, err) }))
			if got.status != 500 || got.challenge() != "" {
				t.Errorf("got %d, challenge %q; want 500 and none", got.status, got.challenge())
			}
		})
	}
}

func TestGroupsAndRoutes(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	var handler counter
	e := newEcho()
	e.GET("/open", handler.handle)
	e.GET("/me", handler.handle, auth.Wrap)
	admin := e.Group("/admin", auth.Require(scopes.All("admin")).Wrap)
	admin.GET("/users", handler.handle)
	admin.GET("/keys/:id", func(c echo.Context) error { return c.String(http.StatusOK, c.Param("id")) }, auth.Require(scopes.All("keys")).Wrap)
	server := serve(t, e)
	for _, test := range []struct {
		name, path, scope string // "-" for no token
		status            int
	}{
		{"an open route needs no token", "/open", "-", 200},
		{"a route has its own middleware", "/me", "-", 401},
		{"a route has its own middleware, with a token", "/me", "", 200},
		{"a group protects its routes", "/admin/users", "", 403},
		{"a group lets its own in", "/admin/users", "admin", 200},
		{"a route in a group demands both, the group's is there", "/admin/keys/7", "admin", 403},
		{"a route in a group demands both, the route's is there", "/admin/keys/7", "keys", 403},
		{"a route in a group demands both, both are there", "/admin/keys/7", "admin keys", 200},
		{"a route that is not there tells nothing about a group", "/admin/nowhere", "-", 401},
		{"an escaped letter gets round no group", "/%61dmin/users", "", 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			var fields []string
			if test.scope != "-" {
				fields = []string{"Authorization", bearer(test.scope)}
			}
			if got := send(t, server.Client(), http.MethodGet, server.URL+test.path, "", fields...); got.status != test.status {
				t.Errorf("got %d %q; want %d", got.status, got.body, test.status)
			}
		})
	}
}

// newIntrospecting makes a validator that asks the server about every opaque
// token, each time anew.
func newIntrospecting(t *testing.T, as *accesstokentest.Server, secret string) *accesstoken.Validator {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: secret,
		HTTPClient:   as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return testkit.NewValidator(t, as, func(config *accesstoken.Config) { config.Issuers[0].Introspection = client })
}

func TestAWrapInsideAWrap(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, other := newIntrospecting(t, as, accesstokentest.ClientSecret), newIntrospecting(t, as, accesstokentest.ClientSecret)
	auth := echoauth.New(v, nil)
	optional := echoauth.New(v, &echoauth.Options{Optional: true})
	a, b := auth.Require(scopes.All("a")), auth.Require(scopes.All("b"))
	byHand := func(next echo.HandlerFunc) echo.HandlerFunc { // claims that no adapter has seen
		return func(c echo.Context) error {
			ctx := accesstokentest.NewContext(c.Request().Context(), accesstokentest.Claims{"sub": "mallory", "scope": "a b"})
			c.SetRequest(c.Request().WithContext(ctx))
			return next(c)
		}
	}
	for _, test := range []struct {
		name     string
		use      echo.MiddlewareFunc // of the Echo
		route    echo.MiddlewareFunc
		token    bool // with scope a
		status   int
		requests int
	}{
		{"of the same validator asks once", auth.Wrap, a.Wrap, true, 200, 1},
		{"of the same Middleware asks once", a.Wrap, a.Wrap, true, 200, 1},
		{"in one of net/http asks once", echo.WrapMiddleware(middleware.New(v, nil).Wrap), a.Wrap, true, 200, 1},
		{"checks its policy", a.Wrap, b.Wrap, true, 403, 1},
		{"does not undo the outer policy", b.Wrap, auth.Wrap, true, 403, 1},
		{"of another validator authenticates again", auth.Wrap, echoauth.New(other, nil).Wrap, true, 200, 2},
		{"in an optional one needs a token", optional.Wrap, a.Wrap, false, 401, 0},
		{"claims put there by hand let nobody in", byHand, a.Wrap, false, 401, 0},
		{"claims put there by hand give no scope", byHand, b.Wrap, true, 403, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handler counter
			e := newEcho()
			e.Use(test.use)
			e.GET("/", handler.handle, test.route)
			var fields []string
			if test.token {
				fields = []string{"Authorization", "Bearer " + as.Opaque(accesstokentest.Claims{"scope": "a"})}
			}
			before := as.Requests(accesstokentest.IntrospectionPath)
			got := get(t, e, fields...)
			if got.status != test.status || got.status == 200 && got.body != "alice may a" {
				t.Errorf("got %d %q; want %d, and the claims of the token where it is 200", got.status, got.body, test.status)
			}
			if requests := as.Requests(accesstokentest.IntrospectionPath) - before; requests != test.requests {
				t.Errorf("introspections: got %d; want %d", requests, test.requests)
			}
			handler.wantCalls(t, map[bool]int32{true: 1}[test.status == 200])
		})
	}
}

func TestOnRefuseHearsOfEveryRefusalOnce(t *testing.T) {
	var mu sync.Mutex
	var heard []accesstoken.Reason
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(_ context.Context, err *accesstoken.Error) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, err.Reason)
		}
	})
	auth := echoauth.New(v, nil)
	a := auth.Require(scopes.All("a"))
	for _, test := range []struct {
		name   string
		e      *echo.Echo
		fields []string
		heard  string
	}{
		{"a request that passes", route(new(counter).handle, auth.Wrap), []string{"Authorization", bearer("")}, "[]"},
		{"a Wrap", route(new(counter).handle, auth.Wrap), nil, "[CREDENTIALS_MISSING]"},
		{"a Wrap inside a Wrap", route(new(counter).handle, auth.Wrap, a.Wrap), []string{"Authorization", bearer("")}, "[SCOPE_INSUFFICIENT]"},
		{"an error of Check", route(func(c echo.Context) error { _, err := a.Check(c); return a.Refuse(c, err) }), nil, "[CREDENTIALS_MISSING]"},
		{"Deny, given to Refuse", route(func(c echo.Context) error { return a.Refuse(c, accesstoken.Deny("ACCOUNT_CLOSED", nil)) }), nil, "[ACCOUNT_CLOSED]"},
		{"Deny, given to Refuse inside two Wraps", route(func(c echo.Context) error { return a.Refuse(c, accesstoken.Deny("ACCOUNT_CLOSED", nil)) }, auth.Wrap, a.Wrap),
			[]string{"Authorization", bearer("a")}, "[ACCOUNT_CLOSED]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			heard = nil
			get(t, test.e, test.fields...)
			mu.Lock()
			defer mu.Unlock()
			if got := fmt.Sprint(heard); got != test.heard {
				t.Errorf("got %s; want %s", got, test.heard)
			}
		})
	}
}

func TestTheResponseAndTheBodyAreNotTouched(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	t.Run("the body arrives as it was sent", func(t *testing.T) {
		body := strings.Repeat("x", 1<<16)
		server := serve(t, route(func(c echo.Context) error { return c.Stream(http.StatusOK, "text/plain", c.Request().Body) }, auth.Wrap))
		got := send(t, server.Client(), http.MethodPost, server.URL, body, "Authorization", bearer(""), "Content-Type", "application/x-www-form-urlencoded")
		if got.status != 200 || got.body != body {
			t.Errorf("got %d and %d bytes; want 200 and the %d that were sent", got.status, len(got.body), len(body))
		}
	})
	t.Run("flush", func(t *testing.T) {
		flushed := make(chan struct{})
		server := serve(t, route(func(c echo.Context) error {
			_, _ = io.WriteString(c.Response(), "data: one\n\n")
			c.Response().Flush()
			<-flushed // the client has it, and the handler still runs
			return nil
		}, auth.Wrap))
		r, _ := http.NewRequest(http.MethodGet, server.URL, nil)
		r.Header.Set("Authorization", bearer(""))
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
}

// outage is an error of an application that knows of Unavailable.
type outage struct{}

func (outage) Error() string        { return "the database is down" }
func (outage) Is(target error) bool { return target == accesstoken.Unavailable }

func TestAHandlerMayReturnAReason(t *testing.T) {
	auth := echoauth.New(testkit.NewValidator(t, as, nil), nil)
	for _, test := range []struct {
		name   string
		err    error
		status int
	}{
		{"a Reason", accesstoken.ScopeInsufficient, 403},
		{"a Reason, wrapped", fmt.Errorf("orders: %w", accesstoken.TokenExpired), 401},
		{"Unavailable", accesstoken.Unavailable, 503},
		{"an error that matches Unavailable", outage{}, 503},
		{"an *echo.HTTPError around a Reason", &echo.HTTPError{Code: 418, Internal: accesstoken.TokenExpired}, 418},
		{"an error of the application", errors.New("lost"), 500},
	} {
		e := newEcho()
		e.GET("/", func(echo.Context) error { return test.err }, auth.Wrap)
		if got := get(t, e, "Authorization", bearer("")); got.status != test.status {
			t.Errorf("%s: got %d; want %d", test.name, got.status, test.status)
		}
	}
}

func TestARequestThatNeedsNoTokenHasNoClaimsOfAnOuterOne(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	optional := echoauth.New(v, &echoauth.Options{Optional: true, CORS: true})
	outer := echoauth.New(v, nil)
	for name, change := range map[string]func(*http.Request){
		"optional": func(*http.Request) {},
		"a preflight": func(r *http.Request) {
			r.Method = http.MethodOptions
			r.Header.Set("Origin", "https://app.example.com")
			r.Header.Set("Access-Control-Request-Method", "GET")
		},
	} {
		var inner counter
		e := newEcho()
		e.GET("/", func(c echo.Context) error {
			r := c.Request().Clone(c.Request().Context())
			r.Header = http.Header{}
			change(r)
			c.SetRequest(r)
			return optional.Wrap(inner.handle)(c)
		}, outer.Wrap)
		if got := get(t, e, "Authorization", bearer("a")); got.status != 200 || got.body != "anonymous" {
			t.Errorf("%s: got %d %q; want 200 and no claims", name, got.status, got.body)
		}
	}
}
