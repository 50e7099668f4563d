package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// outage is an error of an application that knows of Unavailable.
type outage struct{}

func (outage) Error() string        { return "the database is down" }
func (outage) Is(target error) bool { return target == accesstoken.Unavailable }

func TestAMethodMayReturnAReason(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	for _, test := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"a Reason", accesstoken.ScopeInsufficient, codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
		{"a Reason, wrapped", fmt.Errorf("orders: %w", accesstoken.TokenExpired), codes.Unauthenticated, "TOKEN_EXPIRED"},
		{"Unavailable", accesstoken.Unavailable, codes.Unavailable, "STATUS_UNAVAILABLE"},
		{"an error that matches Unavailable", outage{}, codes.Unavailable, "STATUS_UNAVAILABLE"},
		{"an error of the application", errors.New("lost"), codes.Unknown, ""},
	} {
		client := overBufconn.serveTest(t, auth.ServerOptions(), &service{fail: func(context.Context) error { return test.err }})
		_, err := client.EmptyCall(with(t.Context(), bearer("a")), &testpb.Empty{})
		wantStatus(t, err, test.code, test.reason)
		stream, err := client.StreamingOutputCall(with(t.Context(), bearer("a")), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantStatus(t, err, test.code, test.reason)
	}
}

func TestClaimsEndWithTheCall(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	var mu sync.Mutex
	var kept []context.Context
	client := overBufconn.serveTest(t, auth.ServerOptions(), &service{fail: func(ctx context.Context) error {
		if _, ok := accesstoken.FromContext(ctx); !ok {
			t.Error("in the method: got no claims; want them")
		}
		mu.Lock()
		defer mu.Unlock()
		kept = append(kept, ctx)
		return errors.New("done")
	}})
	_, _ = client.EmptyCall(with(t.Context(), bearer("a")), &testpb.Empty{})
	if stream, err := client.StreamingOutputCall(with(t.Context(), bearer("a")), &testpb.StreamingOutputCallRequest{}); err == nil {
		_, _ = stream.Recv() // the end of the call
	}
	mu.Lock()
	defer mu.Unlock()
	if len(kept) != 2 {
		t.Fatalf("got %d calls; want 2", len(kept))
	}
	for i, ctx := range kept {
		if claims, ok := accesstoken.FromContext(ctx); ok {
			t.Errorf("after call %d: got %q; want no claims", i, claims.Subject)
		}
	}
}

// A method that is Public may stand behind an adapter that has let the call in, such
// as a middleware of net/http around grpc.Server.ServeHTTP.
func TestAPublicMethodHasNoClaimsOfAnOuterRequest(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	public := []string{testpb.TestService_EmptyCall_FullMethodName, testpb.TestService_StreamingOutputCall_FullMethodName}
	outer, inner := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")}), newAuth(t, v, grpcauth.Options{Public: public})
	s := &service{}
	client := overBufconn.serveTest(t, []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(outer.UnaryInterceptor, inner.UnaryInterceptor),
		grpc.ChainStreamInterceptor(outer.StreamInterceptor, inner.StreamInterceptor),
	}, s)
	if _, err := client.EmptyCall(with(t.Context(), bearer("a")), &testpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	stream, err := client.StreamingOutputCall(with(t.Context(), bearer("a")), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stream.Recv()
	}
	if got := fmt.Sprintf("%q", s.subjects); got != `["" ""]` {
		t.Errorf("got the subjects %s; want none", got)
	}
}
