package grpcauth_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/jwks"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
)

func introspecting(t *testing.T, as *accesstokentest.Server, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection = client
		if change != nil {
			change(c)
		}
	})
}

// A method that calls another one of the server in the process, with the context that
// it has: over HTTP such a request is judged anew.
func TestALaterCallOfAnotherMethodIsJudgedAnew(t *testing.T) {
	as := accesstokentest.NewServer(t)
	auth := newAuth(t, introspecting(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	opaque := as.Opaque(accesstokentest.Claims{"scope": "a"})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+opaque))
	served := false
	_, err := auth.UnaryInterceptor(ctx, nil, &grpc.UnaryServerInfo{FullMethod: testpb.TestService_EmptyCall_FullMethodName}, func(ctx context.Context, _ any) (any, error) {
		as.Revoke(opaque)
		return auth.UnaryInterceptor(ctx, nil, &grpc.UnaryServerInfo{FullMethod: testpb.TestService_UnaryCall_FullMethodName}, func(context.Context, any) (any, error) {
			served = true
			return nil, nil
		})
	})
	if served || err == nil {
		t.Errorf("got the other method served %v, %v; want a refusal, since the token was revoked before", served, err)
	}
}

// The same call, seen by two interceptors of one validator, is looked at once: also on a
// connection with a client certificate.
func TestOneCallOverMutualTLSIsLookedAtOnce(t *testing.T) {
	for name, mutual := range map[string]bool{"plain": false, "mutual TLS": true} {
		as := accesstokentest.NewServer(t)
		auth := newAuth(t, introspecting(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+as.Opaque(accesstokentest.Claims{"scope": "a"})))
		if mutual {
			info := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Raw: []byte("x")}}}}
			ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{}, AuthInfo: info})
		}
		info := &grpc.UnaryServerInfo{FullMethod: testpb.TestService_EmptyCall_FullMethodName}
		_, err := auth.UnaryInterceptor(ctx, nil, info, func(ctx context.Context, _ any) (any, error) {
			return auth.UnaryInterceptor(ctx, nil, info, func(context.Context, any) (any, error) { return nil, nil })
		})
		if got := as.Requests(accesstokentest.IntrospectionPath); got != 1 || err != nil {
			t.Errorf("%s: got %d introspections, %v; want 1", name, got, err)
		}
	}
}

// Anyone may call any method: its name is text that nobody has vouched for.
func TestTheLogHasNoTextOfACallThatNobodyVouchedFor(t *testing.T) {
	var lines strings.Builder
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	_, _ = auth.UnaryInterceptor(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/x.Canary/eyJhbGciOi"}, nil)
	if strings.Contains(lines.String(), "Canary") {
		t.Errorf("got %s; want nothing of the name that the client made up", lines.String())
	}
}

// A slowSource answers its second question when it is told to.
type slowSource struct {
	accesstoken.KeySource
	asked   atomic.Int64
	reached chan struct{}
	answer  chan struct{}
}

func (s *slowSource) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	if s.asked.Add(1) == 2 {
		close(s.reached)
		<-s.answer
	}
	return s.KeySource.Keys(ctx, kid, alg)
}

// A stream that ends in good order while it is being judged again is no replay.
func TestAStreamThatEndsWhileItIsJudgedIsNoReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := newSigner(t)
		verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{"https://example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		source := &slowSource{KeySource: jwks.Static(as.Keys()...), reached: make(chan struct{}), answer: make(chan struct{})}
		heard := make(chan accesstoken.Reason, 9)
		v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
			c.DPoP, c.Issuers[0].Keys = verifier, source
			c.OnRefuse = func(_ context.Context, refused *accesstoken.Error) { heard <- refused.Reason }
		})
		auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a"), StreamCheck: time.Second})
		now := time.Now()
		token := as.Token(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix(), "cnf": map[string]any{"jkt": signer.Thumbprint()}})
		method := testpb.TestService_FullDuplexCall_FullMethodName
		proof, err := signer.Sign(dpop.Proof{Method: "POST", URL: "https://example.com" + method, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "DPoP "+token, "dpop", proof))
		ctx = grpc.NewContextWithServerTransportStream(ctx, finishable{named{method}})
		err = auth.StreamInterceptor(nil, still{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error {
			<-source.reached // it is being judged again
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		close(source.answer)
		synctest.Wait()
		select {
		case reason := <-heard:
			t.Errorf("got a refusal for %s reported; want none, since the stream ended in good order", reason)
		default:
		}
	})
}

type named struct{ method string }

func (n named) Method() string             { return n.method }
func (named) SetHeader(metadata.MD) error  { return nil }
func (named) SendHeader(metadata.MD) error { return nil }
func (named) SetTrailer(metadata.MD) error { return nil }
