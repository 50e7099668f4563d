package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
)

const (
	// maxWaiting bounds the requests that wait for one fetch. More than that
	// are a flood, or too many to be kept for a server that does not answer.
	maxWaiting = 4096

	// savedTimeout is for a fetch that has keys from File to fall back to.
	savedTimeout = 2 * time.Second

	// waitAgain is what a request is told that gave up waiting, or was one too
	// many: the fetch is under way.
	waitAgain = time.Second
)

// A flight is one fetch and whoever waits for it. It belongs to none of them.
type flight struct {
	cause  question  // what it was started for; zero when for no kid in particular
	began  time.Time // before the issuer was asked anything
	urgent bool      // a request waits for what it brings, or keys are in doubt
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// miss answers what the usable set could not.
func (c *Cache) miss(ctx context.Context, q question) ([]crypto.PublicKey, uint64, error) {
	if !jose.Supported(q.alg) {
		return nil, 0, errNotForAlgorithm
	}
	return c.obtain(ctx, q)
}

// obtain waits for what q needs, if that may be fetched.
func (c *Cache) obtain(ctx context.Context, q question) ([]crypto.PublicKey, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: not asked for the key set: %w", err)
	}
	f, keys, generation, err := c.seek(q)
	if f == nil {
		return keys, generation, err
	}
	enough := time.NewTimer(c.config.WaitTimeout)
	defer enough.Stop()
	for first := true; ; first = false {
		if err := c.wait(ctx, f, enough.C); err != nil {
			return nil, 0, err
		}
		keys, generation, err = c.settle(f, q)
		// A fetch that was under way already may have been answered before the
		// key was published. The next one that q joins began after q came.
		if keys != nil || err != nil || f.cause == q || !first {
			return keys, generation, err
		}
		if f, keys, generation, err = c.seek(q); f == nil {
			return keys, generation, err
		}
	}
}

// seek finds the answer to q or the fetch to wait for. It is "not there" only
// if an answer says so to a fetch that began within the last cooldown. Every
// other question that may not be asked now has an error: the key may well have
// been published since the last answer.
func (c *Cache) seek(q question) (f *flight, keys []crypto.PublicKey, generation uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := c.usable.Load()                  // again: a fetch may have ended since Keys looked
	if len(q.kid) > maxKeyID && !c.closed { // keys with such a kid are left out of every set
		return nil, nil, generationOf(set, nil), nil
	}
	if set == nil {
		f, err = c.begin(q)
		return f, nil, 0, err
	}
	if keys, err := set.find(q); keys != nil || err != nil {
		return nil, keys, generationOf(set, err), err
	}
	if c.flight != nil {
		return c.flight, nil, 0, nil
	}
	// A server that wants to be left alone is, and that costs no budget.
	now := time.Now()
	if !now.Before(c.outage.notBefore) && c.budget.spend(q, now) {
		return c.start(q, true), nil, 0, nil
	}
	c.state.Misses++
	switch {
	case c.outage.cause != nil:
		return nil, nil, 0, c.outageError()
	case c.budget.isAbsent(q, now):
		return nil, nil, set.generation, nil
	}
	return nil, nil, 0, c.unavailable(errNotAsked, c.budget.wait(q, now))
}

var errNotAsked = errors.New("the token's key is not in the set held, and unknown keys have used up the fetches that MissCooldown allows")

// wait waits for the end of the fetch, of ctx, or of the time to wait.
func (c *Cache) wait(ctx context.Context, f *flight, enough <-chan time.Time) error {
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return c.unavailable(fmt.Errorf("%d requests wait for it already", maxWaiting), waitAgain)
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jwks: stopped waiting for the key set: %w", ctx.Err())
	case <-enough:
		return c.unavailable(c.slow(), waitAgain)
	}
}

func (c *Cache) slow() error {
	if c.source.looking.Load() {
		return fmt.Errorf("%w: no answer within %v, and the fetch goes on", discovery.ErrUnavailable, c.config.WaitTimeout)
	}
	return fmt.Errorf("no answer within %v, and the fetch goes on", c.config.WaitTimeout)
}

// settle answers q after the fetch that it waited for.
func (c *Cache) settle(f *flight, q question) ([]crypto.PublicKey, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := c.usable.Load()
	if set != nil {
		if keys, err := set.find(q); keys != nil || err != nil {
			return keys, generationOf(set, err), err
		}
	}
	c.state.Misses++
	switch {
	case f.err != nil:
		return nil, 0, f.err
	case set == nil:
		return nil, 0, c.unavailable(errRanOut, 0)
	}
	return nil, set.generation, nil
}

