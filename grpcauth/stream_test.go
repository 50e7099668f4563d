package grpcauth_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// patient is a service whose streams wait for messages, or for their end, for as
// long as they are let.
type patient struct {
	testpb.UnimplementedTestServiceServer

	instead func(context.Context) error // of StreamingOutputCall; nil: what it does

	mu   sync.Mutex
	seen []error // what the methods were told
}

func (p *patient) told(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, err)
	return err
}

func (p *patient) StreamingInputCall(stream grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{})
		} else if err != nil {
			return p.told(err)
		}
	}
}

// FullDuplexCall echoes.
func (p *patient) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return p.told(err)
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return p.told(err)
		}
	}
}

// StreamingOutputCall waits for the end of its context, or, where a response has
// a size, sends that until it is blocked.
func (p *patient) StreamingOutputCall(request *testpb.StreamingOutputCallRequest, stream grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	if p.instead != nil {
		return p.instead(stream.Context())
	}
	if len(request.ResponseParameters) == 0 {
		<-stream.Context().Done()
		return stream.Context().Err() // which is not what the client is told
	}
	response := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, request.ResponseParameters[0].Size)}}
	for {
		if err := stream.Send(response); err != nil {
			return p.told(err)
		}
	}
}

// endless are streams that are blocked, each in another way. They return what the
// client is told in the end.
var endless = []struct {
	name string
	open func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error
}{
	{"client stream, blocked in Recv", func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.StreamingInputCall(ctx, options...)
		if err != nil {
			return err
		}
		return stream.RecvMsg(&testpb.StreamingInputCallResponse{})
	}},
	{"bidirectional stream, blocked in Recv", func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.FullDuplexCall(ctx, options...)
		if err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}},
	{"server stream, waiting for its context", func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}, options...)
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}},
	{"server stream, blocked in Send", func(ctx context.Context, client testpb.TestServiceClient, options ...grpc.CallOption) error {
		stream, err := client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: 1 << 16}},
		}, options...)
		if err != nil {
			return err
		}
		time.Sleep(2 * life) // nobody reads, and the window is full
		for {
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
	}},
}

// life is how long the tokens of these tests live, in a bubble's time.
const life = 10 * time.Minute

// A bubble is a server and a client in one synctest bubble, whose keys are there
// from the start: a real connection to the issuer would be outside of it.
type bubble struct {
	validator *accesstoken.Validator
	auth      *grpcauth.Interceptors
	client    testpb.TestServiceClient
	service   *patient
	ended     time.Time     // of the tokens, Leeway included
	heard     *atomic.Int64 // refusals
	told      testkit.Told  // decisions
	down      *atomic.Bool  // the introspection endpoint
	asked     func()        // calls of it; nil: nobody counts
}

// RoundTrip asks the authorization server without a connection to it.
func (b *bubble) RoundTrip(request *http.Request) (*http.Response, error) {
	if b.down.Load() {
		return nil, errors.New("the endpoint is down")
	}
	if b.asked != nil {
		b.asked()
	}
	answer := httptest.NewRecorder()
	as.Endpoint(accesstokentest.IntrospectionPath).ServeHTTP(answer, request)
	return answer.Result(), nil
}

func inBubble(t *testing.T, options grpcauth.Options, more ...grpc.ServerOption) *bubble {
	t.Helper()
	return inBubbleOfAge(t, 0, options, more...)
}

// inBubbleOfAge is inBubble with a MaxAge.
func inBubbleOfAge(t *testing.T, maxAge time.Duration, options grpcauth.Options, more ...grpc.ServerOption) *bubble {
	t.Helper()
	b := &bubble{service: new(patient), heard: new(atomic.Int64), down: new(atomic.Bool)}
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   &http.Client{Transport: b},
	})
	if err != nil {
		t.Fatal(err)
	}
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.Issuers[0].Keys = jwks.Static(as.Keys()...)
		config.Issuers[0].Introspection = client
		config.Issuers[0].MaxAge = maxAge
		config.Leeway = 10 * time.Second
		config.OnRefuse = func(context.Context, *accesstoken.Error) { b.heard.Add(1) }
		config.OnDecide = b.told.OnDecide
	})
	b.validator = v
	options.Methods = map[string]accesstoken.Policy{wholeService: {Scopes: scopes.All("a")}}
	b.auth = newAuth(t, v, options)
	b.client = testpb.NewTestServiceClient(overBufconn.serve(t, append(more, b.auth.ServerOptions()...), func(server *grpc.Server) {
		testpb.RegisterTestServiceServer(server, b.service)
	}))
	b.ended = time.Now().Add(life + 10*time.Second)
	return b
}

