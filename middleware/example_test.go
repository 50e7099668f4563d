package middleware_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// setUp runs an authorization server and makes a Validator for its tokens. A
// program has only the second part.
func setUp() (*accesstokentest.Server, *accesstoken.Validator) {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	return as, v
}

// call sends a request to a handler and prints what comes back.
func call(handler http.Handler, method, path, token string) {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
}

func ExampleNew() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	me := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok { // the route is not behind Wrap
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, claims.Subject)
	})
	create := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "created")
	})

	auth := middleware.New(v, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /me", auth.Wrap(me))
	mux.Handle("POST /orders", auth.Require(scopes.All("orders:write")).Wrap(create))

	token := as.Token(accesstokentest.Claims{"sub": "alice", "scope": "orders:read"})
	call(mux, "GET", "/me", token)
	call(mux, "POST", "/orders", token)
	call(mux, "GET", "/me", "")
	// Output:
	// 200 alice
	// 403 the access token lacks a required scope
	// 401 an access token is required
}

// A route whose handler is a function.
func ExampleMiddleware_WrapFunc() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth := middleware.New(v, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /me", auth.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok {
			auth.Refuse(w, r, accesstoken.CredentialsMissing)
			return
		}
		fmt.Fprintln(w, claims.Subject)
	}))

	call(mux, "GET", "/me", "")
	call(mux, "GET", "/me", as.Token(nil))
	// Output:
	// 401 an access token is required
	// 200 alice
}

// One Wrap around all routes, and another around those that need more: the
// token is looked at once.
func ExampleMiddleware_Wrap() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	greet := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if claims, ok := accesstoken.FromContext(r.Context()); ok {
			fmt.Fprintln(w, "hello", claims.Subject)
			return
		}
		fmt.Fprintln(w, "hello, whoever you are")
	})

	auth := middleware.New(v, &middleware.Options{Optional: true})
	mux := http.NewServeMux()
	mux.Handle("GET /", greet)
	mux.Handle("GET /members", auth.Require(scopes.None()).Wrap(greet))
	handler := auth.Wrap(mux)

	call(handler, "GET", "/", "")
	call(handler, "GET", "/", as.Token(accesstokentest.Claims{"sub": "alice"}))
	call(handler, "GET", "/", "a.forged.token")
	call(handler, "GET", "/members", "")
	// Output:
	// 200 hello, whoever you are
	// 200 hello alice
	// 401 the access token is invalid
	// 401 an access token is required
}

// Chained calls demand all.
func ExampleMiddleware_Require() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	ok := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })

	orders := middleware.New(v, nil).Require(scopes.All("orders"))
	read := orders.Require(scopes.Any("orders:read", "orders:write")).Wrap(ok)

	call(read, "GET", "/orders", as.Token(accesstokentest.Claims{"scope": "orders orders:write"}))
	call(read, "GET", "/orders", as.Token(accesstokentest.Claims{"scope": "orders:write"}))
	// Output:
	// 200 ok
	// 403 the access token lacks a required scope
}

func ExampleMiddleware_RequirePolicy() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	audit := accesstoken.Policy{Scopes: scopes.All("audit", "audit:export")}
	handler := middleware.New(v, nil).RequirePolicy(audit).Wrap(http.NotFoundHandler())

	r := httptest.NewRequest("GET", "/audit", nil)
	r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "audit"}))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	// Output: Bearer realm="https://api.example.com", error="insufficient_scope", error_description="the access token lacks a required scope", scope="audit audit:export"
}

// Check and Refuse are Wrap in two halves, for a handler that wants to do
// something between them.
func ExampleMiddleware_Check() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth := middleware.New(v, nil)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := auth.Check(r)
		if err != nil {
			auth.Refuse(w, r, err)
			return
		}
		fmt.Fprintln(w, claims.Subject)
	})

	call(handler, "GET", "/", as.Token(accesstokentest.Claims{"sub": "alice"}))
	call(handler, "GET", "/", "")
	// Output:
	// 200 alice
	// 401 an access token is required
}

// An application has reasons of its own to say no.
func ExampleMiddleware_Refuse() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth := middleware.New(v, nil)
	handler := auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok { // the route is not behind Wrap
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		if claims.Subject == "bob" {
			auth.Refuse(w, r, accesstoken.Deny("ACCOUNT_CLOSED", errors.New("bob left in May")))
			return
		}
		fmt.Fprintln(w, "welcome")
	}))

	call(handler, "GET", "/", as.Token(accesstokentest.Claims{"sub": "alice"}))
	call(handler, "GET", "/", as.Token(accesstokentest.Claims{"sub": "bob"}))
	// Output:
	// 200 welcome
	// 403 access is denied
}

func ExampleProblem() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth := middleware.New(v, &middleware.Options{Body: middleware.Problem})
	call(auth.Wrap(http.NotFoundHandler()), "GET", "/", "")
	// Output: 401 {"title":"Unauthorized","status":401,"detail":"an access token is required"}
}
