package introspection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A clientSecret is the value of ClientSecret, or the last result of ClientSecretFrom.
// If the endpoint refuses it, the source is read again.
type clientSecret struct {
	source  callback
	least   int           // minimum length in bytes
	timeout time.Duration // for reading the source
	reading chan struct{} // a lock: one goroutine reads at a time

	mu      sync.Mutex
	value   func() string         // a function, because no fmt verb prints the secret in it; nil: not read yet
	version int                   // increases with each new value
	checked map[failure]time.Time // when a read after a refusal of this kind last brought no new secret
}

// secret returns nil if the method uses no secret.
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
	s.source = newCallback("ClientSecretFrom", c.Timeout, c.ClientSecretFrom)
	return s
}

func (s *clientSecret) keep(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = func() string { return value }
	s.version++
}

// kept returns the value and its version, or false if no value was read yet.
func (s *clientSecret) kept() (value string, version int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.value == nil {
		return "", s.version, false
	}
	return s.value(), s.version, true
}

// get returns the secret, and reads the source if the secret was not read yet. If ctx
// ends, the read continues, because callers that leave early must not keep it from ever
// finishing.
func (s *clientSecret) get(ctx context.Context) (string, error) {
	if value, _, ok := s.kept(); ok {
		return value, nil
	}
	if err := s.lock(ctx); err != nil {
		return "", err
	}
	if value, _, ok := s.kept(); ok { // read by another goroutine meanwhile
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
		return "", s.source.lateError()
	}
}

// readFirst reads the secret for the first time. The caller holds the lock; readFirst
// releases it.
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

// renew reads the secret again after the endpoint has refused the version that was used.
// It reports whether there is a new secret now. If there is no new secret, the source is
// not read again for leastRefused, the shortest pause of the breaker after a refusal, so
// the next probe reads it again. The time is kept apart for 403, which may be due to one
// odd token: a read after a 403 does not delay a read after a 401.
func (s *clientSecret) renew(ctx context.Context, refused int, by failure) bool {
	if s == nil || s.source.fn == nil || s.lock(ctx) != nil {
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

// current returns the version to pass to renew.
func (s *clientSecret) current() int {
	if s == nil {
		return 0
	}
	_, version, _ := s.kept()
	return version
}

func (s *clientSecret) read(ctx context.Context) (string, error) {
	value, err := s.source.run(ctx)
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
		return s.source.lateError()
	}
}

func (s *clientSecret) unlock() { <-s.reading }
