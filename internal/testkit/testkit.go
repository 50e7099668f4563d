// Package testkit has the helpers that the tests of several packages share. If only one
// package needs a helper, you should put it in that package's helpers_test.go.
package testkit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// Resource is the resource server of all validators here.
const Resource = "https://api.example.com"

// Main runs the tests and ends the program. If goroutines are still running
// afterwards, the status is 1. The tests share one authorization server in *as. If a
// test counts requests, it should start a server of its own.
func Main(m *testing.M, as **accesstokentest.Server) {
	started, err := accesstokentest.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	*as = started
	code := m.Run()
	started.Close()
	if code == 0 && goroutinesAreLeft() {
		code = 1
	}
	os.Exit(code)
}

// goroutinesAreLeft reports whether goroutines are still running 10 s after the tests, and
// prints their stacks.
func goroutinesAreLeft() bool {
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > 1; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			return true
		}
	}
	return false
}

// NewValidator makes a validator for one issuer, and closes it after the test. If change is
// not nil, it can change the Config.
func NewValidator(t testing.TB, as *accesstokentest.Server, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	config := accesstoken.Config{
		Resource:   Resource,
		Issuers:    []accesstoken.Issuer{{URL: as.URL}},
		HTTPClient: as.Client(),
		Logger:     slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		t.Fatalf("NewValidator: %v", err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return v
}

// Must returns the value, and panics if err is not nil. It is for calls that cannot fail.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// WantReason returns err as an *Error. If err is not a refusal with that Reason, the test
// fails.
func WantReason(t testing.TB, err error, want accesstoken.Reason) *accesstoken.Error {
	t.Helper()
	var refused *accesstoken.Error
	if !errors.As(err, &refused) || refused.Reason != want {
		t.Fatalf("got %v; want a refusal for %s", err, want)
	}
	return refused
}

// A Clock has a method for Config.Now that tests can move. The zero Clock shows the real
// time.
type Clock struct{ moved atomic.Int64 }

// Now returns the real time plus the clock's offset.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.moved.Load())) }

// Advance adds d to the offset; a negative d moves the clock backwards.
func (c *Clock) Advance(d time.Duration) { c.moved.Add(int64(d)) }

// Set sets the offset from the real time to d.
func (c *Clock) Set(d time.Duration) { c.moved.Store(int64(d)) }

// Told writes down what OnDecide is told. It is safe for concurrent use.
type Told struct {
	mu    sync.Mutex
	lines []string
}

// OnDecide is a Config.OnDecide.
func (s *Told) OnDecide(_ context.Context, d accesstoken.Decision) {
	verdict := "accepted"
	if d.Err != nil {
		verdict = string(d.Err.Reason)
	}
	if d.Ended {
		verdict = "ended with " + verdict
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf("%q by %q over %q: %s", d.Claims.Subject, d.Source, d.Transport, verdict))
}

// Want compares what was told since the last call.
func (s *Told) Want(t testing.TB, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.lines, want) {
		t.Errorf("OnDecide was told\n\t%q; want\n\t%q", s.lines, want)
	}
	s.lines = nil
}
