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
	"github.com/accesstoken/accesstoken/internal/dryrun"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
)

const (
	// maxWaiting limits the requests that wait for fetches of one Cache. If there are
	// more, they are a flood, or too many to keep for a server that does not answer.
	maxWaiting = 4096

	// savedTimeout limits a fetch that can fall back to keys from File.
	savedTimeout = 2 * time.Second

	// waitAgain is the RetryAfter if WaitTimeout passed, if maxWaiting requests were
	// waiting, or if Ready finds a fetch running and no outage. It is short, because the
	// fetch is running.
	waitAgain = time.Second
)

// A flight is one fetch, shared by all requests that wait for it. None of these requests
// can end the fetch.
type flight struct {
	cause  question  // the question that started it; zero if none did
	began  time.Time // before the first request to the issuer
	urgent bool      // bypasses HTTP caches: see source.read
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// miss answers q if the usable set has no keys for it.
func (c *Cache) miss(ctx context.Context, q question) ([]crypto.PublicKey, uint64, error) {
	if !jose.Supported(q.alg) {
		return nil, 0, errNotForAlgorithm
	}
	if dryrun.Is(ctx) {
		return c.foresee(ctx, q, nil)
	}
	return c.obtain(ctx, q)
}

// obtain answers q after waiting for a fetch, if q may cause a fetch or join a running
// one, and otherwise at once. It waits for two fetches at most.
func (c *Cache) obtain(ctx context.Context, q question) ([]crypto.PublicKey, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: did not look for the key: %w", err)
	}
	f, keys, generation, err := c.seek(q, false)
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
		// If the fetch was running already, it may have been answered before the key
		// was published. The next fetch that q joins will have begun after q came.
		if keys != nil || err != nil || f.cause == q || !first {
			return keys, generation, err
		}
		if f, keys, generation, err = c.seek(q, false); f == nil {
			return keys, generation, err
		}
	}
}

// seek returns the answer to q, or the fetch to wait for. It reports the key as missing
// only if its kid is too long, or if a fetch that began within the last cooldown did not
// find it. Otherwise, if q may not cause a fetch now, it returns an error, because the key
// may have been published since the last answer. If dry is true, no fetch is started and no
// budget spent: f is then the running fetch, or &imagined in place of the one that q causes.
func (c *Cache) seek(q question, dry bool) (f *flight, keys []crypto.PublicKey, generation uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := c.usable.Load()                  // loaded again, because a fetch may have ended since Keys loaded it
	if len(q.kid) > maxKeyID && !c.closed { // no set has keys with so long a kid
		return nil, nil, generationOf(set, nil), nil
	}
	if set == nil {
		f, err = c.begin(q, dry)
		return f, nil, 0, err
	}
	if keys, err := set.find(q); keys != nil || err != nil {
		return nil, keys, generationOf(set, err), err
	}
	if c.flight != nil {
		return c.flight, nil, 0, nil
	}
	// During a Retry-After nothing is fetched, and no budget is spent.
	now := time.Now()
	switch {
	case !now.Before(c.outage.notBefore) && dry && c.budget.allows(q, now):
		return &imagined, nil, 0, nil
	case !now.Before(c.outage.notBefore) && !dry && c.budget.spend(q, now):
		return c.start(q, true), nil, 0, nil
	case !dry:
		c.state.Misses++
	}
	switch {
	case c.outage.cause != nil:
		return nil, nil, 0, c.outageError()
	case c.budget.isAbsent(q, now):
		return nil, nil, set.generation, nil
	}
	return nil, nil, 0, c.unavailable(errNotAsked, c.budget.wait(q, now))
}

var errNotAsked = errors.New("the token's key is not in the key set held, and unknown keys have used up the fetches that MissCooldown allows")

// wait returns nil once the fetch has ended, even if the fetch failed. If ctx ends or
// enough fires first, or if maxWaiting requests are already waiting, wait returns an
// error.
func (c *Cache) wait(ctx context.Context, f *flight, enough <-chan time.Time) error {
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > maxWaiting {
		return c.unavailable(fmt.Errorf("%d requests are already waiting for a fetch", maxWaiting), waitAgain)
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
		return fmt.Errorf("%w: no answer within %v; the fetch is still running", discovery.ErrUnavailable, c.config.WaitTimeout)
	}
	return fmt.Errorf("no answer within %v; the fetch is still running", c.config.WaitTimeout)
}

// settle answers q after the fetch f that it waited for has ended.
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

// demand returns the fetch to wait for, or an error, if no keys are held: see begin. If
// keys are held, it returns nil and no error.
func (c *Cache) demand() (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.usable.Load() != nil {
		return nil, nil
	}
	return c.begin(question{}, false)
}

// begin returns the fetch for q if no keys are held: the running one, or a new one. If it
// is too soon for a new one after a failed fetch, or the cache is closed, it returns an
// error. If dry is true, it starts none, and returns &imagined in its place. c.mu is held.
func (c *Cache) begin(q question, dry bool) (*flight, error) {
	switch {
	case c.closed:
		return nil, errClosed
	case c.flight != nil:
		return c.flight, nil
	case time.Now().Before(c.outage.notBefore):
		return nil, c.outageError()
	case dry:
		return &imagined, nil
	}
	return c.start(q, true), nil
}

