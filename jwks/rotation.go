package jwks

import (
	"context"
	"crypto"
	"fmt"
	"time"
)

// KeysAfter is for a token whose signature is wrong under the keys that
// [Cache.Keys] returned with this generation. Some issuers rotate without a new
// kid: their only key has none, or each key has the same. Only signatures that
// fail show such a rotation.
//
// If the set held is newer than generation, KeysAfter returns its keys for kid and
// alg at once, as Keys does, with the generation of that set. Some of them may be
// those that were tried already. Otherwise it has the set fetched once and waits
// for that as Keys does, if
//   - the set was read longer ago than Config.MissCooldown, and
//   - the fetches that MissCooldown allows are all there. One of them is left to
//     unknown kids, which forged signatures therefore never hold up.
//
// A forged token that keeps coming costs one fetch for each MissCooldown at most.
//
// No keys and no error mean that nothing newer is known, and that the signature
// stays wrong. An error means one of these, and newer is then 0:
//   - the issuer is in an outage, which is that the last fetch failed, and the set was
//     read longer ago than MissCooldown or has run out. The issuer may have rotated, so nothing is
//     known of the signature, each time that KeysAfter is called and whether or not a
//     fetch is due. A forged token then has the same error, and not that its signature
//     is wrong. The error has a method RetryAfter() time.Duration in its chain;
//   - a fetch under way did not end within Config.WaitTimeout, which has RetryAfter too;
//   - ctx ended, or the cache is closed.
//
// KeysAfter is safe for concurrent use.
func (c *Cache) KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: not asked for the key set: %w", err)
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

// suspect returns the fetch to wait for because a signature failed under the keys
// of this generation, or nil if there is none. In an outage its error says that
// nothing can be known.
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
