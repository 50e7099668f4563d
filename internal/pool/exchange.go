package pool

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
)

// An Exchange records how far one request and its answer have come. It is safe for
// concurrent use.
type Exchange struct {
	began            moment
	reused, answered atomic.Bool
	sent             atomic.Int32
}

// Watch returns a context for one request, and the Exchange that records that request.
// Watch works with any transport that supports httptrace.
func Watch(ctx context.Context) (context.Context, *Exchange) {
	e := &Exchange{began: now()}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              func(info httptrace.GotConnInfo) { e.reused.Store(info.Reused) },
		WroteHeaders:         func() { e.sent.Add(1) },
		GotFirstResponseByte: func() { e.answered.Store(true) },
	}), e
}

// Unanswered reports whether the exchange ended with err because a reused connection was
// closed before any byte of an answer came. The server may or may not have acted on the
// request. If the request is safe or idempotent, it can be sent again (RFC 9110 §9.2.2).
// Time-outs and cancellations do not count, nor does the reset of one HTTP/2 stream.
func (e *Exchange) Unanswered(err error) bool {
	switch {
	case err == nil, !e.reused.Load(), e.answered.Load():
		return false
	case isTimeout(err), errors.Is(err, context.Canceled), errors.As(err, new(streamError)):
		return false
	}
	return true
}

// Sent returns how many times the request was sent. If its method is idempotent and its
// connection was closed, net/http sends the request again by itself, unchanged.
func (e *Exchange) Sent() int { return int(e.sent.Load()) }

// A streamError receives the stream error of net/http, whose type is not exported.
// errors.As fills it because the names and types of the fields are the same.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream error" }
