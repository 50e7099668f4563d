package jwks

import (
	"slices"
	"time"
)

// A key that an answer lacks is withdrawn, or the server that answered is behind:
// it was just started, or serves what it has cached. A second answer decides, a
// few seconds later. Until then the key is in doubt, and verifies.

const (
	// mostLook is the longest time until the next answer once servers of the issuer
	// have disagreed. Each answer doubles it. If answers agree after that long, the
	// servers do.
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
// fetch that brought set began then, and has just ended. WithdrawAfter is from the end
// of one fetch to the beginning of the next: a server that was slow to answer may have
// caught up since. c.mu is held.
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

// pause is from an answer to the next look. c.mu is held, and looks is not 0.
func (c *Cache) pause() time.Duration {
	return min(c.config.WithdrawAfter<<min(c.looks-1, 20), mostLook)
}

// lookAgain returns when the issuer is to be asked because keys are in doubt or
// servers have disagreed, or else maxFresh. It bounds how long keys are in doubt. c.mu
// is held.
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
