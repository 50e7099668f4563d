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
)

// A Cache holds the key set of one issuer. It is made by [NewCache], safe for
// concurrent use, and to be closed.
type Cache struct {
	config Config
	name   string // Config.name, which takes a while

	// usable is what a request reads: nil before the first good answer, after
	// usable-until and after Close.
	usable atomic.Pointer[keySet]

	running sync.WaitGroup // fetches, and timers that are armed

	waiting atomic.Int64 // requests that wait for a fetch

	mu      sync.Mutex
	closed  bool
	flight  *flight   // the fetch under way, or nil
	last    *keySet   // the last good answer, kept beyond usable-until to recognize it
	readAt  time.Time // when the fetch began that brought the last good answer
	budget  missBudget
	outage  outage
	refresh *time.Timer // asks again
	expiry  *time.Timer // drops the keys
	doubt   *time.Timer // drops those that the last answer lacked
	looks   int         // answers since servers were first seen to differ; 0 once they agree
	state   State       // what State cannot see elsewhere

	keeper keeper
	hook   hook

	// Only the fetch under way touches these.
	source   *source
	recalled bool // the file has been looked at
}

var (
	errClosed = errors.New("jwks: the cache is closed")
	errRanOut = errors.New("its keys have just run out")
)

// NewCache checks the configuration and returns a cache that has asked nothing
// yet: the first request, or [Cache.Warm], does. All faults are reported at
// once, one per line.
func NewCache(config Config) (*Cache, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	return &Cache{config: config, name: config.name(), budget: newMissBudget(config.MissCooldown), source: newSource(config)}, nil
}

// String names the issuer or the document, without its query.
func (c *Cache) String() string { return "jwks.Cache(" + c.config.name() + ")" }

// Keys returns the public keys that may verify a token with this kid and alg,
// at most 4 and always in the same order: *[rsa.PublicKey], *[ecdsa.PublicKey]
// or [ed25519.PublicKey]. An empty kid stands for a token without one; every
// key that fits alg is then a candidate (RFC 7515 §4.1.4). The slice is shared
// and must not be changed.
//
// When no key that is published has a kid, the kid of a token is a hint without use,
// and every key that fits alg is a candidate as well.
//
// No keys and no error mean that the key is certain not to be there: a fetch that
// began after the call did not find it, or one that began within the last
// MissCooldown did not, and this very kid had been asked for or withdrawn before.
// Of a kid longer than 256 bytes they mean that no set can have it. An error means
// one of these:
//   - the key is there but not for this alg, or alg is not one that a key of a
//     fetched set may have: it says so;
//   - the question could not be asked: unknown kids have used up the fetches that
//     MissCooldown allows, the key set or the metadata is unavailable, the
//     metadata contradicts the configuration, or the cache is closed. If there is
//     a time to ask again, the error has a method RetryAfter() time.Duration in
//     its chain;
//   - ctx ended first: it matches the context's error. The fetch goes on for
//     the others who wait.
//
// generation counts the sets that differed; a set in another order is the same
// set. It is 0 with an error.
//
// When the key is held Keys does no I/O, no allocation and no locking. Else it
// waits for at most one fetch, and for at most Config.WaitTimeout; of more than
// 4096 who wait, the rest is told at once that the key set is unavailable.
func (c *Cache) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	if set := c.usable.Load(); set != nil {
		if keys := set.held(question{kid, alg}); keys != nil {
			return keys, set.generation, nil
		}
	}
	return c.miss(ctx, question{kid, alg})
}

// Keyfunc is a [jwt.Keyfunc]: it returns the key, or a [jwt.VerificationKeySet]
// of several, for the token's kid and alg, waiting for Config.WaitTimeout at
// most when they have to be fetched. The error matches [jwkset.ErrKeyNotFound]
// if the issuer was asked and has no such key: the token is bad. Otherwise see
// [Cache.Keys].
//
// Parsers should still list the algorithms they accept ([jwt.WithValidMethods]).
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

// Warm returns nil once usable keys are held, fetching them if none are, or
// why they could not be had. It makes one attempt at most, and waits until that
// ends or ctx does; too soon after a failed one it makes none and returns that
// failure.
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

// afterwards tells whether keys are held after a fetch. It may have failed, and
// File have helped out.
func (c *Cache) afterwards(f *flight) error {
	switch {
	case c.usable.Load() != nil:
		return nil
	case f.err != nil:
		return f.err
	}
	return c.unavailable(errRanOut, 0)
}

// Ready returns nil while usable keys are held, else why not. It does not
// wait, but counts as a request: when none are held and an attempt is due, it
// starts one, or an instance that gets no traffic before it is ready would
// never become so.
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
	return c.unavailable(errors.New("its first fetch has not ended"), waitAgain)
}

// closeTimeout is how long Close waits for somebody else's code.
const closeTimeout = 5 * time.Second

// Close ends the fetch under way and every timer, waits until they are gone,
// and drops the keys. Whoever waits gets an error, and so does every later
// call. Closing again is harmless. The error is nil unless an HTTP client that
// does not heed its context, a hook or a disk is still at it after 5 seconds.
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
		return fmt.Errorf("jwks: a fetch did not end within %v of Close: HTTPClient does not heed its context, or OnFetch or File's disk hangs", closeTimeout)
	}
}
