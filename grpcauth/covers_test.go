package grpcauth_test

import (
	"context"
	"fmt"
	"log"
	"slices"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthsrv "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/grpcauth/policypb"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// TestCovers: a line for each method without a rule and for each rule without a
// method (GRPC-04, GRPC-05).
func TestCovers(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	server := grpc.NewServer()
	testpb.RegisterReconnectServiceServer(server, testpb.UnimplementedReconnectServiceServer{})
	healthpb.RegisterHealthServer(server, healthsrv.NewServer())
	const start, stop, reconnect = "/grpc.testing.ReconnectService/Start", "/grpc.testing.ReconnectService/Stop", "/grpc.testing.ReconnectService/*"
	for _, test := range []struct {
		name    string
		options grpcauth.Options
		want    []string
	}{
		{"each method has a rule", grpcauth.Options{Methods: methods(start, "a", stop, "b"), Public: grpcauth.Health()}, nil},
		{"each service has a rule", grpcauth.Options{Methods: methods(reconnect, "a", "/grpc.health.v1.Health/*", "a")}, nil},
		{"a method goes before its service", grpcauth.Options{Methods: methods(reconnect, "a", stop, "b"), Public: grpcauth.Health()}, nil},
		{"a method has none", grpcauth.Options{Methods: methods(start, "a"), Public: grpcauth.Health()},
			[]string{stop + ` is registered and has no rule: write, for instance, option (accesstoken.v1.policy).all_scopes = "..." in its .proto, or list it in Methods or Public`}},
		{"a service has none", grpcauth.Options{Methods: methods(reconnect, "a")},
			[]string{"/grpc.health.v1.Health/Check is registered", "/grpc.health.v1.Health/List is registered", "/grpc.health.v1.Health/Watch is registered"}},
		{"a rule without a method", grpcauth.Options{Methods: methods(reconnect, "a", "/grpc.testing.ReconnectService/Strat", "a"), Public: grpcauth.Health()},
			[]string{"there is a rule for /grpc.testing.ReconnectService/Strat, but grpc.testing.ReconnectService has no method Strat"}},
		{"a rule without a service", grpcauth.Options{Methods: methods(reconnect, "a", "/grpc.testing.TestService/UnaryCall", "a"), Public: grpcauth.Health()},
			[]string{"there is a rule for /grpc.testing.TestService/UnaryCall, but no service grpc.testing.TestService is registered"}},
		{"a rule of a service without it", grpcauth.Options{Methods: methods(reconnect, "a", "/grpc.testing.TestService/*", "a"), Public: grpcauth.Health()},
			[]string{"there is a rule for /grpc.testing.TestService/*, but no service grpc.testing.TestService is registered"}},
		{"names are compared whole", grpcauth.Options{Methods: methods("/grpc.testing.Reconnect/*", "a", "/x.grpc.testing.ReconnectService/*", "a", "/grpc.testing.reconnectservice/Start", "a"), Public: grpcauth.Health()},
			[]string{start + " is registered", stop + " is registered", "no service grpc.testing.Reconnect is", "no service grpc.testing.reconnectservice is", "no service x.grpc.testing.ReconnectService is"}},
		{"a public method that is not there", grpcauth.Options{Methods: methods(reconnect, "a"), Public: append(grpcauth.Health(), grpcauth.Reflection()[0])},
			[]string{"no service grpc.reflection.v1.ServerReflection is registered"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantLines(t, newAuth(t, v, test.options).Covers(server.GetServiceInfo()), test.want...)
		})
	}
	t.Run("nothing is registered", func(t *testing.T) {
		wantLines(t, newAuth(t, v, grpcauth.Options{Methods: methods(start, "a")}).Covers(nil), "no service grpc.testing.ReconnectService is registered")
	})
	t.Run("rules of a .proto", func(t *testing.T) {
		name := declare(t, nil, declaration{"Get", &policypb.Policy{AnyToken: true}}, declaration{"Put", &policypb.Policy{AllScopes: []string{"a"}}})
		auth := newAuth(t, v, grpcauth.Options{Services: []string{name}})
		info := grpc.ServiceInfo{Methods: []grpc.MethodInfo{{Name: "Get"}, {Name: "Put", IsServerStream: true}}}
		wantLines(t, auth.Covers(map[string]grpc.ServiceInfo{name: info}))
		info.Methods[0].Name = "Post"
		wantLines(t, auth.Covers(map[string]grpc.ServiceInfo{name: info}), "/"+name+"/Post is registered", name+" has no method Get")
	})
}

// TestHealthAndReflectionAreClosedUnlessTheyAreListed (GRPC-08).
func TestHealthAndReflectionAreClosedUnlessTheyAreListed(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	register := func(server *grpc.Server) {
		testpb.RegisterTestServiceServer(server, new(service))
		healthpb.RegisterHealthServer(server, healthsrv.NewServer())
		reflection.Register(server)
	}
	calls := map[string]func(ctx context.Context, conn *grpc.ClientConn) error{
		"Check": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
			return err
		},
		"List": func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := healthpb.NewHealthClient(conn).List(ctx, &healthpb.HealthListRequest{})
			return err
		},
		"Watch": func(ctx context.Context, conn *grpc.ClientConn) error {
			stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"reflection":          reflectOn("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
		"reflection, v1alpha": reflectOn("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
	}
	health, both := []string{"Check", "List", "Watch"}, []string{"reflection", "reflection, v1alpha"}
	for _, test := range []struct {
		name   string
		public []string // the option
		open   []string // the calls
	}{
		{"neither is listed", nil, nil},
		{"health", grpcauth.Health(), health},
		{"reflection", grpcauth.Reflection(), both},
		{"both", slices.Concat(grpcauth.Health(), grpcauth.Reflection()), slices.Concat(health, both)},
		{"one method", []string{healthpb.Health_Watch_FullMethodName}, []string{"Watch"}},
	} {
		auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a"), Public: test.public})
		conn := overBufconn.serve(t, auth.ServerOptions(), register)
		for name, call := range calls {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				for caller, ctx := range map[string]context.Context{"nobody": t.Context(), "alice": with(t.Context(), bearer("a"))} {
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					err := call(ctx, conn)
					if slices.Contains(test.open, name) {
						wantStatus(t, err, codes.OK, "")
					} else {
						wantStatus(t, err, codes.PermissionDenied, "POLICY_DENIED")
					}
					if t.Failed() {
						t.Fatalf("that was %s", caller)
					}
				}
			})
		}
	}
	t.Run("all that is registered is named", func(t *testing.T) {
		server := grpc.NewServer()
		register(server)
		auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a"), Public: slices.Concat(grpcauth.Health(), grpcauth.Reflection())})
		wantLines(t, auth.Covers(server.GetServiceInfo()))
	})
}

