package accesstokentest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// ForgetConnections makes all open connections silently discard the data sent on them,
// as if a firewall or load balancer had dropped their state. The client gets neither a
// response nor an error. New connections work normally. ForgetConnections returns the
// number of affected connections, which your test should check. For example:
//
//	get(t, client, as.JWKSURI()) // leaves a connection in the client's pool
//	if as.ForgetConnections() == 0 {
//		t.Fatal("the client keeps no connection")
//	}
//	get(t, client, as.JWKSURI()) // does the client open a new connection, and when?
//
// With [NewHTTP2Server] this is worse, because an HTTP/2 client sends all its requests
// on one connection.
func (s *Server) ForgetConnections() int { return s.links.turn(forgotten) }

// ExpireConnections simulates a server whose idle timeout ends just as the next request
// arrives. Each connection that is open now is closed, without a response, when the
// first byte arrives on it, and that request is not served. New connections work
// normally. ExpireConnections returns the number of affected connections.
//
// If an [http.Client] sends a GET on such a connection, the client repeats the request
// by itself. It does not repeat a POST.
func (s *Server) ExpireConnections() int { return s.links.turn(expired) }

// Connections returns how many connections clients have opened so far, including those
// that are closed by now.
func (s *Server) Connections() int {
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	return s.links.accepted
}

// The states of a link.
const (
	sound int32 = iota
	forgotten
	expired
)

// links is the listener of a server. It tracks the connections that it has accepted.
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

// turn sets the state of all open links and returns how many there are.
func (l *links) turn(into int32) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for link := range l.open {
		link.state.Store(into)
	}
	return len(l.open)
}

// A link is the server's end of a connection to a client, below TLS.
type link struct {
	net.Conn
	in    *links
	state atomic.Int32
}

// Read implements net.Conn. If the client closes a forgotten connection, Read returns
// the error; otherwise the server would keep the connection for ever.
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

// reset closes the connection with a TCP reset, as after a crash. Close alone would
// send the orderly end of the connection (FIN).
func (l *link) reset() {
	_ = l.Conn.(*net.TCPConn).SetLinger(0)
	_ = l.Close()
}

type linkKey struct{}

// withLink is the ConnContext of the http.Server. It puts the link in the context, so
// that handlers can reset the connection.
func withLink(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	return context.WithValue(ctx, linkKey{}, conn)
}
