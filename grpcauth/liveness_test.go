//go:build linux

package grpcauth_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/accesstoken/accesstoken/grpcauth"
)

// A connection that swallows calls is closed by the kernel, and a server without a
// keepalive policy of its own is not pinged more often than it allows.
func TestAConnectionThatIsNotAcknowledgedEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); <-served })
	var dialed atomic.Pointer[net.TCPConn]
	options := append(grpcauth.DPoPDialOptions(nil, nil), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				dialed.Store(conn.(*net.TCPConn))
			}
			return conn, err
		}))
	// The options demand TLS; only the first, the keepalive, can be tried without.
	client, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), options[0], options[len(options)-2], options[len(options)-1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client.Connect()
	for state := client.GetState(); state.String() != "READY"; state = client.GetState() {
		if !client.WaitForStateChange(ctx, state) {
			t.Fatalf("got the state %v; want READY", state)
		}
	}
	raw, err := dialed.Load().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got int
	if err := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); err != nil {
		t.Fatal(err)
	}
	if err != nil || got < 1_000 || got > 10_000 {
		t.Errorf("got a TCP_USER_TIMEOUT of %d ms, %v; want at most 10 s", got, err)
	}
}
