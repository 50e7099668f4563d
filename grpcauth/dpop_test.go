package grpcauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// A proven server is a TestService over TLS to which proofs are sent.
type proven struct {
	address string
	options []grpc.DialOption // without those of a client
	service *service

	mu       sync.Mutex
	arrived  []metadata.MD
	refusals []accesstoken.Reason
}

// serveProven serves until the test ends. It demands nonces if there is a key for
// them. The authority of its clients is example.com.
func serveProven(t *testing.T, nonceKey []byte) *proven {
	t.Helper()
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{"https://example.com"}, NonceKey: nonceKey})
	if err != nil {
		t.Fatal(err)
	}
	p := &proven{service: &service{}}
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP = verifier
		c.OnRefuse = func(_ context.Context, refused *accesstoken.Error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.refusals = append(p.refusals, refused.Reason)
		}
	})
	auth, err := grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{
		"/grpc.testing.TestService/*": {Scopes: scopes.None(), SenderConstrained: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	listener, serverOptions, dialOptions := overTLS.listen(t)
	serverOptions = append(serverOptions, grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		sent, _ := metadata.FromIncomingContext(ctx)
		p.mu.Lock()
		p.arrived = append(p.arrived, sent)
		p.mu.Unlock()
		return handler(ctx, request)
	}))
	server := grpc.NewServer(append(serverOptions, auth.ServerOptions()...)...)
	testpb.RegisterTestServiceServer(server, p.service)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		done.Wait()
	})
	p.address, p.options = "passthrough:///"+listener.Addr().String(), dialOptions
	return p
}

func (p *proven) client(t *testing.T, options ...grpc.DialOption) testpb.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(p.address, append(options, p.options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return testpb.NewTestServiceClient(conn)
}

// calls returns what the unary calls brought.
func (p *proven) calls() []metadata.MD {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.arrived
}

// wantRefusals looks at all refusals since the last time.
func (p *proven) wantRefusals(t *testing.T, want ...accesstoken.Reason) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.refusals) != len(want) {
		t.Errorf("got the refusals %q; want %q", p.refusals, want)
	}
	for i, reason := range p.refusals {
		if i < len(want) && reason != want[i] {
			t.Errorf("got the refusals %q; want %q", p.refusals, want)
		}
	}
	p.refusals = nil
}

func newSigner(t *testing.T) *dpop.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newNonceKey() []byte {
	key := make([]byte, 32)
	rand.Read(key)
	return key
}

func boundTo(signer *dpop.Signer) string {
	return as.Token(accesstokentest.Claims{"cnf": map[string]any{"jkt": signer.Thumbprint()}})
}

// always returns a token function.
func always(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return token, nil }
}

func TestCallsWithProofsOfTheirOwn(t *testing.T) {
	p, signer := serveProven(t, nil), newSigner(t)
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
	for _, kind := range kinds {
		for range 3 {
			if err := kind.call(t.Context(), client); err != nil {
				t.Errorf("%s: %v", kind.name, err)
			}
		}
	}
	p.wantRefusals(t)
	if err := kinds[0].call(t.Context(), client, grpc.CallAuthority("example.com:443")); err != nil {
		t.Errorf("the port of https: %v", err)
	}
	p.wantRefusals(t)
}

func TestACallIsMadeAgainWithANonce(t *testing.T) {
	p, signer := serveProven(t, newNonceKey()), newSigner(t)
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
	for range 3 {
		if err := kinds[0].call(t.Context(), client); err != nil {
			t.Error(err)
		}
	}
	p.wantRefusals(t, accesstoken.DPoPNonceRequired)
	if got := len(p.calls()); got != 4 {
		t.Errorf("got %d calls; want three, and one again", got)
	}
}

func TestTheSecondStreamHasTheNonce(t *testing.T) {
	for _, kind := range kinds[1:] {
		t.Run(kind.name, func(t *testing.T) {
			p, signer := serveProven(t, newNonceKey()), newSigner(t)
			client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
			if err := kind.call(t.Context(), client); status.Code(err) != codes.Unauthenticated {
				t.Errorf("the first one: got %v; want UNAUTHENTICATED", err)
			}
			p.wantRefusals(t, accesstoken.DPoPNonceRequired)
			if err := kind.call(t.Context(), client); err != nil {
				t.Errorf("the second one: %v", err)
			}
			p.wantRefusals(t)
		})
	}
}

