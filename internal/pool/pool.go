// Package pool keeps dead connections out of the pools of HTTP clients.
//
// If a firewall or load balancer drops a connection silently, requests on it get neither
// an error nor an answer. An HTTP/2 client keeps sending all its requests on that one
// connection until the kernel gives up, after a quarter of an hour. A [Transport] pings
// silent HTTP/2 connections, and closes them if no answer comes. HTTP/1 has no pings.
// Over HTTP/1, if a request times out, the Transport closes the idle connections that
// have been silent since that request began. If one request fails, the Transport never
// closes a connection that another request uses.
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

// A Liveness holds how soon an HTTP/2 connection is pinged and closed.
type Liveness struct {
	Silence time.Duration // if nothing is received for this long, the connection is pinged
	Ping    time.Duration // if the ping has no answer for this long, the connection is closed, with every request on it
}

// grace is how long an idle connection can be silent without being closed after a
// time-out.
const grace = time.Second

// idleTimeout applies if a transport sets none, because nothing else would ever close
// its idle connections.
const idleTimeout = 90 * time.Second

// A Transport is an [http.RoundTripper] with a pool of its own. It is safe for
// concurrent use.
type Transport struct {
	http  *http.Transport
	conns conns
}

// New returns a Transport that makes its connections as transport would. It changes
// transport, which must be unused and should not be used elsewhere afterwards.
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

// Copy returns a Transport that makes its connections as base would. base is not changed.
// If base is nil, http.DefaultTransport is copied. If base sets its own HTTP/2 ping
// times, they are kept. Copy returns false if base is not an [http.Transport], or if its
// HTTP/2 is that of golang.org/x/net/http2, whose pool is not accessible.
//
// The copy has a pool of its own and uses HTTP/2 if base does. It lacks protocols that
// were registered with RegisterProtocol.
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
	// Clone has initialized original, so its TLSNextProto shows whether it uses HTTP/2.
	// The dialer that New sets would disable HTTP/2, as any dialer does, unless it is
	// forced.
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

// Refresh closes the idle connections on which nothing was received since the exchange
// began. If the exchange's request is then sent again, it does not get another dead
// connection.
func (t *Transport) Refresh(e *Exchange) { t.conns.closeIdle(e.began) }

// A moment is a time of the monotonic clock, counted from an arbitrary start.
type moment int64

var start = time.Now()

func now() moment { return moment(time.Since(start)) }

// A use is the use of a connection by one request.
type use struct {
	conn  *conn
	since moment
}

// useOf begins a use. If the connection was not made by the dialer of New but by a
// DialTLSContext, useOf returns nil.
func useOf(c net.Conn) *use {
	for http2 := false; ; {
		switch known := c.(type) {
		case *conn:
			if http2 {
				known.http2.Store(true)
			}
			known.uses.Add(1)
			return &use{known, now()}
		case *tls.Conn: // with an HTTPS proxy there are two, one inside the other
			http2 = http2 || known.ConnectionState().NegotiatedProtocol == "h2"
			c = known.NetConn()
		default:
			return nil
		}
	}
}

// end ends the use, because the response has been read and the connection is in the pool
// again. end is called for HTTP/1 only, and not if the connection is closed instead.
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

// judge closes idle connections after a request timed out and received nothing on its own
// connection: connections that have been silent for as long may be dead too. If the
// request's own connection is HTTP/1, net/http closes it. If it is HTTP/2, other requests
// use it and the server may only be slow, so only the pings close it.
func (s *conns) judge(u *use, err error) {
	if u == nil || !isTimeout(err) || u.conn.heardSince(u.since) {
		return
	}
	s.closeIdle(min(u.since, now()-moment(grace)))
}

// closeIdle closes the idle connections that have received nothing since before.
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

// A conn records when it last received and sent data, and whether it is in use.
type conn struct {
	net.Conn
	in            *conns
	read, written atomic.Int64 // the moments of the last read and write
	uses          atomic.Int32 // the uses that have not ended; two if the next use has begun already
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

// isIdle reports whether no request uses the connection and no handshake waits for an
// answer. A request uses it until its response has been read. For HTTP/2 the requests of
// a connection are unknown, so isIdle returns false, and pings detect dead connections.
func (c *conn) isIdle() bool {
	return !c.http2.Load() && c.uses.Load() == 0 && c.written.Load() <= c.read.Load()
}
