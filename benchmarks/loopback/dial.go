package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// dial returns n functions that call the server. They work until the context ends.
func dial(ctx context.Context, transport, address string, n int) (calls []call, hangUp func(), err error) {
	if transport == unary {
		return dialGRPC(ctx, address, n)
	}
	return dialHTTP(ctx, address, n)
}

// dialHTTP opens n persistent connections of HTTP/1.1.
func dialHTTP(ctx context.Context, address string, n int) (calls []call, hangUp func(), err error) {
	var open []net.Conn
	hangUp = func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}
	for range n {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		open = append(open, conn)
		if end, ok := ctx.Deadline(); ok {
			if err := conn.SetDeadline(end); err != nil {
				hangUp()
				return nil, nil, err
			}
		}
		calls = append(calls, (&connection{conn: conn, answers: bufio.NewReader(conn)}).call)
	}
	return calls, hangUp, nil
}

// A connection is an HTTP/1.1 client that accepts only one answer and does little else,
// because the server should be the bottleneck and not the client.
type connection struct {
	conn          net.Conn
	answers       *bufio.Reader
	request, body []byte
}

const requestHead = "GET " + path + " HTTP/1.1\r\nHost: api.example.com\r\nAccept: application/json\r\nUser-Agent: loopback\r\nAuthorization: Bearer "

func (c *connection) call(token string) error {
	c.request = append(append(append(c.request[:0], requestHead...), token...), "\r\n\r\n"...)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return c.read()
}

// read reads one whole answer from the connection and checks it.
func (c *connection) read() error {
	status, err := c.line()
	if err != nil {
		return err
	}
	if want := "HTTP/1.1 200 OK"; string(status) != want {
		return fmt.Errorf("got %q; want %q", status, want)
	}
	var length uint64
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.ParseUint(string(value), 10, 16); err != nil {
				return err
			}
		}
	}
	c.body = append(c.body[:0], make([]byte, length)...)
	if _, err := io.ReadFull(c.answers, c.body); err != nil {
		return err
	}
	if want := `{"subject":"` + subject + `"}` + "\n"; string(c.body) != want {
		return fmt.Errorf("got the body %q; want %q", c.body, want)
	}
	return nil
}

// line returns the next line without its CR LF. The slice is valid until the next read.
func (c *connection) line() ([]byte, error) {
	line, err := c.answers.ReadSlice('\n')
	return bytes.TrimSuffix(line, []byte("\r\n")), err
}

// dialGRPC opens one HTTP/2 connection that n callers share.
func dialGRPC(ctx context.Context, address string, n int) (calls []call, hangUp func(), err error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return nil, nil, err
	}
	if err := connect(ctx, conn); err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	client := grpc_health_v1.NewHealthClient(conn)
	for range n {
		calls = append(calls, func(token string) error { return check(ctx, client, token) })
	}
	return calls, func() { _ = conn.Close() }, nil
}

func connect(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return fmt.Errorf("%s cannot be reached", conn.Target())
		default:
			if !conn.WaitForStateChange(ctx, state) {
				return ctx.Err()
			}
		}
	}
}

func check(ctx context.Context, client grpc_health_v1.HealthClient, token string) error {
	ctx = metadata.NewOutgoingContext(ctx, metadata.MD{"authorization": {"Bearer " + token}})
	answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	if want := grpc_health_v1.HealthCheckResponse_SERVING; answer.GetStatus() != want {
		return fmt.Errorf("got the status %v; want %v", answer.GetStatus(), want)
	}
	return nil
}
