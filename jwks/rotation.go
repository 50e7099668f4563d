package jwks

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/accesstoken/accesstoken/internal/dryrun"
)

// KeysAfter looks for newer keys if a token's signature is wrong under the keys that
// [Cache.Keys] returned with this generation. Some issuers rotate without a new kid,
// because their only key has no kid, or all keys have the same kid. Only signatures that
// fail show such a rotation.
//
// If the set held has a different generation, KeysAfter returns its keys for kid and alg
// at once, with that generation. They can include keys that you have tried already.
// Otherwise, if the set was read longer ago than Config.MissCooldown, KeysAfter waits for
// a fetch as Keys does. It joins the running fetch, or starts one if
//   - no Retry-After of the server forbids it, and
//   - none of the fetches that MissCooldown allows is spent. One fetch is then left, so
//     forged signatures alone never delay an unknown kid.
//
// A forged token that keeps coming costs at most one fetch per MissCooldown.
//
// If KeysAfter returns no keys and no error, no newer keys are known, and the signature
// is still wrong. An error means one of these, and newer is then 0:
//   - the last fetch failed, and the set has expired or was read longer ago than
//     MissCooldown. The issuer may have rotated, so the token may be good. Until a fetch
//     succeeds, such calls return this error whether or not a fetch is due, and also for
//     forged tokens. The error has a method RetryAfter() time.Duration in its chain;
//   - a running fetch did not end within Config.WaitTimeout, or 4096 calls are waiting
//     already; the error has RetryAfter too;
//   - ctx ended, or the cache is closed.
//
// KeysAfter is safe for concurrent use.
func (c *Cache) KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error) {
	return c.keysAfter(ctx, question{kid, alg}, generation, nil)
}

// keysAfter is KeysAfter. only is what it is for foresee.
func (c *Cache) keysAfter(ctx context.Context, q question, generation uint64, only func(*keySet) *keySet) (keys []crypto.PublicKey, newer uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: did not look for newer keys: %w", err)
	}
	dry := dryrun.Is(ctx)
	f, err := c.suspect(generation, dry)
	switch {
	case err != nil:
		return nil, 0, err
	case f == &imagined:
		return c.foreseen(ctx, q, only)
	}
	if f != nil {
		enough := time.NewTimer(c.config.WaitTimeout)
		defer enough.Stop()
		if err := c.wait(ctx, f, enough.C); err != nil {
			return nil, 0, err
		}
	}
	set := c.usable.Load()
	switch {
	case set != nil && set.generation != generation:
		return set.held(q), set.generation, nil
	case f != nil:
		return nil, 0, f.err
	}
	return nil, 0, nil
}

// suspect returns the fetch to wait for after a signature failed under the keys of this
// generation, or nil if the set held has another generation or was just read. If there is
// no set, or no fetch is running or allowed, it returns the outage's error, which can be
// nil. After Close it returns an error. dry is what it is for seek.
func (c *Cache) suspect(generation uint64, dry bool) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set, now := c.usable.Load(), time.Now()
	switch {
	case c.closed:
		return nil, errClosed
	case set == nil:
		return nil, c.outageError()
	case set.generation != generation, now.Sub(c.readAt) < c.config.MissCooldown:
		return nil, nil
	case c.flight != nil:
		return c.flight, nil
	case now.Before(c.outage.notBefore), !c.budget.hasSurplus(now):
		return nil, c.outageError()
	case dry:
		return &imagined, nil
	case !c.budget.spendSurplus(now):
		return nil, c.outageError()
	}
	return c.start(question{}, true), nil
}
