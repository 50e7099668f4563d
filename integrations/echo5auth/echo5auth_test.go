package echo5auth_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/echo5auth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

func TestTheApplicationsErrorHandlerWritesTheBody(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil).Require(scopes.All("a"))
	e := route(whoami, auth.Wrap)
	e.HTTPErrorHandler = func(c *echo.Context, err error) {
		var written *echo.HTTPError
		var refused *accesstoken.Error
		if !errors.As(err, &written) || !errors.As(err, &refused) || !errors.Is(err, accesstoken.ScopeInsufficient) {
			t.Errorf("got %v (%T); want an *echo.HTTPError that wraps the refusal", err, err)
			return
		}
		_ = c.HTML(written.Code, fmt.Sprintf("<p>%s: %v", refused.Reason, written.Message))
	}
	got := get(e, bearer("b"))
	if want := "<p>SCOPE_INSUFFICIENT: the access token lacks a required scope"; got.Code != 403 || got.Body.String() != want {
		t.Errorf("got %d %q; want 403 %q", got.Code, got.Body, want)
	}
	if challenge := got.Header().Get("WWW-Authenticate"); !strings.HasSuffix(challenge, `scope="a"`) {
		t.Errorf("got challenge %q; want it to be set already", challenge)
	}
}

func TestARefusalOfHEADHasNoBody(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil)
	w := httptest.NewRecorder()
	route(whoami, auth.Wrap).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", nil))
	if w.Code != 401 || w.Body.Len() > 0 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("got %d %q, challenge %q; want 401, no body, a challenge", w.Code, w.Body, w.Header().Get("WWW-Authenticate"))
	}
}

func TestASlipOfTheProgramPanicsAtSetUp(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil)
	for name, slip := range map[string]func(){
		"no validator":    func() { echo5auth.New(nil, nil) },
		"the zero Policy": func() { auth.RequirePolicy(accesstoken.Policy{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p == nil || !strings.HasPrefix(fmt.Sprint(p), "echo5auth: ") {
					t.Errorf("got panic %v; want one that begins with the package's name", p)
				}
			}()
			slip()
		})
	}
}

// coded is an error of an application that has a status of its own.
type coded struct{ error }

func (coded) StatusCode() int { return http.StatusTeapot }
func (c coded) Unwrap() error { return c.error }

func TestWhatAHandlerReturns(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil)
	for _, test := range []struct {
		name   string
		err    error
		status int
		text   string
	}{
		{"Deny", accesstoken.Deny("ACCOUNT_CLOSED", errors.New("lost")), 403, "access is denied"},
		{"Deny, wrapped", fmt.Errorf("orders: %w", accesstoken.Deny("ACCOUNT_CLOSED", nil)), 403, "access is denied"},
		{"a Reason", accesstoken.ScopeInsufficient, 403, "the access token lacks a required scope"},
		{"Unavailable", accesstoken.Unavailable, 503, "the access token could not be checked; try again"},
		{"an error of the application", errors.New("lost"), 500, "Internal Server Error"},
		{"an HTTPError around Deny", echo.NewHTTPError(404, "no such order").Wrap(accesstoken.Deny("ACCOUNT_CLOSED", nil)), 404, "no such order"},
		{"an error with a status around a Reason", coded{accesstoken.TokenExpired}, 418, "I'm a teapot"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := get(route(func(*echo.Context) error { return test.err }, auth.Wrap, auth.Wrap), bearer("a"))
			if want := fmt.Sprintf("{\"message\":%q}\n", test.text); got.Code != test.status || got.Body.String() != want {
				t.Errorf("got %d %s; want %d %s", got.Code, got.Body, test.status, want)
			}
		})
	}
}

func TestErrorsOfTheApplicationStayTheVerySame(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil)
	for name, want := range map[string]error{
		"an error":  errors.New("lost"),
		"ErrNoSuch": echo.ErrNotFound,
		"no error":  nil,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", bearer(""))
		c := newEcho().NewContext(r, httptest.NewRecorder())
		if got := auth.Wrap(func(*echo.Context) error { return want })(c); got != want {
			t.Errorf("%s: got %v; want the very same", name, got)
		}
	}
}

func TestCheckAndRefuseWithoutWrapping(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil).Require(scopes.All("a"))
	handler := func(c *echo.Context) error {
		claims, err := auth.Check(c)
		if err != nil {
			return auth.Refuse(c, err)
		}
		return c.String(http.StatusOK, claims.Subject)
	}
	for authorization, want := range map[string]int{"": 401, "Bearer junk": 401, bearer("b"): 403, bearer("a"): 200} {
		if got := get(route(handler), authorization); got.Code != want {
			t.Errorf("%.12q: got %d; want %d", authorization, got.Code, want)
		}
	}
}

// A group's Use comes before the route's own Wrap, which then checks only its policy.
func TestGroupsAndRoutes(t *testing.T) {
	auth := echo5auth.New(testkit.NewValidator(t, as, nil), nil)
	e := newEcho()
	e.GET("/open", whoami)
	group := e.Group("/orders")
	group.Use(auth.Wrap)
	group.GET("", whoami)
	group.POST("", whoami, auth.Require(scopes.All("write")).Wrap)
	for _, test := range []struct {
		method, path, authorization string
		status                      int
	}{
		{"GET", "/open", "", 200},
		{"GET", "/orders", "", 401},
		{"GET", "/orders", bearer("read"), 200},
		{"POST", "/orders", bearer("read"), 403},
		{"POST", "/orders", bearer("write"), 200},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s %s: got %d; want %d", test.method, test.path, w.Code, test.status)
		}
	}
}
