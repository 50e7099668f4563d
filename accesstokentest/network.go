package accesstokentest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// ForgetConnections makes the connections that are open now swallow whatever is sent on
// them, as a firewall or a balancer does that has forgotten them: the client gets no
// answer, and no error either. New connections are as they should be. It returns how
// many it was, so that a test can make sure of one:
//
//	get(t, client, as.JWKSURI()) // leaves a connection in the client's pool
//	if as.ForgetConnections() == 0 {
//		t.Fatal("the client keeps no connection")
//	}
//	get(t, client, as.JWKSURI()) // does it find a new one, and when?
//
// [NewHTTP2Server] has the worse case: an HTTP/2 client has all its requests on one
// connection.
func (s *Server) ForgetConnections() int { return s.links.turn(forgotten) }

// ExpireConnections makes a server of the connections that are open now whose idle
// timeout ends just as the next request comes: each is closed, without an answer, at
// the first byte that arrives on it. Nothing of that request is served. New
// connections are as they should be. It returns how many it was.
//
// An [http.Client] repeats a GET by itself when that meets such a connection, and does
// not repeat a POST.
func (s *Server) ExpireConnections() int { return s.links.turn(expired) }

// Connections returns how many connections clients have made, those that are closed
// among them.
func (s *Server) Connections() int {
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	return s.links.accepted
}

// What a link is like.
const (
	sound int32 = iota
	forgotten
	expired
)

// links is the listener of a server, and the connections that it has accepted.
type links struct {
	net.Listener

	mu       sync.Mutex
	open     map[*link]struct{}
	accepted int
}

// Accept implements net.Listener.
func (l *links) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	added := &link{Conn: conn, in: l}
	l.open[added] = struct{}{}
	l.accepted++
	return added, nil
}

func (l *links) turn(into int32) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for link := range l.open {
		link.state.Store(into)
	}
	return len(l.open)
}

// A link is a connection to a client, seen from the server, below TLS.
type link struct {
	net.Conn
	in    *links
	state atomic.Int32
}

// Read implements net.Conn. That the client closes a forgotten connection is not kept
// from the server, or it would hold it for good.
func (l *link) Read(p []byte) (int, error) {
	for {
		n, err := l.Conn.Read(p)
		switch state := l.state.Load(); {
		case err != nil || state == sound:
			return n, err
		case state == expired:
			_ = l.Close()
			return 0, io.EOF
		}
	}
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (int, error) {
	if l.state.Load() == forgotten {
		return len(p), nil
	}
	return l.Conn.Write(p)
}

// Close implements net.Conn.
func (l *link) Close() error {
	l.in.mu.Lock()
	delete(l.in.open, l)
	l.in.mu.Unlock()
	return l.Conn.Close()
}

// reset ends the connection as a crash does. Close would say goodbye first.
func (l *link) reset() {
	_ = l.Conn.(*net.TCPConn).SetLinger(0)
	_ = l.Close()
}

type linkKey struct{}

// withLink is an http.Server's ConnContext, for handlers that end connections.
func withLink(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	return context.WithValue(ctx, linkKey{}, conn)
}
