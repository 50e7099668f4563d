// Command echo is a resource server over Echo.
//
//	go run ./echo -issuer https://login.example.com -resource https://api.example.com
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8090/hello
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
	"github.com/labstack/echo/v4"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "URL of the authorization server; must equal the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "identifier of this resource server; its tokens must have it in aud")
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	flag.Parse()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: *resource,
		Issuers:  []accesstoken.Issuer{{URL: *issuer}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(v, *addr))
}

func serve(v *accesstoken.Validator, addr string) error {
	hello := func(c echo.Context) error {
		claims, ok := accesstoken.FromContext(c.Request().Context())
		if !ok { // the route is not behind Wrap
			return accesstoken.CredentialsMissing
		}
		return c.String(http.StatusOK, "hello "+claims.Subject+"\n")
	}
	auth := echoauth.New(v, nil)
	e := echo.New()
	e.GET("/hello", hello, auth.Require(scopes.None()).Wrap)
	e.GET("/secret", hello, auth.Require(scopes.All("secret:read")).Wrap)
	server := &http.Server{
		Addr: addr, Handler: e,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	return server.ListenAndServe()
}