// echoing returns a stream that is open: it has echoed a message.
func (b *bubble) echoing(t *testing.T, token string) testpb.TestService_FullDuplexCallClient {
	t.Helper()
	stream, err := b.client.FullDuplexCall(with(t.Context(), "Bearer "+token))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}

// token returns an authorization value that ends after life.
func token() string {
	now := time.Now()
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()})
}

// GRPC-07.
func TestAStreamEndsWithItsToken(t *testing.T) {
	for _, apart := range []bool{false, true} {
		for _, kind := range endless {
			t.Run(fmt.Sprintf("%s, apart %v", kind.name, apart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var more []grpc.ServerOption
					if apart {
						more = append(more, grpc.ChainStreamInterceptor(withoutWriteStatus))
					}
					b := inBubble(t, grpcauth.Options{}, more...)
					var trailer metadata.MD
					err := kind.open(with(t.Context(), token()), b.client, grpc.Trailer(&trailer))
					wantStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
					if got := trailer.Get("www-authenticate"); len(got) != 1 {
						t.Errorf("got %q; want one challenge in the trailer", got)
					}
					synctest.Wait()
					if late := time.Since(b.ended); kind.name != "server stream, blocked in Send" && (late < 0 || late > 50*time.Millisecond) {
						t.Errorf("got the end %v after that of the token; want within 50ms", late)
					}
					for _, err := range b.service.seen {
						wantStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
					}
					if got := b.heard.Load(); got != 1 {
						t.Errorf("OnRefuse heard of %d refusals; want 1", got)
					}
				})
			})
		}
	}
}

// withoutWriteStatus hides what gRPC's transport streams can do.
func withoutWriteStatus(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	transport := grpc.ServerTransportStreamFromContext(stream.Context())
	bare := struct{ grpc.ServerTransportStream }{transport}
	return handler(server, &contextStream{stream, grpc.NewContextWithServerTransportStream(stream.Context(), bare)})
}

type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *contextStream) Context() context.Context { return s.ctx }

// That gRPC's transport streams can be finished from outside is not in its API.
// Where this fails, streams run apart: a goroutine each.
func TestTransportStreamsCanBeFinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var can atomic.Bool
		look := func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			_, ok := grpc.ServerTransportStreamFromContext(stream.Context()).(interface{ WriteStatus(*status.Status) error })
			can.Store(ok)
			return handler(server, stream)
		}
		b := inBubble(t, grpcauth.Options{}, grpc.ChainStreamInterceptor(look))
		if err := kinds[3].call(with(t.Context(), token()), b.client); err != nil {
			t.Fatal(err)
		}
		if !can.Load() {
			t.Error("gRPC's transport stream has no WriteStatus any more; look for another way")
		}
	})
}

func TestAStreamThatIsOverBeforeItsTokenIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{})
		for _, kind := range kinds[1:] {
			if kind.name == "server stream" {
				continue // this service's has no end
			}
			if err := kind.call(with(t.Context(), token()), b.client); err != nil {
				t.Errorf("%s: got %v; want nil", kind.name, err)
			}
		}
		time.Sleep(2 * life)
		if got := b.heard.Load(); got != 0 {
			t.Errorf("OnRefuse heard of %d refusals; want none", got)
		}
	})
}

func TestAStreamHasItsGrace(t *testing.T) {
	const grace = time.Minute
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{StreamGrace: grace})
		stream, err := b.client.FullDuplexCall(with(t.Context(), token()))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(b.ended) + grace/2)
		if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
			t.Errorf("within the grace: got %v; want nil", err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Errorf("within the grace: got %v; want a message", err)
		}
		_, err = stream.Recv()
		wantStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		if late := time.Since(b.ended.Add(grace)); late < 0 || late > 50*time.Millisecond {
			t.Errorf("got the end %v after that of the grace; want within 50ms", late)
		}
		// The grace is for streams that are open.
		stream, err = b.client.FullDuplexCall(with(t.Context(), token()+"x"))
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("a new stream: got %v; want it refused", err)
		}
	})
}

