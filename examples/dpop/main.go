// Command dpop is a resource server that wants proof of possession (RFC 9449), a client that has it, and a thief who
// has seen all that the client sent. The authorization server is one for tests.
//
//	go run ./dpop -once   # what comes of each request
//	go run ./dpop         # the same, and goes on to serve: try what you would do with the token
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8090", "where to listen, on a loopback host")
	once := flag.Bool("once", false, "take a free port, and end after the requests: with 0 only if all was as it must be")
	flag.Parse()
	if *once {
		*addr = "127.0.0.1:0"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, *once); err != nil {
		fmt.Fprintln(os.Stderr, "dpop:", err)
		os.Exit(1)
	}
}

// run serves, has the client and the thief try, and serves on until ctx ends.
func run(ctx context.Context, out io.Writer, addr string, once bool) error {
	as, err := accesstokentest.Start()
	if err != nil {
		return err
	}
	defer as.Close()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	url := "http://" + l.Addr().String()
	v, err := newValidator(as, url)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	defer v.Close()
	server := newServer(v)
	defer server.Close()
	go server.Serve(l)

	c, err := newClient(as, url)
	if err != nil {
		return err
	}
	if err := c.tryAll(ctx, out, url); err != nil || once {
		return err
	}
	fmt.Fprintf(out, "\nThe token, which is good for five minutes, and of no use without the client's key:\n\n")
	fmt.Fprintf(out, "  curl -i -H 'Authorization: DPoP %s' %s/hello\n\nCtrl-C ends it.\n", c.token, url)
	<-ctx.Done()
	return nil
}

// newValidator makes a Validator that wants a proof with each request, and a nonce
// in it. Instances of one server have one key for nonces, and one Store.
func newValidator(as *accesstokentest.Server, url string) (*accesstoken.Validator, error) {
	key := make([]byte, 32)
	rand.Read(key)
	proofs, err := dpop.NewVerifier(dpop.Config{URLs: []string{url}, NonceKey: key})
	if err != nil {
		return nil, err
	}
	return accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		DPoP:       proofs,
		HTTPClient: as.Client(),
	})
}

func newServer(v *accesstoken.Validator) *http.Server {
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, ok := accesstoken.FromContext(r.Context())
		if !ok { // the route is not behind Wrap
			http.Error(w, "no claims", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "hello %s\n", claims.Subject)
	})
	bound := accesstoken.Policy{Scopes: scopes.None(), SenderConstrained: true} // no bearer tokens
	auth := middleware.New(v, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /hello", auth.RequirePolicy(bound).Wrap(hello))
	mux.Handle("GET /secret", auth.RequirePolicy(bound).Wrap(hello))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
}
