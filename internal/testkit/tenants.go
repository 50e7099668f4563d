package testkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

// Tenants are many issuers that change at run time. They have the keys of one server, and
// count how often those of each are fetched. The first issuers stay; the last ones, which
// move, are removed and come back.
type Tenants struct {
	Validator *accesstoken.Validator
	Moving    int // how many move

	issuers []accesstoken.Issuer
	tokens  []string       // of Moving issuers that stay, then of those that move
	fetched []atomic.Int64 // after Warm
	keys    string         // what each fetch gets

	mu       sync.RWMutex
	removed  []bool // of those that move, as the last change left them
	returned []int  // how often each of them came back
	changes  int    // changes begun and ended
}

// NewTenants makes the issuers and a Validator, fetches all keys, and has the Validator
// verify the tokens. The test must close the Validator. moving is at most half of count.
func NewTenants(t testing.TB, as *accesstokentest.Server, count, moving int) *Tenants {
	t.Helper()
	s := &Tenants{Moving: moving, fetched: make([]atomic.Int64, count), removed: make([]bool, moving), returned: make([]int, moving)}
	answer := httptest.NewRecorder()
	as.Endpoint(accesstokentest.JWKSPath).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, as.JWKSURI(), nil))
	s.keys = answer.Body.String()
	client := &http.Client{Transport: s}
	for n := range count {
		issuer := fmt.Sprintf("https://%d.tenants.example", n)
		s.issuers = append(s.issuers, accesstoken.Issuer{URL: issuer, JWKSURI: issuer + "/jwks", HTTPClient: client})
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: Resource, Issuers: s.issuers, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Validator = v
	for range 10 { // a fetch may time out on a busy machine
		if err = v.Warm(t.Context()); err == nil {
			break
		}
		<-time.After(time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := range s.fetched {
		s.fetched[n].Store(0)
	}
	exp := time.Now().Add(24 * time.Hour).Unix()
	for _, i := range slices.Concat(s.issuers[:moving], s.issuers[count-moving:]) {
		s.tokens = append(s.tokens, as.Token(accesstokentest.Claims{"iss": i.URL, "exp": exp, "scope": "a"}))
	}
	for n := range s.tokens {
		if err := s.askAbout(n); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// RoundTrip counts a fetch. It answers without a connection, because ten thousand would take
// minutes under the race detector.
func (s *Tenants) RoundTrip(r *http.Request) (*http.Response, error) {
	number, _, _ := strings.Cut(r.URL.Host, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	s.fetched[n].Add(1)
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/jwk-set+json"}},
		Body:   io.NopCloser(strings.NewReader(s.keys)), ContentLength: int64(len(s.keys)),
	}, nil
}

// Kept returns the token of an issuer that stays. n is less than Moving.
func (s *Tenants) Kept(n int) string { return s.tokens[n] }

// Mover returns the token of an issuer that moves. n is less than Moving.
func (s *Tenants) Mover(n int) string { return s.tokens[s.Moving+n] }

// Change makes one call of SetIssuers. An issuer that moves, which it returns, is removed or
// comes back. One that stays has another MaxLifetime, which must cost it nothing.
func (s *Tenants) Change() (moved int, removed bool, err error) {
	moved = rand.N(s.Moving)
	s.mu.Lock()
	s.changes++
	s.removed[moved] = !s.removed[moved]
	if removed = s.removed[moved]; !removed {
		s.returned[moved]++
	}
	first := len(s.issuers) - s.Moving
	used := slices.Clone(s.issuers[:first])
	used[rand.N(first)].MaxLifetime = 48 * time.Hour
	for n, i := range s.issuers[first:] {
		if !s.removed[n] {
			used = append(used, i)
		}
	}
	s.mu.Unlock()
	err = s.Validator.SetIssuers(used...)
	s.mu.Lock()
	s.changes++
	s.mu.Unlock()
	return moved, removed, err
}

// Ask makes a request with one of the tokens. It returns an error if the answer is wrong. What
// was settled before the request began, and has not changed until it ended, must show in
// the answer.
func (s *Tenants) Ask() error { return s.askAbout(rand.N(len(s.tokens))) }

func (s *Tenants) askAbout(n int) error {
	settled := func() (changes int, removed bool) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return s.changes, n >= s.Moving && s.removed[n-s.Moving]
	}
	before, removed := settled()
	_, err := s.Validator.Validate(context.Background(), accesstoken.Bearer(s.tokens[n]))
	after, _ := settled()
	switch {
	case n < s.Moving && err != nil:
		return fmt.Errorf("an issuer that stays: got %w; want nil", err)
	case n < s.Moving, before != after, before%2 != 0: // a change was under way
		return nil
	case removed && !errors.Is(err, accesstoken.IssuerUnknown), !removed && err != nil:
		return fmt.Errorf("an issuer that moves, removed %v: got %w", removed, err)
	}
	return nil
}

// PerSecond is how many requests Load makes.
const PerSecond = 5_000

// Load makes 5,000 requests a second until ctx ends, and fails the test if an answer is wrong.
// The function that it returns waits, and returns how many they were. If the machine stands
// still for a time, the requests of that time are made later.
func (s *Tenants) Load(t testing.TB, ctx context.Context) (wait func() int64) {
	const workers = 2
	var asked atomic.Int64
	var all sync.WaitGroup
	answered, stop := Watch(t, "the requests")
	began := time.Now()
	for range workers {
		all.Go(func() {
			every := time.NewTicker(5 * time.Millisecond)
			defer every.Stop()
			for own := int64(0); ctx.Err() == nil; <-every.C {
				due := int64(time.Since(began) * PerSecond / workers / time.Second)
				for ; own < due && ctx.Err() == nil; own++ {
					if err := s.Ask(); err != nil {
						t.Error(err)
					}
					asked.Add(1)
					answered()
				}
			}
		})
	}
	return func() int64 {
		all.Wait()
		stop()
		return asked.Load()
	}
}

// Changes returns how often SetIssuers was called.
func (s *Tenants) Changes() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.changes / 2
}

// WantNoFetches fails the test if the keys of an issuer that stays were fetched again after
// Warm, or those of one that moves more often than it came back.
func (s *Tenants) WantNoFetches(t testing.TB) {
	t.Helper()
	s.mu.RLock()
	defer s.mu.RUnlock()
	first := len(s.issuers) - s.Moving
	again, more := int64(0), int64(0)
	for n := range s.fetched {
		got := s.fetched[n].Load()
		switch {
		case n < first:
			again += got
			if got != 0 {
				t.Errorf("the keys of issuer %d, which stays, were fetched %d times again; want none", n, got)
			}
		case got > int64(s.returned[n-first]):
			t.Errorf("the keys of issuer %d were fetched %d times again; it came back %d times", n, got, s.returned[n-first])
			fallthrough
		default:
			more += got
		}
	}
	t.Logf("fetches after Warm: %d for %d issuers that stay, %d for %d that move", again, first, more, s.Moving)
}
