package testkit

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAWatchFailsATestThatStandsStill(t *testing.T) {
	for name, test := range map[string]struct {
		stillAfter, ended time.Duration
		late              time.Duration // how long the machine does something else at each tick
		fails             bool
	}{
		"it stands still":                 {10 * time.Second, time.Minute, 0, true},
		"it makes progress":               {time.Hour, time.Minute, 0, false},
		"the machine is busy":             {10 * time.Second, time.Minute, 1500 * time.Millisecond, false},
		"it ends before patience is over": {10 * time.Second, 35 * time.Second, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var steps atomic.Int64
				var failed atomic.Bool
				done, began := make(chan struct{}), time.Now()
				var wait sync.WaitGroup
				look := func() int64 {
					time.Sleep(test.late)
					return steps.Load()
				}
				wait.Go(func() { watch(done, look, func() { failed.Store(true) }) })
				for time.Since(began) < test.ended {
					if time.Since(began) < test.stillAfter {
						steps.Add(1)
					}
					time.Sleep(time.Second)
				}
				close(done)
				wait.Wait()
				if failed.Load() != test.fails {
					t.Errorf("got failed: %v; want %v", failed.Load(), test.fails)
				}
			})
		})
	}
}