// start starts a fetch. If urgent is true, the fetch bypasses HTTP caches. c.mu must be
// held, the cache open, and no fetch running.
func (c *Cache) start(q question, urgent bool) *flight {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{cause: q, began: time.Now(), urgent: urgent, cancel: cancel, done: make(chan struct{})}
	c.flight = f
	c.running.Go(func() { c.run(ctx, f) })
	return f
}

// run runs one fetch: ask the issuer, store the result, then report. Panics of the HTTP
// client, Logger and OnFetch are recovered, because a panic in this goroutine would crash
// the program. A fetch that never finishes would block all later ones, so loggers, hooks
// and disk writes, which can hang, come after finish.
func (c *Cache) run(ctx context.Context, f *flight) {
	defer f.cancel()
	event := Fetch{Start: f.began}
	saved := c.recall()
	r, err := c.askSafely(ctx, f, saved)
	event.Duration, event.Err, event.Omitted = time.Since(event.Start), err, len(r.omitted)
	unpinged, complaint := c.source.unpinged(), c.source.complaint(r.omitted)
	report := c.finish(f, r, saved, &event)
	c.safely(unpinged, saved.complaint(c.config), complaint, report)
	if event.Err == nil {
		c.save()
	}
	// If a connection were kept until the next fetch, a firewall might drop it by then.
	// The connection would also lead to the same server again, and that server may be
	// out of date.
	c.source.client.Close()
	c.callHook(event)
}

// safely calls each function that is not nil, until one panics. It recovers the panic.
func (c *Cache) safely(calls ...func()) {
	defer func() { _ = recover() }() // if a logger panics, that cannot be logged
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

// limit returns the timeout of a whole fetch: savedTimeout if the keys of File can be
// used. Otherwise, while no keys are held, the first two of every three attempts in a row
// are cut off after WaitTimeout, so that one hanging connection does not hold up every
// request. The third gets the full FetchTimeout, for a slow server.
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

// timedOut replaces the error of a fetch whose context ended. Otherwise a waiting request
// could mistake a context error for the error of its own context, although the server was
// slow.
func timedOut(err error, limit time.Duration) error {
	if errors.Is(err, discovery.ErrUnavailable) {
		return fmt.Errorf("%w: no answer within %v", discovery.ErrUnavailable, limit)
	}
	return fmt.Errorf("no answer within %v", limit)
}

// finish stores the result of a fetch, sets the clocks and wakes the waiting requests.
// If the cache is closed, the result is dropped.
func (c *Cache) finish(f *flight, r reply, saved *savedSet, event *Fetch) (report func()) {
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
		if !errors.Is(event.Err, discovery.ErrMismatch) { // after a mismatch, saved keys are not trusted
			c.restore(saved)
		}
		report = c.failed(event.Err)
		f.err = c.outageError()
	}
	c.flight = nil
	close(f.done)
	return report
}

// succeeded stores the set of r and sets the clocks. If an outage ends, report logs it;
// otherwise report is nil. c.mu is held.
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
	// server answered. Only the kid that started the fetch is known to be absent.
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

// use makes set usable, or the last set if set is nil. began is when the fetch of set
// began. Held keys that set lacks stay while they are in doubt, and use returns them. use
// also fills in event. c.mu is held.
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
	// Tokens of a withdrawn key keep coming, and another fetch for them would bring
	// nothing new.
	for _, kid := range event.Withdrawn {
		c.budget.withdrawn(kid, began)
	}
	event.Generation = set.generation
	c.last = set
	c.usable.Store(set)
	return doubted
}

// follow sets the generation of a new set: the generation of the last set if both have
// the same keys, and otherwise the next generation. It returns set, or the last set if
// the keys are the same and none is or was in doubt. c.mu is held.
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

// without returns the kids of a that b lacks.
func without(a, b *keySet) []string {
	return slices.DeleteFunc(a.kids(), b.has)
}

// failed notes a failed fetch and, if keys are held, schedules the next. c.mu is held.
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

// renew schedules a fetch in the background. If another is running by then, none is
// started. c.mu is held.
func (c *Cache) renew(after time.Duration) {
	c.state.NextRefresh = time.Now().Add(after)
	c.arm(&c.refresh, after, func() (report func()) {
		if c.flight == nil {
			c.start(question{}, c.looks > 0) // while keys are in doubt or servers disagree, bypass caches, which would repeat the last answer
		}
		return nil
	})
}

// expire sets usable-until. At that time the keys are dropped, and so is the scheduled
// fetch, because requests then start the fetches. What is left of the outage's pause is
// cut to mostRetryEmpty. c.mu is held.
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
			c.config.Logger.Error("jwks: the last keys have expired; every token of this issuer is refused until a fetch succeeds", "issuer", c.config.name(), "usable_for", c.config.UsableFor)
		}
	})
}

// arm sets one of the timers and cancels its previous setting. f runs with c.mu held; the
// function that f returns runs without c.mu. If the timer is set again or disarmed first,
// f does not run. c.mu is held.
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

// shorten subtracts a random part of d, from 0 to d*share, so that a fleet does not
// fetch in step. The result is never longer than d, so no instance fetches later than
// the documented maximum.
func shorten(d time.Duration, share float64) time.Duration {
	return d - time.Duration(rand.Float64()*share*float64(d))
}