// demand returns the fetch to wait for when no keys are held, or says why there
// is none: nil when keys are held.
func (c *Cache) demand() (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.usable.Load() != nil {
		return nil, nil
	}
	return c.begin(question{})
}

// begin joins or starts the fetch that q needs when no keys are held, unless it
// is too soon after a failed one. c.mu is held.
func (c *Cache) begin(q question) (*flight, error) {
	switch {
	case c.closed:
		return nil, errClosed
	case c.flight != nil:
		return c.flight, nil
	case time.Now().Before(c.outage.notBefore):
		return nil, c.outageError()
	}
	return c.start(q, true), nil
}

// start starts the only fetch; an urgent one is past caches. c.mu is held, the
// cache is open and no fetch is under way.
func (c *Cache) start(q question, urgent bool) *flight {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{cause: q, began: time.Now(), urgent: urgent, cancel: cancel, done: make(chan struct{})}
	c.flight = f
	c.running.Go(func() { c.fly(ctx, f) })
	return f
}

// fly asks, lands, and tells. A panic of somebody else's code would end the
// program here, and a fetch that never ended would be the last. So nothing but
// the asking comes before the landing: a logger or a disk can hang.
func (c *Cache) fly(ctx context.Context, f *flight) {
	defer f.cancel()
	event := Fetch{Start: f.began}
	saved := c.recall()
	r, err := c.askSafely(ctx, f, saved)
	event.Duration, event.Err, event.Omitted = time.Since(event.Start), err, len(r.omitted)
	unpinged, complaint := c.source.unpinged(), c.source.complaint(r.omitted)
	report := c.land(f, r, saved, &event)
	c.safely(unpinged, saved.complaint(c.config), complaint, report)
	if event.Err == nil {
		c.keep()
	}
	// A firewall may have forgotten a connection that is kept until the next fetch,
	// and it leads to the same server again, which may be the one that is behind.
	c.source.client.Close()
	c.tell(event)
}

// safely calls what is not nil.
func (c *Cache) safely(calls ...func()) {
	defer func() { _ = recover() }() // a logger that panics has nobody to complain to
	for _, call := range calls {
		if call != nil {
			call()
		}
	}
}

func (c *Cache) askSafely(ctx context.Context, f *flight, saved *savedSet) (r reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = reply{}, fmt.Errorf("the fetch panicked: %s", panics.Describe(p))
		}
	}()
	limit := c.limit(saved)
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err = c.source.ask(bounded, f.urgent)
	if err != nil && bounded.Err() != nil {
		err = timedOut(err, limit)
	}
	return r, err
}

// limit is for a whole fetch. While nobody has a key, a connection that hangs
// must not be all that there is to wait for: then only every third attempt gets
// the time that a slow server needs.
func (c *Cache) limit(saved *savedSet) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch whole := c.config.FetchTimeout; {
	case saved.usable():
		return min(whole, savedTimeout)
	case c.usable.Load() == nil && c.outage.failures%3 != 2:
		return min(whole, c.config.WaitTimeout)
	default:
		return whole
	}
}

// timedOut hides the context error of the fetch: it must not be taken for that
// of a request which waited (the server was slow, not the caller).
func timedOut(err error, limit time.Duration) error {
	if errors.Is(err, discovery.ErrUnavailable) {
		return fmt.Errorf("%w: no answer within %v", discovery.ErrUnavailable, limit)
	}
	return fmt.Errorf("no answer within %v", limit)
}

// land takes the result of a fetch and sets the clocks. After Close nobody wants
// it any more.
func (c *Cache) land(f *flight, r reply, saved *savedSet, event *Fetch) (report func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		event.Err = errClosed
		return nil
	}
	c.state.Fetches++
	if event.Err == nil {
		report = c.succeeded(f, r, event)
	} else {
		c.state.Failures++
		if !errors.Is(event.Err, discovery.ErrMismatch) { // what the issuer says now is more than what it said once
			c.restore(saved)
		}
		report = c.failed(event.Err)
		f.err = c.outageError()
	}
	c.flight = nil
	close(f.done)
	return report
}

// succeeded puts the set in place. One that equals the last keeps it, and with
// it the generation. c.mu is held.
func (c *Cache) succeeded(f *flight, r reply, event *Fetch) (report func()) {
	now := time.Now()
	doubted := c.use(r.set, f.began, event)
	c.readAt = f.began
	c.state.FetchedAt, c.state.Restored = now, false
	ended := c.outage
	c.outage = outage{}
	c.renew(min(shorten(r.fresh, 0.1), c.lookAgain(doubted)))
	c.expire(c.config.UsableFor)
	c.budget.answered(c.last, f.began)
	// A request that joined the fetch may carry a kid that was published after the
	// server answered. Only the key that the fetch was for is known to be absent.
	if keys, err := c.last.find(f.cause); f.cause != (question{}) && keys == nil && err == nil {
		c.budget.inVain(f.cause, f.began)
	}
	if ended.cause == nil {
		return nil
	}
	return func() {
		c.config.Logger.Info("jwks: the key set is available again", "issuer", c.config.name(), "after", now.Sub(ended.since).Round(time.Millisecond))
	}
}

