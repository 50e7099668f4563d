package grpcauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/adapter"
)

// StreamInterceptor is a grpc.StreamServerInterceptor. No message is read
// before the stream is let in, and it ends when its token does.
func (a *Interceptors) StreamInterceptor(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := stream.Context()
	admitted, rule, err := a.authorize(ctx, info.FullMethod)
	if err != nil {
		return a.refuse(ctx, err, stream.SetTrailer)
	}
	switch {
	case rule.public && admitted.Context != ctx:
		return a.refuseDenied(ctx, handler(server, &publicStream{stream, admitted.Context}), stream.SetTrailer)
	case rule.public || a.looksAfter(stream):
		defer admitted.End()
		return a.refuseDenied(ctx, handler(server, stream), stream.SetTrailer)
	}
	s := &authorizedStream{ServerStream: stream, ctx: admitted.Context, stay: admitted.Stay, interceptors: a}
	if s.writer() == nil {
		defer s.leave() // its method may go on
		err = s.serveApart(server, info.FullMethod, handler)
	} else {
		err = s.serve(server, handler)
	}
	if ended := s.ended.Load(); ended != nil { // whatever the method makes of it
		return *ended
	}
	return a.refuseDenied(ctx, err, stream.SetTrailer)
}

// looksAfter reports a stream that comes from the same interceptor further out,
// which ends it.
func (a *Interceptors) looksAfter(stream grpc.ServerStream) bool {
	s, ok := stream.(*authorizedStream)
	return ok && s.interceptors == a
}

// A publicStream has a context without the claims of an outer request.
type publicStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *publicStream) Context() context.Context { return s.ctx }

// An authorizedStream has the claims in its context, and ends when its token
// does. Until then it costs a timer, and a look at a flag for each message. There
// may be very many of them.
type authorizedStream struct {
	grpc.ServerStream
	ctx          context.Context
	interceptors *Interceptors
	ended        atomic.Pointer[error] // the status that it was ended with

	mu      sync.Mutex
	timer   *time.Timer   // nil: there is nothing to wait for, or the method has returned
	looking bool          // the token is being judged
	stay    *adapter.Stay // nil: the claims are not ours to end, or have ended
}

func (s *authorizedStream) Context() context.Context { return s.ctx }

func (s *authorizedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if ended := s.ended.Load(); ended != nil {
		return *ended
	}
	return err
}

func (s *authorizedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if ended := s.ended.Load(); ended != nil {
		return *ended
	}
	return err
}

// A writer finishes a stream from outside of its method, as the transport streams
// of gRPC do: it sends the status and ends the stream's context, so that a blocked
// RecvMsg or SendMsg returns. It is not in gRPC's API: see serveApart.
type writer interface{ WriteStatus(*status.Status) error }

func (s *authorizedStream) writer() writer {
	if w, ok := s.ServerStream.(writer); ok {
		return w
	}
	w, _ := grpc.ServerTransportStreamFromContext(s.ctx).(writer)
	return w
}

// serve calls the method, and sees to the token meanwhile.
func (s *authorizedStream) serve(server any, handler grpc.StreamHandler) error {
	defer s.leave()
	if wait, ever := s.wait(); ever {
		s.mu.Lock()
		s.timer = time.AfterFunc(wait, s.look)
		s.mu.Unlock()
	}
	return handler(server, s)
}

// leave stops looking after the token, and ends the claims. A look under way ends
// them when it is done: without them it would take the proof for one used twice.
func (s *authorizedStream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if !s.looking {
		s.endClaims()
	}
}

// endClaims expects mu to be held.
func (s *authorizedStream) endClaims() {
	if s.stay != nil {
		s.stay.End()
		s.stay = nil
	}
}

// wait returns how long it is until the next look.
func (s *authorizedStream) wait() (wait time.Duration, ever bool) {
	claims, _ := accesstoken.FromContext(s.ctx)
	if end := claims.End(); !end.IsZero() {
		wait, ever = s.left(end), true
	}
	if wait <= 0 { // but the Validator's clock is another one
		wait = time.Second
	}
	every := s.interceptors.again
	if every == 0 {
		return wait, ever
	}
	every -= rand.N(every/10 + 1) // streams that were opened at once do not ask at once
	if !ever || every < wait {
		wait = every
	}
	return wait, true
}

