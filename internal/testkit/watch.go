package testkit

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a watched test may make no progress.
const patience = 30 * time.Second

// Watch ends the program, with the stacks of all goroutines, if a test makes no progress for
// 30 s. The test calls progress for each step of what. If a test runs for minutes under
// load, it should be watched, because a deadlock would otherwise look like a slow machine.
// The watch ends with the test, so a Close that may hang should be called in the test, and
// not in a Cleanup.
func Watch(t testing.TB, what string) (progress func()) {
	var steps atomic.Int64
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		watch(done, steps.Load, func() {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("%s: no progress of %s in %v, after %d steps; the stacks of all goroutines follow", t.Name(), what, patience, steps.Load()))
		})
	})
	t.Cleanup(func() {
		close(done)
		wait.Wait()
	})
	return func() { steps.Add(1) }
}

// watch calls fail if steps returns the same for as long as patience, until done is closed. It
// counts ticks, because a machine that stood still has not run the test either.
func watch(done <-chan struct{}, steps func() int64, fail func()) {
	const ticks = 30
	every := time.NewTicker(patience / ticks)
	defer every.Stop()
	last, same := steps(), 0
	for {
		select {
		case <-done:
			return
		case <-every.C:
		}
		now := steps()
		if same++; now != last {
			last, same = now, 0
		}
		if same == ticks {
			fail()
			return
		}
	}
}
