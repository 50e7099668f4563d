package accesstoken_test

import (
	"context"
	"flag"
	"runtime"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

var soakFor = flag.Duration("soak", time.Second, "how long TestSoakOfIssuers runs; from 10s on with 10,000 issuers")

// TestSoakOfIssuers makes 5,000 requests a second with cached tokens, while every second one
// issuer is removed or comes back. Every answer must be right, and no keys of an issuer that
// stays may be fetched.
func TestSoakOfIssuers(t *testing.T) {
	as, count, moving, long := accesstokentest.NewServer(t), 300, 50, *soakFor >= 10*time.Second
	if long {
		count = 10_000
	}
	s := testkit.NewTenants(t, as, count, moving)
	changed, stop := testkit.Watch(t, "SetIssuers")
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	asked := s.Load(t, ctx)
	every := time.NewTicker(min(time.Second, *soakFor/20))
	defer every.Stop()
	slowest := time.Duration(0)
	for ; ctx.Err() == nil; <-every.C {
		began := time.Now()
		if _, _, err := s.Change(); err != nil {
			t.Error(err)
		}
		changed()
		slowest = max(slowest, time.Since(began))
	}
	stop()
	requests := asked()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d issuers for %v: %d changes, the slowest %v; %d requests; %d MiB of heap", count, *soakFor, s.Changes(), slowest.Round(time.Millisecond), requests, memory.HeapAlloc>>20)
	if want := int64(soakFor.Seconds() * testkit.PerSecond * 0.9); long && requests < want {
		t.Errorf("got %d requests; want %d at least", requests, want)
	}
	s.WantNoFetches(t)
	if err := testkit.Watched(t, "Close", s.Validator.Close); err != nil {
		t.Error(err)
	}
}
