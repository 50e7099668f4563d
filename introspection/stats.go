package introspection

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/meter"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// Stats are the numbers of a [Client], for metrics.
type Stats struct {
	// Hits counts the lookups that the cache answered, and Misses all others. Stale counts
	// those of the Misses that an older answer was reused for, by
	// Config.DangerouslyServeStaleFor.
	Hits, Misses, Stale uint64

	// Skipped counts the lookups that failed at once because the breaker was open, and Busy
	// those that found no place in the queue, lost it, or waited too long in it.
	Skipped, Busy uint64

	// Answered counts the calls that were answered about the token. The others count the
	// calls that failed: Unusable with a whole answer that cannot be used, ClientRefused
	// because the endpoint refuses this client, Limited with 429, Failed with another error
	// or no answer, and NotSent without a connection or a credential.
	Answered, Unusable, ClientRefused, Limited, Failed, NotSent uint64

	// BreakerOpen reports that the endpoint is not asked about any token, and
	// BreakerOpenUnknown that it is not asked about tokens that were not active before. One
	// call at a time still finds out whether the endpoint is back. BreakerOpened counts how
	// often either began.
	BreakerOpen, BreakerOpenUnknown bool
	BreakerOpened                   uint64

	// OnWire is how many calls are under way, and Queued how many wait for their turn.
	OnWire, Queued int

	// Evictions is how many cached answers were removed to make room. Bytes is about what
	// the cached answers take, and Limit the most that they may take.
	Evictions    uint64
	Bytes, Limit int64

	// Durations counts the calls by how long they took, without the wait for their turn.
	// Durations[0] counts those of at most 2^-17 s, Durations[1] those of at most 2^-16 s
	// that are not in Durations[0], and so on up to 2^5 s; the last counts the rest.
	// TotalTime is the sum.
	Durations [24]uint64
	TotalTime time.Duration
}

// Stats returns the numbers.
func (c *Client) Stats() Stats {
	s := Stats{
		Hits: c.counts.hits.Load(), Misses: c.counts.misses.Load(), Stale: c.counts.stale.Load(),
		Skipped: c.counts.skipped.Load(), Busy: c.counts.busy.Load(),
	}
	for failed, result := range map[failure]*uint64{
		answered: &s.Answered, unusable: &s.Unusable, refused: &s.ClientRefused, forbidden: &s.ClientRefused, limited: &s.Limited,
		internal: &s.Failed, down: &s.Failed, unsent: &s.NotSent, queued: &s.NotSent, ours: &s.NotSent,
	} {
		*result += c.counts.calls[failed].Load()
	}
	s.Durations, s.TotalTime = c.counts.took.Read()
	s.BreakerOpen, s.BreakerOpenUnknown, s.BreakerOpened = c.breaker.state()
	s.OnWire, s.Queued = c.calls.length()
	for _, side := range []*tokencache.Cache{c.cache.active, c.cache.inactive} {
		evicted, held, most := side.Stats()
		s.Evictions, s.Bytes, s.Limit = s.Evictions+evicted, s.Bytes+held, s.Limit+most
	}
	return s
}

// counts are the counters of a Client.
type counts struct {
	hits, misses, stale, skipped, busy atomic.Uint64

	calls [ours + 1]atomic.Uint64 // by result
	took  meter.Durations
}

// lookup counts a lookup that the cache did not answer.
func (c *counts) lookup(err error) {
	open := (*openError)(nil)
	switch {
	case errors.Is(err, errBusy):
		c.busy.Add(1)
	case errors.As(err, &open):
		c.skipped.Add(1)
	}
}

// call counts a call that has ended.
func (c *counts) call(err error, took time.Duration) {
	failed := failureOf(err)
	c.calls[failed].Add(1)
	if failed != ours && failed != queued {
		c.took.Observe(took)
	}
}

// state reports whether the circuits are open, and how often one was opened.
func (b *breaker) state() (known, unknown bool, opened uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.circuits[knownSide].until.IsZero(), !b.circuits[unknownSide].until.IsZero(), b.opened
}

// length returns how many calls are on the wire and in the queue.
func (c *calls) length() (onWire, waiting int) {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.onWire[unknownSide] + c.onWire[knownSide], c.queues[unknownSide].Len() + c.queues[knownSide].Len()
}
