// Package adaptertest is what the tests of all adapters share.
package adaptertest

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
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
