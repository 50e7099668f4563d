package accesstoken_test

import (
	"context"
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

var soakFor = flag.Duration("soak", time.Second, "how long TestSoakOfIssuers runs; from 10s on with 10,000 issuers")

// TestSoakOfIssuers asks about cached tokens while every second one issuer is removed or
// comes back. Every answer must be right, and no keys of an issuer that stays are fetched.
func TestSoakOfIssuers(t *testing.T) {
	as, count, moving, long := accesstokentest.NewServer(t), 300, 50, *soakFor >= 10*time.Second
	if long {
		count = 10_000
	}
	s := testkit.NewTenants(t, as, count, moving)
	changed, answered := testkit.Watch(t, "SetIssuers"), testkit.Watch(t, "the requests")
	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var asked, wrong atomic.Int64
	var wait sync.WaitGroup
	wait.Go(func() {
		every := time.NewTicker(min(time.Second, *soakFor/20))
		defer every.Stop()
		for range every.C {
			if ctx.Err() != nil {
				return
			}
			if _, _, err := s.Change(); err != nil {
				t.Error(err)
			}
			changed()
		}
	})
	for range 2 * runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for ctx.Err() == nil {
				if err := s.Ask(); err != nil {
					t.Error(err)
					wrong.Add(1)
				}
				asked.Add(1)
				answered()
			}
		})
	}
	wait.Wait()
	rate := float64(asked.Load()) / soakFor.Seconds()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d issuers: %.0f requests/s for %v, %d wrong answers; %d changes; %d MiB of heap", count, rate, *soakFor, wrong.Load(), s.Changes(), memory.HeapAlloc>>20)
	if long && rate < 5_000 {
		t.Errorf("got %.0f requests/s; want 5,000 at least", rate)
	}
	s.WantNoFetches(t)
	if err := s.Validator.Close(); err != nil {
		t.Error(err)
	}
}
