package jwks

import (
	"context"
	"crypto"
	"slices"
	"sync/atomic"

	"github.com/accesstoken/accesstoken/internal/dryrun"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// A View gives one issuer its keys from a [Cache] whose document several issuers share.
// Create one with [Cache.For]. It is safe for concurrent use, and returns errors once
// its Cache is closed.
type View struct {
	cache   *Cache
	issuers []string
	narrow  atomic.Pointer[narrowed]
}

// A narrowed set is kept until the Cache has a new set, so that requests do not compute
// it.
type narrowed struct{ from, to *keySet }

// For returns a view of the keys that one issuer can sign with: keys without a member
// "issuer", and keys whose "issuer" is one of the issuers given. No RFC defines the
// member. The tenants of Entra ID share a document, for example, and there the member
// keeps the keys of one tenant from signing for another.
func (c *Cache) For(issuers ...string) *View {
	return &View{cache: c, issuers: slices.Clone(issuers)}
}

// Keys is [Cache.Keys] without the keys of other issuers.
func (v *View) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	q := question{kid, alg}
	if dryrun.Is(ctx) && jose.Supported(alg) {
		keys, generation, err = v.cache.foresee(ctx, q, v.without)
	} else {
		keys, generation, err = v.cache.Keys(ctx, kid, alg)
	}
	return v.own(q, keys, generation, err)
}

// KeysAfter is [Cache.KeysAfter] without the keys of other issuers.
func (v *View) KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error) {
	keys, newer, err = v.cache.keysAfter(ctx, question{kid, alg}, generation, v.without)
	return v.own(question{kid, alg}, keys, newer, err)
}

// own answers q from the set held, without the keys of other issuers. If the cache found
// no keys, or found them in a set that is not held, own keeps its answer.
func (v *View) own(q question, keys []crypto.PublicKey, generation uint64, err error) ([]crypto.PublicKey, uint64, error) {
	if len(keys) == 0 || generation == 0 { // no keys if there is an error; no generation if the set is not held
		return keys, generation, err
	}
	set := v.cache.usable.Load()
	if set == nil {
		return nil, 0, v.cache.unavailable(errRanOut, 0)
	}
	return v.of(set).held(q), set.generation, nil
}

// of returns the set without the keys of other issuers.
func (v *View) of(set *keySet) *keySet {
	if n := v.narrow.Load(); n != nil && n.from == set {
		return n.to
	}
	left := v.without(set)
	v.narrow.Store(&narrowed{set, left})
	return left
}

// without returns a new set without the keys of other issuers.
func (v *View) without(set *keySet) *keySet {
	return newKeySet(slices.DeleteFunc(slices.Clone(set.entries), func(e entry) bool {
		return e.issuer != "" && !slices.Contains(v.issuers, e.issuer)
	}))
}

// Warm is [Cache.Warm].
func (v *View) Warm(ctx context.Context) error { return v.cache.Warm(ctx) }

// Ready is [Cache.Ready].
func (v *View) Ready() error { return v.cache.Ready() }