func TestManyCallsWithNoncesAtOnce(t *testing.T) {
	p, signer := serveProven(t, newNonceKey()), newSigner(t)
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if err := kinds[0].call(t.Context(), client); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// Behind net/http, a server of this package sends no challenge.
func TestAnErrorInfoIsEnoughToAskForANonce(t *testing.T) {
	p, signer := serveProven(t, nil), newSigner(t)
	p.service.fail = func(ctx context.Context) error {
		if len(p.calls()) > 1 {
			return nil
		}
		_ = grpc.SetTrailer(ctx, metadata.MD{"dpop-nonce": {"a"}})
		refused, err := status.New(codes.Unauthenticated, "again").WithDetails(&errdetails.ErrorInfo{
			Reason: string(accesstoken.DPoPNonceRequired), Domain: "github.com/accesstoken/accesstoken"})
		if err != nil {
			t.Error(err)
		}
		return refused.Err()
	}
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
	if err := kinds[0].call(t.Context(), client); err != nil || len(p.calls()) != 2 {
		t.Errorf("got %v after %d calls; want an answer to the second", err, len(p.calls()))
	}
}

// askFor refuses a call as a server that is not of this package may.
func askFor(ctx context.Context, nonces ...string) error {
	_ = grpc.SetTrailer(ctx, metadata.MD{"dpop-nonce": nonces, "www-authenticate": {`DPoP error="use_dpop_nonce"`}})
	return status.Error(codes.Unauthenticated, "again")
}

func TestAServerThatAsksForEverIsCalledTwice(t *testing.T) {
	for _, nonces := range [][]string{{"a"}, {}, {""}, {"a", "b"}, {strings.Repeat("n", 1025)}} {
		p, signer := serveProven(t, nil), newSigner(t)
		p.service.fail = func(ctx context.Context) error {
			return askFor(ctx, nonces...)
		}
		client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
		var trailer metadata.MD
		if err := kinds[0].call(t.Context(), client, grpc.Trailer(&trailer)); status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v; want UNAUTHENTICATED", err)
		}
		want := 1
		if len(nonces) == 1 && nonces[0] == "a" {
			want = 2
		}
		if got := len(p.calls()); got != want {
			t.Errorf("nonces %.9q: got %d calls; want %d", nonces, got, want)
		}
		if got := trailer.Get("dpop-nonce"); len(got) != len(nonces) {
			t.Errorf("got the trailer %q; want what the server sent", got)
		}
	}
}

func TestTheSecondAnswerMayBringANonceToo(t *testing.T) {
	p, signer := serveProven(t, nil), newSigner(t)
	p.service.fail = func(ctx context.Context) error {
		if len(p.calls()) == 1 {
			return askFor(ctx, "first")
		}
		return grpc.SetTrailer(ctx, metadata.MD{"dpop-nonce": {"second"}})
	}
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
	for range 2 {
		if err := kinds[0].call(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"", "first", "second"} {
		if got := nonceIn(t, p.calls()[i]); got != want {
			t.Errorf("call %d: got the nonce %q; want %q", i, got, want)
		}
	}
}

// An accepted call brings the next nonce in its header, before the last one is over.
func TestAnAcceptedCallBringsTheNextNonce(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			p, signer := serveProven(t, nil), newSigner(t)
			p.service.fail = func(ctx context.Context) error { return grpc.SetHeader(ctx, metadata.Pairs("dpop-nonce", "next")) }
			client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
			if err := kind.call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			p.service.fail = nil
			if err := kinds[0].call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			calls := p.calls()
			if got := nonceIn(t, calls[len(calls)-1]); got != "next" {
				t.Errorf("got the nonce %q; want %q", got, "next")
			}
		})
	}
}

