package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/meter"
)

// A Cache holds the key set of one issuer. Create one with [NewCache], and Close it
// when done. It is safe for concurrent use.
type Cache struct {
	config Config
	name   string // Config.name, computed once because it parses a URL

	// usable is the set that requests read. It is nil before the first set, after
	// usable-until and after Close.
	usable atomic.Pointer[keySet]

	running sync.WaitGroup // fetches, reads of File, and armed timers

	waiting atomic.Int64 // requests waiting for a fetch

	mu      sync.Mutex
	closed  bool
	flight  *flight   // the running fetch, or nil
	last    *keySet   // the last set that was usable, kept after usable-until to compare with the next
	readAt  time.Time // when the fetch of the last good answer began
	budget  missBudget
	outage  outage
	refresh *time.Timer // starts the next fetch
	expiry  *time.Timer // drops the keys
	doubt   *time.Timer // drops the keys in doubt
	looks   int         // decides pause while keys are in doubt or servers disagree; otherwise 0
	state   State       // the fields that State does not take from elsewhere

	suppressed uint64 // lookups that the budget kept from causing a fetch
	took       meter.Durations

	saver saver
	hook  hook

	// Only the running fetch uses these; for exceptions see source.
	source   *source
	recalled bool // File has been read, or given up on
}

var (
	errClosed = errors.New("jwks: the cache is closed")
	errRanOut = errors.New("the last keys have just expired")
)

// NewCache checks the configuration and returns a cache that has fetched nothing yet: the
// first request, [Cache.Warm] or [Cache.Ready] starts the first fetch. All faults are
// reported at once, one per line.
func NewCache(config Config) (*Cache, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	return &Cache{config: config, name: config.name(), budget: newMissBudget(config.MissCooldown), source: newSource(config)}, nil
}

// String names the issuer, or else the URL of the key set, without its query.
func (c *Cache) String() string { return "jwks.Cache(" + c.config.name() + ")" }

// Keys returns the public keys that may verify a token with this kid and alg, at most
// 4 and always in the same order: *[rsa.PublicKey], *[ecdsa.PublicKey],
// [ed25519.PublicKey] or, in a program built with Go 1.27 or later, *mldsa.PublicKey. If
// the token has no kid, pass an empty kid; every key that fits alg is then a candidate
// (RFC 7515 §4.1.4). The slice is shared and must not be changed.
//
// If no published key has a kid, the token's kid is ignored, and every key that fits
// alg is a candidate as well.
//
// If Keys returns no keys and no error, the token's key is certain to be missing, for
// one of these reasons:
//   - a fetch that began after the call, or for an earlier call with this kid and alg, did
//     not find it;
//   - a fetch that began within the last MissCooldown did not find it, and this very
//     kid was looked up or withdrawn before;
//   - kid is longer than 256 bytes, and no set has so long a kid.
//
// An error means one of these:
//   - the key is held but not for this alg, or no key of a fetched set can have
//     this alg; the error says so;
//   - Keys could not find out: unknown kids have used up the fetches that
//     MissCooldown allows, the key set or the metadata is unavailable, the
//     metadata contradicts the configuration, or the cache is closed. If it can
//     help to try again later, the error has a method RetryAfter() time.Duration in
//     its chain;
//   - ctx ended first: the error matches the context's error. The fetch goes on for
//     the other callers.
//
// generation grows by one whenever the keys held become different keys, whatever their
// order. If there is an error, generation is 0.
//
// If the key is held, Keys does no I/O, no allocation and no locking. Otherwise it waits
// for at most Config.WaitTimeout. If it has to wait and 4096 calls are waiting already, it
// returns an error at once.
func (c *Cache) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	if set := c.usable.Load(); set != nil {
		if keys := set.held(question{kid, alg}); keys != nil {
			return keys, set.generation, nil
		}
	}
	return c.miss(ctx, question{kid, alg})
}

// Keyfunc is a [jwt.Keyfunc]: it returns the key for the token's kid and alg, or a
// [jwt.VerificationKeySet] if there are several. If the keys have to be fetched,
// Keyfunc waits for at most Config.WaitTimeout. The error matches
// [jwkset.ErrKeyNotFound] if the issuer is certain to have no such key, so that the
// token is bad. For other errors see [Cache.Keys].
//
// Your parser should still list the algorithms that it accepts, for example with
// jwt.WithValidMethods([]string{"ES256"}).
func (c *Cache) Keyfunc(token *jwt.Token) (any, error) {
	kid, ok := "", true
	if value, present := token.Header["kid"]; present {
		kid, ok = value.(string)
	}
	if !ok || token.Method == nil { // RFC 7515 §4.1.4
		return nil, errors.New("jwks: the token's kid is not a string, or its alg is not known")
	}
	keys, _, err := c.Keys(context.Background(), kid, token.Method.Alg())
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, fmt.Errorf("jwks: %s has no key for this token: %w", c.config.name(), jwkset.ErrKeyNotFound)
	case len(keys) == 1:
		return keys[0], nil
	}
	set := jwt.VerificationKeySet{Keys: make([]jwt.VerificationKey, len(keys))}
	for i, key := range keys {
		set.Keys[i] = key
	}
	return set, nil
}

// Warm returns nil once usable keys are held. If no keys are held, it starts a fetch, or
// joins the running one, and waits until the fetch or ctx ends. If there are no keys then,
// Warm returns the reason. If it is too soon after a failed fetch, Warm starts no new one
// and returns the failure of the old one.
func (c *Cache) Warm(ctx context.Context) error {
	f, err := c.demand()
	if f == nil {
		return err
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("jwks: stopped waiting for the key set: %w", ctx.Err())
	case <-f.done:
	}
	return c.afterwards(f)
}

// afterwards returns nil if keys are held after f, which is possible even if f failed,
// because File may have held keys. Otherwise it returns an error.
func (c *Cache) afterwards(f *flight) error {
	switch {
	case c.usable.Load() != nil:
		return nil
	case f.err != nil:
		return f.err
	}
	return c.unavailable(errRanOut, 0)
}

// Ready returns nil while usable keys are held, and otherwise an error with the
// reason. It does not wait. If no keys are held and an attempt to fetch them is due,
// Ready starts the attempt, because an instance that gets no traffic before it is
// ready would otherwise never become ready.
func (c *Cache) Ready() error {
	f, err := c.demand()
	if f == nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outage.cause != nil {
		return c.outageError()
	}
	return c.unavailable(errors.New("the first fetch is still running"), waitAgain)
}

// closeTimeout limits how long Close waits for code that is not ours.
const closeTimeout = 5 * time.Second

// Close drops the keys, ends the running fetch and every timer, and waits for them for at
// most 5 seconds. Calls that wait for keys, or that need them later, return an error.
// Closing again is harmless. Close returns an error if an HTTP client that ignores its
// context, a Logger, a hook or a disk access is still running then.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.usable.Store(nil)
	c.disarm(&c.refresh)
	c.disarm(&c.expiry)
	c.disarm(&c.doubt)
	if f := c.flight; f != nil {
		f.cancel()
		f.err = errClosed
		close(f.done)
		c.flight = nil
	}
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		c.running.Wait()
		close(ended)
	}()
	late := time.NewTimer(closeTimeout)
	defer late.Stop()
	select {
	case <-ended:
		c.source.client.Close()
		return nil
	case <-late.C:
		return fmt.Errorf("jwks: a fetch is still running %v after Close; check whether HTTPClient ignores its context, or OnFetch or the disk of File hangs", closeTimeout)
	}
}
