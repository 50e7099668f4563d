package conformance_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
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
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
)

// A request is what one client sends, whatever the carrier.
type request struct {
	lines   []string            // Authorization
	headers map[string][]string // their names as they are sent
	method  string              // HTTP only, as are the next two
	query   string
	form    string
	rpc     string // gRPC only: the method's name after "Get" or "Watch"
	proof   string // ${proof}

	certificate string // the client's
}

// An answer is what came back.
type answer struct {
	carrier string

	status int // HTTP; 0 on gRPC
	proto  string
	secure bool
	header http.Header
	body   string

	code    codes.Code
	message string
	info    *errdetails.ErrorInfo
	retry   *errdetails.RetryInfo
	details int
	trailer metadata.MD
}

func (a answer) isHTTP() bool { return a.status != 0 }

// challenge returns the lines of WWW-Authenticate, from wherever the carrier
// puts them.
func (a answer) challenge() []string {
	if a.isHTTP() {
		return a.header.Values("WWW-Authenticate")
	}
	return a.trailer.Get("www-authenticate")
}

// A carrier sends a request to the resource server, over its own connection.
type carrier struct {
	name string
	http bool
	path string
	send func(ctx context.Context, r request) (answer, error)
}

// carriers are resource servers that listen on loopback. What they protect
// themselves with changes from case to case.
type carriers struct {
	plain, echo *httptest.Server
	cleartext   *httptest.Server // HTTP/2 without TLS, as behind a proxy that ends it
	grpc        *grpc.Server
	grpcAddress string
	*clients                        // those without a certificate
	with        map[string]*clients // by the name of their certificate
	serving     sync.WaitGroup
	all         []carrier
	stage       atomic.Pointer[stage]
}

// A stage is what the servers serve at present.
type stage struct {
	plain    *middleware.Middleware
	echo     *echoauth.Middleware
	grpc     *grpcauth.Interceptors
	deadline time.Duration
	says     error // the handlers' own refusal

	mu   sync.Mutex
	runs []run
}

// A run is one time that a handler ran.
type run struct {
	claims accesstoken.Claims
	ok     bool
	body   string
}

const service = "conformance.Resource"

// clients are those that have one certificate, or none.
type clients struct {
	http1, http2, h2c *http.Client
	conn              *grpc.ClientConn
}

func (c *carriers) newClients(trusting *http.Client, certificates ...tls.Certificate) *clients {
	return &clients{
		http1: clientOf(trusting, certificates, (*http.Protocols).SetHTTP1),
		http2: clientOf(trusting, certificates, (*http.Protocols).SetHTTP2),
		h2c:   clientOf(trusting, nil, (*http.Protocols).SetUnencryptedHTTP2),
		conn:  must(grpc.NewClient(c.grpcAddress, grpc.WithTransportCredentials(credentials.NewTLS(trust(trusting, certificates))))),
	}
}

func (c *clients) close() {
	_ = c.conn.Close()
	c.http1.CloseIdleConnections()
	c.http2.CloseIdleConnections()
	c.h2c.CloseIdleConnections()
}

// clientsOf returns the clients of whoever sends the request.
func (c *carriers) clientsOf(r request) *clients { return c.with[r.certificate] }

func newCarriers(trusting *http.Client, certificates map[string]*certificate) *carriers {
	c := new(carriers)
	c.plain = serve(http.HandlerFunc(c.servePlain))
	e := echo.New()
	e.Any("/resource", c.handleEcho, c.wrapEcho)
	c.echo = serve(e)
	c.cleartext = serveCleartext(http.HandlerFunc(c.servePlain))
	c.startGRPC()
	c.clients = c.newClients(trusting)
	c.with = map[string]*clients{"": c.clients}
	for _, name := range []string{"sender", "thief"} {
		c.with[name] = c.newClients(trusting, certificates[name].Certificate)
	}
	c.all = []carrier{
		{"net/http over HTTP/1.1", true, "/resource", c.overHTTP(func(c *clients) *http.Client { return c.http1 }, c.plain)},
		{"net/http over HTTP/2", true, "/resource", c.overHTTP(func(c *clients) *http.Client { return c.http2 }, c.plain)},
		{cleartext, true, "/resource", c.overHTTP(func(c *clients) *http.Client { return c.h2c }, c.cleartext)},
		{"Echo", true, "/resource", c.overHTTP(func(c *clients) *http.Client { return c.http1 }, c.echo)},
		{"gRPC unary", false, "/" + service + "/Get", c.overGRPC("Get", unary)},
		{"gRPC stream", false, "/" + service + "/Watch", c.overGRPC("Watch", stream)},
	}
	return c
}

