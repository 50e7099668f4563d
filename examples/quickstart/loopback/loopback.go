// Package loopback serves the parties of the quickstart on this machine, and
// on no other.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Check refuses a host that another machine could reach.
func Check(host string) error {
	if host == "localhost" || net.ParseIP(host).IsLoopback() {
		return nil
	}
	return fmt.Errorf("%q is not a loopback host, and this is for demonstrations on one machine only", host)
}

// Listen listens on a port of a loopback host. Port 0 means any free one.
func Listen(host string, port int) (net.Listener, error) {
	if err := Check(host); err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program: %w", address, err)
	}
	return l, err
}

// ListenNear is [Listen], but takes any free port when the one asked for is taken.
func ListenNear(host string, port int) (net.Listener, error) {
	if l, err := Listen(host, port); err == nil {
		return l, nil
	}
	return Listen(host, 0)
}

// URL is where a listener of a host is reached. The host stays as it was
// written: an issuer is compared character by character.
func URL(host string, l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP address has a port
	return "http://" + net.JoinHostPort(host, port)
}

// A Server is an HTTP server that runs until Close.
type Server struct {
	server *http.Server
	done   chan struct{}
}

// Serve answers the connections of l.
func Serve(l net.Listener, h http.Handler) *Server {
	s := &Server{done: make(chan struct{}), server: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // the terminal shows the flows
	}}
	go func() {
		defer close(s.done)
		s.server.Serve(l)
	}()
	return s
}

// Close lets requests finish for a moment, then cuts them.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = s.server.Close()
	}
	<-s.done
	return err
}
