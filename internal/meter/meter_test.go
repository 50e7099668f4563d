package meter_test

import (
	"encoding/json"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/meter"
)

func TestADurationIsInTheFirstBucketThatHasRoom(t *testing.T) {
	for took, want := range map[time.Duration]int{
		-1: 0, 0: 0, time.Second >> 17: 0, time.Second>>17 + 1: 1,
		time.Second >> 10: 7, time.Second: 17, time.Second + 1: 18, 32 * time.Second: 22, 33 * time.Second: 23, 1 << 62: 23,
	} {
		var d meter.Durations
		d.Observe(took)
		buckets, sum := d.Read()
		if buckets[want] != 1 || sum != max(took, 0) {
			t.Errorf("%v: got %v, in all %v; want it in %d", took, buckets, sum, want)
		}
	}
	if first, last := meter.Bound(0), meter.Bound(meter.Buckets-2); first != time.Second>>17 || last != 32*time.Second {
		t.Errorf("got the bounds %v to %v; want 7.6µs to 32s", first, last)
	}
}

// Goroutines that run at once should mostly count in different places.
func TestGoroutinesCountInDifferentPlaces(t *testing.T) {
	const n = 64
	var wait sync.WaitGroup
	var mu sync.Mutex
	places := map[int]bool{}
	var counted sync.WaitGroup // so that all have stacks at the same time
	counted.Add(n)
	for range n {
		wait.Go(func() {
			place := meter.Shard(n)
			if again := meter.Shard(n); again != place || place < 0 || place >= n {
				t.Errorf("got %d and %d; want one place", place, again)
			}
			counted.Done()
			counted.Wait()
			mu.Lock()
			defer mu.Unlock()
			places[place] = true
		})
	}
	wait.Wait()
	if len(places) < n/4 {
		t.Errorf("got %d places for %d goroutines; want more", len(places), n)
	}
	if got := meter.Shards(); got < runtime.GOMAXPROCS(0) && got != 64 || got&(got-1) != 0 {
		t.Errorf("got %d shards; want a power of two", got)
	}
}

func TestAStructIsPrinted(t *testing.T) {
	type inner struct{ Count uint64 }
	v := struct {
		Name       string
		HeldKeys   int
		MaxAge     time.Duration
		Since      time.Time
		Never      time.Time
		Open       bool
		Buckets    [2]uint64
		In         *inner
		None       *inner
		unexported int
	}{"a \"b\"", 2, 1500 * time.Millisecond, time.Unix(0, 0).UTC(), time.Time{}, true, [2]uint64{1, 2}, &inner{3}, nil, 4}
	const want = `{"name":"a \"b\"","held_keys":2,"max_age_seconds":1.5,"since":"1970-01-01T00:00:00Z","never":null,"open":true,"buckets":[1,2],"in":{"count":3},"none":null}`
	if got, err := meter.JSON(v); string(got) != want || err != nil || !json.Valid(got) {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	const text = `name="a \"b\"" held_keys=2 max_age_seconds=1.5 since=1970-01-01T00:00:00Z open=true`
	if got := meter.Text(v); got != text {
		t.Errorf("got %s; want %s", got, text)
	}
}

func TestNumbersAreAdded(t *testing.T) {
	type stats struct {
		Count   uint64
		Held    int
		Bytes   int64
		Open    bool
		Buckets [2]uint64
		Age     time.Duration
		Since   time.Time
	}
	got := stats{1, 2, 3, false, [2]uint64{4, 5}, 6, time.Unix(7, 0)}
	meter.Add(&got, stats{10, 20, 30, true, [2]uint64{40, 50}, 60, time.Unix(70, 0)})
	if want := (stats{11, 22, 33, true, [2]uint64{44, 55}, 6, time.Unix(7, 0)}); got != want {
		t.Errorf("got %v; want %v", got, want)
	}
}
