// Package pool keeps dead connections out of the pools of HTTP clients.
//
// A firewall or load balancer that forgets a connection swallows what is sent on
// it: nothing fails, and no answer comes. An HTTP/2 client has all its requests on
// that one connection until the kernel gives up, which takes a quarter of an hour.
// A [Transport] pings such connections, and closes those that stay silent. Of
// HTTP/1, where nothing can ping, it closes the idle connections that are as old as
// one on which a request timed out. It closes none that a request uses because of
// what happened to another request.
package pool

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// A Liveness says how soon an HTTP/2 connection counts as dead.
type Liveness struct {
	Silence time.Duration // nothing has been received for so long: it is pinged
	Ping    time.Duration // a ping has had no answer for so long: it is closed, with every request on it
}

// grace is how long an idle connection may be silent without being suspected.
const grace = time.Second

// idleTimeout is for the pool of a transport that sets none: nobody else would
// ever close its connections.
const idleTimeout = 90 * time.Second

// A Transport is an [http.RoundTripper] with a pool of its own. It is safe for
// concurrent use.
type Transport struct {
	http  *http.Transport
	conns conns
}

// New returns a Transport that makes its connections as transport would. It takes
// transport over, which must not have been used.
func New(transport *http.Transport, liveness Liveness) *Transport {
	if transport.IdleConnTimeout == 0 {
		transport.IdleConnTimeout = idleTimeout
	}
	if transport.HTTP2 == nil {
		transport.HTTP2 = new(http.HTTP2Config)
	}
	if transport.HTTP2.SendPingTimeout == 0 {
		transport.HTTP2.SendPingTimeout = liveness.Silence
		if transport.HTTP2.PingTimeout == 0 {
			transport.HTTP2.PingTimeout = liveness.Ping
		}
	}
	t := &Transport{http: transport}
	//lint:ignore SA1019 a program may still set it
	if dial := transport.Dial; transport.DialContext == nil && dial != nil {
		transport.DialContext = func(_ context.Context, network, address string) (net.Conn, error) { return dial(network, address) }
	}
	dial := transport.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return t.conns.add(c), nil
	}
	return t
}

// Copy returns a Transport that makes its connections as base would, which is left
// as it is, and is http.DefaultTransport when it is nil. What base sets for the
// liveness of HTTP/2 connections stays. There is none for another kind of
// RoundTripper than an [http.Transport], nor for one whose HTTP/2 is that of
// golang.org/x/net/http2: those have a pool that cannot be reached.
//
// The copy has a pool of its own, speaks HTTP/2 when base does, and has none of the
// protocols that were registered with RegisterProtocol.
func Copy(base http.RoundTripper, liveness Liveness) (*Transport, bool) {
	if base == nil {
		base = http.DefaultTransport
	}
	original, ok := base.(*http.Transport)
	if !ok || original == nil {
		return nil, false
	}
	transport := original.Clone()
	if transport.TLSNextProto["h2"] != nil {
		return nil, false
	}
	// Clone has set the original up. Without this, HTTP/2 would go off with the
	// dialer of New, as it does with any.
	if original.TLSNextProto["h2"] != nil && transport.Protocols == nil {
		transport.ForceAttemptHTTP2 = true
	}
	return New(transport, liveness), true
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var last atomic.Pointer[use]
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn:     func(info httptrace.GotConnInfo) { last.Store(useOf(info.Conn)) },
		PutIdleConn: func(error) { last.Load().end() },
	})
	response, err := t.http.RoundTrip(r.WithContext(ctx))
	if err != nil {
		t.conns.judge(last.Load(), err)
		return nil, err
	}
	response.Request = r
	return response, nil
}

// Refresh closes the idle connections that were last heard from before the exchange
// began, so that a request which is sent again does not meet the next dead one.
func (t *Transport) Refresh(e *Exchange) { t.conns.closeIdle(e.began) }

// A moment is counted by the monotonic clock, from a start that means nothing.
type moment int64

var start = time.Now()

func now() moment { return moment(time.Since(start)) }

// A use is that of a connection, by one request.
type use struct {
	conn  *conn
	since moment
}

// useOf begins a use. It returns nil for a connection that is not ours: that of a
// DialTLSContext.
func useOf(c net.Conn) *use {
	for http2 := false; ; {
		switch known := c.(type) {
		case *conn:
			if http2 {
				known.http2.Store(true)
			}
			known.uses.Add(1)
			return &use{known, now()}
		case *tls.Conn: // through a proxy over TLS there are two, one in the other
			http2 = http2 || known.ConnectionState().NegotiatedProtocol == "h2"
			c = known.NetConn()
		default:
			return nil
		}
	}
}

// end ends the use: the response has been read, and the connection is in the pool
// again. That comes of HTTP/1 only, and not before a connection is closed.
func (u *use) end() {
	if u != nil {
		u.conn.uses.Add(-1)
	}
}

// conns are the open connections of one pool.
type conns struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

func (s *conns) add(c net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*conn]struct{})
	}
	known := &conn{Conn: c, in: s}
	known.read.Store(int64(now()))
	s.open[known] = struct{}{}
	return known
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// judge closes what cannot be trusted after a request ended with err, if nothing came
// on its connection since: the idle ones that have been silent for as long. Its own is
// closed by net/http when it is one of HTTP/1. One of HTTP/2, with other requests on it,
// is left to the pings: the server may only be slow.
func (s *conns) judge(u *use, err error) {
	if u == nil || !isTimeout(err) || u.conn.heardSince(u.since) {
		return
	}
	s.closeIdle(min(u.since, now()-moment(grace)))
}

// closeIdle closes those that are idle and were last heard from before the moment.
func (s *conns) closeIdle(before moment) {
	for _, c := range s.idle(before) {
		_ = c.Close()
	}
}

func (s *conns) idle(before moment) (idle []*conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.isIdle() && !c.heardSince(before) {
			idle = append(idle, c)
		}
	}
	return idle
}

func isTimeout(err error) bool {
	timeout := net.Error(nil)
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// A conn knows when it was last heard from, and whether it is in use.
type conn struct {
	net.Conn
	in            *conns
	read, written atomic.Int64 // the moments of the last ones
	uses          atomic.Int32 // that began and have not ended; two when the next has begun already
	http2         atomic.Bool
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.read.Store(int64(now()))
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.written.Store(int64(now()))
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.in.remove(c)
	return c.Conn.Close()
}

func (c *conn) heardSince(m moment) bool { return c.read.Load() > int64(m) }

// isIdle reports that no request uses the connection, until its response has been read,
// and that no handshake waits for an answer. Of HTTP/2 that cannot be told; there are
// pings instead.
func (c *conn) isIdle() bool {
	return !c.http2.Load() && c.uses.Load() == 0 && c.written.Load() <= c.read.Load()
}
