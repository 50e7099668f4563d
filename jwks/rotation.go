package jwks

import (
	"context"
	"crypto"
	"fmt"
	"time"
)

// KeysAfter looks for newer keys if a token's signature is wrong under the keys that
// [Cache.Keys] returned with this generation. Some issuers rotate without a new kid,
// because their only key has no kid, or all keys have the same kid. Only signatures that
// fail show such a rotation.
//
// If the set held is newer than generation, KeysAfter returns its keys for kid and alg at
// once, as Keys does, with the generation of that set. They can include keys that you have
// tried already. Otherwise it fetches the set once and waits for the fetch as Keys does,
// if
//   - the set was read longer ago than Config.MissCooldown, and
//   - none of the fetches that MissCooldown allows is spent. One fetch is then left for
//     unknown kids, so forged signatures never delay an unknown kid.
//
// A forged token that keeps coming costs at most one fetch per MissCooldown.
//
// If KeysAfter returns no keys and no error, no newer keys are known, and the signature
// is still wrong. An error means one of these, and newer is then 0:
//   - the last fetch failed, and the set has expired or was read longer ago than
//     MissCooldown. The issuer may have rotated, so the token may be good. Every call
//     returns this error while the outage lasts, whether or not a fetch is due, and also
//     for forged tokens. The error has a method RetryAfter() time.Duration in its chain;
//   - a running fetch did not end within Config.WaitTimeout; the error has RetryAfter too;
//   - ctx ended, or the cache is closed.
//
// KeysAfter is safe for concurrent use.
func (c *Cache) KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: did not look for newer keys: %w", err)
	}
	f, err := c.suspect(generation)
	if err != nil {
		return nil, 0, err
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
		return set.held(question{kid, alg}), set.generation, nil
	case f != nil:
		return nil, 0, f.err
	}
	return nil, 0, nil
}

// suspect returns the fetch to wait for after a signature failed under the keys of this
// generation, or nil if no fetch is running or allowed. During an outage it returns an
// error, because the issuer may have rotated.
func (c *Cache) suspect(generation uint64) (*flight, error) {
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
	case now.Before(c.outage.notBefore), !c.budget.spendSurplus(now):
		return nil, c.outageError()
	}
	return c.start(question{}, true), nil
}
