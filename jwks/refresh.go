package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// fetchTimeout is for a whole fetch, discovery included.
const fetchTimeout = fetch.DefaultTimeout

// A flight is one fetch and whoever waits for it. It belongs to none of them.
type flight struct {
	cause  question // what it was started for; zero when for no kid in particular
	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// wait waits for the end of the fetch or of ctx, whichever is first.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("jwks: stopped waiting for the key set: %w", ctx.Err())
	}
}

// miss answers what the usable set could not.
func (c *Cache) miss(ctx context.Context, q question) ([]crypto.PublicKey, uint64, error) {
	if !jose.Supported(q.alg) {
		return nil, 0, errNotForAlgorithm
	}
	if len(q.kid) > maxKeyID { // keys with such a kid are left out of every set
		return nil, c.generation(), nil
	}
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: not asked for the key set: %w", err)
	}
	f, keys, generation, err := c.seek(q)
	if f == nil {
		return keys, generation, err
	}
	if err := f.wait(ctx); err != nil {
		return nil, 0, err
	}
	return c.settle(f, q)
}

// seek finds the answer to q or the fetch to wait for.
func (c *Cache) seek(q question) (f *flight, keys []crypto.PublicKey, generation uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := c.usable.Load() // again: a fetch may have ended since Keys looked
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
	if !time.Now().Before(c.outage.notBefore) && c.budget.spend(q) {
		return c.start(q), nil, 0, nil
	}
	return nil, nil, generationOf(set, c.outageError()), c.outageError()
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
	if f.err != nil {
		return nil, 0, f.err
	}
	if set == nil {
		return nil, 0, c.unavailable(errors.New("its keys have just run out"))
	}
	// Who joined a fetch under way may know of a newer key than the server did
	// when it answered; only the absence of what caused the fetch is certain.
	if f.cause == q {
		c.budget.inVain(q)
	}
	return nil, set.generation, nil
}

func (c *Cache) generation() uint64 {
	if set := c.usable.Load(); set != nil {
		return set.generation
	}
	return 0
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

// begin joins or starts the fetch that somebody without any keys needs, unless
// it is too soon after a failed one. c.mu is held.
func (c *Cache) begin(q question) (*flight, error) {
	switch {
	case c.closed:
		return nil, errClosed
	case c.flight != nil:
		return c.flight, nil
	case time.Now().Before(c.outage.notBefore):
		return nil, c.outageError()
	}
	return c.start(q), nil
}

// start starts the only fetch. c.mu is held, the cache is open and no fetch is
// under way.
func (c *Cache) start(q question) *flight {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	f := &flight{cause: q, cancel: cancel, done: make(chan struct{})}
	c.flight = f
	c.running.Go(func() { c.fly(ctx, f) })
	return f
}

// fly asks and lands, come what may: a panic would end the program here, and a
// fetch that never ended would be the last.
func (c *Cache) fly(ctx context.Context, f *flight) {
	var set *keySet
	fresh, err := time.Duration(0), errors.New("the fetch did not end")
	defer f.cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the fetch panicked: %v", p)
		}
		c.land(f, set, fresh, err)
	}()
	set, fresh, err = c.ask(ctx)
	if err != nil && ctx.Err() != nil {
		err = timedOut(err)
	}
}

// timedOut hides the context error of the fetch: it must not be taken for that
// of a request which waited (the server was slow, not the caller).
func timedOut(err error) error {
	if errors.Is(err, discovery.ErrUnavailable) {
		return fmt.Errorf("%w: no answer within %v", discovery.ErrUnavailable, fetchTimeout)
	}
	return fmt.Errorf("no answer within %v", fetchTimeout)
}

// ask fetches the key set. A jwks_uri that was discovered is kept, and looked
// up again when the server no longer knows it, or when the last look-up is older
// than half of RefreshAfter: every refresh notices a moved one, and a row of
// unknown kids does not ask for the metadata each time.
func (c *Cache) ask(ctx context.Context) (*keySet, time.Duration, error) {
	if c.config.URL != "" {
		return c.read(ctx)
	}
	before := c.discoveredAt
	if c.jwksURI == "" || time.Since(before) > c.config.RefreshAfter/2 {
		if err := c.discover(ctx); err != nil {
			return nil, 0, err
		}
	}
	set, fresh, err := c.read(ctx)
	if isGone(err) && c.discoveredAt.Equal(before) {
		c.jwksURI = ""
		if err := c.discover(ctx); err != nil {
			return nil, 0, err
		}
		return c.read(ctx)
	}
	return set, fresh, err
}