// use makes set the usable one, which a fetch brought that began then; nil, or
// one that equals the last, stands for the last. What it lacks of the keys held
// stays while that is in doubt; use returns those. c.mu is held.
func (c *Cache) use(set *keySet, began time.Time, event *Fetch) (doubted []entry) {
	switch {
	case set == nil:
		event.NotModified = true
		c.state.NotModified++
		set = c.last
	case c.last == nil:
		set.generation = 1
		event.Added = set.kids()
	default:
		doubted = c.doubtful(set, began)
		if doubted != nil {
			set = newKeySet(slices.Concat(set.entries, doubted))
		}
		set = c.follow(set)
		event.Added, event.Withdrawn = without(set, c.last), without(c.last, set)
	}
	// Tokens of a withdrawn key keep coming, and asking once more would only
	// tell what is known.
	for _, kid := range event.Withdrawn {
		c.budget.withdrawn(kid, began)
	}
	event.Generation = set.generation
	c.last = set
	c.usable.Store(set)
	return doubted
}

// follow gives set, which is new, the generation that it has after the last one.
// An equal set has the same, and the last stays if no key is or was in doubt. c.mu
// is held.
func (c *Cache) follow(set *keySet) *keySet {
	set.generation = c.last.generation
	switch {
	case set.identity != c.last.identity:
		set.generation++
	case !slices.ContainsFunc(slices.Concat(set.entries, c.last.entries), entry.isDoubted):
		return c.last
	}
	return set
}

// without returns the kids of a that b does not have.
func without(a, b *keySet) []string {
	return slices.DeleteFunc(a.kids(), b.has)
}

// failed sets when to ask again. c.mu is held.
func (c *Cache) failed(err error) (report func()) {
	holding := c.usable.Load() != nil
	first := c.outage.cause == nil
	delay := c.outage.add(err, holding)
	if holding {
		c.renew(delay)
	}
	if !first {
		return nil
	}
	return func() {
		c.config.Logger.Warn("jwks: the key set is unavailable", "issuer", c.config.name(), "error", err, "holding_keys", holding)
	}
}

// renew sets when to ask again unasked. c.mu is held.
func (c *Cache) renew(after time.Duration) {
	c.state.NextRefresh = time.Now().Add(after)
	c.arm(&c.refresh, after, func() (report func()) {
		if c.flight == nil {
			c.start(question{}, c.looks > 0) // past caches: they would repeat the answer that is in doubt
		}
		return nil
	})
}

// expire sets usable-until. From then on every request waits for a fetch, so
// that those begin by request, and soon. c.mu is held.
func (c *Cache) expire(after time.Duration) {
	c.state.UsableUntil = time.Now().Add(after)
	c.arm(&c.expiry, after, func() (report func()) {
		c.usable.Store(nil)
		c.disarm(&c.refresh)
		c.disarm(&c.doubt)
		if soon := time.Now().Add(mostRetryEmpty); c.outage.notBefore.After(soon) {
			c.outage.notBefore, c.outage.next = soon, soon
		}
		return func() {
			c.config.Logger.Error("jwks: the keys have run out, nobody can be let in", "issuer", c.config.name(), "usable_for", c.config.UsableFor)
		}
	})
}

// arm sets one of the timers, whatever it was set to before. f runs with
// c.mu held, and not at all if the timer has been set anew or the cache closed
// meanwhile; what it returns runs without. c.mu is held.
func (c *Cache) arm(slot **time.Timer, delay time.Duration, f func() (report func())) {
	c.disarm(slot)
	c.running.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		defer c.running.Done()
		var report func()
		c.mu.Lock()
		if *slot == timer {
			*slot = nil
			report = f()
		}
		c.mu.Unlock()
		c.safely(report)
	})
	*slot = timer
}

func (c *Cache) disarm(slot **time.Timer) {
	if *slot != nil && (*slot).Stop() {
		c.running.Done()
	}
	*slot = nil
}

// shorten takes a random part, at most share, off d, so that a fleet does not
// ask in step. It never lengthens: the bounds hold for every instance.
func shorten(d time.Duration, share float64) time.Duration {
	return d - time.Duration(rand.Float64()*share*float64(d))
}
