package echo5auth_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/labstack/echo/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/echo5auth"
	"github.com/accesstoken/accesstoken/scopes"
)

func ExampleNew() {
	as, err := accesstokentest.Start() // a program has only what follows
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	auth := echo5auth.New(v, nil)
	e := echo.New()
	e.Use(auth.Wrap)
	e.GET("/me", func(c *echo.Context) error {
		claims, ok := accesstoken.FromContext(c.Request().Context())
		if !ok {
			return accesstoken.CredentialsMissing
		}
		return c.String(http.StatusOK, claims.Subject)
	})
	e.POST("/orders", func(c *echo.Context) error {
		return c.String(http.StatusCreated, "created")
	}, auth.Require(scopes.All("orders:write")).Wrap)

	for _, path := range []string{"GET /me", "POST /orders"} {
		var method, target string
		fmt.Sscan(path, &method, &target)
		r := httptest.NewRequest(method, target, nil)
		r.Header.Set("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"scope": "profile"}))
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 alice
	// 403 {"message":"the access token lacks a required scope"}
}
