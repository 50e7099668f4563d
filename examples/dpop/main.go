// Command dpop runs a resource server that requires proof of possession (RFC 9449), a client that has the key, and a
// thief who has read everything that the client sent. The authorization server is the one of accesstokentest.
//
//	go run ./dpop -once   # prints the result of each request and exits
//	go run ./dpop         # also keeps serving and prints the token, so that you can try to misuse it
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
	addr := flag.String("addr", "127.0.0.1:8090", "address to listen on; it must be loopback")
	once := flag.Bool("once", false, "use a free port and exit after the requests, with status 0 only if every result was as expected")
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

// run starts the server and sends the requests of the client and the thief. If once is
// false, it then keeps serving until ctx ends.
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
	fmt.Fprintf(out, "\nThe token is valid for five minutes, but you cannot use it without the client's key:\n\n")
	fmt.Fprintf(out, "  curl -i -H 'Authorization: DPoP %s' %s/hello\n\nPress Ctrl-C to stop.\n", c.token, url)
	<-ctx.Done()
	return nil
}

// newValidator makes a Validator that requires a fresh proof, with a nonce in it, in
// every request with a DPoP-bound token. If you run several instances of a server,
// they should share the NonceKey and a Store.
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
	bound := accesstoken.Policy{Scopes: scopes.None(), SenderConstrained: true} // rejects bearer tokens
	auth := middleware.New(v, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /hello", auth.RequirePolicy(bound).Wrap(hello))
	mux.Handle("GET /secret", auth.RequirePolicy(bound).Wrap(hello))
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
	}
}
