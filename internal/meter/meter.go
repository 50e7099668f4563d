// Package meter counts what happens in a process, and prints structs of numbers.
package meter

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// A Durations is a histogram of durations. Its zero value is empty. It is safe for
// concurrent use.
type Durations struct {
	buckets [Buckets]atomic.Uint64
	sum     atomic.Int64
}

const (
	// Buckets is the number of buckets. The bound of the first is 2^-17 s, about 7.6 µs. Each
	// bound is twice the one before, and the last bucket, after that of 32 s, has none.
	Buckets = 24

	slowest = 5 // the exponent of the last bound, in seconds
)

// Observe counts a duration in the first bucket whose bound is not exceeded.
func (d *Durations) Observe(took time.Duration) {
	took = max(took, 0)
	place := 0
	for place < Buckets-1 && took > Bound(place) {
		place++
	}
	d.buckets[place].Add(1)
	d.sum.Add(int64(took))
}

// A Stopwatch measures one duration.
type Stopwatch time.Time

// Start starts a Stopwatch.
func Start() Stopwatch { return Stopwatch(time.Now()) }

// Stop counts the time since the start of a Stopwatch.
func (d *Durations) Stop(s Stopwatch) { d.Observe(time.Since(time.Time(s))) }

// Bound returns the bound of a bucket but the last.
func Bound(bucket int) time.Duration {
	return time.Second << slowest >> (Buckets - 2 - bucket)
}

// Read returns the count of each bucket, and the sum of all durations.
func (d *Durations) Read() (buckets [Buckets]uint64, sum time.Duration) {
	for i := range d.buckets {
		buckets[i] = d.buckets[i].Load()
	}
	return buckets, time.Duration(d.sum.Load())
}

// Shards returns how many shards, a power of two, a counter should have that all processors
// add to.
func Shards() int { return 1 << bits.Len(uint(min(4*runtime.GOMAXPROCS(0), 64)-1)) }

// Shard returns a number below n, which must be a power of two. It is the same for calls of
// one goroutine from about the same depth, and usually another one for another goroutine, so
// that two processors seldom write to the same cache line. It is taken from the address of
// the stack, because Go has no cheap name for a processor.
func Shard(n int) int {
	var here byte
	page := uint64(uintptr(unsafe.Pointer(&here))) >> 11 // a stack has 2 KiB or more
	return int(page*0x9E3779B97F4A7C15>>40) & (n - 1)    // 2^64 divided by the golden ratio spreads near pages
}
