// Command websocket is a resource server with a WebSocket that echoes until the
// access token ends.
//
//	go run ./websocket -issuer https://login.example.com -resource https://api.example.com
//
// Browsers cannot set Authorization on a WebSocket. If your client is a page, let its
// backend open the socket, or authenticate the first message, as the program own does.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/coder/websocket"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func main() {
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
	server := &http.Server{Addr: *addr, Handler: handler(v), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// handler refuses a handshake without a good token before anything is upgraded.
func handler(v *accesstoken.Validator) http.Handler {
	mux := http.NewServeMux()
	auth := middleware.New(v, nil).Require(scopes.All("chat")).EndWithToken()
	mux.Handle("GET /echo", auth.Wrap(http.HandlerFunc(echo)))
	return mux
}

// tokenIsOver is the status Unauthorized of IANA's registry (RFC 6455 §11.7).
const tokenIsOver websocket.StatusCode = 3000

func echo(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil) // checks Origin
	if err != nil {
		return // Accept has answered
	}
	defer socket.CloseNow()
	// With EndWithToken, the request's context ends when the token does.
	stop := context.AfterFunc(r.Context(), func() { _ = socket.Close(tokenIsOver, "the access token expired") })
	defer stop()
	for {
		// Not the request's context, which would end the socket without a status.
		kind, text, err := socket.Read(context.Background())
		if err != nil || socket.Write(context.Background(), kind, text) != nil {
			return
		}
	}
}
