package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/scopes"
)

// A chat echoes. A page in a browser cannot set a field on the handshake, so the first
// message has the credentials: "Bearer <access token>", or "Key <API key>".
type chat struct {
	v    *accesstoken.Validator
	keys keyring
}

// The status codes are Unauthorized and Forbidden of IANA's registry (RFC 6455 §11.7).
const unauthorized, forbidden websocket.StatusCode = 3000, 3003

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil) // checks Origin, and limits a message to 32 KiB
	if err != nil {
		return // Accept has answered
	}
	defer socket.CloseNow()
	claims, err := c.caller(socket)
	if err != nil {
		_ = socket.Close(unauthorized, "the first message has to be good credentials")
		return
	}
	ctx := accesstoken.NewContext(context.Background(), claims)
	end := time.AfterFunc(time.Until(claims.End()), func() { _ = socket.Close(unauthorized, "the credentials expired") })
	defer end.Stop()
	for {
		kind, text, err := socket.Read(ctx)
		if err != nil {
			return
		}
		if err := c.v.Check(ctx, claims, accesstoken.Policy{Scopes: scopes.All("chat")}); err != nil {
			_ = socket.Close(forbidden, "")
			return
		}
		if socket.Write(ctx, kind, text) != nil {
			return
		}
	}
}

// caller reads the first message, for which a client has ten seconds.
func (c *chat) caller(socket *websocket.Conn) (accesstoken.Claims, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, first, err := socket.Read(ctx)
	if err != nil {
		return accesstoken.Claims{}, err
	}
	kind, text, _ := strings.Cut(string(first), " ")
	if kind != "Key" {
		credentials := accesstoken.CredentialsFrom(http.Header{"Authorization": {string(first)}})
		return c.v.Validate(ctx, credentials)
	}
	identity, err := c.keys.find(text)
	if err != nil {
		return accesstoken.Claims{}, err
	}
	return c.v.Vouch(identity)
}
