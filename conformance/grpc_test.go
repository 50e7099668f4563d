package conformance

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
)

const service = "conformance.Resource"

// A caller is a gRPC server with its clients.
type caller struct {
	network *network
	server  *grpc.Server
	address string
	conns   map[string]*grpc.ClientConn // by the name of the client's certificate
	serving sync.WaitGroup
	now     atomic.Pointer[intercepted]
}

type intercepted struct {
	resource *Resource
	auth     *grpcauth.Interceptors
}

// overGRPC starts the caller, and is the Adapter of package grpcauth.
func overGRPC(c *caller) Adapter {
	return Adapter{func(n *network) *servers {
		c.network = n
		c.start()
		return &servers{
			transports: []transport{
				{name: "gRPC unary", path: "/" + service + "/Get", send: c.send("Get", unary)},
				{name: "gRPC stream", path: "/" + service + "/Watch", send: c.send("Watch", stream)},
			},
			protect: c.protect,
			close:   c.close,
		}
	}}
}

func (c *caller) protect(r *Resource) error {
	auth, err := grpcauth.New(r.Validator, &grpcauth.Options{Methods: map[string]accesstoken.Policy{
		"/" + service + "/Get":   r.Policy,
		"/" + service + "/Watch": r.Policy,
	}})
	c.now.Store(&intercepted{r, auth})
	return err
}

// guard replaces the interceptors with those of the current case.
func (c *caller) guard(options *grpcauth.Options) {
	r := c.now.Load().resource
	c.now.Store(&intercepted{r, must(grpcauth.New(r.Validator, options))})
}

func (c *caller) start() {
	lent := serve(http.NotFoundHandler())
	lent.Close()
	c.server = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: lent.TLS.Certificates, ClientAuth: tls.RequestClientCert})),
		grpc.MaxHeaderListSize(roomy),
		grpc.ChainUnaryInterceptor(c.guardUnary),
		grpc.ChainStreamInterceptor(c.guardStream),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return status.Error(codes.Unimplemented, "unknown") }),
	)
	c.server.RegisterService(&description, c)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	c.address = listener.Addr().String()
	c.serving.Go(func() { _ = c.server.Serve(listener) })
	c.conns = map[string]*grpc.ClientConn{}
	for name := range c.network.clients {
		c.conns[name] = must(grpc.NewClient(c.address, grpc.WithTransportCredentials(credentials.NewTLS(c.network.trust(name)))))
	}
}

func (c *caller) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.server.Stop()
	c.serving.Wait()
}

func (c *caller) guardUnary(ctx context.Context, r any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	now := c.now.Load()
	ctx, cancel := now.resource.limit(ctx)
	defer cancel()
	return now.auth.UnaryInterceptor(ctx, r, info, next)
}

func (c *caller) guardStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	now := c.now.Load()
	ctx, cancel := now.resource.limit(stream.Context())
	defer cancel()
	return now.auth.StreamInterceptor(server, &limitedStream{stream, ctx}, info, next)
}

type limitedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *limitedStream) Context() context.Context { return s.ctx }

// description describes a service, as protoc would generate it, of two methods with a
// rule and two without.
var description = grpc.ServiceDesc{
	ServiceName: service,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Get", Handler: getMethod("Get")},
		{MethodName: "GetUnlisted", Handler: getMethod("GetUnlisted")},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Watch", Handler: watch, ServerStreams: true},
		{StreamName: "WatchUnlisted", Handler: watch, ServerStreams: true},
	},
}

func getMethod(name string) grpc.MethodHandler {
	return func(server any, ctx context.Context, decode func(any) error, guard grpc.UnaryServerInterceptor) (any, error) {
		in := new(emptypb.Empty)
		if err := decode(in); err != nil {
			return nil, err
		}
		info := &grpc.UnaryServerInfo{Server: server, FullMethod: "/" + service + "/" + name}
		return guard(ctx, in, info, func(ctx context.Context, _ any) (any, error) {
			return new(emptypb.Empty), server.(*caller).now.Load().resource.Handle(ctx, strings.NewReader(""))
		})
	}
}

