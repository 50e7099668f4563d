package grpcauth_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

var soakFor = flag.Duration("soak", 2*time.Second, "how long TestSoakOfIssuers runs; from 10s on with 10,000 issuers")

// A streamSoak is the open streams of TestSoakOfIssuers. Every other stream runs apart, and
// all of them are checked again and again.
type streamSoak struct {
	*testkit.Tenants
	t      *testing.T
	client testpb.TestServiceClient
	stall  *testkit.Stall

	streams sync.WaitGroup
	echoed  func()        // is called for each echo
	echoes  atomic.Int64  // of streams that stay
	ended   int           // streams whose issuer was removed
	slowest time.Duration // from the return of SetIssuers to the end of such a stream
}

// TestSoakOfIssuers has 200 open streams of issuers that stay, and as many of issuers that
// are removed and come back, one each second, under 5,000 requests a second. A stream of an
// issuer that stays must not notice. Those of a removed one must end within a second. If the
// machine stands still for a time, streams have that time as well.
func TestSoakOfIssuers(t *testing.T) {
	count, moving := 300, 50
	if *soakFor >= 10*time.Second {
		count = 10_000
	}
	tenants := testkit.NewTenants(t, accesstokentest.NewServer(t), count, moving)
	auth := newAuth(t, tenants.Validator, grpcauth.Options{Methods: methods(wholeService, "a"), StreamCheck: 2 * time.Second})
	options := append([]grpc.ServerOption{grpc.ChainStreamInterceptor(apartIfAsked)}, auth.ServerOptions()...)
	s := &streamSoak{Tenants: tenants, t: t, client: overTLS.serveTest(t, options, new(service)), stall: testkit.NewStall(t)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	movers := map[int]mover{}
	for n := range moving {
		movers[n] = s.come(n)
	}
	echoed, stop := testkit.Watch(t, "the streams")
	s.echoed = echoed
	for n := range 200 {
		s.stay(ctx, n)
	}
	defer time.AfterFunc(*soakFor, cancel).Stop()
	asked := s.Load(t, ctx)
	s.change(ctx, movers)
	requests := asked()
	s.streams.Wait()
	stop()
	if err := testkit.Watched(t, "Close", tenants.Validator.Close); err != nil {
		t.Error(err)
	}
	_, stall := s.stall.Longest()
	t.Logf("%d issuers for %v: %d changes, %d requests; 200 streams that stay echoed %d times; %d streams ended, the slowest %v after its change; the machine stood still for %v at most",
		count, *soakFor, s.Changes(), requests, s.echoes.Load(), s.ended, s.slowest.Round(time.Millisecond), stall.Round(time.Millisecond))
	s.WantNoFetches(t)
}

// apartIfAsked lets a stream run apart if its client asks for that.
func apartIfAsked(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if metadata.ValueFromIncomingContext(stream.Context(), "apart") != nil {
		return withoutWriteStatus(server, stream, info, handler)
	}
	return handler(server, stream)
}

// open opens the stream of a number, which has echoed a message.
func (s *streamSoak) open(n int, token string) testpb.TestService_FullDuplexCallClient {
	ctx := with(s.t.Context(), "Bearer "+token)
	if n%2 == 1 {
		ctx = metadata.AppendToOutgoingContext(ctx, "apart", "yes")
	}
	stream, err := s.client.FullDuplexCall(ctx)
	if err == nil {
		err = echo(stream)
	}
	if err != nil {
		s.t.Fatalf("a new stream: got %v; want its echo", err)
	}
	return stream
}

func echo(stream testpb.TestService_FullDuplexCallClient) error {
	if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil && !errors.Is(err, io.EOF) { // then Recv has the status
		return err
	}
	_, err := stream.Recv()
	return err
}

// stay opens a stream of an issuer that stays. It echoes several times a second until ctx
// ends, and can then be closed as usual.
func (s *streamSoak) stay(ctx context.Context, n int) {
	stream := s.open(n, s.Kept(n%s.Moving))
	s.streams.Go(func() {
		every := time.NewTicker(300 * time.Millisecond)
		defer every.Stop()
		for ; ctx.Err() == nil; s.echoed() {
			<-every.C
			if err := echo(stream); err != nil {
				s.t.Errorf("a stream of an issuer that stays: got %v; want its echo", err)
				return
			}
			s.echoes.Add(1)
		}
		_ = stream.CloseSend()
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			s.t.Errorf("a stream of an issuer that stays: got %v; want its end, because the client has closed it", err)
		}
	})
}

// A mover is the open streams of an issuer that moves, and what each of them ended with.
type mover struct {
	streams []testpb.TestService_FullDuplexCallClient
	ends    chan end
}

type end struct {
	err error
	at  time.Time
}

// come opens four streams of an issuer that moves.
func (s *streamSoak) come(n int) mover {
	const streams = 4
	m := mover{ends: make(chan end, streams)}
	for k := range streams {
		stream := s.open(k, s.Mover(n))
		m.streams = append(m.streams, stream)
		s.streams.Go(func() {
			_, err := stream.Recv()
			m.ends <- end{err, time.Now()}
		})
	}
	return m
}

// change makes a change each second until ctx ends. Then it closes the streams that are left.
func (s *streamSoak) change(ctx context.Context, movers map[int]mover) {
	changed, stop := testkit.Watch(s.t, "SetIssuers")
	defer stop()
	every := time.NewTicker(min(time.Second, *soakFor/20))
	defer every.Stop()
	for ; ctx.Err() == nil; <-every.C {
		s.stall.Reset()
		n, removed, err := s.Change()
		returned := time.Now()
		if err != nil {
			s.t.Error(err)
		}
		if changed(); removed {
			s.wantEnds(movers[n], returned)
			delete(movers, n)
		} else {
			movers[n] = s.come(n)
		}
	}
	for _, m := range movers {
		for _, stream := range m.streams {
			_ = stream.CloseSend()
			if end := <-m.ends; !errors.Is(end.err, io.EOF) {
				s.t.Errorf("a stream of an issuer that is there: got %v; want its end, because the client has closed it", end.err)
			}
		}
	}
}

// wantEnds waits for the ends of the streams of an issuer that was removed.
func (s *streamSoak) wantEnds(m mover, removed time.Time) {
	for range m.streams {
		end := <-m.ends
		wantStatus(s.t, end.err, codes.Unauthenticated, "TOKEN_INVALID")
		took := max(end.at.Sub(removed), 0)
		if stall, _ := s.stall.Longest(); took > time.Second+stall {
			s.t.Errorf("a stream ended %v after its issuer was removed; want a second at most", took)
		}
		s.ended++
		s.slowest = max(s.slowest, took)
	}
}
