package promaccesstoken_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/promaccesstoken"
	"github.com/accesstoken/accesstoken/middleware"
)

func ExampleNew() {
	as, err := accesstokentest.Start() // a program has only what follows
	if err != nil {
		log.Fatal(err)
	}
	defer as.Close()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Name: "staff"}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	registry := prometheus.NewRegistry()
	registry.MustRegister(promaccesstoken.New(v))
	mux := http.NewServeMux() // /metrics is usually on a port of its own
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/", middleware.New(v, nil).Wrap(http.NotFoundHandler()))

	get := func(path, token string) string {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Body.String()
	}
	get("/orders", as.Token(nil))
	get("/orders", as.Token(accesstokentest.Claims{"exp": 1}))
	for line := range strings.Lines(get("/metrics", "")) {
		if strings.HasPrefix(line, "accesstoken_decisions_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// accesstoken_decisions_total{issuer="staff",outcome="accepted",reason="",resource="https://api.example.com",source="signature",transport="net/http"} 1
	// accesstoken_decisions_total{issuer="staff",outcome="refused",reason="TOKEN_EXPIRED",resource="https://api.example.com",source="",transport="net/http"} 1
}
