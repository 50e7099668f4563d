package introspection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A clientSecret is the value of ClientSecret, or what ClientSecretFrom returned last.
// It is kept until the endpoint refuses it; then the source is read again.
type clientSecret struct {
	source  outsider
	least   int           // bytes
	timeout time.Duration // of reading
	reading chan struct{} // one reads at a time

	mu      sync.Mutex
	value   func() string         // a function, as no fmt verb finds the secret in one; nil: not read yet
	version int                   // of the value
	checked map[failure]time.Time // when the source was last read for nothing after such a refusal
}

// secret returns nil for a method without one.
func (c Config) secret() *clientSecret {
	switch c.AuthMethod {
	case ClientSecretBasic, ClientSecretPost, ClientSecretJWT:
	default:
		return nil
	}
	s := &clientSecret{least: 1, timeout: c.Timeout, reading: make(chan struct{}, 1), checked: map[failure]time.Time{}}
	if c.AuthMethod == ClientSecretJWT {
		s.least = minSecret
	}
	if c.ClientSecretFrom == nil {
		s.keep(c.ClientSecret)
		return s
	}
	s.source = newOutsider("ClientSecretFrom", c.Timeout, c.ClientSecretFrom)
	return s
}

func (s *clientSecret) keep(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = func() string { return value }
	s.version++
}

// kept returns the value, if there is one, and its version.
func (s *clientSecret) kept() (value string, version int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		return "", s.version, false
	}
	return s.value(), s.version, true
}

// get returns the secret, which the first to need it has read. That goes on if ctx ends
// meanwhile: callers that leave early would keep it from ever being known.
func (s *clientSecret) get(ctx context.Context) (string, error) {
	if value, _, ok := s.kept(); ok {
		return value, nil
	}
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	if value, _, ok := s.kept(); ok { // read by another meanwhile
		s.unlock()
		return value, nil
	}
	over := make(chan error, 1)
	go func() { over <- s.readFirst() }()
	select {
	case err := <-over:
		if err != nil {
			return "", err
		}
		value, _, _ := s.kept()
		return value, nil
	case <-ctx.Done():
		return "", s.source.isLate()
	}
}

// readFirst expects the lock, and gives it back.
func (s *clientSecret) readFirst() error {
	defer s.unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.timeout)
	defer cancel()
	value, err := s.read(ctx)
	if err == nil {
		s.keep(value)
	}
	return err
}

// renew reads the secret again after the endpoint has refused that of a version, and
// reports whether there is another now. If there is not, the source is left alone for no
// longer than a refusing endpoint is at least, so that the next probe has a new one. A 403, which may be about one odd token, does not keep
// it from being read after a 401.
func (s *clientSecret) renew(ctx context.Context, refused int, by failure) bool {
	if s == nil || s.source.run == nil || s.lock(ctx) != nil {
		return false
	}
	defer s.unlock()
	old, version, _ := s.kept()
	switch {
	case version != refused:
		return true
	case time.Since(s.checked[by]) < leastRefused:
		return false
	}
	began := time.Now()
	value, err := s.read(ctx)
	if err != nil || value == old {
		s.checked[by] = began
		return false
	}
	s.keep(value)
	return true
}

// current is the version to tell renew.
func (s *clientSecret) current() int {
	if s == nil {
		return 0
	}
	_, version, _ := s.kept()
	return version
}

func (s *clientSecret) read(ctx context.Context) (string, error) {
	value, err := s.source.ask(ctx)
	switch {
	case err != nil:
		return "", err
	case value == "":
		return "", errors.New("ClientSecretFrom returned an empty secret")
	case len(value) < s.least:
		return "", fmt.Errorf("ClientSecretFrom returned a secret that is too short for HS256; it must have %d bytes or more (RFC 7518 §3.2)", s.least)
	}
	return value, nil
}

func (s *clientSecret) lock(ctx context.Context) error {
	select {
	case s.reading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.source.isLate()
	}
}

func (s *clientSecret) unlock() { <-s.reading }
