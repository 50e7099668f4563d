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

// A failure is the result of a call, by what it shows about the endpoint.
type failure int

const (
	answered  failure = iota // no failure: the endpoint answered about the token
	unusable                 // a whole answer that cannot be used: the endpoint is up, but this token is odd
	refused                  // 401, invalid_client or unauthorized_client: the endpoint refuses this client, not the token
	forbidden                // 403: the endpoint refuses this client, or a firewall has rejected an odd token
	limited                  // 429
	internal                 // a 5xx other than 502, 503 and 504: some servers send it for a token that they do not know
	down                     // a connection but no answer, a truncated answer, or 408, 502, 503 or 504
	unsent                   // no connection, which the token cannot have caused
	queued                   // the transport of HTTPClient had no free connection (MaxConnsPerHost), so the endpoint was not asked
	ours                     // the client could not get its own credential, so the endpoint was not asked with it
)

func (f failure) refusesUs() bool { return f == refused || f == forbidden }

// A failedError is the error of a call, with what the failure shows about the endpoint.
type failedError struct {
	failure failure
	cause   error
}

func (e *failedError) Error() string { return e.cause.Error() }
func (e *failedError) Unwrap() error { return e.cause }

// failureOf returns the failure in a call's error, or answered if the error has no
// failure.
func failureOf(err error) failure {
	failed := (*failedError)(nil)
	if errors.As(err, &failed) {
		return failed.failure
	}
	return answered
}

// failureOfStatus classifies a status other than 200, 401 and 403.
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

// askedFor returns the endpoint's Retry-After, up to longestAsked. The RetryAfter of a
// key source does not count.
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

// connections counts the connections that calls hold.
type connections struct {
	mu   sync.Mutex
	had  int       // how many calls hold a connection
	last time.Time // when a call last gave a connection back
}

func (s *connections) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.had += n
	if n < 0 {
		s.last = time.Now()
	}
}

// since reports whether a call has held a connection after began.
func (s *connections) since(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.had > 0 || s.last.After(began)
}

// A connection records what httptrace has reported about one call's connection.
type connection struct {
	of      *connections
	prompt  time.Duration // if a dial starts within this time, the call did not wait for a place
	mu      sync.Mutex
	began   time.Time // when the call needed a connection; zero if the transport reports nothing
	had     bool      // the call holds it
	ended   bool
	dialing bool // a dial started within prompt
}

// watch records the connection of one call until over is called.
func (s *connections) watch(ctx context.Context, timeout time.Duration) (context.Context, *connection) {
	c := &connection{of: s, prompt: timeout / 10}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			c.set(false)
			c.mu.Lock()
			defer c.mu.Unlock()
			c.began, c.dialing = time.Now(), false // if the transport tries again, the recording starts anew
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

// failure classifies a call that got no answer. If the transport reports nothing about
// its connections, the call is assumed to have had a connection. If no dial started
// within prompt while another call held a connection, the transport was at its limit
// (MaxConnsPerHost), and the call was queued in the transport.
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

// over counts the connection as given back, and ends the recording.
func (c *connection) over() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.set(false)
}
