//go:build interop

package interop_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	answering = 20 * time.Second // of a resource server, on a busy machine
	noAnswer  = 0                // the status of a connection that was closed
)

// get is the head of a request for the resource, with these header lines.
func get(address string, lines ...string) []string {
	return append([]string{"GET / HTTP/1.1", "Host: " + address}, lines...)
}

// ask sends a request with this head, byte for byte: net/http would refuse some of
// them. A server that closes the connection instead has refused.
func ask(ctx context.Context, address string, head []string) (status int, err error) {
	dialer := net.Dialer{Timeout: answering}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answering)); err != nil {
		return 0, err
	}
	if _, err := conn.Write([]byte(strings.Join(head, "\r\n") + "\r\nConnection: close\r\n\r\n")); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return noAnswer, nil
	}
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
