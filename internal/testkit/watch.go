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
// 30 s. The test calls progress for each step of what, until it calls stop. If a test runs for
// minutes under load, it should be watched, because a deadlock would otherwise look like a
// slow machine.
func Watch(t testing.TB, what string) (progress, stop func()) {
	var steps atomic.Int64
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		watch(done, steps.Load, func() {
			debug.SetTraceback("all")
			panic(fmt.Sprintf("%s: no progress of %s in %v, after %d steps; the stacks of all goroutines follow", t.Name(), what, patience, steps.Load()))
		})
	})
	stop = sync.OnceFunc(func() {
		close(done)
		wait.Wait()
	})
	t.Cleanup(stop)
	return func() { steps.Add(1) }, stop
}

// Watched calls do, and ends the program as Watch does if it has not returned after 30 s.
func Watched(t testing.TB, what string, do func() error) error {
	_, stop := Watch(t, what)
	defer stop()
	return do()
}

// watch calls fail if steps returns the same for as long as patience, until done is closed. It
// counts the ticks that come in time, because a machine that is busy with something else does
// not run the test either.
func watch(done <-chan struct{}, steps func() int64, fail func()) {
	const ticks, tick = 30, patience / 30
	every := time.NewTicker(tick)
	defer every.Stop()
	last, same, before := steps(), 0, time.Now()
	for {
		select {
		case <-done:
			return
		case <-every.C:
		}
		if time.Since(before) < tick+tick/10 {
			same++
		}
		before = time.Now()
		if now := steps(); now != last {
			last, same = now, 0
		}
		if same == ticks {
			fail()
			return
		}
	}
}