// look ends the stream, or waits on.
func (s *authorizedStream) look() {
	if !s.begin() {
		return
	}
	err := s.still()
	if err != nil {
		s.end(err)
	}
	wait, _ := s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looking = false
	switch {
	case s.timer == nil:
		s.endClaims()
	case err == nil:
		s.timer.Reset(wait)
	}
}

// begin reports whether there is still something to look after.
func (s *authorizedStream) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looking = s.timer != nil
	return s.looking
}

// left is how long a stream may go on whose token ends then, its grace included; at
// most what a Duration can say.
func (s *authorizedStream) left(end time.Time) time.Duration {
	left := time.Until(end)
	return left + min(s.interceptors.grace, math.MaxInt64-max(left, 0))
}

// still judges the token by the clock and, if that is wanted, as it would be judged
// if the stream were opened now. In its grace it is let alone.
func (s *authorizedStream) still() error {
	claims, _ := accesstoken.FromContext(s.ctx)
	v := s.interceptors.validator
	if end := claims.End(); !end.IsZero() && time.Until(end) <= 0 {
		if s.left(end) > 0 {
			return nil
		}
		if err := v.Check(s.ctx, claims, accesstoken.Policy{}); err != nil {
			return err
		}
	}
	if s.interceptors.again == 0 {
		return nil
	}
	rule, ok := s.interceptors.rule(s.method())
	if !ok {
		return accesstoken.Deny(accesstoken.PolicyDenied, errors.New("an open stream whose method has no rule any more"))
	}
	_, err := v.Authorize(s.ctx, s.interceptors.credentialsOf(s.ctx, s.method()), rule.policy)
	return err
}

// method returns the full method, or "/", which has no rule.
func (s *authorizedStream) method() string {
	if apart, ok := s.ServerStream.(*apartStream); ok {
		return apart.method
	}
	if method, ok := grpc.Method(s.ctx); ok {
		return method
	}
	return "/"
}

// end finishes the stream with the status of a refusal, unless its method has
// returned meanwhile, and with it its own status. What others have wrapped around
// the stream is not touched: it need not be made for two at once.
func (s *authorizedStream) end(err error) {
	if s.markEnded(err) {
		_ = s.writer().WriteStatus(status.Convert(*s.ended.Load())) // fails if the client is gone
	}
}

func (s *authorizedStream) markEnded(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil {
		return false
	}
	ended := s.interceptors.refuse(s.ctx, err, func(trailer metadata.MD) { _ = grpc.SetTrailer(s.ctx, trailer) })
	s.ended.Store(&ended)
	return true
}

// serveApart is serve where nothing can finish the stream from outside: the
// method runs in a goroutine of its own, and is left alone when the stream ends.
// That the interceptor returns ends the stream's context, and the method with it.
func (s *authorizedStream) serveApart(server any, method string, handler grpc.StreamHandler) error {
	apart := &apartStream{s.ServerStream, method, make(chan struct{})}
	s.ServerStream = apart
	type result struct {
		err      error
		panicked any
	}
	returned := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			r.panicked = recover()
			if r.panicked != nil && s.ended.Load() != nil { // nobody waits for it any more
				slog.ErrorContext(s.ctx, "grpcauth: a method panicked after its stream had ended", "panic", fmt.Sprintf("a %T", r.panicked))
			}
			returned <- r
		}()
		r.err = s.serve(server, handler)
	}()
	select {
	case r := <-returned:
		if r.panicked != nil {
			panic(r.panicked)
		}
		return r.err
	case <-apart.over:
		return nil // its status is known
	}
}

// An apartStream is finished by whoever waits for it.
type apartStream struct {
	grpc.ServerStream
	method string
	over   chan struct{}
}

func (s *apartStream) WriteStatus(*status.Status) error {
	close(s.over)
	return nil
}
