package jwks

import (
	"slices"
	"time"
)

// If an answer lacks a key, either the key is withdrawn, or the server is out of date,
// because it was just started or has cached the previous set. A second answer decides,
// a few seconds later. Until then the key is in doubt, and still verifies.

const (
	// mostLook is the longest pause before the next fetch after servers of the issuer have
	// disagreed. The pause doubles with each answer. If two answers that far apart are the
	// same, the servers agree.
	mostLook = 2 * time.Minute

	// mostDoubt is how long a key can be in doubt. If no second answer comes in that
	// time, the first answer counts, because a stolen key must not stay in use if the
	// issuer withdraws it and is then down.
	mostDoubt = 5 * time.Minute
)

func (e entry) isDoubted() bool { return !e.lacked.IsZero() }

// published returns a new set without the keys in doubt.
func (s *keySet) published() *keySet {
	return newKeySet(slices.DeleteFunc(slices.Clone(s.entries), entry.isDoubted))
}

// doubtful returns the keys in use that set lacks and that stay in doubt, and updates
// c.looks. began is when the fetch of set began; it has just ended. WithdrawAfter counts from
// the end of one fetch to the start of the next, because a server that was slow to answer
// may have the current set by then. c.mu is held.
func (c *Cache) doubtful(set *keySet, began time.Time) (doubted []entry) {
	held := c.usable.Load()
	if held == nil || c.config.WithdrawAfter < 0 {
		c.looks = 0
		return nil
	}
	fresh, back := false, false
	for _, e := range held.entries {
		if slices.ContainsFunc(set.entries, e.equals) {
			back = back || e.isDoubted()
			continue
		}
		if !e.isDoubted() {
			e.anyKid = held.servesAnyKid(e)
			e.lacked, fresh = time.Now(), true
		}
		if began.Sub(e.lacked) < c.config.WithdrawAfter && len(doubted) < maxKeys {
			doubted = append(doubted, e)
		}
	}
	switch {
	case fresh, back:
		c.looks++
	case doubted != nil: // the second answer is still to come
	case c.looks > 1 && c.pause() < mostLook:
		c.looks++
	default:
		c.looks = 0
	}
	return doubted
}

// pause returns the time from an answer to the next fetch while looks is not 0. c.mu is
// held.
func (c *Cache) pause() time.Duration {
	return min(c.config.WithdrawAfter<<min(c.looks-1, 20), mostLook)
}

// lookAgain returns the time until the next fetch if keys are in doubt or servers have
// disagreed, and otherwise maxFresh. It also sets or stops the timer that ends the doubt
// after mostDoubt. c.mu is held.
func (c *Cache) lookAgain(doubted []entry) time.Duration {
	since := time.Now()
	if len(doubted) == 0 {
		c.disarm(&c.doubt)
	} else {
		since = slices.MinFunc(doubted, func(a, b entry) int { return a.lacked.Compare(b.lacked) }).lacked
		c.arm(&c.doubt, time.Until(since.Add(mostDoubt)), c.dropDoubted)
	}
	if c.looks == 0 {
		return maxFresh
	}
	return max(time.Until(since.Add(c.pause())), 0)
}

// dropDoubted drops the keys in doubt, because no second answer came in time. c.mu is
// held.
func (c *Cache) dropDoubted() (report func()) {
	set := c.follow(c.last.published())
	for _, kid := range without(c.last, set) {
		c.budget.withdrawn(kid, c.readAt)
	}
	c.last = set
	c.usable.Store(set)
	return func() {
		c.config.Logger.Warn("jwks: dropped keys that the issuer's last answer lacks, because no second answer came in time", "issuer", c.config.name(), "after", mostDoubt)
	}
}
