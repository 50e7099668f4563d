package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// A keyring is a Config.Authenticate that keeps the requests it was asked about.
type keyring struct {
	mu       sync.Mutex
	requests []*http.Request
	bad      atomic.Bool // no key is good any more
}

func (k *keyring) authenticate(ctx context.Context, r *http.Request) (accesstoken.Identity, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.requests = append(k.requests, r)
	switch {
	case r.Header.Get("X-Api-Key") == "":
		return accesstoken.Identity{}, nil
	case k.bad.Load():
		return accesstoken.Identity{}, accesstoken.TokenInactive
	case ctx != nil && r.Context() != ctx && r.Context().Value(http.LocalAddrContextKey) == nil:
		return accesstoken.Identity{}, errors.New("the request has another context")
	}
	return accesstoken.Identity{Issuer: "api-keys", Subject: "svc-7", Scopes: scopes.Parse("a"), Expiry: time.Now().Add(life)}, nil
}

// asked returns the requests since the last call.
func (k *keyring) asked() []*http.Request {
	k.mu.Lock()
	defer k.mu.Unlock()
	requests := k.requests
	k.requests = nil
	return requests
}

func (k *keyring) validator(t testing.TB, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	return testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Keys = jwks.Static(as.Keys()...)
		c.Leeway, c.Authenticate = 10*time.Second, k.authenticate
		if change != nil {
			change(c)
		}
	})
}

func keyed(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-api-key", "k", "x-binary-bin", "\xff\x00", "x-twice", "1", "x-twice", "2")
}

func TestAuthenticateSeesTheCallAsARequest(t *testing.T) {
	k, service := new(keyring), new(service)
	auth := newAuth(t, k.validator(t, nil), grpcauth.Options{
		Methods: methods(testpb.TestService_UnaryCall_FullMethodName, "a", testpb.TestService_EmptyCall_FullMethodName, "b"),
		Public:  []string{testpb.TestService_StreamingOutputCall_FullMethodName},
	})
	for _, over := range transports {
		client := over.serveTest(t, auth.ServerOptions(), service)
		service.subjects = nil
		if _, err := client.UnaryCall(keyed(t.Context()), &testpb.SimpleRequest{}); err != nil {
			t.Fatalf("got %v; want nil", err)
		}
		requests := k.asked()
		if len(requests) != 1 || !slices.Equal(service.subjects, []string{"svc-7"}) {
			t.Fatalf("got %d calls and %q; want one, and the caller", len(requests), service.subjects)
		}
		r := requests[0]
		got := fmt.Sprintln(r.Method, r.URL.Path, r.RequestURI, r.Proto, r.ProtoMajor, r.Header["X-Api-Key"], r.Header["X-Twice"], r.Header["X-Binary-Bin"], r.Header[":authority"], r.Host != "", r.RemoteAddr != "", r.TLS != nil)
		want := fmt.Sprintln("POST", testpb.TestService_UnaryCall_FullMethodName, testpb.TestService_UnaryCall_FullMethodName, "HTTP/2.0", 2, []string{"k"}, []string{"1", "2"}, []string(nil), []string(nil), true, true, over.name == overTLS.name)
		if got != want {
			t.Errorf("got %s; want %s", got, want)
		}
		if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("the body: got %d, %v; want its end", n, err)
		}

		_, err := client.EmptyCall(keyed(t.Context()), &testpb.Empty{})
		wantStatus(t, err, codes.PermissionDenied, "SCOPE_INSUFFICIENT")
		_, err = client.UnaryCall(t.Context(), &testpb.SimpleRequest{})
		wantStatus(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
		if got := len(k.asked()); got != 2 {
			t.Errorf("got %d calls; want 2", got)
		}
		for _, values := range [][]string{{"Bearer junk"}, {"Basic YTpi"}, {bearer("a"), bearer("a")}, {""}} {
			_, err = client.UnaryCall(with(keyed(t.Context()), values...), &testpb.SimpleRequest{})
			if err == nil {
				t.Errorf("%q: got nil; want a refusal", values)
			}
		}
		if _, err := client.UnaryCall(with(keyed(t.Context()), bearer("a")), &testpb.SimpleRequest{}); err != nil {
			t.Errorf("a good token: got %v; want nil", err)
		}
		stream := testkit.Must(client.StreamingOutputCall(keyed(t.Context()), &testpb.StreamingOutputCallRequest{}))
		if _, err := stream.Recv(); err != nil {
			t.Errorf("a public method: got %v; want nil", err)
		}
		if got := k.asked(); len(got) != 0 || service.subjects[len(service.subjects)-1] != "" {
			t.Errorf("with credentials, or for a public method: got %d calls and %q; want none", len(got), service.subjects)
		}
	}
}