// discover looks the jwks_uri up. When the metadata is unavailable the kept one
// serves on: the keys may well be there. It gets half of the time for that, or a
// slow metadata server would leave none for the keys.
func (c *Cache) discover(ctx context.Context) error {
	if c.jwksURI != "" {
		bounded, cancel := context.WithTimeout(ctx, fetchTimeout/2)
		defer cancel()
		ctx = bounded
	}
	metadata, err := discovery.Read(ctx, c.client, c.config.source())
	switch {
	case err == nil && metadata.JWKSURI == "":
		return fmt.Errorf("%w: it names no jwks_uri", discovery.ErrMismatch)
	case err == nil:
		c.jwksURI, c.discoveredAt = metadata.JWKSURI, time.Now()
	case errors.Is(err, discovery.ErrMismatch) || c.jwksURI == "":
		return err
	}
	return nil
}

func isGone(err error) bool {
	status := (*fetch.StatusError)(nil)
	return errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusGone)
}

const maxDocument = 1 << 20

func (c *Cache) read(ctx context.Context) (*keySet, time.Duration, error) {
	request := fetch.Request{
		URL:      c.jwksURI,
		Header:   http.Header{"Accept": {"application/jwk-set+json, application/json"}}, // RFC 7517 §8.5
		MaxBytes: maxDocument,
	}
	response, err := c.client.Do(ctx, request)
	switch {
	case response.Status != 0 && response.Status != http.StatusOK:
		return nil, 0, request.StatusError(response)
	case err != nil:
		return nil, 0, err
	}
	set, left, err := readSet(response.Body)
	c.complain(left)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", fetch.Redact(c.jwksURI), err)
	}
	return set, freshness(response.Header, time.Now(), c.config), nil
}

// complain warns about keys that are left out, once per content. Only the
// fetch under way touches c.complained.
func (c *Cache) complain(left []omission) {
	var text []string
	for _, o := range left {
		if !o.expected() {
			text = append(text, o.String())
		}
	}
	const most = 64 // documents remembered; beyond that somebody plays games
	report := strings.Join(text, "; ")
	if report == "" || c.complained[report] || len(c.complained) == most {
		return
	}
	c.complained[report] = true
	c.config.Logger.Warn("jwks: keys of the key set are left out", "issuer", c.config.name(), "keys", report)
}

// land takes the result of a fetch and sets the clocks.
func (c *Cache) land(f *flight, set *keySet, fresh time.Duration, err error) {
	c.mu.Lock()
	c.flight = nil
	var report func()
	switch {
	case c.closed:
		f.err = errClosed
	case err != nil:
		report = c.failed(err)
		f.err = c.outageError()
	default:
		report = c.succeeded(set, fresh)
	}
	close(f.done)
	c.mu.Unlock()
	if report != nil {
		report()
	}
}

// succeeded puts the set in place. One that equals the last keeps it, and with
// it the generation. c.mu is held.
func (c *Cache) succeeded(set *keySet, fresh time.Duration) (report func()) {
	switch {
	case c.last == nil:
		set.generation = 1
	case c.last.identity == set.identity:
		set = c.last
	default:
		set.generation = c.last.generation + 1
		c.forget(c.last, set)
	}
	c.last = set
	c.usable.Store(set)
	ended := c.outage
	c.outage = outage{}
	c.arm(&c.refresh, shorten(fresh, 0.1), c.refreshNow)
	c.arm(&c.expiry, c.config.UsableFor, c.dropNow)
	if ended.cause == nil {
		return nil
	}
	return func() {
		c.config.Logger.Info("jwks: the key set is available again", "issuer", c.config.name(), "after", time.Since(ended.since).Round(time.Millisecond))
	}
}

// forget notes the kids that a new set no longer has: tokens of a withdrawn key
// keep coming, and asking once more would only tell what is known. c.mu is held.
func (c *Cache) forget(before, now *keySet) {
	for kid := range before.kids {
		if _, kept := now.kids[kid]; !kept {
			c.budget.inVain(question{kid: kid})
		}
	}
}

// failed sets when to ask again. c.mu is held.
func (c *Cache) failed(err error) (report func()) {
	holding := c.usable.Load() != nil
	first := c.outage.cause == nil
	delay := c.outage.add(err, holding)
	if holding {
		c.arm(&c.refresh, delay, c.refreshNow)
	}
	if !first {
		return nil
	}
	return func() {
		c.config.Logger.Warn("jwks: the key set is unavailable", "issuer", c.config.name(), "error", err, "holding_keys", holding)
	}
}

// refreshNow runs when the refresh timer fires. c.mu is held.
func (c *Cache) refreshNow() {
	if c.flight == nil {
		c.start(question{})
	}
}

// dropNow runs at usable-until. c.mu is held.
func (c *Cache) dropNow() { c.usable.Store(nil) }

// arm sets one of the two timers, whatever it was set to before. f runs with
// c.mu held, and not at all if the timer has been set anew or the cache closed
// meanwhile. c.mu is held.
func (c *Cache) arm(slot **time.Timer, delay time.Duration, f func()) {
	c.disarm(slot)
	c.running.Add(1)
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		defer c.running.Done()
		c.mu.Lock()
		defer c.mu.Unlock()
		if *slot == timer {
			*slot = nil
			f()
		}
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
