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
		fails             bool
	}{
		"it stands still":                 {10 * time.Second, time.Minute, true},
		"it makes progress":               {time.Hour, time.Minute, false},
		"it ends before patience is over": {10 * time.Second, 35 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var steps atomic.Int64
				var failed atomic.Bool
				done, began := make(chan struct{}), time.Now()
				var wait sync.WaitGroup
				wait.Go(func() { watch(done, steps.Load, func() { failed.Store(true) }) })
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
