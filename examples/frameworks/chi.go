package main

import (
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// onChi needs no adapter, because chi takes net/http middleware. You can do the
// same with gorilla/mux and every other router that takes a func(http.Handler)
// http.Handler.
func onChi(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, nil)
	r := chi.NewRouter()
	r.Use(auth.Wrap)
	r.Get("/hello", hello)
	r.With(auth.Require(scopes.All("secret:read")).Wrap).Get("/secret", hello)
	return r
}

func hello(w http.ResponseWriter, r *http.Request) {
	claims, ok := accesstoken.FromContext(r.Context())
	if !ok { // the route is not behind Wrap
		http.Error(w, "no claims", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello %s\n", claims.Subject)
}
