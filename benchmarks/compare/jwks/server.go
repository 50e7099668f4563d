package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// A server is a key server whose answers can be changed at any time. It listens on
// loopback and counts its requests.
type server struct {
	url         string
	http        *http.Server
	connections connections

	mu     sync.Mutex
	answer answer
	asked  int
}

// An answer is the server's answer, and how long the server waits before it. It is
// fixed when a request arrives.
type answer struct {
	status int // zero: 200
	body   string
	next   string // if set, every second answer has this body
	delay  time.Duration
}

// unavailable is the answer in an outage. It has no Retry-After field.
var unavailable = answer{status: http.StatusServiceUnavailable, body: "out of order"}

func newServer() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{url: fmt.Sprintf("http://%s/jwks", listener.Addr())}
	s.http = &http.Server{Addr: listener.Addr().String(), Handler: s}
	go func() { _ = s.http.Serve(forgetting{listener, &s.connections}) }() // until close
	return s, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.ask()
	select {
	case <-time.After(a.delay):
	case <-r.Context().Done():
		return
	}
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	_, _ = io.WriteString(w, a.body)
}

// ask counts a request and returns the current answer.
func (s *server) ask() answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	a := s.answer
	if a.next != "" {
		s.answer.body, s.answer.next = a.next, a.body
	}
	return a
}

// forget acts like a middlebox that forgets the open connections: everything that comes
// over them is discarded.
func (s *server) forget() { s.connections.each(func(c *connection) { c.forgotten.Store(true) }) }

// hangUp makes the server close each open connection when the next request comes over
// it, as if the connection had been idle for too long.
func (s *server) hangUp() { s.connections.each(func(c *connection) { c.ended.Store(true) }) }

// say changes the answer for later requests.
func (s *server) say(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = a
}

// fetches returns the number of requests so far.
func (s *server) fetches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *server) close() { _ = s.http.Close() }
