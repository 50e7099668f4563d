package jwks

import (
	"errors"
	"fmt"
	"time"
)

// Delays between attempts. If keys are held, there is time. If none are held, every
// request fails, so the pause starts short and grows with the outage: at most 1 s at
// first, later a quarter of the outage so far, up to mostEmpty.
const (
	firstHolding = time.Second
	mostHolding  = 5 * time.Minute

	firstEmpty = 250 * time.Millisecond
	hurryEmpty = time.Second // the longest of the pauses that double
	mostEmpty  = 5 * time.Second

	mostRetryEmpty = 30 * time.Second // the longest Retry-After that is respected while no keys are held
)

// An outage is a series of failed fetches. The zero value means no outage.
type outage struct {
	cause     error     // the error of the last failure
	since     time.Time // the time of the first failure
	failures  int
	notBefore time.Time // no request starts a fetch before this
	next      time.Time // when the next attempt is expected
}

// add notes a failure and returns how long to wait before the next attempt.
func (o *outage) add(err error, holding bool) time.Duration {
	now := time.Now()
	if o.cause == nil {
		o.since = now
	}
	o.cause = err
	asked := retryAfter(err)
	delay := shorten(o.pause(now, holding), 0.2)
	if holding {
		// An unknown kid may still cause a fetch, within the miss budget, unless the
		// server has sent a Retry-After.
		asked = min(asked, mostHolding)
		o.notBefore = now.Add(asked)
		delay = max(delay, asked)
	} else {
		delay = max(delay, min(asked, mostRetryEmpty))
		o.notBefore = now.Add(delay)
	}
	o.failures++
	o.next = now.Add(delay)
	return delay
}

// pause returns the delay after a failure, before jitter and Retry-After. Call it before
// incrementing failures.
func (o *outage) pause(now time.Time, holding bool) time.Duration {
	doubled := func(first, most time.Duration) time.Duration {
		return min(first<<min(o.failures, 20), most)
	}
	if holding {
		return doubled(firstHolding, mostHolding)
	}
	return min(max(doubled(firstEmpty, hurryEmpty), now.Sub(o.since)/4), mostEmpty)
}

func retryAfter(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return asks.RetryAfter()
	}
	return 0
}

// unavailable is the error if no key set is held, or if the set held may be out of date
// about a key.
type unavailable struct {
	issuer string
	cause  error
	after  time.Duration
}

func (u *unavailable) Error() string {
	return fmt.Sprintf("jwks: the key set of %s is unavailable: %v", u.issuer, u.cause)
}

func (u *unavailable) Unwrap() error { return u.cause }

// RetryAfter returns the time after which another try may succeed; zero if unknown.
func (u *unavailable) RetryAfter() time.Duration { return u.after }

// outageError returns the error of the outage. If the last fetch succeeded, or there was
// no fetch, outageError returns nil. c.mu is held.
func (c *Cache) outageError() error {
	if c.outage.cause == nil {
		return nil
	}
	return c.unavailable(c.outage.cause, max(time.Until(c.outage.next), 0))
}

func (c *Cache) unavailable(cause error, after time.Duration) error {
	return &unavailable{c.name, cause, after}
}
