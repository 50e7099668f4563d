// Command frameworks is the resource server of the example nethttp, on frameworks for
// which the library has no package of its own. Each framework takes one file. Every
// framework that serves net/http handlers can use package middleware.
//
//	go run ./frameworks -on chi -issuer https://login.example.com -resource https://api.example.com
//	curl -i -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8090/hello
//
// The other values of -on are gin, fiber, connect, graphql and mcp-go.
package main

import (
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/accesstoken/accesstoken"
)

// frameworks are the frameworks that provide a net/http handler. Fiber does not.
var frameworks = map[string]func(*accesstoken.Validator) http.Handler{
	"chi":     onChi,
	"gin":     onGin,
	"connect": onConnect,
	"graphql": onGraphQL,
}

func main() {
	framework := flag.String("on", "chi", "framework: chi, gin, fiber, connect, graphql or mcp-go")
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
	log.Fatal(serve(*framework, v, *addr))
}

func serve(framework string, v *accesstoken.Validator, addr string) error {
	if framework == "fiber" {
		return onFiber(v).Listen(addr)
	}
	on, ok := frameworks[framework]
	if framework == "mcp-go" { // whose tools do not answer as the others do
		on, ok = onMCPGo, true
	}
	if !ok {
		log.Fatalf("-on is %q; want chi, gin, fiber, connect, graphql or mcp-go", framework)
	}
	server := &http.Server{
		Addr: addr, Handler: on(v),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
	return server.ListenAndServe()
}
