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

// StreamInterceptor is a grpc.StreamServerInterceptor. It reads no message before the
// stream is authorized. It ends the stream when the token has ended and StreamGrace
// is over, or when a StreamCheck fails.
func (a *Interceptors) StreamInterceptor(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := stream.Context()
	admitted, rule, err := a.authorize(ctx, info.FullMethod)
	if err != nil {
		return a.refuse(ctx, a.validator, err, stream.SetTrailer)
	}
	switch {
	case rule.public && admitted.Context != ctx:
		return a.refuseDenied(admitted.Context, handler(server, &publicStream{stream, admitted.Context}), stream.SetTrailer)
	case rule.public || a.watches(stream):
		defer admitted.End()
		return a.refuseDenied(admitted.Context, handler(server, stream), stream.SetTrailer)
	}
	s := &authorizedStream{ServerStream: stream, ctx: admitted.Context, stay: admitted.Stay, interceptors: a}
	if s.writer() == nil {
		defer s.leave() // the method may still be running
		err = s.serveApart(server, info.FullMethod, handler)
	} else {
		err = s.serve(server, handler)
	}
	if ended := s.ended.Load(); ended != nil { // whatever the method returned
		return *ended
	}
	return a.refuseDenied(accesstoken.NewContext(ctx, admitted.Claims), err, stream.SetTrailer) // admitted.Context has no claims any more
}

// watches reports whether the stream comes directly from the same interceptor further
// out, because that interceptor then ends the stream.
func (a *Interceptors) watches(stream grpc.ServerStream) bool {
	s, ok := stream.(*authorizedStream)
	return ok && s.interceptors == a
}

// A publicStream has a context that hides the claims of an outer request.
type publicStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *publicStream) Context() context.Context { return s.ctx }

// An authorizedStream has the claims in its context, and can be ended while its
// method runs. It costs only a timer, and an atomic load per message, because there
// may be very many streams. Only serveApart adds a goroutine.
type authorizedStream struct {
	grpc.ServerStream
	ctx          context.Context
	interceptors *Interceptors
	ended        atomic.Pointer[error] // the status that the stream was ended with; nil: it was not ended

	one      sync.Mutex // held by a check, because the timer and SetIssuers may cause one each
	mu       sync.Mutex
	timer    *time.Timer   // nil: no check is due at any time
	returned bool          // the method has returned
	checking bool          // a check is running
	stay     *adapter.Stay // nil: an outer adapter ends the claims, or they have ended
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

// A writer finishes a stream from outside its method, as the transport streams of
// gRPC do. It sends the status and ends the stream's context, so that a blocked
// RecvMsg or SendMsg returns. Behind grpc.Server.ServeHTTP, a SendMsg may stay
// blocked for longer. WriteStatus is not in gRPC's API, so it may be missing: see
// serveApart.
type writer interface{ WriteStatus(*status.Status) error }

func (s *authorizedStream) writer() writer {
	if w, ok := s.ServerStream.(writer); ok {
		return w
	}
	w, _ := grpc.ServerTransportStreamFromContext(s.ctx).(writer)
	return w
}

// serve calls the method, and checks the token while the method runs: when it is due, and
// when SetIssuers removes the issuer.
func (s *authorizedStream) serve(server any, handler grpc.StreamHandler) error {
	defer s.leave()
	if wait, ever := s.wait(); ever {
		s.mu.Lock()
		s.timer = time.AfterFunc(wait, s.check)
		s.mu.Unlock()
	}
	claims, _ := accesstoken.FromContext(s.ctx)
	defer context.AfterFunc(adapter.Gone(claims), s.check)()
	return handler(server, s)
}

// leave stops checking the token, and ends the claims. If a check is running, the
// check ends the claims when it is done: without the claims the check would take the
// stream's own proof for a replay.
func (s *authorizedStream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.returned = true
	if s.timer != nil {
		s.timer.Stop()
	}
	if !s.checking {
		s.endClaims()
	}
}

// endClaims must be called with mu held.
func (s *authorizedStream) endClaims() {
	if s.stay != nil {
		s.stay.End()
		s.stay = nil
	}
}

// wait returns the time until the next check, and false if no check is needed.
func (s *authorizedStream) wait() (wait time.Duration, ever bool) {
	claims, _ := accesstoken.FromContext(s.ctx)
	if end := claims.End(); !end.IsZero() {
		wait, ever = s.remaining(end), true
	}
	if wait <= 0 { // if ever, the token has ended by our clock, but maybe not by the Validator's
		wait = time.Second
	}
	every := s.interceptors.again
	if every == 0 {
		return wait, ever
	}
	every -= rand.N(every/10 + 1) // so that streams that were opened together are not checked together
	if !ever || every < wait {
		wait = every
	}
	return wait, true
}

// check ends the stream if checkToken returns an error, and otherwise sets the timer
// for the next check. If the method has returned, check does neither. If the method
// returns during the check, check ends the claims.
func (s *authorizedStream) check() {
	s.one.Lock()
	defer s.one.Unlock()
	if !s.begin() {
		return
	}
	err := s.checkToken()
	if err != nil {
		s.end(err)
	}
	wait, _ := s.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checking = false
	switch {
	case s.returned:
		s.endClaims()
	case err == nil && s.timer != nil:
		s.timer.Reset(wait)
	}
}

// begin marks a check as running and returns true. If the method has returned, or the
// stream was ended before, begin returns false.
func (s *authorizedStream) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checking = !s.returned && s.ended.Load() == nil
	return s.checking
}

