// Command redis is a resource server over net/http that checks opaque tokens by introspection (RFC 7662). Its replicas
// share the introspection answers and the used DPoP proofs (RFC 9449) through Redis. All replicas should have the same
// STORE_KEY, for example from openssl rand -base64 32. -resource must be the URL at which clients reach the replicas.
//
//	CLIENT_ID=api CLIENT_SECRET=… REDIS_URL=redis://127.0.0.1:6379 STORE_KEY=… \
//		go run ./redis -issuer https://login.example.com -resource https://api.example.com \
//		-introspect https://login.example.com/introspect
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
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "URL of the authorization server; must equal the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "identifier of this resource server; its tokens must have it in aud")
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	endpoint := flag.String("introspect", os.Getenv("INTROSPECTION_ENDPOINT"), "URL of the introspection endpoint")
	flag.Parse()
	store, err := newStore(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	key, err := readKey(os.Getenv("STORE_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	introspect, err := introspection.NewClient(introspection.Config{
		Endpoint: *endpoint, ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET"),
		CacheFor: time.Minute, Store: store, StoreKey: key, OnStoreError: warn,
	})
	if err != nil {
		log.Fatal(err)
	}
	proofs, err := dpop.NewVerifier(dpop.Config{URLs: []string{*resource}, Store: replayStore(store)})
	if err != nil {
		log.Fatal(err)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: *resource,
		Issuers:  []accesstoken.Issuer{{URL: *issuer, Introspection: introspect}},
		DPoP:     proofs,
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
