package spiffeauth_test

import (
	"log"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A service accepts the calls of workloads in its own trust domain.
func Example() {
	source, err := spiffeauth.New(spiffeauth.Config{}) // at SPIFFE_ENDPOINT_SOCKET
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	issuer := source.Issuer("spiffe://example.org")
	issuer.SingleAudience = true
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "spiffe://example.org/ns/prod/sa/orders",
		Issuers:  []accesstoken.Issuer{issuer},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	auth := middleware.New(v, nil).RequirePolicy(accesstoken.Policy{
		Scopes:    scopes.None(),
		SPIFFEIDs: []string{"spiffe://example.org/ns/prod/*"},
	})
	http.Handle("GET /orders", auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if claims, ok := accesstoken.FromContext(r.Context()); ok {
			_, _ = w.Write([]byte("hello " + claims.Subject))
		}
	})))
}

// A service calls another, over gRPC or HTTP.
func ExampleSource_Credentials() {
	source, err := spiffeauth.New(spiffeauth.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer source.Close()
	orders := source.Credentials("spiffe://example.org/ns/prod/sa/orders")
	conn, err := grpc.NewClient("orders.prod.svc:8443",
		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
		grpc.WithPerRPCCredentials(orders),
		grpc.WithUnaryInterceptor(orders.UnaryInterceptor),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := &http.Client{Transport: orders.RoundTripper(nil)}
	_, _ = client.Get("https://orders.prod.svc/orders")
}
