package jwks

import (
	"slices"
	"time"
)

// A key that an answer lacks is withdrawn, or the server that answered is behind:
// it was just started, or serves what it has cached. A second answer decides, a
// few seconds later. Until then the key is in doubt, and verifies.

const (
	// mostLook is the longest time until the next answer when servers of the
	// issuer go on disagreeing. Each such answer doubles it.
	mostLook = 2 * time.Minute

	// mostDoubt is how long a key can be in doubt. When no second answer comes in
	// that time, the first one counts: an issuer that withdraws a stolen key and
	// then is down must not keep it in use.
	mostDoubt = 5 * time.Minute
)

func (e entry) isDoubted() bool { return !e.lacked.IsZero() }

// published returns a new set of what the last answer had.
func (s *keySet) published() *keySet {
	return newKeySet(slices.DeleteFunc(slices.Clone(s.entries), entry.isDoubted))
}

// doubtful returns the keys in use that set lacks and that stay nevertheless. The
// fetch that brought set began then. c.mu is held.
func (c *Cache) doubtful(set *keySet, began time.Time) (doubted []entry) {
	held := c.usable.Load()
	if held == nil || c.config.WithdrawAfter < 0 {
		c.looks = 0
		return nil
	}
	fresh := false
	for _, e := range held.entries {
		if slices.ContainsFunc(set.entries, e.equals) {
			continue
		}
		if !e.isDoubted() {
			e.lacked, fresh = began, true
		}
		if began.Sub(e.lacked) < c.config.WithdrawAfter && len(doubted) < maxKeys {
			doubted = append(doubted, e)
		}
	}
	switch {
	case fresh:
		c.looks++
	case doubted == nil:
		c.looks = 0
	}
	return doubted
}

// lookAgain returns when the issuer is to be asked because of keys in doubt, or
// maxFresh when there are none. It bounds how long they are. c.mu is held.
func (c *Cache) lookAgain(doubted []entry) time.Duration {
	if len(doubted) == 0 {
		c.disarm(&c.doubt)
		return maxFresh
	}
	first := slices.MinFunc(doubted, func(a, b entry) int { return a.lacked.Compare(b.lacked) }).lacked
	c.arm(&c.doubt, time.Until(first.Add(mostDoubt)), c.dropDoubted)
	pause := min(c.config.WithdrawAfter<<min(max(c.looks-1, 0), 10), mostLook)
	return max(time.Until(first.Add(pause)), 0)
}

// dropDoubted drops the keys that no second answer spoke for in time. c.mu is
// held.
func (c *Cache) dropDoubted() (report func()) {
	set := c.follow(c.last.published())
	for _, kid := range without(c.last, set) {
		c.budget.withdrawn(kid, c.readAt)
	}
	c.last = set
	c.usable.Store(set)
	return func() {
		c.config.Logger.Warn("jwks: keys are dropped that the issuer's last answer did not have, because no second answer came", "issuer", c.config.name(), "after", mostDoubt)
	}
}
