package jwks

import (
	"context"
	"crypto"
	"fmt"
	"time"
)

// If a decision is only explained (internal/dryrun), the cache answers as it would answer a
// request now. But it starts no fetch that others could see, and spends no budget.

// imagined stands for the fetch that a request would cause.
var imagined flight

// foresee answers q as obtain would now. If only is not nil, it takes the keys of other issuers
// out of a set that was fetched for this answer.
func (c *Cache) foresee(ctx context.Context, q question, only func(*keySet) *keySet) ([]crypto.PublicKey, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, fmt.Errorf("jwks: did not look for the key: %w", err)
	}
	f, keys, generation, err := c.seek(q, true)
	switch {
	case f == nil:
		return keys, generation, err
	case f == &imagined:
		return c.foreseen(ctx, q, only)
	}
	enough := time.NewTimer(c.config.WaitTimeout)
	defer enough.Stop()
	if err := c.wait(ctx, f, enough.C); err != nil {
		return nil, 0, err
	}
	f, keys, generation, err = c.seek(q, true)
	if f != nil { // the key was not in the answer
		return c.foreseen(ctx, q, only)
	}
	return keys, generation, err
}

// foreseen answers q from an answer of the issuer that nothing else will use. There is no
// generation, because the set is never held.
func (c *Cache) foreseen(ctx context.Context, q question, only func(*keySet) *keySet) ([]crypto.PublicKey, uint64, error) {
	s := newSource(c.config)
	defer s.client.Close()
	bounded, cancel := context.WithTimeout(ctx, c.config.WaitTimeout)
	defer cancel()
	r, err := s.ask(bounded, true)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, 0, fmt.Errorf("jwks: stopped waiting for the key set: %w", ctx.Err())
	case err != nil && bounded.Err() != nil:
		return nil, 0, c.unavailable(timedOut(err, c.config.WaitTimeout), waitAgain)
	case err != nil:
		return nil, 0, c.unavailable(err, 0)
	}
	set := r.set
	if only != nil {
		set = only(set)
	}
	keys, err := set.find(q)
	return keys, 0, err
}