// watch sends a message before it ends, so that a refusal by the method itself
// comes after the response has begun.
func watch(server any, stream grpc.ServerStream) error {
	if err := stream.RecvMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	if err := stream.SendMsg(new(emptypb.Empty)); err != nil {
		return err
	}
	return server.(*caller).now.Load().resource.Handle(stream.Context(), strings.NewReader(""))
}

// A call is one kind of RPC as grpc-go's client makes it.
type call func(ctx context.Context, conn *grpc.ClientConn, method string) (metadata.MD, error)

// send uses the client of grpc-go, and one written by hand for the lines
// that it would not send.
func (c *caller) send(name string, do call) func(context.Context, request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		method := "/" + service + "/" + name + r.rpc
		if slices.ContainsFunc(r.lines, unprintable) {
			return c.byHand(ctx, method, r)
		}
		pairs := metadata.MD{}
		for name, values := range r.headers {
			pairs.Append(name, values...)
		}
		pairs.Append("authorization", r.lines...)
		trailer, err := do(metadata.NewOutgoingContext(ctx, pairs), c.conns[r.certificate], method)
		return grpcAnswer(trailer, status.Convert(err)), nil
	}
}

func unprintable(line string) bool {
	return strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' })
}

func unary(ctx context.Context, conn *grpc.ClientConn, method string) (metadata.MD, error) {
	var header, trailer metadata.MD
	err := conn.Invoke(ctx, method, new(emptypb.Empty), new(emptypb.Empty), grpc.Header(&header), grpc.Trailer(&trailer))
	return metadata.Join(header, trailer), err
}

func stream(ctx context.Context, conn *grpc.ClientConn, method string) (metadata.MD, error) {
	stream, err := conn.NewStream(ctx, &description.Streams[0], method)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(new(emptypb.Empty)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for err == nil {
		err = stream.RecvMsg(new(emptypb.Empty))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	header, _ := stream.Header() // has come, as the stream has ended
	return metadata.Join(header, stream.Trailer()), err
}

// byHand makes a call with net/http's HTTP/2 client: a message of no bytes, and
// the trailer as it comes.
func (c *caller) byHand(ctx context.Context, method string, r request) (answer, error) {
	const noMessage = "\x00\x00\x00\x00\x00"
	sent, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.address+method, strings.NewReader(noMessage))
	if err != nil {
		return answer{}, err
	}
	sent.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Authorization": r.lines}
	maps.Copy(sent.Header, r.headers)
	got, err := c.network.clients[r.certificate].http2.Do(sent)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	if _, err := io.Copy(io.Discard, got.Body); err != nil {
		return answer{}, err
	}
	trailer := metadata.MD{}
	for _, fields := range []http.Header{got.Header, got.Trailer} {
		for name, values := range fields {
			trailer.Append(name, values...)
		}
	}
	return grpcAnswer(trailer, statusIn(trailer)), nil
}

// statusIn reads the status from a trailer as the gRPC protocol writes it.
func statusIn(trailer metadata.MD) *status.Status {
	s := new(spb.Status)
	for _, encoded := range trailer.Get("grpc-status-details-bin") {
		raw := must(base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "=")))
		if err := proto.Unmarshal(raw, s); err != nil {
			panic(err)
		}
	}
	for _, code := range trailer.Get("grpc-status") {
		s.Code = int32(must(strconv.Atoi(code)))
	}
	for _, message := range trailer.Get("grpc-message") {
		s.Message = must(url.PathUnescape(message))
	}
	return status.FromProto(s)
}

func grpcAnswer(trailer metadata.MD, s *status.Status) answer {
	a := answer{code: s.Code().String(), message: s.Message(), details: len(s.Details()), trailer: http.Header{}}
	for name, values := range trailer {
		a.trailer[http.CanonicalHeaderKey(name)] = values
	}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			a.info = &errorInfo{detail.GetReason(), detail.GetDomain(), detail.GetMetadata()}
		case *errdetails.RetryInfo:
			a.retry = detail.GetRetryDelay().AsDuration()
		}
	}
	return a
}
