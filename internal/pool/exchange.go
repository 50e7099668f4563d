package pool

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
)

// An Exchange is what was seen of one request and its answer. It is safe for
// concurrent use.
type Exchange struct {
	began            moment
	reused, answered atomic.Bool
	sent             atomic.Int32
}

// Watch returns a context for one request, whatever transport it goes through, and
// what will be seen of it.
func Watch(ctx context.Context) (context.Context, *Exchange) {
	e := &Exchange{began: now()}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(info httptrace.GotConnInfo) { e.reused.Store(info.Reused) },
		WroteHeaders:         func() { e.sent.Add(1) },
		GotFirstResponseByte: func() { e.answered.Store(true) },
	}), e
}

// Unanswered reports whether the exchange ended with err because its connection,
// which an earlier one had used, was closed before anything of an answer came. The
// server may or may not have acted on the request: one that is safe or idempotent
// may be sent again (RFC 9110 §9.2.2). A time-out is no closed connection, and
// neither is a request that the server refuses by itself, HTTP/2 stream by stream.
func (e *Exchange) Unanswered(err error) bool {
	switch {
	case err == nil, !e.reused.Load(), e.answered.Load():
		return false
	case isTimeout(err), errors.Is(err, context.Canceled), errors.As(err, new(streamError)):
		return false
	}
	return true
}

// Sent returns how many times the request was sent: net/http sends one of an
// idempotent method again by itself, as it is, on a connection that was closed.
func (e *Exchange) Sent() int { return int(e.sent.Load()) }

// A streamError is filled from that of net/http, which has no exported name, by the
// names and types of its fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }
