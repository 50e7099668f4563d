// Package testkit is the one address for what the tests of several packages share. What
// only one package needs stands in its helpers_test.go.
package testkit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// Resource is the resource server of all validators here.
const Resource = "https://api.example.com"

// Main runs the tests with one authorization server for all that do not count
// its requests, and fails if goroutines outlive them.
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

// goroutinesAreLeft reports goroutines that outlive the tests, once those that
// are ending have had the time to.
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

// NewValidator makes a validator for one issuer; change, which may be nil, has
// the last word about its Config.
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

// Must returns the value of a call that cannot fail in a test.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// WantReason fails the test unless err is a refusal for that reason.
func WantReason(t testing.TB, err error, want accesstoken.Reason) *accesstoken.Error {
	t.Helper()
	var refused *accesstoken.Error
	if !errors.As(err, &refused) || refused.Reason != want {
		t.Fatalf("got %v; want a refusal for %s", err, want)
	}
	return refused
}

// A Clock is a Config.Now that a test moves. The zero Clock is right.
type Clock struct{ moved atomic.Int64 }

// Now is the time plus what the clock was moved.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.moved.Load())) }

// Advance moves the clock, backwards if d is negative.
func (c *Clock) Advance(d time.Duration) { c.moved.Add(int64(d)) }

// Set makes the clock differ from the time by d.
func (c *Clock) Set(d time.Duration) { c.moved.Store(int64(d)) }
