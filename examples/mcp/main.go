// Command mcp is an MCP server whose tools need different scopes, and one of them a login with a second factor. Its
// authorization server is the one of the quickstart. A client that knows only the URL of the MCP server finds the rest.
//
//	go run ./mcp -once   # the MCP SDK's own client calls the tools; prints each request and exits
//	go run ./mcp         # serves, and prints how to connect a client of yours
//
// The MCP server is server.go, which you can copy. client.go is the client.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"github.com/accesstoken/accesstoken/examples/quickstart/issuer"
	"github.com/accesstoken/accesstoken/examples/quickstart/loopback"
)

func main() {
	port := flag.Int("port", 8090, "port of the MCP server on 127.0.0.1; the authorization server uses a free one")
	once := flag.Bool("once", false, "use free ports and exit after the calls, with status 0 only if every result was as expected")
	flag.Parse()
	if *once {
		*port = 0
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the authorization server logs to it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *port, *once); err != nil {
		fmt.Fprintln(os.Stderr, "mcp:", err)
		os.Exit(1)
	}
}

const (
	host         = "127.0.0.1"
	callbackPort = 8092 // of the client, on localhost
)

var alice = issuer.User{Subject: "user-7f3a", Login: "alice", Password: "wonderland", Name: "Alice", Code: "314159"}

// run starts both servers. If once is set, it calls the tools; otherwise it serves until
// ctx ends.
func run(ctx context.Context, out io.Writer, port int, once bool) (err error) {
	listener, err := loopback.Listen(host, port)
	if err != nil {
		return err
	}
	endpoint := loopback.URL(host, listener) + "/mcp"
	registered := issuer.Client{
		ID: "notes-client", Secret: rand.Text(), Name: "Notes client", JWT: true, Scopes: []string{"notes:read", "notes:write"},
		RedirectURI: fmt.Sprintf("http://localhost:%d/callback", callbackPort),
	}
	as, issuerURL, err := startIssuer(endpoint, registered)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, as.Close()) }()
	v, err := newValidator(endpoint, issuerURL)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer v.Close()
	handler, err := newServer(v, listener.Addr().String())
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := loopback.Serve(listener, handler)
	defer func() { err = errors.Join(err, server.Close()) }()

	if once {
		return drive(ctx, out, endpoint, registered)
	}
	fmt.Fprintf(out, manual, endpoint, registered.ID, registered.Secret, registered.RedirectURI, alice.Login, alice.Password, alice.Code, callbackPort)
	<-ctx.Done()
	return nil
}

// startIssuer starts the authorization server, for demonstrations only, on a free port.
func startIssuer(endpoint string, registered issuer.Client) (*loopback.Server, string, error) {
	listener, err := loopback.Listen(host, 0)
	if err != nil {
		return nil, "", err
	}
	url := loopback.URL(host, listener)
	as, err := issuer.New(issuer.Config{
		URL: url, User: alice, Clients: []issuer.Client{registered}, Resources: []issuer.Resource{{ID: endpoint}},
	})
	if err != nil {
		return nil, "", errors.Join(err, listener.Close())
	}
	return loopback.Serve(listener, as), url, nil
}

const manual = `
  MCP server     %[1]s
  Client ID      %[2]s
  Client secret  %[3]s
  Redirect URI   %[4]s
  Log in as      %[5]s, password %[6]s, code %[7]s

A client needs nothing else. For example, in Claude Code:

  MCP_CLIENT_SECRET=%[3]s claude mcp add --transport http \
    --client-id %[2]s --client-secret --callback-port %[8]d notes %[1]s

Press Ctrl-C to stop.
`
