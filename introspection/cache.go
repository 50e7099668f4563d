package introspection

import (
	"time"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

const (
	activeBytes   = 32 << 20
	inactiveBytes = 4 << 20 // apart, so that a flood of invented tokens pushes no active one out

	// mostInactive is how long an inactive answer may be used again. Some
	// servers know a token a moment after they have issued it.
	mostInactive = 5 * time.Second
)

// A cache keeps answers by the digest of their token. It never keeps an error,
// nor an answer that does not say when its token ends.
type cache struct {
	active, inactive *tokencache.Cache
	keepFor          time.Duration // an active answer; zero: nothing is kept
	grace            time.Duration
}

// A kept answer.
type kept struct {
	response Response
	asked    time.Time // when the question was put
	fresh    time.Time // used again until then
	stale    time.Time // and until then, while the server cannot be asked
}

func newCache(config Config) *cache {
	return &cache{
		active:   tokencache.New(activeBytes),
		inactive: tokencache.New(inactiveBytes),
		keepFor:  config.CacheFor,
		grace:    config.DangerouslyServeStaleFor,
	}
}

// get returns the answer that may be used in place of a question.
func (c *cache) get(key tokencache.Key, now time.Time, leeway time.Duration) (Response, bool) {
	if c.keepFor == 0 {
		return Response{}, false
	}
	if k, ok := c.active.Get(key).(*kept); ok && now.Before(k.fresh) && now.Before(k.response.Expiry.Add(leeway)) {
		return k.response, true
	}
	if k, ok := c.inactive.Get(key).(*kept); ok && now.Before(k.fresh) {
		return Response{}, true
	}
	return Response{}, false
}

// getStale returns the answer that may be used because none can be had.
func (c *cache) getStale(key tokencache.Key, now time.Time, leeway time.Duration) (Response, bool) {
	k, ok := c.active.Get(key).(*kept)
	if !ok || c.grace == 0 || !now.Before(k.stale) || !now.Before(k.response.Expiry.Add(leeway)) {
		return Response{}, false
	}
	return k.response, true
}

// until returns how long the answer to a question may be used again: for CacheFor
// from when it was put, or what was left of the token then, its end being exp and
// the leeway. Zero: not at all.
func (c *cache) until(r Response, asked time.Time, leeway time.Duration) time.Time {
	switch {
	case c.keepFor == 0, r.Active && r.Expiry.IsZero():
		return time.Time{}
	case !r.Active:
		return asked.Add(min(c.keepFor, mostInactive))
	}
	return earlier(asked.Add(c.keepFor), r.Expiry.Add(leeway))
}

// put keeps an answer in place of one to a question that was put before.
func (c *cache) put(key tokencache.Key, r Response, asked, fresh time.Time, leeway time.Duration) {
	for _, side := range []*tokencache.Cache{c.active, c.inactive} {
		if k, ok := side.Get(key).(*kept); ok && k.asked.After(asked) {
			return // that was asked later
		}
	}
	switch {
	case fresh.IsZero():
		c.active.Drop(key)
		c.inactive.Drop(key)
	case r.Active:
		c.inactive.Drop(key)
		stale := earlier(fresh.Add(c.grace), r.Expiry.Add(leeway))
		c.active.Put(key, &kept{r, asked, fresh, stale}, 500+2*len(r.Raw))
	default:
		c.active.Drop(key)
		c.inactive.Put(key, &kept{asked: asked, fresh: fresh}, 300)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
