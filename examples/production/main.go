// Command production is a resource server over chi with refusal counts, readiness and JSON errors.
//
//	go run ./production -issuer https://sso.example.com/realms/main -resource https://api.example.com
package main

import (
	"context"
	"expvar"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
	"github.com/go-chi/chi/v5"
)

func main() {
	issuer := flag.String("issuer", os.Getenv("ISSUER"), "URL of the authorization server; must equal the iss of its tokens")
	resource := flag.String("resource", os.Getenv("RESOURCE"), "identifier of this resource server; its tokens must have it in aud")
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on")
	flag.Parse()
	v, err := newValidator(*issuer, *resource, nil)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.ListenAndServe("127.0.0.1:8091", nil)) }() // /debug/vars, which only operators should reach
	server := &http.Server{Addr: *addr, Handler: routes(v), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

var refusals = expvar.NewMap("refusals") // how many, by reason

func newValidator(issuer, resource string, client *http.Client) (*accesstoken.Validator, error) {
	return accesstoken.NewValidator(accesstoken.Config{
		Resource:   resource,
		Issuers:    []accesstoken.Issuer{{URL: issuer, Profile: accesstoken.Keycloak}},
		HTTPClient: client,
		OnRefuse: func(ctx context.Context, refused *accesstoken.Error) {
			refusals.Add(string(refused.Reason), 1)
			slog.InfoContext(ctx, "refused", "reason", refused.Reason, "error", refused)
		},
	})
}

func routes(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, &middleware.Options{Body: middleware.Problem}) // JSON errors
	r := chi.NewRouter()
	r.Get("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if v.Ready() != nil {
			http.Error(w, "the issuer's keys are not loaded yet", http.StatusServiceUnavailable)
		}
	})
	r.With(auth.Require(scopes.All("orders:read")).Wrap).Get("/orders", list)
	r.With(auth.Wrap).Delete("/orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		roles, err := claims.Roles()
		if !ok || err != nil || !slices.Contains(roles, "clerk") {
			auth.Refuse(w, r, accesstoken.Deny("CLERKS_ONLY", err))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return r
}

func list(w http.ResponseWriter, r *http.Request) {
	claims, ok := accesstoken.FromContext(r.Context())
	if !ok { // the route is not behind Wrap
		http.Error(w, "no claims", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "orders of %s\n", claims.Subject)
}
