package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A handler that makes requests of its own out of one, such as a batch endpoint or
// an upgrade to h2c, gives them the context that it has.
func TestALaterRequestWithTheSameContextIsJudgedAnew(t *testing.T) {
	as := accesstokentest.NewServer(t)
	auth := middleware.New(newIntrospecting(t, as), nil)
	optional := middleware.New(newIntrospecting(t, as), &middleware.Options{Optional: true, CORS: true})
	token := "Bearer " + as.Opaque(accesstokentest.Claims{"scope": "a"})
	var inner counter
	for _, test := range []struct {
		name    string
		wrap    *middleware.Middleware
		request func(outer *http.Request) *http.Request
		revoked bool
		status  int
		body    string
	}{
		{"an equal request", auth, func(outer *http.Request) *http.Request { return subRequest(outer, "GET", "/", token) }, false, 200, "alice may a"},
		{"an equal request, once the token is revoked", auth, func(outer *http.Request) *http.Request { return subRequest(outer, "GET", "/", token) }, true, 401, ""},
		{"another method, once the token is revoked", auth, func(outer *http.Request) *http.Request { return subRequest(outer, "POST", "/", token) }, true, 401, ""},
		{"another path, once the token is revoked", auth, func(outer *http.Request) *http.Request { return subRequest(outer, "GET", "/other", token) }, true, 401, ""},
		{"the very request, once the token is revoked", auth, func(outer *http.Request) *http.Request { return outer.WithContext(outer.Context()) }, true, 200, "alice may a"},
		{"without credentials where they are optional", optional, func(outer *http.Request) *http.Request { return subRequest(outer, "GET", "/", "") }, false, 200, "anonymous"},
		{"a preflight", optional, func(outer *http.Request) *http.Request {
			r := subRequest(outer, "OPTIONS", "/", "")
			r.Header.Set("Origin", "https://app.example.com")
			r.Header.Set("Access-Control-Request-Method", "GET")
			return r
		}, false, 200, "anonymous"},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := "Bearer " + as.Opaque(accesstokentest.Claims{"scope": "a"})
			recorder := httptest.NewRecorder()
			handler := auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				again := test.request(r)
				if got := again.Header.Get("Authorization"); got != "" && got != token {
					again.Header.Set("Authorization", token)
				}
				if test.revoked {
					as.Revoke(token[len("Bearer "):])
				}
				test.wrap.Wrap(&inner).ServeHTTP(recorder, again)
				if claims, ok := accesstoken.FromContext(r.Context()); !ok || claims.Subject != "alice" {
					t.Errorf("the outer request: got %q, %v; want its claims", claims.Subject, ok)
				}
			}))
			get(t, handler, "Authorization", token)
			if recorder.Code != test.status || test.body != "" && recorder.Body.String() != test.body {
				t.Errorf("got %d %q; want %d %q", recorder.Code, recorder.Body, test.status, test.body)
			}
		})
	}
}

// subRequest makes a request with the context of another one.
func subRequest(outer *http.Request, method, path, authorization string) *http.Request {
	r := httptest.NewRequestWithContext(outer.Context(), method, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func TestClaimsEndWithTheWrap(t *testing.T) {
	auth := middleware.New(testkit.NewValidator(t, as, nil), nil)
	var kept context.Context
	keep := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, ok := accesstoken.FromContext(r.Context()); !ok {
			t.Error("in the handler: got no claims; want them")
		}
		kept = r.Context()
	})
	get(t, auth.Wrap(keep), "Authorization", bearer(""))
	if claims, ok := accesstoken.FromContext(kept); ok {
		t.Errorf("after the handler: got %q; want no claims", claims.Subject)
	}
	panicking := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Context()
		panic(http.ErrAbortHandler)
	})
	func() {
		defer func() { _ = recover() }()
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", bearer(""))
		auth.Wrap(panicking).ServeHTTP(httptest.NewRecorder(), r)
	}()
	if claims, ok := accesstoken.FromContext(kept); ok {
		t.Errorf("after a handler that panicked: got %q; want no claims", claims.Subject)
	}
}

// What a client is told, and the hook, must not depend on how the program has
// arranged its Wraps.
func TestOneWrapAndTwoTellTheSame(t *testing.T) {
	var heard []string
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.OnRefuse = func(ctx context.Context, err *accesstoken.Error) {
			claims, ok := accesstoken.FromContext(ctx)
			if ok {
				heard = append(heard, string(err.Reason)+" of "+claims.Subject)
				return
			}
			heard = append(heard, string(err.Reason))
		}
	})
	auth := middleware.New(v, nil)
	a, b := auth.Require(scopes.All("a")), auth.Require(scopes.All("b"))
	mux := func(h http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("GET /{$}", h)
		return mux
	}
	for _, test := range []struct {
		name          string
		authorization string
		status        int
		challenge     string
		heard         string
	}{
		{"no credentials", "", 401, `Bearer realm="https://api.example.com", scope="a b"`, "CREDENTIALS_MISSING"},
		{"a scope that is missing", bearer("a"), 403,
			`Bearer realm="https://api.example.com", error="insufficient_scope", error_description="the access token lacks a required scope", scope="a b"`, "SCOPE_INSUFFICIENT of alice"},
		{"a token that nobody signed", "Bearer x.y.z", 401, `Bearer realm="https://api.example.com", error="invalid_token", error_description="the access token is invalid"`, "TOKEN_MALFORMED"},
		{"an expired token", "Bearer " + as.Token(accesstokentest.Claims{"exp": 1000000000}), 401,
			`Bearer realm="https://api.example.com", error="invalid_token", error_description="the access token expired"`, "TOKEN_EXPIRED"},
	} {
		for arrangement, handler := range map[string]http.Handler{
			"one Wrap":                    auth.Require(scopes.All("a")).Require(scopes.All("b")).Wrap(new(counter)),
			"two Wraps":                   auth.Wrap(a.Require(scopes.All("b")).Wrap(new(counter))),
			"a Wrap around a mux":         auth.Wrap(mux(a.Require(scopes.All("b")).Wrap(new(counter)))),
			"Wraps that share the demand": a.Wrap(mux(a.Require(scopes.All("b")).Wrap(new(counter)))),
		} {
			heard = nil
			got := get(t, handler, fieldsOf(test.authorization)...)
			if got.status != test.status || got.challenge() != test.challenge {
				t.Errorf("%s, %s: got %d %s; want %d %s", test.name, arrangement, got.status, got.challenge(), test.status, test.challenge)
			}
			if len(heard) != 1 || heard[0] != test.heard {
				t.Errorf("%s, %s: OnRefuse heard %q; want %q", test.name, arrangement, heard, test.heard)
			}
		}
	}
	heard = nil
	get(t, b.Wrap(new(counter)), "Authorization", bearer("b")) // passes
	if heard != nil {
		t.Errorf("a request that passes: OnRefuse heard %q; want nothing", heard)
	}
}

func fieldsOf(authorization string) []string {
	if authorization == "" {
		return nil
	}
	return []string{"Authorization", authorization}
}