// A token may be revoked while its stream is open.
func TestAStreamIsJudgedAgain(t *testing.T) {
	const every = time.Minute
	for _, test := range []struct {
		name   string
		happen func(b *bubble, opaque string)
		code   codes.Code
		reason string
	}{
		{"revoked", func(_ *bubble, opaque string) { as.Revoke(opaque) }, codes.Unauthenticated, "TOKEN_INACTIVE"},
		{"nobody can tell", func(b *bubble, _ string) { b.down.Store(true) }, codes.Unavailable, "INTROSPECTION_UNAVAILABLE"},
		{"nothing happens", func(*bubble, string) {}, codes.Unauthenticated, "TOKEN_EXPIRED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, grpcauth.Options{StreamCheck: every})
				now := time.Now()
				opaque := as.Opaque(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()})
				stream, err := b.client.FullDuplexCall(with(t.Context(), "Bearer "+opaque))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(7*every/2 - time.Second)
				if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
					t.Fatal(err)
				}
				if _, err := stream.Recv(); err != nil {
					t.Fatalf("while nothing has happened: got %v; want a message", err)
				}
				happened := time.Now()
				test.happen(b, opaque)
				_, err = stream.Recv()
				wantStatus(t, err, test.code, test.reason)
				late := time.Since(happened)
				if test.reason == "TOKEN_EXPIRED" {
					late = time.Since(b.ended)
				}
				if late < 0 || late > every {
					t.Errorf("got the end after %v; want it within %v", late, every)
				}
			})
		})
	}
}

// A public method needs no token, however long its stream is open.
func TestAPublicStreamIsNotJudgedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute, Public: []string{testpb.TestService_FullDuplexCall_FullMethodName}})
		stream := b.echoing(t, "junk")
		time.Sleep(time.Hour)
		if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Errorf("after an hour: got %v; want a message", err)
		}
		if got := b.heard.Load(); got != 0 {
			t.Errorf("OnRefuse heard of %d refusals; want none", got)
		}
	})
}

// Ten thousand clients that have opened their streams at once do not ask at once.
func TestStreamsAreJudgedAgainAtDifferentTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute})
		now := time.Now()
		opaque := as.Opaque(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()})
		times := map[time.Duration]bool{}
		var mu sync.Mutex
		b.asked = func() { // one client at a time: identical questions are one
			mu.Lock()
			defer mu.Unlock()
			times[time.Since(now)] = true
		}
		for range 20 {
			if _, err := b.client.FullDuplexCall(with(t.Context(), "Bearer "+opaque)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(65 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(times) < 10 {
			t.Errorf("got questions at %d moments; want them apart", len(times))
		}
	})
}

func TestNegativeTimesAreFaults(t *testing.T) {
	v := testkit.NewValidator(t, as, nil)
	for name, options := range map[string]grpcauth.Options{
		"StreamGrace": {Methods: methods(wholeService, "a"), StreamGrace: -1},
		"StreamCheck": {Methods: methods(wholeService, "a"), StreamCheck: -1},
		"often":       {Methods: methods(wholeService, "a"), StreamCheck: time.Second - 1},
	} {
		if _, err := grpcauth.New(v, &options); err == nil {
			t.Errorf("%s: got nil; want a fault", name)
		}
	}
}

// What a method does after its stream has ended concerns nobody: it neither
// changes the status nor brings the server down.
func TestAMethodThatGoesOnAfterTheEnd(t *testing.T) {
	for _, apart := range []bool{false, true} {
		for name, method := range map[string]func(context.Context) error{
			"returns nil":           func(ctx context.Context) error { <-ctx.Done(); return nil },
			"returns another error": func(ctx context.Context) error { <-ctx.Done(); return status.Error(codes.DataLoss, "x") },
			"panics":                func(ctx context.Context) error { <-ctx.Done(); panic("a test") },
		} {
			if name == "panics" && !apart {
				continue // that is the program's own, as ever
			}
			t.Run(fmt.Sprintf("%s, apart %v", name, apart), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var more []grpc.ServerOption
					if apart {
						more = append(more, grpc.ChainStreamInterceptor(withoutWriteStatus))
					}
					logged := capture(t)
					b := inBubble(t, grpcauth.Options{}, more...)
					b.service.instead = method
					err := endless[2].open(with(t.Context(), token()), b.client)
					wantStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
					synctest.Wait()
					if got := strings.Contains(logged.String(), "panicked"); got != (name == "panics") {
						t.Errorf("got the log %q; want a line for a panic, and none else", logged)
					}
				})
			})
		}
	}
}

