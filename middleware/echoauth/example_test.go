package echoauth_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
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

// call sends a request to an Echo and prints what comes back.
func call(e *echo.Echo, method, path, token string) {
	r := httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
}

func ExampleNew() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	me := func(c echo.Context) error {
		claims, ok := accesstoken.FromContext(c.Request().Context())
		if !ok { // the route is not behind Wrap
			return accesstoken.CredentialsMissing
		}
		return c.String(http.StatusOK, claims.Subject+"\n")
	}
	create := func(c echo.Context) error { return c.String(http.StatusCreated, "created\n") }

	auth := echoauth.New(v, nil)
	e := echo.New()
	e.Use(auth.Wrap)
	e.GET("/me", me)
	e.POST("/orders", create, auth.Require(scopes.All("orders:write")).Wrap)

	token := as.Token(accesstokentest.Claims{"sub": "alice", "scope": "orders:read"})
	call(e, "GET", "/me", token)
	call(e, "POST", "/orders", token)
	call(e, "GET", "/me", "")
	// Output:
	// 200 alice
	// 403 {"message":"the access token lacks a required scope"}
	// 401 {"message":"an access token is required"}
}

// A handler says no by returning accesstoken.Deny.
func ExampleMiddleware_Wrap() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	e := echo.New()
	e.Use(echoauth.New(v, nil).Wrap)
	e.GET("/", func(c echo.Context) error {
		claims, ok := accesstoken.FromContext(c.Request().Context())
		if !ok { // the route is not behind Wrap
			return accesstoken.CredentialsMissing
		}
		if claims.Subject == "bob" {
			return accesstoken.Deny("ACCOUNT_CLOSED", nil)
		}
		return c.String(http.StatusOK, "welcome\n")
	})

	call(e, "GET", "/", as.Token(accesstokentest.Claims{"sub": "alice"}))
	call(e, "GET", "/", as.Token(accesstokentest.Claims{"sub": "bob"}))
	// Output:
	// 200 welcome
	// 403 {"message":"access is denied"}
}

// A group demands one scope, and a route in it another.
func ExampleMiddleware_Require() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	ok := func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") }

	auth := echoauth.New(v, nil)
	e := echo.New()
	admin := e.Group("/admin", auth.Require(scopes.All("admin")).Wrap)
	admin.GET("/users", ok)
	admin.GET("/keys", ok, auth.Require(scopes.All("admin:keys")).Wrap)

	token := as.Token(accesstokentest.Claims{"scope": "admin"})
	call(e, "GET", "/admin/users", token)
	call(e, "GET", "/admin/keys", token)
	// Output:
	// 200 ok
	// 403 {"message":"the access token lacks a required scope"}
}

// Server-sent events that end with the token that they were asked for with. The
// handler returns why, and the client hears of it if nothing has been sent yet.
func ExampleMiddleware_EndWithToken() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	news := make(chan string)
	e := echo.New()
	e.GET("/events", func(c echo.Context) error {
		for {
			select {
			case text := <-news:
				fmt.Fprintf(c.Response(), "data: %s\n\n", text)
				c.Response().Flush()
			case <-c.Request().Context().Done():
				return context.Cause(c.Request().Context())
			}
		}
	}, echoauth.New(v, nil).EndWithToken().Wrap)

	// A token outlives its exp by 30 seconds, and this one has the last of them.
	exp := time.Now().Add(-29 * time.Second)
	call(e, "GET", "/events", as.Token(accesstokentest.Claims{"exp": float64(exp.UnixMilli()) / 1000, "iat": exp.Unix() - 300}))
	// Output: 401 {"message":"the access token expired"}
}
