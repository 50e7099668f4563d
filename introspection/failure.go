package introspection

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// A failure is how a question went, as far as it tells of the endpoint.
type failure int

const (
	answered  failure = iota // something was learned of the token
	unusable                 // a whole answer that cannot be used: the endpoint is up, and this token is odd
	refused                  // the endpoint refuses us, not the token
	forbidden                // the same by 403, which a firewall may say of a token that looks odd to it
	limited                  // 429
	internal                 // a 5xx but 502, 503 and 504: some servers say that of a token that they do not know
	down                     // no answer in time, half of one, or 408, 502, 503 or 504
	unsent                   // no connection: the token had no part in it
	ours                     // what shows who we are could not be had: the endpoint was not asked
)

func (f failure) refusesUs() bool { return f == refused || f == forbidden }

// A failedError is what a question failed with.
type failedError struct {
	failure failure
	cause   error
}

func (e *failedError) Error() string { return e.cause.Error() }
func (e *failedError) Unwrap() error { return e.cause }

// failureOf tells what an error of a question says of the endpoint.
func failureOf(err error) failure {
	failed := (*failedError)(nil)
	if errors.As(err, &failed) {
		return failed.failure
	}
	return answered
}

// failureOfStatus judges the status of a whole answer that is no 200.
func failureOfStatus(status int) failure {
	switch {
	case status == http.StatusTooManyRequests:
		return limited
	case status == http.StatusRequestTimeout, status == http.StatusBadGateway,
		status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return down
	case status >= 500:
		return internal
	}
	return unusable
}

// askedFor returns how long the endpoint wants to be left alone; what its keys want
// is not asked.
func askedFor(err error) time.Duration {
	status := (*fetch.StatusError)(nil)
	if !errors.As(err, &status) {
		return 0
	}
	return min(status.After, longestAsked)
}

func retryAfter(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return asks.RetryAfter()
	}
	return 0
}

// A connection is what was seen of the one that a call needs.
type connection struct {
	wanted, had atomic.Bool
}

func watchConnection(ctx context.Context) (context.Context, *connection) {
	c := new(connection)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { c.wanted.Store(true); c.had.Store(false) }, // again, for a second try
		GotConn: func(httptrace.GotConnInfo) { c.had.Store(true) },
	}), c
}

// failure judges a call that got no answer. Of a transport that tells nothing of its
// connections, it is taken for granted that there was one.
func (c *connection) failure() failure {
	if c.wanted.Load() && !c.had.Load() {
		return unsent
	}
	return down
}
