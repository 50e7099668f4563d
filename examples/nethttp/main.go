// Command nethttp is a resource server over net/http.
//
//	go run ./nethttp -issuer https://login.example.com -resource https://api.example.com
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8090/hello
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
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
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok { // the route is not behind Wrap
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello %s\n", claims.Subject)
	})
	auth := middleware.New(v, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /hello", auth.Require(scopes.None()).Wrap(hello))
	mux.Handle("GET /secret", auth.Require(scopes.All("secret:read")).Wrap(hello))
	server := &http.Server{
		Addr: addr, Handler: mux,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	return server.ListenAndServe()
}
