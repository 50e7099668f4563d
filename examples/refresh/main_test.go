package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/examples/drivepb"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"google.golang.org/grpc/credentials"
)

func TestTheClientRenewsItsTokenAndTriesAgain(t *testing.T) {
	as, lender := accesstokentest.NewServer(t), httptest.NewTLSServer(nil) // provides a certificate
	defer lender.Close()
	var life, refusals atomic.Int32
	as.Handle("/token", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": %q, "expires_in": %d}`, as.Token(accesstokentest.Claims{"scope": "files:read"}), life.Load())
	}))
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com", Issuers: []accesstoken.Issuer{{URL: as.URL}}, HTTPClient: as.Client(),
		OnRefuse: func(context.Context, *accesstoken.Error) { refusals.Add(1) },
	})
	l, listening := net.Listen("tcp", "127.0.0.1:0")
	if err != nil || listening != nil {
		t.Fatal(err, listening)
	}
	defer l.Close()
	go serve(v, l, credentials.NewServerTLSFromCert(&lender.TLS.Certificates[0]))
	source := (&clientcredentials.Config{TokenURL: as.URL + "/token"}).TokenSource(context.WithValue(t.Context(), oauth2.HTTPClient, as.Client()))
	conn, err := dial(l.Addr().String(), source, lender.Client().Transport.(*http.Transport).TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	drive := drivepb.NewDriveClient(conn)
	for tokens, seconds := range []int32{5, 5, 3600, 3600} { // a token with less than 10 s left is renewed
		life.Store(seconds)
		_, err := drive.ListFiles(t.Context(), &drivepb.ListFilesRequest{})
		if got, want := as.Requests("/token"), min(tokens+1, 3); err != nil || got != want {
			t.Errorf("call %d: got %v and %d tokens; want %d", tokens+1, err, got, want)
		}
	}
	v.Close() // from now on no token can be validated
	if _, err := drive.ListFiles(t.Context(), &drivepb.ListFilesRequest{}); err == nil || refusals.Load() != 3 {
		t.Errorf("got %v after %d attempts; want an error after 3", err, refusals.Load())
	}
}
