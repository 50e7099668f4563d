package testkit

import (
	"sync"
	"testing"
	"time"
)

// A Stall measures for how long the machine does not run this program's goroutines. A test
// that bounds a time adds it to the bound, so that the bound can be short.
type Stall struct {
	mu    sync.Mutex
	last  time.Time     // when the goroutine ran
	since time.Duration // the longest since Reset
	worst time.Duration // the longest of all
}

const stallTick = 20 * time.Millisecond

// NewStall begins to measure, until the test ends.
func NewStall(t testing.TB) *Stall {
	s := &Stall{last: time.Now()}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		every := time.NewTicker(stallTick)
		defer every.Stop()
		for {
			select {
			case <-done:
				return
			case <-every.C:
				s.tick()
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		wait.Wait()
	})
	return s
}

func (s *Stall) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note()
	s.last = time.Now()
}

// note counts a stall that may still go on. The caller holds the mutex.
func (s *Stall) note() {
	late := max(time.Since(s.last)-stallTick, 0)
	s.since, s.worst = max(s.since, late), max(s.worst, late)
}

// Reset forgets all stalls but the one that may be going on.
func (s *Stall) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = 0
}

// Longest returns the longest stall since Reset, and the longest of all.
func (s *Stall) Longest() (since, worst time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note()
	return s.since, s.worst
}
