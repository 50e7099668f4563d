package testkit

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
)

// Offline returns a change to the Config of NewValidator. It gives the validator the
// server's keys, so that it makes no requests and works in a testing/synctest bubble.
func Offline(as *accesstokentest.Server) func(*accesstoken.Config) {
	keys := jwks.Static(as.Keys()...)
	return func(config *accesstoken.Config) { config.Issuers[0].Keys = keys }
}

// Protocols are the protocols that Pipe supports.
var Protocols = []string{"HTTP/1.1", "HTTP/1.1 with TLS", "HTTP/2 with TLS", "HTTP/2"}

// Pipe serves the handler as httptest does, and returns a client. If a test runs in a
// testing/synctest bubble, it should use Pipe, because a bubble can wait for Pipe's
// in-memory pipes but not for a socket.
func Pipe(t testing.TB, protocol string, handler http.Handler) (client *http.Client, url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close() // it listens on a socket
	pipe := &pipe{conns: make(chan net.Conn), closed: make(chan struct{})}
	server.Listener = pipe
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetHTTP2(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{DialContext: pipe.dial, Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	server.EnableHTTP2 = true
	switch protocol {
	case "HTTP/1.1":
		transport.Protocols.SetHTTP1(true)
		server.Start()
	case "HTTP/2":
		transport.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
	case "HTTP/1.1 with TLS":
		transport.Protocols.SetHTTP1(true)
		server.StartTLS()
	case "HTTP/2 with TLS":
		transport.Protocols.SetHTTP2(true)
		server.StartTLS()
	default:
		t.Fatalf("got the protocol %q; want one of %q", protocol, Protocols)
	}
	t.Cleanup(server.Close)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}, server.URL
}

// A pipe is a net.Listener for connections within the process.
type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