// Two interceptors of one validator ask about a call once, unless it changes in between.
func TestOneCallWithoutATokenIsAskedAboutOnce(t *testing.T) {
	k := new(keyring)
	auth := newAuth(t, k.validator(t, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	for name, want := range map[string]struct {
		key   string
		asked int
		err   bool
	}{"the same call": {"k", 1, false}, "another key": {"l", 2, false}, "no key any more": {"", 2, true}} {
		info := &grpc.UnaryServerInfo{FullMethod: testpb.TestService_EmptyCall_FullMethodName}
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("x-api-key", "k", ":authority", "a.example"))
		_, err := auth.UnaryInterceptor(ctx, nil, info, func(ctx context.Context, _ any) (any, error) {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("x-api-key", want.key, ":authority", "a.example"))
			return auth.UnaryInterceptor(ctx, nil, info, func(context.Context, any) (any, error) { return nil, nil })
		})
		if asked := len(k.asked()); (err != nil) != want.err || asked != want.asked {
			t.Errorf("%s: got %v and %d calls; want %d", name, err, asked, want.asked)
		}
	}
}

func TestAStreamEndsWithItsIdentity(t *testing.T) {
	for name, test := range map[string]struct {
		options grpcauth.Options
		change  func(*accesstoken.Validator, *keyring) // while the stream is open
		after   time.Duration
		code    codes.Code
		reason  string
	}{
		"at its Expiry": {after: life + 10*time.Second, code: codes.Unauthenticated, reason: "TOKEN_EXPIRED"},
		"at its Expiry, judged again before": {
			options: grpcauth.Options{StreamCheck: time.Minute}, after: life + 10*time.Second, code: codes.Unauthenticated, reason: "TOKEN_EXPIRED",
		},
		"after the grace": {
			options: grpcauth.Options{StreamGrace: time.Minute}, after: life + 70*time.Second, code: codes.Unauthenticated, reason: "TOKEN_EXPIRED",
		},
		"as it is judged again": {
			options: grpcauth.Options{StreamCheck: time.Minute}, change: func(_ *accesstoken.Validator, k *keyring) { k.bad.Store(true) },
			after: time.Minute, code: codes.Unauthenticated, reason: "TOKEN_INACTIVE",
		},
		"as an issuer takes the name": {
			change: func(v *accesstoken.Validator, _ *keyring) {
				_ = v.SetIssuers(accesstoken.Issuer{URL: "api-keys", Keys: jwks.Static(as.Keys()...)})
			},
			code: codes.Unauthenticated, reason: "TOKEN_INVALID",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := new(keyring)
				v := k.validator(t, nil)
				test.options.Methods = methods(wholeService, "a")
				auth := newAuth(t, v, test.options)
				client := testpb.NewTestServiceClient(overBufconn.serve(t, auth.ServerOptions(), func(server *grpc.Server) {
					testpb.RegisterTestServiceServer(server, new(patient))
				}))
				begun := time.Now()
				stream := testkit.Must(client.FullDuplexCall(keyed(t.Context())))
				if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatalf("got %v; want the echo", err)
				}
				if test.change != nil {
					test.change(v, k)
				}
				_, err := stream.Recv()
				wantStatus(t, err, test.code, test.reason)
				if took := time.Since(begun); took > test.after+time.Second || took < test.after*8/10 {
					t.Errorf("the stream ended after %v; want %v", took, test.after)
				}
			})
		})
	}
}