// remaining returns how long a stream may go on if its token ends at end, StreamGrace
// included. The result is at most the largest Duration.
func (s *authorizedStream) remaining(end time.Time) time.Duration {
	left := time.Until(end)
	return left + min(s.interceptors.grace, math.MaxInt64-max(left, 0))
}

// checkToken checks the token by the clock and, if StreamCheck is set, as if the
// stream were opened now. During StreamGrace it checks nothing. If the issuer is removed
// meanwhile, checkToken returns nil at once, because a check for that reason waits for it.
func (s *authorizedStream) checkToken() error {
	claims, _ := accesstoken.FromContext(s.ctx)
	v := s.interceptors.watching
	end, removed := claims.End(), adapter.Gone(claims).Err() != nil
	if over := !end.IsZero() && time.Until(end) <= 0; over || removed {
		if !removed && s.remaining(end) > 0 {
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
		return accesstoken.Deny(accesstoken.PolicyDenied, errors.New("the method of an open stream has no rule"))
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	gone := adapter.Gone(claims)
	defer context.AfterFunc(gone, cancel)()
	_, err := v.Authorize(ctx, s.interceptors.credentialsOf(ctx, s.method()), rule.policy)
	if gone.Err() != nil {
		return nil
	}
	return err
}

// method returns the full method, or "/", which never has a rule.
func (s *authorizedStream) method() string {
	if apart, ok := s.ServerStream.(*apartStream); ok {
		return apart.method
	}
	if method, ok := grpc.Method(s.ctx); ok {
		return method
	}
	return "/"
}

// end finishes the stream with the status of a refusal. If its method has returned
// meanwhile, the stream keeps the method's status. Wrappers of other interceptors
// around the stream are not touched, unless they have a WriteStatus, because they
// need not be safe for concurrent use.
func (s *authorizedStream) end(err error) {
	if s.markEnded(err) {
		_ = s.writer().WriteStatus(status.Convert(*s.ended.Load())) // fails if the client is gone
	}
}

func (s *authorizedStream) markEnded(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.returned {
		return false
	}
	ended := s.interceptors.refuse(s.ctx, s.interceptors.watching, err, func(trailer metadata.MD) { _ = grpc.SetTrailer(s.ctx, trailer) })
	s.ended.Store(&ended)
	return true
}

// serveApart is serve for a stream that cannot be finished from outside. The method
// runs in its own goroutine. When the stream is ended, the interceptor returns
// without waiting for the method. That ends the stream's context, which should end
// the method.
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
			if r.panicked != nil && s.ended.Load() != nil { // serveApart may have returned, and then only the log can report the panic
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
		return nil // its status is in s.ended
	}
}

// An apartStream is the stream of serveApart. Its WriteStatus closes over, so that
// serveApart returns even if the method has not returned.
type apartStream struct {
	grpc.ServerStream
	method string
	over   chan struct{}
}

func (s *apartStream) WriteStatus(*status.Status) error {
	close(s.over)
	return nil
}