// reflectOn asks a reflection service for the services; both versions have the
// same messages.
func reflectOn(method string) func(context.Context, *grpc.ClientConn) error {
	return func(ctx context.Context, conn *grpc.ClientConn) error {
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
		if err != nil {
			return err
		}
		_ = stream.SendMsg(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		return stream.RecvMsg(new(reflectionpb.ServerReflectionResponse))
	}
}

// TestNoSpellingOfAMethodIsOpen: a server does not take a name for a method that
// the rules take for none (GRPC-05).
func TestNoSpellingOfAMethodIsOpen(t *testing.T) {
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{
		Methods: methods(wholeService, "a", testpb.TestService_EmptyCall_FullMethodName, "b"),
		Public:  []string{testpb.TestService_UnaryCall_FullMethodName},
	})
	s := new(service)
	conn := overBufconn.serve(t, auth.ServerOptions(), func(server *grpc.Server) { testpb.RegisterTestServiceServer(server, s) })
	for _, test := range []struct {
		name   string // on the wire
		code   codes.Code
		reason string
	}{
		{"", codes.Unimplemented, ""}, // gRPC's own answers to what is no path
		{"grpc.testing.TestService/EmptyCall", codes.Unimplemented, ""},
		{"grpc.testing.TestService/UnaryCall", codes.Unimplemented, ""},
		{"/", codes.Unimplemented, ""},
		{"//", codes.PermissionDenied, "POLICY_DENIED"},
		{"//grpc.testing.TestService/EmptyCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"//grpc.testing.TestService/UnaryCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/grpc.testing.TestService//EmptyCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/grpc.testing.TestService//UnaryCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/./grpc.testing.TestService/UnaryCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/x/../grpc.testing.TestService/UnaryCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/grpc.testing.TestService", codes.Unimplemented, ""},
		{"/grpc.testing.testservice/UnaryCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/grpc%2etesting.TestService/UnaryCall", codes.PermissionDenied, "POLICY_DENIED"},
		{"/grpc.testing.TestService/unaryCall", codes.Unimplemented, ""}, // by the rule of the service, and then there is no such method
		{"/grpc.testing.TestService/UnaryCall?", codes.Unimplemented, ""},
		{"/grpc.testing.TestService/", codes.Unimplemented, ""},
		{"/grpc.testing.TestService/*", codes.Unimplemented, ""},
		{"/grpc.testing.TestService/EmptyCall", codes.PermissionDenied, "SCOPE_INSUFFICIENT"},
	} {
		t.Run(fmt.Sprintf("%q", test.name), func(t *testing.T) {
			err := conn.Invoke(with(t.Context(), bearer("a")), test.name, &testpb.Empty{}, &testpb.Empty{})
			wantStatus(t, err, test.code, test.reason)
			err = conn.Invoke(t.Context(), test.name, &testpb.Empty{}, &testpb.Empty{})
			if status.Code(err) == codes.OK {
				t.Error("without a token: got OK; want a refusal")
			}
		})
	}
	if len(s.subjects) > 0 {
		t.Errorf("methods ran for %q; want none", s.subjects)
	}
}

// TestInterceptorsThatRecoverOpenNothing: neither before nor behind ours does one
// that turns panics and errors into answers let a call in (GRPC-11).
func TestInterceptorsThatRecoverOpenNothing(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	auth := newAuth(t, v, grpcauth.Options{Methods: map[string]accesstoken.Policy{wholeService: {Scopes: scopes.All("a")}}})
	recovering := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
		defer func() {
			if recover() != nil {
				response, err = nil, status.Error(codes.Internal, "recovered")
			}
		}()
		return handler(ctx, request)
	}
	recoveringStream := func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() {
			if recover() != nil {
				err = status.Error(codes.Internal, "recovered")
			}
		}()
		return handler(server, stream)
	}
	var ran atomic.Int32
	forgiving := func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ran.Add(1)
		if response, err := handler(ctx, request); err == nil {
			return response, nil
		}
		return &testpb.SimpleResponse{}, nil
	}
	forgivingStream := func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ran.Add(1)
		_ = handler(server, stream)
		return nil
	}
	s := new(service)
	client := overBufconn.serveTest(t, slices.Concat(
		[]grpc.ServerOption{grpc.ChainUnaryInterceptor(recovering), grpc.ChainStreamInterceptor(recoveringStream)},
		auth.ServerOptions(),
		[]grpc.ServerOption{grpc.ChainUnaryInterceptor(forgiving), grpc.ChainStreamInterceptor(forgivingStream)},
	), s)
	for _, kind := range kinds {
		wantStatus(t, kind.call(t.Context(), client), codes.Unauthenticated, "CREDENTIALS_MISSING")
		wantStatus(t, kind.call(with(t.Context(), bearer("b")), client), codes.PermissionDenied, "SCOPE_INSUFFICIENT")
	}
	if ran.Load() > 0 || len(s.subjects) > 0 {
		t.Errorf("got %d calls behind the interceptors, and methods for %q; want none", ran.Load(), s.subjects)
	}
	for _, kind := range kinds { // and those that are let in pass all of them
		if err := kind.call(with(t.Context(), bearer("a")), client); err != nil {
			t.Errorf("%s: got %v; want an answer", kind.name, err)
		}
	}
	if int(ran.Load()) != len(kinds) {
		t.Errorf("got %d calls behind the interceptors; want %d", ran.Load(), len(kinds))
	}
}

func ExampleInterceptors_Covers() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{
			"/grpc.testing.ReconnectService/Start":  {Scopes: scopes.All("calls")},
			"/grpc.testing.ReconnectService/Finish": {Scopes: scopes.All("calls")}, // it is Stop
		},
		Public: grpcauth.Health(),
	})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(auth.ServerOptions()...)
	testpb.RegisterReconnectServiceServer(server, testpb.UnimplementedReconnectServiceServer{})
	healthpb.RegisterHealthServer(server, healthsrv.NewServer())
	fmt.Println(auth.Covers(server.GetServiceInfo()))
	// Output:
	// grpcauth: /grpc.testing.ReconnectService/Stop is registered and has no rule: write, for instance, option (accesstoken.v1.policy).all_scopes = "..." in its .proto, or list it in Methods or Public
	// grpcauth: there is a rule for /grpc.testing.ReconnectService/Finish, but grpc.testing.ReconnectService has no method Finish
}