// capture returns what is logged from now on by slog.Default.
func capture(t *testing.T) *strings.Builder {
	t.Helper()
	logged, before := new(strings.Builder), slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(logged, nil)))
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetOutput(os.Stderr)
	})
	return logged
}

// What a method returns before the end is what the client is told.
func TestAnErrorInAStreamIsCarriedOver(t *testing.T) {
	for name, more := range map[string][]grpc.ServerOption{
		"together": nil,
		"apart":    {grpc.ChainStreamInterceptor(withoutWriteStatus)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, grpcauth.Options{}, more...)
				b.service.instead = func(context.Context) error { return status.Error(codes.DataLoss, "x") }
				if err := endless[2].open(with(t.Context(), token()), b.client); status.Code(err) != codes.DataLoss {
					t.Errorf("got %v; want DATA_LOSS", err)
				}
			})
		})
	}
}

// A panic before the end goes where it would have gone: to an interceptor that
// recovers, or to the end of the program.
func TestAPanicInAStreamIsCarriedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recovered := make(chan any, 1)
		recovering := func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
			defer func() {
				recovered <- recover()
				err = status.Error(codes.Internal, "recovered")
			}()
			return handler(server, stream)
		}
		logged := capture(t)
		b := inBubble(t, grpcauth.Options{}, grpc.ChainStreamInterceptor(recovering, withoutWriteStatus))
		b.service.instead = func(context.Context) error { panic("a test") }
		if err := endless[2].open(with(t.Context(), token()), b.client); status.Code(err) != codes.Internal {
			t.Errorf("got %v; want what the recovering interceptor says", err)
		}
		if got := <-recovered; got != "a test" {
			t.Errorf("recovered %v; want a test", got)
		}
		if logged.Len() > 0 {
			t.Errorf("got the log %q; want none beside that of the interceptor", logged)
		}
	})
}

// GRPC-15. What a stream costs for each message reads no clock, asks nobody, and
// allocates nothing.
func TestAMessageCostsALookAtAFlag(t *testing.T) {
	var reads atomic.Int64
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		config.Now = func() time.Time { reads.Add(1); return time.Now() }
	})
	auth := newAuth(t, v, grpcauth.Options{Methods: methods(wholeService, "a")})
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", bearer("a")))
	for name, transport := range map[string]grpc.ServerTransportStream{"gRPC's": finishable{}, "another": nil} {
		stream := still{ctx: grpc.NewContextWithServerTransportStream(ctx, transport)}
		err := auth.StreamInterceptor(nil, stream, &grpc.StreamServerInfo{FullMethod: kinds[3].method}, func(_ any, stream grpc.ServerStream) error {
			before := reads.Load()
			if n := testing.AllocsPerRun(1000, func() { _, _ = stream.RecvMsg(nil), stream.SendMsg(nil) }); n > 0 {
				t.Errorf("%s: got %v allocations for a message each way; want 0", name, n)
			}
			if read := reads.Load() - before; read > 0 {
				t.Errorf("%s: the clock was read %d times; want never", name, read)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: got %v; want nil", name, err)
		}
	}
}

// still is a stream with a message whenever one is wanted.
type still struct {
	grpc.ServerStream
	ctx context.Context
}

func (s still) Context() context.Context { return s.ctx }
func (s still) RecvMsg(any) error        { return nil }
func (s still) SendMsg(any) error        { return nil }

// finishable is a transport stream as gRPC's own.
type finishable struct{ grpc.ServerTransportStream }

func (finishable) WriteStatus(*status.Status) error { return nil }

// GRPC-11. Interceptors further in see nothing of a call that is refused, and so
// turn no refusal into something else.
func TestInterceptorsFurtherInSeeNoRefusedCall(t *testing.T) {
	var seen atomic.Int64
	unary := func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
		seen.Add(1)
		return &testpb.SimpleResponse{}, nil
	}
	stream := func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
		seen.Add(1)
		return nil
	}
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	options := append(auth.ServerOptions(), grpc.ChainUnaryInterceptor(unary), grpc.ChainStreamInterceptor(stream))
	client := overBufconn.serveTest(t, options, new(service))
	for _, kind := range kinds {
		if err := kind.call(with(t.Context(), bearer("b")), client); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: got %v; want it refused", kind.name, err)
		}
	}
	if got := seen.Load(); got != 0 {
		t.Errorf("got %d calls further in; want none", got)
	}
}

