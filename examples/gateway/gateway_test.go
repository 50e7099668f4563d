package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/examples/drivepb"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// A drive is the gRPC server behind the gateway.
type drive struct {
	drivepb.UnimplementedDriveServer
	arrived metadata.MD
}

func (d *drive) ListFiles(ctx context.Context, _ *drivepb.ListFilesRequest) (*drivepb.ListFilesResponse, error) {
	d.arrived, _ = metadata.FromIncomingContext(ctx)
	claims, _ := accesstoken.FromContext(ctx)
	return &drivepb.ListFilesResponse{Owner: claims.Subject}, nil
}

func (d *drive) DeleteFile(_ context.Context, r *drivepb.DeleteFileRequest) (*drivepb.DeleteFileResponse, error) {
	if r.Name == "locked.txt" {
		return nil, accesstoken.Deny("FILE_LOCKED", nil)
	}
	return &drivepb.DeleteFileResponse{}, nil
}

// newGateway starts the drive, which trusts the issuer, and a gateway.
func newGateway(t *testing.T, as *accesstokentest.Server, options ...runtime.ServeMuxOption) (*drive, *httptest.Server) {
	t.Helper()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	auth, err := grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{
		drivepb.Drive_ListFiles_FullMethodName:  {Scopes: scopes.None()},
		drivepb.Drive_DeleteFile_FullMethodName: {Scopes: scopes.All("files:write")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d := new(drive)
	server := grpc.NewServer(auth.ServerOptions()...)
	drivepb.RegisterDriveServer(server, d)
	mux := runtime.NewServeMux(options...)
	if err := register(mux, drivepb.NewDriveClient(serve(t, server))); err != nil {
		t.Fatal(err)
	}
	gateway := httptest.NewServer(mux)
	t.Cleanup(gateway.Close)
	return d, gateway
}

// serve serves on loopback until the test ends, and returns a connection.
func serve(t *testing.T, server *grpc.Server) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := conn.Close()
		server.Stop()
		if err := errors.Join(err, <-served); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// ask sends a request and returns the members of the JSON response.
func ask(t *testing.T, gateway *httptest.Server, method, path string, header http.Header) (*http.Response, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, gateway.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	response, err := gateway.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	return response, members
}

func authorization(lines ...string) http.Header { return http.Header{"Authorization": lines} }

func TestRefusalsComeThrough(t *testing.T) {
	as := accesstokentest.NewServer(t)
	_, gateway := newGateway(t, as, runtime.WithErrorHandler(writeError))
	good := "Bearer " + as.Token(nil)
	writer := "Bearer " + as.Token(accesstokentest.Claims{"scope": "files:write"})
	expired := "Bearer " + as.Token(accesstokentest.Claims{"exp": time.Now().Add(-time.Hour).Unix()})
	const realm = `Bearer realm="https://api.example.com"`
	for _, test := range []struct {
		name, method, path string
		header             http.Header
		status             int
		challenge, message string
	}{
		{"no token", "GET", "/files", nil, 401, realm, "an access token is required"},
		{"expired", "GET", "/files", authorization(expired), 401,
			realm + `, error="invalid_token", error_description="the access token expired"`, "the access token expired"},
		{"no token of ours", "GET", "/files", authorization("Bearer a.b.c"), 401,
			realm + `, error="invalid_token", error_description="the access token is invalid"`, "the access token is invalid"},
		{"two tokens", "GET", "/files", authorization(good, good), 401,
			realm + `, error="invalid_request", error_description="the request has more than one credential"`, "the request has more than one credential"},
		{"a token that says it is metadata", "GET", "/files", http.Header{"Grpc-Metadata-Authorization": {good}}, 401, realm, "an access token is required"},
		{"a scope that is missing", "DELETE", "/files/a.txt", authorization(good), 403,
			realm + `, error="insufficient_scope", error_description="the access token lacks a required scope", scope="files:write"`, "the access token lacks a required scope"},
		{"the application says no", "DELETE", "/files/locked.txt", authorization(writer), 403, "", "access is denied"},
	} {
		response, body := ask(t, gateway, test.method, test.path, test.header)
		if response.StatusCode != test.status || body["message"] != test.message {
			t.Errorf("%s: got %d, %v; want %d, %s", test.name, response.StatusCode, body["message"], test.status, test.message)
		}
		if got := strings.Join(response.Header.Values("WWW-Authenticate"), "\n"); got != test.challenge {
			t.Errorf("%s: got the challenge %s; want %s", test.name, got, test.challenge)
		}
		if got := response.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s: got Cache-Control: %s; want no-store", test.name, got)
		}
	}
}

// If the issuer is down, the answer is 503 with a time to retry, not a refusal.
func TestAnOutageComesThrough(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, path := range []string{accesstokentest.OAuthMetadataPath, accesstokentest.OpenIDMetadataPath} {
		as.Break(path, accesstokentest.Fault{Status: http.StatusServiceUnavailable})
	}
	_, gateway := newGateway(t, as, runtime.WithErrorHandler(writeError))
	response, body := ask(t, gateway, "GET", "/files", authorization("Bearer "+as.Token(nil)))
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %d, %v; want 503", response.StatusCode, body)
	}
	if got, want := response.Header.Get("Retry-After"), retryDelay(t, body); got != want {
		t.Errorf("Retry-After: got %q; want %q, the RetryInfo in whole seconds", got, want)
	}
	if got := response.Header.Values("WWW-Authenticate"); len(got) != 0 {
		t.Errorf("got the challenge %q; want none", got)
	}
}

// retryDelay reads the google.rpc.RetryInfo of a body, in seconds rounded up.
func retryDelay(t *testing.T, body map[string]any) string {
	t.Helper()
	details, _ := body["details"].([]any)
	for _, detail := range details {
		if text, ok := detail.(map[string]any)["retryDelay"].(string); ok {
			delay, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(math.Ceil(delay.Seconds()))
		}
	}
	t.Fatalf("got %v; want a RetryInfo in it", body)
	return ""
}

// grpc-gateway sends the Authorization field twice, under its own name and as
// grpcgateway-authorization. Only the first one counts.
func TestTheTokenArrivesOnce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	d, gateway := newGateway(t, as, runtime.WithErrorHandler(writeError))
	good := "Bearer " + as.Token(nil)
	response, body := ask(t, gateway, "GET", "/files", authorization(good))
	if response.StatusCode != http.StatusOK || body["owner"] != "alice" {
		t.Errorf("got %d, %v; want the files of alice", response.StatusCode, body)
	}
	for _, name := range []string{"authorization", "grpcgateway-authorization"} {
		if got := d.arrived.Get(name); len(got) != 1 || got[0] != good {
			t.Errorf("%s: got %d values; want the token", name, len(got))
		}
	}
}

// The default error handler gives wrong challenges, so writeError is needed.
func TestTheRuntimeAloneWritesNoChallenge(t *testing.T) {
	as := accesstokentest.NewServer(t)
	_, gateway := newGateway(t, as)
	for path, want := range map[string]string{"GET /files": "the access token is invalid", "DELETE /files/a.txt": ""} {
		line := "Bearer a.b.c"
		if want == "" {
			line = "Bearer " + as.Token(nil)
		}
		method, path, _ := strings.Cut(path, " ")
		response, _ := ask(t, gateway, method, path, authorization(line))
		if got := response.Header.Get("WWW-Authenticate"); got != want {
			t.Errorf("%s %s: got %q; want %q", method, path, got, want)
		}
	}
}
