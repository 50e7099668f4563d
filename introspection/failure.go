package introspection

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"
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
	queued                   // our own transport had no connection left for it: the endpoint was not asked
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

// connections are those that calls have at the moment.
type connections struct {
	mu   sync.Mutex
	had  int
	last time.Time // when a call gave one back
}

func (s *connections) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.had += n
	if n < 0 {
		s.last = time.Now()
	}
}

// since reports whether another call had one after a time.
func (s *connections) since(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.had > 0 || s.last.After(began)
}

// A connection is what was seen of the one that a call needs.
type connection struct {
	of      *connections
	prompt  time.Duration // a dial within that had not to wait
	mu      sync.Mutex
	began   time.Time // when it was wanted; zero: the transport tells nothing
	had     bool
	ended   bool
	dialing bool // for this call, and at once
}

// watch sees to the connection of one call, until over.
func (s *connections) watch(ctx context.Context, timeout time.Duration) (context.Context, *connection) {
	c := &connection{of: s, prompt: timeout / 10}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			c.set(false)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.began, c.dialing = time.Now(), false // again, for a second try
		},
		GotConn:           func(httptrace.GotConnInfo) { c.set(true) },
		DNSStart:          func(httptrace.DNSStartInfo) { c.dial() },
		ConnectStart:      func(string, string) { c.dial() },
		TLSHandshakeStart: c.dial,
	}), c
}

func (c *connection) set(had bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	had = had && !c.ended
	switch {
	case had && !c.had:
		c.of.add(1)
	case !had && c.had:
		c.of.add(-1)
	}
	c.had = had
}

func (c *connection) dial() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialing = c.dialing || time.Since(c.began) <= c.prompt
}

// failure judges a call that got no answer. Of a transport that tells nothing of its
// connections, it is taken for granted that there was one. What was not dialed for at
// once, while another call had a connection, waited for that: the transport has a limit
// (MaxConnsPerHost).
func (c *connection) failure() failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.began.IsZero() || c.had:
		return down
	case !c.dialing && c.of.since(c.began):
		return queued
	}
	return unsent
}

// over gives the connection back.
func (c *connection) over() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.set(false)
}
