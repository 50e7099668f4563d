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

	// Generation counts the different sets so far. It is 0 before the first set.
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

	// Restored reports whether the keys come from Config.File, because the issuer has
	// given no good answer yet.
	Restored bool

	// Waiting is the number of requests that wait for a fetch.
	Waiting int

	// These count since NewCache: fetches that ended, fetches that failed, fetches
	// answered with 304, and lookups (Misses) whose key was not in the set held, whether
	// or not a fetch was made for them.
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

	// Added and Withdrawn are the kids that were added to and dropped from the keys held.
	// A kid that only one answer lacks is not withdrawn yet. If both are empty and
	// Generation has changed, a kid has a different key.
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
