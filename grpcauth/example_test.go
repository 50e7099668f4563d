package grpcauth_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// setUp runs an authorization server and makes a Validator for its tokens. A
// program has only the second part.
func setUp() (*accesstokentest.Server, *accesstoken.Validator) {
	as, err := accesstokentest.Start()
	if err != nil {
		log.Fatal(err)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
	})
	if err != nil {
		log.Fatal(err)
	}
	return as, v
}

// run serves on loopback and returns a connection to the server.
func run(server *grpc.Server) *grpc.ClientConn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

func ExampleNew() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	_, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{
			testpb.TestService_UnaryCall_FullMethodName: {Scopes: scopes.All("calls")},
			"/grpc.testing.ReconnectService/*":          {}, // the zero Policy
		},
		Public: []string{"grpc.health.v1.Health/Check"}, // the slash is missing
	})
	fmt.Println(err)
	// Output:
	// grpcauth: Methods["/grpc.testing.ReconnectService/*"]: accesstoken: the policy has no Scopes; list those that the route needs, or set Scopes: scopes.None()
	// grpcauth: Public "grpc.health.v1.Health/Check": expected /pkg.Service/Method
}

func ExampleInterceptors_ServerOptions() {
	as, v := setUp()
	defer as.Close()
	defer v.Close()

	auth, err := grpcauth.New(v, &grpcauth.Options{
		Methods: map[string]accesstoken.Policy{
			testpb.TestService_EmptyCall_FullMethodName: {Scopes: scopes.All("calls")},
		},
		Public: []string{healthpb.Health_Check_FullMethodName},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(auth.ServerOptions()...)
	testpb.RegisterTestServiceServer(server, new(service))
	healthpb.RegisterHealthServer(server, health.NewServer())
	conn := run(server)
	defer server.Stop()
	defer conn.Close()

	call := func(method, scope string) {
		token := as.Token(accesstokentest.Claims{"scope": scope})
		ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)
		answer := status.Convert(conn.Invoke(ctx, method, &testpb.Empty{}, &testpb.Empty{}))
		reason := ""
		for _, detail := range answer.Details() {
			reason = detail.(*errdetails.ErrorInfo).Reason
		}
		fmt.Printf("%v %q %q\n", answer.Code(), answer.Message(), reason)
	}
	call(testpb.TestService_EmptyCall_FullMethodName, "calls")
	call(testpb.TestService_EmptyCall_FullMethodName, "other")
	call(testpb.TestService_UnaryCall_FullMethodName, "calls") // has no rule
	// Output:
	// OK "" ""
	// PermissionDenied "the access token lacks a required scope" "SCOPE_INSUFFICIENT"
	// PermissionDenied "access is denied" "POLICY_DENIED"
}
