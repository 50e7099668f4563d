package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestTheSocketIsRefusedWithoutATokenAndEndsWithIt(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com", HTTPClient: as.Client(),
		Issuers: []accesstoken.Issuer{{URL: as.URL}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	server := httptest.NewServer(handler(v))
	t.Cleanup(server.Close)

	_, response, err := websocket.Dial(t.Context(), server.URL+"/echo", nil)
	if err == nil || response == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: got %v; want the status 401", err)
	}

	// A token is accepted for 30 s after its exp, which leaves this one a second.
	exp := time.Now().Add(-29 * time.Second)
	token := as.Token(accesstokentest.Claims{"scope": "chat", "exp": float64(exp.UnixMilli()) / 1000, "iat": exp.Unix() - 300})
	socket, _, err := websocket.Dial(t.Context(), server.URL+"/echo", &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	if err := socket.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, text, err := socket.Read(t.Context()); string(text) != "hello" {
		t.Errorf("got %q, %v; want hello", text, err)
	}
	if _, _, err = socket.Read(t.Context()); websocket.CloseStatus(err) != tokenIsOver {
		t.Errorf("at the token's end: got %v; want status %d", err, tokenIsOver)
	}
}
