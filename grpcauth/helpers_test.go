package grpcauth_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// as is the authorization server of all tests that do not count its requests.
var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// bearer returns an authorization value with a good token that has the scopes.
func bearer(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope})
}

// with returns a context for calls that carry these authorization values.
func with(ctx context.Context, authorization ...string) context.Context {
	for _, value := range authorization {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
	}
	return ctx
}

// service is grpc.testing.TestService. Every method does the same, and returns
// what fail says.
type service struct {
	testpb.UnimplementedTestServiceServer
	fail func(ctx context.Context) error // nil: all is well

	mu       sync.Mutex
	subjects []string // of the calls that arrived; "" without claims
}

func (s *service) arrived(ctx context.Context) error {
	claims, _ := accesstoken.FromContext(ctx)
	s.mu.Lock()
	s.subjects = append(s.subjects, claims.Subject)
	s.mu.Unlock()
	if s.fail != nil {
		return s.fail(ctx)
	}
	return nil
}

func (s *service) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, s.arrived(ctx)
}

func (s *service) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return &testpb.SimpleResponse{}, s.arrived(ctx)
}

func (s *service) StreamingOutputCall(_ *testpb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	if err := s.arrived(stream.Context()); err != nil {
		return err
	}
	return stream.Send(&testpb.StreamingOutputCallResponse{})
}

func (s *service) StreamingInputCall(stream grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	if err := s.arrived(stream.Context()); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{})
		} else if err != nil {
			return err
		}
	}
}

func (s *service) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	if err := s.arrived(stream.Context()); err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

// A kind of call: unary, or one of the three streams. Each sends and receives
// one message, if the server lets it.
type kind struct {
	name   string
	method string
	call   func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error
}

var kinds = []kind{
	{"unary", testpb.TestService_UnaryCall_FullMethodName, func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		_, err := client.UnaryCall(ctx, &testpb.SimpleRequest{}, options...)
		return err
	}},
	{"client stream", testpb.TestService_StreamingInputCall_FullMethodName, func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.StreamingInputCall(ctx, options...)
		if err != nil {
			return err
		}
		_ = stream.Send(&testpb.StreamingInputCallRequest{}) // a refusal arrives with the response
		_, err = stream.CloseAndRecv()
		return err
	}},
	{"server stream", testpb.TestService_StreamingOutputCall_FullMethodName, func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}, options...)
		if err != nil {
			return err
		}
		return drain(stream)
	}},
	{"bidirectional stream", testpb.TestService_FullDuplexCall_FullMethodName, func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.FullDuplexCall(ctx, options...)
		if err != nil {
			return err
		}
		_ = stream.Send(&testpb.StreamingOutputCallRequest{})
		_ = stream.CloseSend()
		return drain(stream)
	}},
}

// drain receives one message and the end of the stream.
func drain(stream interface {
	Recv() (*testpb.StreamingOutputCallResponse, error)
}) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the message: %w", err)
	}
	return nil
}

// A transport is a way from a client to a server.
type transport struct {
	name   string
	listen func(testing.TB) (net.Listener, []grpc.ServerOption, []grpc.DialOption)
}

var transports = []transport{
	{"TCP with TLS", func(t testing.TB) (net.Listener, []grpc.ServerOption, []grpc.DialOption) {
		certified := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
		certified.Close()
		roots := certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return listener, []grpc.ServerOption{grpc.Creds(credentials.NewServerTLSFromCert(&certified.TLS.Certificates[0]))},
			[]grpc.DialOption{grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "example.com"))}
	}},
	{"bufconn", func(testing.TB) (net.Listener, []grpc.ServerOption, []grpc.DialOption) {
		listener := bufconn.Listen(1 << 16)
		dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
		return listener, nil, []grpc.DialOption{grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials())}
	}},
}

var overTLS, overBufconn = transports[0], transports[1]

// serve runs a server with the options and what register puts on it, and
// returns a connection to it.
func (tr transport) serve(t testing.TB, options []grpc.ServerOption, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener, serverOptions, dialOptions := tr.listen(t)
	server := grpc.NewServer(append(serverOptions, options...)...)
	register(server)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(listener) })
	target := "passthrough:///" + listener.Addr().String()
	conn, err := grpc.NewClient(target, dialOptions...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		done.Wait()
	})
	return conn
}

// serveTest runs a server with the TestService.
func (tr transport) serveTest(t testing.TB, options []grpc.ServerOption, s *service) testpb.TestServiceClient {
	t.Helper()
	return testpb.NewTestServiceClient(tr.serve(t, options, func(server *grpc.Server) { testpb.RegisterTestServiceServer(server, s) }))
}
