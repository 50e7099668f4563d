package benchmarks_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// patient is a service whose streams answer each message and wait for the next.
type patient struct {
	testpb.UnimplementedTestServiceServer
}

func (patient) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
		if err := stream.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}

// streaming serves patient behind the interceptors, or behind nothing, and
// returns a client.
func streaming(tb testing.TB, v *accesstoken.Validator, first ...grpc.StreamServerInterceptor) testpb.TestServiceClient {
	tb.Helper()
	options := []grpc.ServerOption{grpc.ChainStreamInterceptor(first...)}
	if v != nil {
		options = append(options, interceptors(tb, v).ServerOptions()...)
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(options...)
	testpb.RegisterTestServiceServer(server, patient{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	conn, err := grpc.NewClient("passthrough:///bufconn", grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(tb, err)
	tb.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		serving.Wait()
	})
	return testpb.NewTestServiceClient(conn)
}

func interceptors(tb testing.TB, v *accesstoken.Validator) *grpcauth.Interceptors {
	tb.Helper()
	auth, err := grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{"/grpc.testing.TestService/*": {Scopes: scopes.All(writing)}}})
	must(tb, err)
	return auth
}

// open opens a stream for each token, and waits for an answer on each.
func open(tb testing.TB, client testpb.TestServiceClient, tokens []string) []testpb.TestService_FullDuplexCallClient {
	tb.Helper()
	streams := make([]testpb.TestService_FullDuplexCallClient, len(tokens))
	for n, token := range tokens {
		stream, err := client.FullDuplexCall(metadata.AppendToOutgoingContext(tb.Context(), "authorization", "Bearer "+token))
		must(tb, err)
		must(tb, stream.Send(&testpb.StreamingOutputCallRequest{}))
		streams[n] = stream
	}
	for _, stream := range streams {
		_, err := stream.Recv()
		must(tb, err)
	}
	return streams
}

// inMemory returns the memory of the streams of the tokens, including gRPC's part.
func inMemory(tb testing.TB, v *accesstoken.Validator, tokens []string, first ...grpc.StreamServerInterceptor) (heaped, stacked int64, goroutines int) {
	tb.Helper()
	if v != nil { // the facts about the tokens are cached before
		for _, token := range tokens {
			must(tb, validating(v)(token))
		}
	}
	client := streaming(tb, v, first...)
	open(tb, client, tokens[:1])
	before, beforeStacks, beforeGoroutines := heap(), stacks(), runtime.NumGoroutine()
	streams := open(tb, client, tokens)
	heaped, stacked, goroutines = heap()-before, stacks()-beforeStacks, runtime.NumGoroutine()-beforeGoroutines
	runtime.KeepAlive(streams)
	return heaped, stacked, goroutines
}

// stacks returns the bytes of all goroutines' stacks.
func stacks() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.StackInuse)
}

// BenchmarkStreams measures the memory that open streams take in addition to gRPC's own,
// and how long after the end of their tokens the last stream ends.
func BenchmarkStreams(b *testing.B) {
	const streams = 10_000
	for _, way := range []struct {
		name  string
		first grpc.StreamServerInterceptor
	}{{"", asItIs}, {"/apart", withoutWriteStatus}} {
		b.Run(fmt.Sprintf("open=%d%s", streams, way.name), func(b *testing.B) {
			i := issuerOf(b, "EdDSA")
			tokens := longTokens(b, streams)
			var heaped, stacked int64
			var goroutines int
			for b.Loop() {
				heaped, stacked, goroutines = inMemory(b, i.validator(b), tokens, way.first)
				bareHeaped, bareStacked, bareGoroutines := inMemory(b, nil, tokens, way.first)
				heaped, stacked, goroutines = heaped-bareHeaped, stacked-bareStacked, goroutines-bareGoroutines
			}
			b.ReportMetric(float64(heaped)/streams, "B/stream")
			b.ReportMetric(float64(stacked)/streams, "B-of-stacks/stream")
			b.ReportMetric(float64(goroutines)/streams, "goroutines/stream")
		})
	}
	b.Run(fmt.Sprintf("ending=%d", streams), func(b *testing.B) {
		i := issuerOf(b, "EdDSA")
		var last time.Duration
		for b.Loop() {
			end := time.Now().Add(10 * time.Second) // enough to open them
			tokens := make([]string, streams)
			onAllCores(streams, func(k int) { tokens[k] = i.sign(b, k, map[string]any{"exp": float64(end.UnixMilli()) / 1000}) })
			v := newValidator(b, accesstoken.Config{
				Resource: resource, Leeway: -1,
				Issuers: []accesstoken.Issuer{{URL: issuerURL, Keys: i.keys, Algorithms: []string{i.alg}}},
			})
			opened := open(b, streaming(b, v), tokens)
			if time.Now().After(end) {
				b.Fatal("the tokens have ended before all streams were open")
			}
			for _, stream := range opened {
				if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
					b.Fatalf("got %v; want the stream ended with its token", err)
				}
			}
			last = time.Since(end)
		}
		b.ReportMetric(float64(last.Milliseconds()), "ms-until-the-last")
	})
}

func asItIs(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(server, stream)
}

// withoutWriteStatus hides a method of gRPC's transport streams, so that each method runs
// in a goroutine of its own.
func withoutWriteStatus(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	bare := struct{ grpc.ServerTransportStream }{grpc.ServerTransportStreamFromContext(stream.Context())}
	return handler(server, &contextStream{stream, grpc.NewContextWithServerTransportStream(stream.Context(), bare)})
}

type contextStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *contextStream) Context() context.Context { return s.ctx }

// BenchmarkRecv measures one message of an open stream.
func BenchmarkRecv(b *testing.B) {
	i := issuerOf(b, "RS256")
	auth := interceptors(b, i.validator(b))
	looping := b
	receive := func(_ any, stream grpc.ServerStream) error {
		for looping.Loop() {
			if err := stream.RecvMsg(nil); err != nil {
				return err
			}
		}
		return nil
	}
	ctx := metadata.NewIncomingContext(b.Context(), metadata.Pairs("authorization", lines(i.tokens(b, 1))[0]))
	stream := still{grpc.NewContextWithServerTransportStream(ctx, transport{})}
	b.Run("auth=without", func(b *testing.B) {
		looping = b
		must(b, receive(nil, stream))
	})
	b.Run("auth=with", func(b *testing.B) {
		looping = b
		must(b, auth.StreamInterceptor(nil, stream, &grpc.StreamServerInfo{FullMethod: testpb.TestService_FullDuplexCall_FullMethodName}, receive))
	})
}

// transport is a transport stream that does nothing.
type transport struct{ grpc.ServerTransportStream }

func (transport) WriteStatus(*status.Status) error { return nil }

// still is a stream that always has a message.
type still struct{ ctx context.Context }

func (s still) Context() context.Context     { return s.ctx }
func (s still) RecvMsg(any) error            { return nil }
func (s still) SendMsg(any) error            { return nil }
func (s still) SetHeader(metadata.MD) error  { return nil }
func (s still) SendHeader(metadata.MD) error { return nil }
func (s still) SetTrailer(metadata.MD)       {}
