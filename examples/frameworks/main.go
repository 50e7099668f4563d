// Command frameworks is the resource server of nethttp behind frameworks that the
// library has no package for. Each has one file, and that file is all it takes:
// whatever serves net/http takes package middleware.
//
//	go run ./frameworks -on chi -issuer https://login.example.com -resource https://api.example.com
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8090/hello
//
// The others are gin, fiber, connect and graphql.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/accesstoken/accesstoken"
)

// frameworks are those that have, or are, a net/http handler. Fiber is none.
var frameworks = map[string]func(*accesstoken.Validator) http.Handler{
	"chi":     onChi,
	"gin":     onGin,
	"connect": onConnect,
	"graphql": onGraphQL,
}

func main() {
	framework := flag.String("on", "chi", "chi, gin, fiber, connect or graphql")
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "the authorization server: the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "this resource server: the aud of tokens for it")
	addr := flag.String("addr", "127.0.0.1:8090", "where to listen")
	flag.Parse()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: *resource,
		Issuers:  []accesstoken.Issuer{{URL: *issuer}},
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(*framework, v, *addr))
}

func serve(framework string, v *accesstoken.Validator, addr string) error {
	if framework == "fiber" {
		return onFiber(v).Listen(addr)
	}
	on, ok := frameworks[framework]
	if !ok {
		log.Fatalf("-on %q: expected chi, gin, fiber, connect or graphql", framework)
	}
	server := &http.Server{
		Addr: addr, Handler: on(v),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	return server.ListenAndServe()
}