// GRPC-10. A method, and whatever checks a proof of possession, finds the client's
// certificate.
func TestTheClientsCertificateIsReachable(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	certified.Close()
	pair := certified.TLS.Certificates[0]
	roots := certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	found := make(chan string, 8)
	s := &service{fail: func(ctx context.Context) error {
		p, _ := peer.FromContext(ctx)
		info, _ := p.AuthInfo.(credentials.TLSInfo)
		if _, ok := accesstoken.FromContext(ctx); ok && len(info.State.PeerCertificates) == 1 {
			found <- info.State.PeerCertificates[0].Issuer.String()
		}
		return nil
	}}
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	mutual := transport{"TCP with mutual TLS", func(t testing.TB) (net.Listener, []grpc.ServerOption, []grpc.DialOption) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return listener, []grpc.ServerOption{grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}))},
			[]grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: "example.com"}))}
	}}
	client := mutual.serveTest(t, auth.ServerOptions(), s)
	for _, kind := range kinds {
		if err := kind.call(with(t.Context(), bearer("a")), client); err != nil {
			t.Errorf("%s: got %v; want nil", kind.name, err)
		}
	}
	if got := len(found); got != len(kinds) {
		t.Errorf("got a certificate in %d calls; want in all %d", got, len(kinds))
	}
}

// A token of which MaxAge is the end ends its streams then.
func TestAStreamEndsWithTheAgeOfItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = 2 * time.Minute
		b := inBubbleOfAge(t, age, grpcauth.Options{})
		opened := time.Now()
		err := endless[0].open(with(t.Context(), token()), b.client)
		wantStatus(t, err, codes.Unauthenticated, "TOKEN_INVALID")
		if late := time.Since(opened.Add(age + 10*time.Second)); late < 0 || late > 2*time.Second {
			t.Errorf("got the end %v after that of the token; want within 2s", late)
		}
	})
}

// However far the end is, if there is one, and whatever the grace, a token is judged
// again, and no more often.
func TestAFarEndIsNoReasonNotToLook(t *testing.T) {
	const far = int64(253402300799)
	for _, test := range []struct {
		name  string
		grace time.Duration
		exp   any
	}{
		{"a grace", time.Minute, far},
		{"the most grace", math.MaxInt64, far},
		{"no end", 0, nil},
		{"no end, and a grace", time.Minute, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute, StreamGrace: test.grace})
				opaque := as.Opaque(accesstokentest.Claims{"scope": "a", "iat": time.Now().Unix(), "exp": test.exp})
				var asked atomic.Int64
				b.asked = func() { asked.Add(1) }
				stream := b.echoing(t, opaque)
				as.Revoke(opaque)
				began := time.Now()
				_, err := stream.Recv()
				wantStatus(t, err, codes.Unauthenticated, "TOKEN_INACTIVE")
				if waited := time.Since(began); waited < 50*time.Second || waited > time.Minute {
					t.Errorf("got the end after %v; want it after the minute of StreamCheck", waited)
				}
				if got := asked.Load(); got != 2 {
					t.Errorf("got %d questions; want one at the beginning and one a minute later", got)
				}
			})
		})
	}
}

// A stream in its grace is not judged again: it would not be let in.
func TestAGraceIsNotCutShortByACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute, StreamGrace: 5 * time.Minute})
		err := endless[1].open(with(t.Context(), token()), b.client)
		wantStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		if late := time.Since(b.ended.Add(5 * time.Minute)); late < 0 || late > 50*time.Millisecond {
			t.Errorf("got the end %v after that of the grace; want within 50ms", late)
		}
	})
}