// cleartext is the name of the carrier that has no TLS, and so no certificates.
const cleartext = "net/http over HTTP/2 without TLS"

// roomy is more than the largest token of the cases, so that it is our own
// check that refuses it and not a server's.
const roomy = 4 << 20

func serve(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.Config.MaxHeaderBytes = roomy
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert} // any certificate is taken, and none is
	server.StartTLS()
	return server
}

func serveCleartext(h http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(h)
	server.Config.MaxHeaderBytes = roomy
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	return server
}

// clientOf speaks one version of HTTP, and fails where the server does not.
func clientOf(trusting *http.Client, certificates []tls.Certificate, allow func(*http.Protocols, bool)) *http.Client {
	transport := trusting.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig = trust(trusting, certificates)
	transport.Protocols = new(http.Protocols)
	allow(transport.Protocols, true)
	return &http.Client{Transport: transport}
}

func (c *carriers) startGRPC() {
	c.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: c.plain.TLS.Certificates, ClientAuth: tls.RequestClientCert})),
		grpc.MaxHeaderListSize(roomy),
		grpc.ChainUnaryInterceptor(c.guardUnary),
		grpc.ChainStreamInterceptor(c.guardStream),
		grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return status.Error(codes.Unimplemented, "unknown") }),
	)
	c.grpc.RegisterService(&description, c)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	c.grpcAddress = listener.Addr().String()
	c.serving.Go(func() { _ = c.grpc.Serve(listener) })
}

func trust(trusting *http.Client, certificates []tls.Certificate) *tls.Config {
	return &tls.Config{
		RootCAs:      trusting.Transport.(*http.Transport).TLSClientConfig.RootCAs,
		Certificates: certificates,
	}
}

func (c *carriers) close() {
	for _, one := range c.with {
		one.close()
	}
	c.grpc.Stop()
	c.serving.Wait()
	c.plain.Close()
	c.cleartext.Close()
	c.echo.Close()
}

// set prepares the stage for a scene.
func (c *carriers) set(s *scene) (*stage, error) {
	next := &stage{deadline: s.deadline}
	next.plain = middleware.New(s.validator, &middleware.Options{Optional: s.optional, CORS: s.cors})
	next.echo = echoauth.New(s.validator, &echoauth.Options{Optional: s.optional, CORS: s.cors})
	// Optional and CORS hold for Wrap alone.
	if !s.optional && !s.cors {
		next.plain, next.echo = next.plain.RequirePolicy(s.policy), next.echo.RequirePolicy(s.policy)
	}
	var err error
	next.grpc, err = grpcauth.New(s.validator, &grpcauth.Options{Methods: map[string]accesstoken.Policy{
		"/" + service + "/Get":   s.policy,
		"/" + service + "/Watch": s.policy,
	}})
	c.stage.Store(next)
	return next, err
}

// only keeps the carriers that speak HTTP, or those that do not.
func (c *carriers) only(http bool) (some []carrier) {
	for _, one := range c.all {
		if one.http == http {
			some = append(some, one)
		}
	}
	return some
}

// run is the one handler that all carriers have.
func (s *stage) run(ctx context.Context, body io.Reader) error {
	claims, ok := accesstoken.FromContext(ctx)
	read, _ := io.ReadAll(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, run{claims, ok, string(read)})
	return s.says
}

// ran returns how the handlers ran since the last call.
func (s *stage) ran() []run {
	s.mu.Lock()
	defer s.mu.Unlock()
	runs := s.runs
	s.runs = nil
	return runs
}

