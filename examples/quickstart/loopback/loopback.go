// Package loopback serves the parties of the quickstart on loopback addresses only,
// so that other machines cannot reach them.
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

// Check accepts localhost and loopback addresses. It returns an error for any other
// host, for example 0.0.0.0 or an empty host, because other machines might reach it.
func Check(host string) error {
	if host == "localhost" || net.ParseIP(host).IsLoopback() {
		return nil
	}
	return fmt.Errorf("%q is not a loopback host; the quickstart is for one machine only, use 127.0.0.1", host)
}

// Listen listens on a port of a loopback host. If port is 0, it chooses a free one.
func Listen(host string, port int) (net.Listener, error) {
	if err := Check(host); err != nil {
		return nil, err
	}
	address := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program, choose a different port: %w", address, err)
	}
	return l, err
}

// ListenNear is like [Listen], but chooses a free port if it cannot use the given
// one.
func ListenNear(host string, port int) (net.Listener, error) {
	if l, err := Listen(host, port); err == nil {
		return l, nil
	}
	return Listen(host, 0)
}

// URL returns the URL of a listener. It keeps the host as it is written, because
// issuers are compared character by character.
func URL(host string, l net.Listener) string {
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a TCP address has a port
	return "http://" + net.JoinHostPort(host, port)
}

// A Server is an HTTP server that runs until Close.
type Server struct {
	server *http.Server
	done   chan struct{}
}

// Serve starts a server on l.
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

// Close stops the server. If requests do not end within 2 seconds, it closes their
// connections.
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
