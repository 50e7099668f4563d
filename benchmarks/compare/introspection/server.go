package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A server is an introspection endpoint (RFC 7662) whose behaviour can be changed at
// any time. It listens on loopback and counts its calls and connections.
type server struct {
	url  string
	http *http.Server

	mu        sync.Mutex
	behaviour behaviour
	count     counts
}

// A behaviour is how long the server waits before it answers, and what it answers. It
// is fixed when a call arrives.
type behaviour struct {
	delay  time.Duration
	status int // zero: 200 and an answer

	oddStatus     int // for tokens that begin with odd; zero: as for others
	strangeStatus int // for other tokens that are not good; zero: as for others
}

func (b behaviour) statusOf(token string) int {
	switch {
	case b.oddStatus != 0 && strings.HasPrefix(token, odd):
		return b.oddStatus
	case b.strangeStatus != 0 && !isGood(token):
		return b.strangeStatus
	}
	return b.status
}

// failing is a server in an outage. It sends no Retry-After.
var failing = behaviour{status: http.StatusServiceUnavailable}

type counts struct {
	calls       int
	now, peak   int // concurrent calls
	connections int
}

func newServer() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{url: fmt.Sprintf("http://%s/introspect", listener.Addr())}
	s.http = &http.Server{Handler: s, ConnState: s.connected}
	go func() { _ = s.http.Serve(listener) }() // until close
	return s, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := s.enter()
	defer s.leave()
	token := r.PostFormValue("token") // first, because net/http notices that a client has left only after the body was read
	if b.delay > 0 {
		select {
		case <-time.After(b.delay):
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if status := b.statusOf(token); status != 0 {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":"temporarily_unavailable"}`) // a client must not read "not active" here
		return
	}
	_ = json.NewEncoder(w).Encode(answer(token))
}

// The prefixes of tokens.
const (
	good = "good-" // active tokens
	odd  = "odd-"  // tokens of the odd client
)

func isGood(token string) bool { return strings.HasPrefix(token, good) }

func answer(token string) map[string]any {
	if !isGood(token) {
		return map[string]any{"active": false}
	}
	return map[string]any{
		"active":    true,
		"sub":       "alice",
		"client_id": "app",
		"scope":     "orders:read orders:write",
		"aud":       "https://api.example.com",
		"exp":       time.Now().Add(time.Hour).Unix(),
	}
}

// enter counts a call and returns the current behaviour.
func (s *server) enter() behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.calls++
	s.count.now++
	s.count.peak = max(s.count.peak, s.count.now)
	return s.behaviour
}

func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.now--
}

func (s *server) connected(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count.connections++
	}
}

// behave changes the behaviour from now on.
func (s *server) behave(b behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
}

func (s *server) counted() counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *server) close() { _ = s.http.Close() }
