package spiffeauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

const (
	domain   = "spiffe://example.org"
	other    = "spiffe://other.example"
	workerID = domain + "/ns/prod/sa/worker"
)

// as has the keys of example.org, and others has those of other.example.
var as, others *accesstokentest.Server

func TestMain(m *testing.M) {
	others = testkit.Must(accesstokentest.Start())
	others.Close() // only its keys are used
	testkit.Main(m, &as)
}

var quiet = slog.New(slog.DiscardHandler)

// An agent is a SPIFFE Workload API on a Unix socket.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	socket string

	mu      sync.Mutex
	server  *grpc.Server
	bundles map[string][]byte
	changed chan struct{}
	denied  bool
	mint    func(ctx context.Context, audience []string) (string, error)
	asked   int // calls of FetchJWTSVID
	streams int // calls of FetchJWTBundles
}

// newAgent starts an agent with the bundle of example.org. A test's folder can have a
// name that is too long for a socket.
func newAgent(t *testing.T) *agent {
	t.Helper()
	folder, err := os.MkdirTemp("", "spiffe")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{
		socket: filepath.Join(folder, "agent.sock"), changed: make(chan struct{}),
		bundles: map[string][]byte{domain: keysOf(as)},
	}
	t.Cleanup(func() {
		a.stop()
		_ = os.RemoveAll(folder)
	})
	a.start(t)
	return a
}

func (a *agent) start(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("unix", a.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	a.mu.Lock()
	a.server = server
	a.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
}

func (a *agent) stop() {
	a.mu.Lock()
	server := a.server
	a.mu.Unlock()
	server.Stop()
}

// change changes what the agent says, and has it say so.
func (a *agent) change(how func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	how()
	close(a.changed)
	a.changed = make(chan struct{})
}

func checked(ctx context.Context) error {
	if sent, _ := metadata.FromIncomingContext(ctx); len(sent["workload.spiffe.io"]) != 1 || sent["workload.spiffe.io"][0] != "true" {
		return status.Error(codes.InvalidArgument, "security header missing from request")
	}
	return nil
}

func (a *agent) FetchJWTBundles(_ *workload.JWTBundlesRequest, stream workload.SpiffeWorkloadAPI_FetchJWTBundlesServer) error {
	if err := checked(stream.Context()); err != nil {
		return err
	}
	a.mu.Lock()
	a.streams++
	a.mu.Unlock()
	for {
		a.mu.Lock()
		message, changed, denied := &workload.JWTBundlesResponse{Bundles: a.bundles}, a.changed, a.denied
		a.mu.Unlock()
		if denied {
			return status.Error(codes.PermissionDenied, "no identity issued")
		}
		if err := stream.Send(message); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (a *agent) FetchJWTSVID(ctx context.Context, r *workload.JWTSVIDRequest) (*workload.JWTSVIDResponse, error) {
	if err := checked(ctx); err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.asked++
	mint := a.mint
	a.mu.Unlock()
	if mint == nil {
		mint = func(_ context.Context, audience []string) (string, error) {
			return svid(as, workerID, audience, 5*time.Minute), nil
		}
	}
	text, err := mint(ctx, r.GetAudience())
	if err != nil {
		return nil, err
	}
	return &workload.JWTSVIDResponse{Svids: []*workload.JWTSVID{{SpiffeId: workerID, Svid: text}}}, nil
}

func (a *agent) calls() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

// source connects to the agent.
func (a *agent) source(t *testing.T) *spiffeauth.Source {
	t.Helper()
	s, err := spiffeauth.New(spiffeauth.Config{Address: "unix://" + a.socket, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// keysOf returns a server's keys as SPIRE's Workload API sends them, without use.
func keysOf(servers ...*accesstokentest.Server) []byte { return documentOf("", servers...) }

// documentOf returns a key set in which every key has this use.
func documentOf(use string, servers ...*accesstokentest.Server) []byte {
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, server := range servers {
		for _, key := range server.Keys() {
			marshal := key.Marshal()
			marshal.USE = jwkset.USE(use)
			set.Keys = append(set.Keys, marshal)
		}
	}
	document, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return document
}

// svid returns a JWT-SVID as SPIRE makes them.
func svid(signer *accesstokentest.Server, subject string, audience []string, life time.Duration) string {
	now := time.Now()
	return signer.Sign(map[string]any{"typ": "JWT", "alg": "ES256"}, map[string]any{
		"sub": subject, "aud": audience, "exp": now.Add(life).Unix(), "iat": now.Unix(),
	})
}

func good() string { return svid(as, workerID, []string{testkit.Resource}, 5*time.Minute) }

// validator returns a Validator of the issuers, which has warmed up.
func validator(t *testing.T, issuers ...accesstoken.Issuer) *accesstoken.Validator {
	t.Helper()
	v := unwarmed(t, issuers...)
	if err := v.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	return v
}

func unwarmed(t *testing.T, issuers ...accesstoken.Issuer) *accesstoken.Validator {
	t.Helper()
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: testkit.Resource, Issuers: issuers, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// reasonOf returns why a token is refused, or "OK".
func reasonOf(t *testing.T, v *accesstoken.Validator, token string) accesstoken.Reason {
	t.Helper()
	_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	var refused *accesstoken.Error
	switch {
	case errors.As(err, &refused):
		return refused.Reason
	case err != nil:
		t.Fatal(err)
	}
	return "OK"
}

// until waits until something holds: what an agent says takes a moment to arrive.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("20 s have passed; want %s", what)
		}
	}
}

// eventually waits until a token is judged so.
func eventually(t *testing.T, v *accesstoken.Validator, token string, want accesstoken.Reason) {
	t.Helper()
	until(t, "the verdict "+string(want), func() bool { return reasonOf(t, v, token) == want })
}

func drain(t *testing.T, body io.ReadCloser) string {
	t.Helper()
	text, err := io.ReadAll(body)
	_ = body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// bearer sends one token with every call.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
