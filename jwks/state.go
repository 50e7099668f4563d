package jwks

import (
	"slices"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken/internal/panics"
)

// State is a snapshot of a [Cache], for example for a status page, a gauge or a log
// line.
type State struct {
	// KeyIDs are the kids of the keys held, sorted, including keys in doubt. Keys
	// without a kid are not listed. It is nil if no keys are held.
	KeyIDs []string

	// Generation is 0 before the first set, and grows by one whenever the keys held become
	// different keys.
	Generation uint64

	// FetchedAt is the time of the issuer's last good answer, and Age how long ago that
	// is. Both are zero before the first good answer.
	FetchedAt time.Time
	Age       time.Duration

	// NextRefresh is when the set is next fetched in the background. It is zero while
	// that fetch is running. It is also zero if no keys are held, because then the next
	// request starts a fetch.
	NextRefresh time.Time

	// UsableUntil is when the keys are dropped if no good answer comes before. It is zero
	// if no keys are held.
	UsableUntil time.Time

	// Err is the error of the last fetch, and FailingSince the time of the first failure
	// in the present series. If the last fetch succeeded, Err is nil and FailingSince is
	// zero.
	Err          error
	FailingSince time.Time

	// Restored reports whether the last keys come from Config.File, because the issuer has
	// given no good answer yet.
	Restored bool

	// Waiting is the number of requests that wait for a fetch.
	Waiting int

	// These count since NewCache: fetches that ended, fetches that failed, fetches
	// answered with 304, and lookups (Misses) that ended without a key because the set
	// held, or the fetch that they waited for, had none.
	Fetches, Failures, NotModified, Misses uint64
}

// A Fetch is the outcome of one fetch. See [Config.OnFetch].
type Fetch struct {
	Start    time.Time     // when it began
	Duration time.Duration // until its end, discovery included

	// Err is the reason for a failure. It contains no key material. If Err is nil, the
	// keys held come from the issuer, not from Config.File.
	Err error

	// NotModified reports that the issuer answered with 304 (Not Modified).
	NotModified bool

	// Added are the kids that the last set lacked, and Withdrawn the kids that this set
	// lacks. A kid in doubt is not withdrawn yet. If both are empty and Generation has
	// changed, keys changed under the same kids or without a kid.
	Added, Withdrawn []string

	// Generation is the generation of the set. It is 0 if Err is set.
	Generation uint64

	// Omitted counts the keys of the answer that are not usable here.
	Omitted int
}

// State returns a snapshot. You can keep and change it.
func (c *Cache) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	if set := c.usable.Load(); set != nil {
		s.KeyIDs = set.kids()
	} else {
		s.UsableUntil = time.Time{}
	}
	if c.last != nil {
		s.Generation = c.last.generation
		s.Age = time.Since(s.FetchedAt)
	}
	if c.refresh == nil {
		s.NextRefresh = time.Time{}
	}
	s.Err, s.FailingSince = c.outage.cause, c.outage.since
	s.Waiting = int(c.waiting.Load())
	return s
}

// Stats are the numbers of a [Cache], for metrics. [Cache.State] also has the kids and the
// error of the last fetch.
type Stats struct {
	// Keys is how many keys are held, and Generation is that of [State].
	Keys       int
	Generation uint64

	// Age is how long ago the issuer's last good answer was, UsableFor how long the keys
	// will be held if no other comes, and NextRefresh the time to the next fetch in the
	// background. Each is zero where the time in State is, and never negative.
	Age, UsableFor, NextRefresh time.Duration

	// FailingSince is when the first fetch of the present series of failures ended. It is
	// zero if the last fetch succeeded.
	FailingSince time.Time

	// Budget is how many unknown kids may cause a fetch now: 2 at most, see
	// Config.MissCooldown.
	Budget int

	// Waiting is the number of requests that wait for a fetch.
	Waiting int

	// Succeeded, NotModified (304) and Failed count the fetches that ended, by result.
	Succeeded, NotModified, Failed uint64

	// Misses counts the lookups that ended without a key, and Suppressed the lookups that
	// would have caused a fetch if the Budget had allowed it.
	Misses, Suppressed uint64

	// Durations counts the fetches by how long they took, discovery included. Durations[0]
	// counts those of at most 2^-17 s, Durations[1] those of at most 2^-16 s that are not
	// in Durations[0], and so on up to 2^5 s; the last counts the rest. TotalTime is the
	// sum.
	Durations [24]uint64
	TotalTime time.Duration
}

// Stats returns the numbers. They can be read after Close.
func (c *Cache) Stats() Stats {
	state, now := c.State(), time.Now()
	until := func(t time.Time) time.Duration {
		if t.IsZero() {
			return 0
		}
		return max(t.Sub(now), 0)
	}
	s := Stats{
		Generation: state.Generation, Age: state.Age, UsableFor: until(state.UsableUntil), NextRefresh: until(state.NextRefresh),
		FailingSince: state.FailingSince, Waiting: state.Waiting,
		Succeeded: state.Fetches - state.Failures - state.NotModified, NotModified: state.NotModified, Failed: state.Failures,
		Misses: state.Misses,
	}
	s.Durations, s.TotalTime = c.took.Read()
	c.mu.Lock()
	defer c.mu.Unlock()
	if set := c.usable.Load(); set != nil {
		s.Keys = len(set.entries)
	}
	s.Budget, s.Suppressed = c.budget.left(now), c.suppressed
	return s
}

// kids returns the sorted kids of the set, as a copy.
func (s *keySet) kids() []string {
	kids := []string{}
	for _, e := range s.entries {
		if e.kid != "" {
			kids = append(kids, e.kid)
		}
	}
	return slices.Compact(kids) // entries are sorted by kid
}

// callHook calls OnFetch. It recovers a panic, which would otherwise crash the program.
// If an earlier call is still running, the event is dropped, because that call may
// never return.
func (c *Cache) callHook(event Fetch) {
	if c.config.OnFetch == nil || !c.hook.mu.TryLock() {
		return
	}
	defer c.hook.mu.Unlock()
	defer func() {
		if p := recover(); p != nil && !c.hook.panicked {
			c.hook.panicked = true
			c.safely(func() {
				c.config.Logger.Error("jwks: OnFetch panicked (logged once)", "issuer", c.config.name(), "panic", panics.Describe(p))
			})
		}
	}()
	c.config.OnFetch(event)
}

// A hook is the state of the calls of Config.OnFetch.
type hook struct {
	mu       sync.Mutex
	panicked bool
}