// Behind another Interceptors of the same Validator, each has its own say.
func TestInterceptorsInsideOthersHaveTheirOwnGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{})
		rules := map[string]accesstoken.Policy{wholeService: {Scopes: scopes.All("a")}}
		patient := newAuth(t, b.validator, grpcauth.Options{Methods: rules, StreamGrace: time.Hour})
		client := testpb.NewTestServiceClient(overBufconn.serve(t, []grpc.ServerOption{grpc.ChainStreamInterceptor(patient.StreamInterceptor, b.auth.StreamInterceptor)},
			func(server *grpc.Server) { testpb.RegisterTestServiceServer(server, b.service) }))
		err := endless[0].open(with(t.Context(), token()), client)
		wantStatus(t, err, codes.Unauthenticated, "TOKEN_EXPIRED")
		if late := time.Since(b.ended); late < 0 || late > 50*time.Millisecond {
			t.Errorf("got the end %v after that of the token; want that of the shorter grace", late)
		}
	})
}

// The same Interceptors twice look after a stream once.
func TestAStreamIsLookedAfterOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute})
		b.client = testpb.NewTestServiceClient(overBufconn.serve(t, []grpc.ServerOption{grpc.ChainStreamInterceptor(b.auth.StreamInterceptor, b.auth.StreamInterceptor)},
			func(server *grpc.Server) { testpb.RegisterTestServiceServer(server, b.service) }))
		var asked atomic.Int64
		b.asked = func() { asked.Add(1) }
		now := time.Now()
		b.echoing(t, as.Opaque(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()}))
		time.Sleep(3*time.Minute + 30*time.Second)
		if got := asked.Load(); got != 4 {
			t.Errorf("got %d questions; want one at the beginning, and one for each of three minutes", got)
		}
	})
}

// A method that sends until it fails ends when its client is gone.
func TestAMethodHearsThatItsClientIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, grpcauth.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := b.client.StreamingOutputCall(with(ctx, token()), &testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{{Size: 1 << 16}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		b.service.mu.Lock()
		defer b.service.mu.Unlock()
		if len(b.service.seen) != 1 || time.Now().After(b.ended) {
			t.Errorf("the method was told %v; want one error, long before the end of the token", b.service.seen)
		}
	})
}

// Where no transport stream says which method it is, the stream is judged by the
// rule of its method all the same.
func TestAStreamOfNoTransportIsJudgedByItsRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hide := func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return handler(server, &contextStream{stream, grpc.NewContextWithServerTransportStream(stream.Context(), nil)})
		}
		b := inBubble(t, grpcauth.Options{StreamCheck: time.Minute}, grpc.ChainStreamInterceptor(hide))
		now := time.Now()
		opaque := as.Opaque(accesstokentest.Claims{"scope": "a", "iat": now.Unix(), "exp": now.Add(life).Unix()})
		stream := b.echoing(t, opaque)
		as.Remember(opaque, accesstokentest.Claims{"scope": "b", "iat": now.Unix(), "exp": now.Add(life).Unix()})
		_, err := stream.Recv()
		wantStatus(t, err, codes.PermissionDenied, "SCOPE_INSUFFICIENT")
	})
}

// net/http drops a trailer called Www-Authenticate, and logs each of them.
func TestBehindServeHTTPNothingIsLogged(t *testing.T) {
	var logged strings.Builder
	auth := newAuth(t, testkit.NewValidator(t, as, nil), grpcauth.Options{Methods: methods(wholeService, "a")})
	server := grpc.NewServer(auth.ServerOptions()...)
	testpb.RegisterTestServiceServer(server, new(service))
	front := httptest.NewUnstartedServer(server)
	front.EnableHTTP2 = true
	front.Config.ErrorLog = log.New(&logged, "", 0)
	front.StartTLS()
	roots := front.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	conn, err := grpc.NewClient(front.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "example.com")))
	if err != nil {
		t.Fatal(err)
	}
	client := testpb.NewTestServiceClient(conn)
	for _, kind := range kinds {
		err := kind.call(t.Context(), client)
		wantStatus(t, err, codes.Unauthenticated, "CREDENTIALS_MISSING")
		if err := kind.call(with(t.Context(), bearer("a")), client); err != nil {
			t.Errorf("%s: got %v; want nil", kind.name, err)
		}
	}
	_ = conn.Close()
	server.Stop()
	front.Close()
	if logged.Len() > 0 {
		t.Errorf("got %q in the server's log; want nothing", logged.String())
	}
}