// limit is what a server in front does that gives every request so much time.
func (s *stage) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.deadline == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.deadline)
}

func (c *carriers) servePlain(w http.ResponseWriter, r *http.Request) {
	s := c.stage.Load()
	ctx, cancel := s.limit(r.Context())
	defer cancel()
	s.plain.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.run(r.Context(), r.Body); err != nil {
			s.plain.Refuse(w, r, err)
			return
		}
		_, _ = io.WriteString(w, "welcome")
	})).ServeHTTP(w, r.WithContext(ctx))
}

func (c *carriers) wrapEcho(next echo.HandlerFunc) echo.HandlerFunc {
	return func(e echo.Context) error {
		s := c.stage.Load()
		ctx, cancel := s.limit(e.Request().Context())
		defer cancel()
		e.SetRequest(e.Request().WithContext(ctx))
		return s.echo.Wrap(next)(e)
	}
}

func (c *carriers) handleEcho(e echo.Context) error {
	s := c.stage.Load()
	if err := s.run(e.Request().Context(), e.Request().Body); err != nil {
		return s.echo.Refuse(e, err)
	}
	return e.String(http.StatusOK, "welcome")
}

func (c *carriers) guardUnary(ctx context.Context, r any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	s := c.stage.Load()
	ctx, cancel := s.limit(ctx)
	defer cancel()
	return s.grpc.UnaryInterceptor(ctx, r, info, next)
}

func (c *carriers) guardStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	s := c.stage.Load()
	ctx, cancel := s.limit(stream.Context())
	defer cancel()
	return s.grpc.StreamInterceptor(server, &limitedStream{stream, ctx}, info, next)
}

type limitedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *limitedStream) Context() context.Context { return s.ctx }

// description is what protoc would generate for two methods with a rule and two
// without.
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
			return new(emptypb.Empty), server.(*carriers).stage.Load().run(ctx, strings.NewReader(""))
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
	return server.(*carriers).stage.Load().run(stream.Context(), strings.NewReader(""))
}

func (c *carriers) overHTTP(choose func(*clients) *http.Client, server *httptest.Server) func(context.Context, request) (answer, error) {
	return func(ctx context.Context, r request) (answer, error) {
		address := server.URL + "/resource"
		if r.query != "" {
			address += "?" + r.query
		}
		sent, err := http.NewRequestWithContext(ctx, r.method, address, strings.NewReader(r.form))
		if err != nil {
			return answer{}, err
		}
		if r.form != "" {
			sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		maps.Copy(sent.Header, r.headers)
		if r.lines != nil {
			sent.Header["Authorization"] = r.lines
		}
		if host := r.headers["Host"]; host != nil {
			sent.Host = host[0]
		}
		got, err := choose(c.clientsOf(r)).Do(sent)
		if err != nil {
			return answer{}, err
		}
		defer got.Body.Close()
		body, err := io.ReadAll(got.Body)
		return answer{status: got.StatusCode, proto: got.Proto, secure: got.TLS != nil, header: got.Header, body: string(body)}, err
	}
}

// A call is one kind of RPC as grpc-go's client makes it.
type call func(ctx context.Context, conn *grpc.ClientConn, method string) (metadata.MD, error)

// overGRPC uses the client of grpc-go, and one written by hand for the lines
// that it would not send.
func (c *carriers) overGRPC(name string, do call) func(context.Context, request) (answer, error) {
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
		trailer, err := do(metadata.NewOutgoingContext(ctx, pairs), c.clientsOf(r).conn, method)
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
func (c *carriers) byHand(ctx context.Context, method string, r request) (answer, error) {
	const noMessage = "\x00\x00\x00\x00\x00"
	sent, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.grpcAddress+method, strings.NewReader(noMessage))
	if err != nil {
		return answer{}, err
	}
	sent.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "Authorization": r.lines}
	maps.Copy(sent.Header, r.headers)
	got, err := c.clientsOf(r).http2.Do(sent)
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
	a := answer{code: s.Code(), message: s.Message(), details: len(s.Details()), trailer: trailer}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			a.info = detail
		case *errdetails.RetryInfo:
			a.retry = detail
		}
	}
	return a
}
