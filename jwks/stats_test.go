package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// Each number moves with what it tells.
func TestStatsOfACache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a", "b"))
		s.delay = time.Second
		cache := open(t, s, nil)
		before := cache.Stats()
		if before.Keys != 0 || before.Age != 0 || before.UsableFor != 0 || before.NextRefresh != 0 || before.Budget != 2 || before.Durations != [24]uint64{} {
			t.Errorf("before the first fetch: got %+v; want nothing but a budget of 2", before)
		}
		warm(t, cache)
		time.Sleep(time.Minute)
		got := cache.Stats()
		if got.Keys != 2 || got.Generation != 1 || got.Age != time.Minute || got.UsableFor != 24*time.Hour-time.Minute ||
			got.NextRefresh < 53*time.Minute || got.NextRefresh > 59*time.Minute || got.Succeeded != 1 || got.Failed != 0 || !got.FailingSince.IsZero() {
			t.Errorf("got %+v; want 2 keys, a minute old", got)
		}
		if got.Durations[17] != 1 || got.TotalTime != time.Second {
			t.Errorf("got the durations %v, in all %v; want one of 1s", got.Durations, got.TotalTime)
		}
		ask(t, cache, "new-1", notThere)
		ask(t, cache, "new-2", notThere)
		ask(t, cache, "new-3", unavailable)
		if got := cache.Stats(); got.Budget != 0 || got.Suppressed != 1 || got.Misses != 3 || got.Succeeded != 3 {
			t.Errorf("after unknown kids: got %+v; want no budget, 1 suppressed, 3 misses, 3 fetches", got)
		}

		s.set(keysURL, page{status: 500})
		failed := time.Now()
		time.Sleep(2 * time.Hour)
		if got := cache.Stats(); got.Failed == 0 || got.FailingSince.Before(failed) || got.Keys != 2 || got.Age < time.Hour || got.Budget != 2 {
			t.Errorf("in an outage: got %+v; want it to say so, and 2 keys", got)
		}
		time.Sleep(24 * time.Hour)
		if got := cache.Stats(); got.Keys != 0 || got.UsableFor != 0 || got.NextRefresh != 0 || got.Age < 24*time.Hour {
			t.Errorf("after usable-until: got %+v; want no keys, and their age", got)
		}
		s.publish(ec("c"))
		ask(t, cache, "c", found)
		if got := cache.Stats(); got.Keys != 1 || got.Generation != 2 || got.Age != 0 || !got.FailingSince.IsZero() {
			t.Errorf("after the outage: got %+v; want one key, and no failure", got)
		}
		_ = cache.Close()
		if got := cache.Stats(); got.Keys != 0 || got.Succeeded != 4 {
			t.Errorf("after Close: got %+v; want the counters alone", got)
		}
	})
}

func TestAnUnchangedSetIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"1"`))
		cache := open(t, s, nil)
		warm(t, cache)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := cache.Stats(); got.Succeeded != 1 || got.NotModified != 1 {
			t.Errorf("got %+v; want one fetch and a 304", got)
		}
	})
}
