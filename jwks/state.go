package jwks

import (
	"slices"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken/internal/panics"
)

// State is what a [Cache] knows of itself at one moment: for a status page, a
// gauge, a line in the log.
type State struct {
	// KeyIDs are the kids of the keys held, in order, those in doubt included; a
	// key without kid does not show. Nil when no keys are held.
	KeyIDs []string

	// Generation counts the sets that differed; 0 before the first.
	Generation uint64

	// FetchedAt is when the issuer last answered well, and Age how long ago
	// that is; zero before the first time.
	FetchedAt time.Time
	Age       time.Duration

	// NextRefresh is when the set is asked for again unasked. Zero: it is being
	// asked for, or will be when the next request comes, because no keys are
	// held.
	NextRefresh time.Time

	// UsableUntil is when the keys are dropped unless an answer comes. Zero when
	// none are held.
	UsableUntil time.Time

	// Err is what the last fetch failed with, and FailingSince when the row of
	// failures began; nil and zero while fetches succeed.
	Err          error
	FailingSince time.Time

	// Restored tells that the keys are those of Config.File, and that the
	// issuer has not answered since.
	Restored bool

	// Waiting is how many requests wait for a fetch.
	Waiting int

	// These count from NewCache on: fetches, those of them that failed, those
	// that were answered by 304, and questions that the keys held could not
	// answer, most of which caused no fetch.
	Fetches, Failures, NotModified, Misses uint64
}

// A Fetch tells how one fetch went. See [Config.OnFetch].
type Fetch struct {
	Start    time.Time     // when it began
	Duration time.Duration // until its end, discovery included

	// Err is why it brought nothing. It has nothing of a key in it. Nil: the keys
	// held are those of the issuer.
	Err error

	// NotModified: the issuer said that nothing has changed (304).
	NotModified bool

	// Added and Withdrawn are the kids by which the keys held differ from those
	// before. A kid that one answer lacks is not withdrawn yet. Both empty with another Generation: the same kid has another key.
	Added, Withdrawn []string

	// Generation is that of the set; 0 with Err.
	Generation uint64

	// Omitted counts the keys of the answer that are of no use here.
	Omitted int
}

// State returns a snapshot that the caller may keep and change.
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

// kids returns the kids of the set in order, as a copy.
func (s *keySet) kids() []string {
	kids := []string{}
	for _, e := range s.entries {
		if e.kid != "" {
			kids = append(kids, e.kid)
		}
	}
	return slices.Compact(kids) // entries are sorted by kid
}

// tell calls the hook, which may panic or never return: it is called on a
// goroutine that nobody else could recover, and on no second one meanwhile.
func (c *Cache) tell(event Fetch) {
	if c.config.OnFetch == nil || !c.hook.mu.TryLock() {
		return
	}
	defer c.hook.mu.Unlock()
	defer func() {
		if p := recover(); p != nil && !c.hook.panicked {
			c.hook.panicked = true
			c.safely(func() {
				c.config.Logger.Error("jwks: OnFetch panicked; this is said once", "issuer", c.config.name(), "panic", panics.Describe(p))
			})
		}
	}()
	c.config.OnFetch(event)
}

// A hook is Config.OnFetch at work.
type hook struct {
	mu       sync.Mutex
	panicked bool
}
