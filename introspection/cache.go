package introspection

import (
	"time"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

const (
	activeBytes   = 32 << 20
	inactiveBytes = 4 << 20 // separate, so that a flood of invented tokens evicts no active tokens

	// mostInactive is the longest time for which an inactive answer is reused. It is
	// short because some servers do not know a token until a moment after issuing it.
	mostInactive = 5 * time.Second
)

// A cache keeps answers by the digest of their token. It does not keep errors, nor active
// answers without an exp.
type cache struct {
	active, inactive *tokencache.Cache
	keepFor          time.Duration // CacheFor; zero: nothing is kept
	grace            time.Duration // DangerouslyServeStaleFor
}

type kept struct {
	response Response
	asked    time.Time // when the endpoint was asked
	fresh    time.Time // reused until then
	stale    time.Time // reused until then if the endpoint cannot be reached
}

func newCache(config Config) *cache {
	return &cache{
		active:   tokencache.New(activeBytes),
		inactive: tokencache.New(inactiveBytes),
		keepFor:  config.CacheFor,
		grace:    config.DangerouslyServeStaleFor,
	}
}

// get returns an answer that can be reused without a call.
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

// getStale returns an active answer that can be reused if the endpoint cannot be reached.
func (c *cache) getStale(key tokencache.Key, now time.Time, leeway time.Duration) (Response, bool) {
	k, ok := c.active.Get(key).(*kept)
	if !ok || c.grace == 0 || !now.Before(k.stale) || !now.Before(k.response.Expiry.Add(leeway)) {
		return Response{}, false
	}
	return k.response, true
}

// until returns the time up to which an answer can be reused: asked plus CacheFor, but not
// beyond exp plus leeway. An inactive answer can be reused for mostInactive at most. The
// zero time means that the answer must not be reused.
func (c *cache) until(r Response, asked time.Time, leeway time.Duration) time.Time {
	switch {
	case c.keepFor == 0, r.Active && r.Expiry.IsZero():
		return time.Time{}
	case !r.Active:
		return asked.Add(min(c.keepFor, mostInactive))
	}
	return earlier(asked.Add(c.keepFor), r.Expiry.Add(leeway))
}

// put replaces the cached answer, unless the cached answer is from a call that began
// later; then put changes nothing. If fresh is zero, put removes the cached answer and
// stores none.
func (c *cache) put(key tokencache.Key, r Response, asked, fresh time.Time, leeway time.Duration) {
	for _, side := range []*tokencache.Cache{c.active, c.inactive} {
		if k, ok := side.Get(key).(*kept); ok && k.asked.After(asked) {
			return // from a later call
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
