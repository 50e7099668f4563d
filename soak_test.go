package accesstoken_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/jwks"
)

var soakFor = flag.Duration("soak", time.Second, "how long TestSoakOfIssuers runs")

// A tenancy is the issuers of TestSoakOfIssuers. The first ones stay; the last moving ones
// come and go.
type tenancy struct {
	v       *accesstoken.Validator
	issuers []accesstoken.Issuer
	tokens  []string // of the issuers that requests are about: some that stay, and all that move
	moving  int

	mu      sync.RWMutex
	removed []bool // of the moving ones, as the last SetIssuers that has returned left them
	changes int    // begun and ended
}

// TestSoakOfIssuers asks about cached tokens of thousands of issuers, while every second
// one issuer is removed or comes back. Whatever was settled before a request began, and has
// not changed until it ended, must show in the answer.
func TestSoakOfIssuers(t *testing.T) {
	as, count := accesstokentest.NewServer(t), 300
	if *soakFor >= 10*time.Second {
		count = 10_000
	}
	s := newTenancy(t, as, count, 50)
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var asked, wrong atomic.Int64
	var wait sync.WaitGroup
	wait.Go(func() { s.change(t, ctx) })
	for range 2 * runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for ctx.Err() == nil {
				if asked.Add(1); !s.ask(t) {
					wrong.Add(1)
				}
			}
		})
	}
	wait.Wait()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d issuers: %d requests in %v, %d wrong answers; %d changes; %d MiB of heap", count, asked.Load(), *soakFor, wrong.Load(), s.changes/2, memory.HeapAlloc>>20)
	if got := as.Requests(accesstokentest.JWKSPath); got != 1 {
		t.Errorf("the keys of an issuer that stays were fetched %d times; want once", got)
	}
}

func newTenancy(t *testing.T, as *accesstokentest.Server, count, moving int) *tenancy {
	t.Helper()
	key := as.Keys()
	s := &tenancy{moving: moving, removed: make([]bool, moving), issuers: []accesstoken.Issuer{issuerOf(as)}}
	for n := range count - 1 {
		s.issuers = append(s.issuers, accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%d.example", n), Keys: jwks.Static([]jwkset.JWK(key)...)})
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: s.issuers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	s.v = v
	exp := time.Now().Add(24 * time.Hour).Unix()
	for _, i := range append(s.issuers[:moving:moving], s.issuers[count-moving:]...) {
		s.tokens = append(s.tokens, as.Token(accesstokentest.Claims{"iss": i.URL, "exp": exp}))
	}
	for n := range s.tokens {
		if _, err := validateToken(t, v, s.tokens[n]); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// change removes one of the moving issuers, or brings it back, once a second, or more often
// in a short run.
func (s *tenancy) change(t *testing.T, ctx context.Context) {
	every := time.NewTicker(min(time.Second, *soakFor/20))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		n := rand.N(s.moving)
		s.mu.Lock()
		s.changes++
		s.removed[n] = !s.removed[n]
		used := s.issuers[: len(s.issuers)-s.moving : len(s.issuers)-s.moving]
		for m, i := range s.issuers[len(s.issuers)-s.moving:] {
			if !s.removed[m] {
				used = append(used, i)
			}
		}
		s.mu.Unlock()
		if err := s.v.SetIssuers(used...); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		s.changes++
		s.mu.Unlock()
	}
}

// ask makes a request, and reports whether its answer is right.
func (s *tenancy) ask(t *testing.T) bool {
	n := rand.N(len(s.tokens))
	settled := func() (changes int, removed bool) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.changes, n >= s.moving && s.removed[n-s.moving]
	}
	before, removed := settled()
	_, err := s.v.Validate(context.Background(), accesstoken.Bearer(s.tokens[n]))
	after, _ := settled()
	switch {
	case n < s.moving && err != nil:
		t.Errorf("an issuer that stays: got %v; want nil", err)
		return false
	case n < s.moving, before != after, before%2 != 0: // a change was under way
		return true
	case removed != errors.Is(err, accesstoken.IssuerUnknown), !removed && err != nil:
		t.Errorf("an issuer that is removed: %v: got %v", removed, err)
		return false
	}
	return true
}