// nonceIn reads the nonce of a call's proof.
func nonceIn(t *testing.T, call metadata.MD) string {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(call.Get("dpop")[0], ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Nonce string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Nonce
}

// A method has done its work, and the server that it asked refuses it. Any answer may
// bring a nonce (RFC 9449 §8.2); only a refusal for its sake is a reason to call again.
func TestACallThatIsNotRefusedForItsNonceIsNotMadeAgain(t *testing.T) {
	another := `DPoP error="invalid_token"`
	for name, c := range map[string]struct {
		code      codes.Code
		reason    accesstoken.Reason // of an ErrorInfo; "": there is none
		domain    string
		challenge string
	}{
		"it is broken":                 {codes.Internal, "", "", `DPoP error="use_dpop_nonce"`},
		"another server refused it":    {codes.Unauthenticated, "", "", ""},
		"another error":                {codes.Unauthenticated, "", "", another},
		"another reason":               {codes.Unauthenticated, accesstoken.TokenInvalid, "github.com/accesstoken/accesstoken", another},
		"the reason of another domain": {codes.Unauthenticated, accesstoken.DPoPNonceRequired, "example.com", another},
	} {
		t.Run(name, func(t *testing.T) {
			p, signer := serveProven(t, nil), newSigner(t)
			p.service.fail = func(ctx context.Context) error {
				if len(p.calls()) > 1 {
					return nil
				}
				_ = grpc.SetTrailer(ctx, metadata.MD{"dpop-nonce": {"a"}, "www-authenticate": {c.challenge}})
				failed := status.New(c.code, "the bank does not know us")
				if c.reason != "" {
					failed, _ = failed.WithDetails(&errdetails.ErrorInfo{Reason: string(c.reason), Domain: c.domain})
				}
				return failed.Err()
			}
			client := p.client(t, grpcauth.DPoPDialOptions(signer, always(boundTo(signer)))...)
			if err := kinds[0].call(t.Context(), client); status.Code(err) != c.code || len(p.calls()) != 1 {
				t.Errorf("got %v after %d calls; want %v after one", err, len(p.calls()), c.code)
			}
			if err := kinds[0].call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if got := nonceIn(t, p.calls()[1]); got != "a" {
				t.Errorf("the next call: got the nonce %q; want the one that came", got)
			}
		})
	}
}

// Who has seen a call cannot make it again, nor another one.
func TestAStolenCall(t *testing.T) {
	p, signer := serveProven(t, nil), newSigner(t)
	token := boundTo(signer)
	client := p.client(t, grpcauth.DPoPDialOptions(signer, always(token))...)
	if err := kinds[0].call(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	stolen := p.calls()[0].Get("dpop")[0]
	thief := p.client(t)
	for _, c := range []struct {
		name string
		kind kind
		sent []string
		want accesstoken.Reason
	}{
		{"again", kinds[0], []string{"authorization", "DPoP " + token, "dpop", stolen}, accesstoken.DPoPProofReplayed},
		{"for another method", kinds[1], []string{"authorization", "DPoP " + token, "dpop", stolen}, accesstoken.DPoPProofInvalid},
		{"without the proof", kinds[0], []string{"authorization", "DPoP " + token}, accesstoken.DPoPProofInvalid},
		{"as a bearer token", kinds[0], []string{"authorization", "Bearer " + token}, accesstoken.BindingRequired},
		{"as a bearer token with the proof", kinds[0], []string{"authorization", "Bearer " + token, "dpop", stolen}, accesstoken.BindingRequired},
		{"another token", kinds[0], []string{"authorization", "DPoP " + boundTo(signer), "dpop", stolen}, accesstoken.DPoPProofInvalid},
	} {
		err := c.kind.call(metadata.AppendToOutgoingContext(t.Context(), c.sent...), thief)
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: got %v; want UNAUTHENTICATED", c.name, err)
		}
		p.wantRefusals(t, c.want)
	}
	robber := p.client(t, grpcauth.DPoPDialOptions(newSigner(t), always(token))...)
	if err := kinds[0].call(t.Context(), robber); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with another key: got %v; want UNAUTHENTICATED", err)
	}
	p.wantRefusals(t, accesstoken.BindingMismatch)
}

func TestNoCallWithoutTLS(t *testing.T) {
	signer := newSigner(t)
	options := grpcauth.DPoPDialOptions(signer, always("token"))
	conn, err := grpc.NewClient("passthrough:///127.0.0.1:1", append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err == nil {
		_ = conn.Close()
		t.Error("got a connection without TLS; want an error")
	}
}

func TestNoCallWithoutWhatItTakes(t *testing.T) {
	p, signer := serveProven(t, nil), newSigner(t)
	fail := func(context.Context) (string, error) { return "", errors.New("the token endpoint is down") }
	for want, options := range map[string][]grpc.DialOption{
		"needs a Signer and a token function": grpcauth.DPoPDialOptions(nil, always("token")),
		"a Signer and a token function":       grpcauth.DPoPDialOptions(signer, nil),
		"the token endpoint is down":          grpcauth.DPoPDialOptions(signer, fail),
		"returned an empty access token":      grpcauth.DPoPDialOptions(signer, always("")),
	} {
		err := kinds[0].call(t.Context(), p.client(t, options...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want an error with %q", err, want)
		}
	}
	if len(p.calls()) != 0 {
		t.Errorf("got %d calls; want none", len(p.calls()))
	}
}
