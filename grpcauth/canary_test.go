package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

const canary = testkit.Canary

// told makes a call and says all that the client can see of it: the status with
// its details, byte for byte, the header and the trailer.
func told(t *testing.T, ctx context.Context, client testpb.TestServiceClient, k kind) string {
	t.Helper()
	var header, trailer metadata.MD
	err := k.call(ctx, client, grpc.Header(&header), grpc.Trailer(&trailer))
	if status.Code(err) == codes.OK || status.Code(err) == codes.Unknown {
		t.Errorf("%s: got %v; want a refusal", k.name, err)
	}
	return fmt.Sprint(err, status.Convert(err).Proto(), status.Convert(err).Details(), header, trailer)
}

// canaryClient asks a server whose methods demand the policy.
func canaryClient(t *testing.T, s *service, policy accesstoken.Policy, wrap ...grpc.ServerOption) testpb.TestServiceClient {
	t.Helper()
	auth, err := grpcauth.New(testkit.NewValidator(t, as, nil), &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/grpc.testing.TestService/*": policy}})
	if err != nil {
		t.Fatal(err)
	}
	return overTLS.serveTest(t, append(wrap, auth.ServerOptions()...), s)
}

func TestARefusalTellsNothingOfTheCall(t *testing.T) {
	s := new(service)
	client := canaryClient(t, s, accesstoken.Policy{Scopes: scopes.All("orders:write")})
	ctx := metadata.AppendToOutgoingContext(t.Context(), "cookie", canary, "x-access-token", canary)
	for name, lines := range testkit.Marked(as) {
		for _, k := range kinds {
			testkit.WantNoCanary(t, name+", "+k.name, told(t, with(ctx, lines...), client, k), lines)
		}
	}
	if len(s.subjects) != 0 {
		t.Errorf("got %d calls that arrived; want none", len(s.subjects))
	}
}

// A method that nobody has heard of is not repeated to who made it up.
func TestAMethodWithoutARuleIsNotRepeated(t *testing.T) {
	var refused []string
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(_ context.Context, e *accesstoken.Error) { refused = append(refused, string(e.Reason)) }
	})
	auth, err := grpcauth.New(v, &grpcauth.Options{Public: []string{"/a.B/C"}})
	if err != nil {
		t.Fatal(err)
	}
	var trailer metadata.MD
	conn := overBufconn.serve(t, auth.ServerOptions(), func(*grpc.Server) {})
	err = conn.Invoke(with(t.Context(), bearer(canary)), "/"+canary+".Service/"+canary, &testpb.Empty{}, &testpb.Empty{}, grpc.Trailer(&trailer))
	testkit.WantNoCanary(t, "a method without a rule", fmt.Sprint(err, status.Convert(err).Proto(), trailer), nil)
	if fmt.Sprint(refused) != "[POLICY_DENIED]" {
		t.Errorf("got %v; want POLICY_DENIED", refused)
	}
}

// What a method denies a call for is for the log.
func TestWhatAMethodDeniesIsNotTold(t *testing.T) {
	for _, said := range []error{
		accesstoken.Deny("CLOSED", errors.New(canary)), fmt.Errorf("%s: %w", canary, accesstoken.Deny(accesstoken.Reason(canary), nil)),
		&accesstoken.Error{Reason: accesstoken.Reason(canary)}, fmt.Errorf("%s: %w", canary, &accesstoken.Error{Reason: accesstoken.TokenExpired}),
	} {
		s := &service{fail: func(context.Context) error { return said }}
		client := canaryClient(t, s, accesstoken.Policy{Scopes: scopes.None()})
		lines := []string{bearer("a")}
		for _, k := range kinds {
			testkit.WantNoCanary(t, fmt.Sprint(said, ", ", k.name), told(t, with(t.Context(), lines...), client, k), lines)
		}
	}
}

// An interceptor that recovers prints the panic of a method, whatever its value.
func TestAPanicWithClaimsTellsNothing(t *testing.T) {
	var printed string
	recovering := grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (_ any, err error) {
		defer func() {
			printed = fmt.Sprintf("%v %+v", recover(), ctx)
			err = status.Error(codes.Internal, printed)
		}()
		return handler(ctx, request)
	})
	s := &service{fail: func(ctx context.Context) error {
		claims, _ := accesstoken.FromContext(ctx)
		panic([]any{claims, &claims, ctx})
	}}
	lines := []string{"Bearer " + as.Token(accesstokentest.Claims{"sub": canary, "jti": canary, canary: canary})}
	client := canaryClient(t, s, accesstoken.Policy{Scopes: scopes.None()}, recovering)
	text := told(t, with(t.Context(), lines...), client, kinds[0])
	if !strings.Contains(text, "accesstoken.Claims(issuer") {
		t.Errorf("got %q; want the panic in it", text)
	}
	testkit.WantNoCanary(t, "the status", text, lines)
}
