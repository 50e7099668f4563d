package jwks

import (
	"context"
	"crypto"
	"slices"
	"sync/atomic"
)

// A View is a [Cache] as one issuer sees it among several that share the
// document; [Cache.For] makes it. It is safe for concurrent use, and ends with its
// Cache.
type View struct {
	cache   *Cache
	issuers []string
	narrow  atomic.Pointer[narrowed]
}

// A narrowed set is made once for each generation, not for each request.
type narrowed struct{ from, to *keySet }

// For returns the keys that one issuer may have signed with: those whose member
// "issuer" is one of the spellings given, and those without one. No RFC knows
// the member. The tenants of Entra ID share a document, in which it keeps the
// keys of one tenant from signing for another.
func (c *Cache) For(issuers ...string) *View {
	return &View{cache: c, issuers: slices.Clone(issuers)}
}

// Keys is [Cache.Keys] without the keys of other issuers.
func (v *View) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	keys, generation, err = v.cache.Keys(ctx, kid, alg)
	return v.own(question{kid, alg}, keys, generation, err)
}

// KeysAfter is [Cache.KeysAfter] without the keys of other issuers.
func (v *View) KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error) {
	keys, newer, err = v.cache.KeysAfter(ctx, kid, alg, generation)
	return v.own(question{kid, alg}, keys, newer, err)
}

// own takes an answer of the cache and leaves out the keys of other issuers.
func (v *View) own(q question, keys []crypto.PublicKey, generation uint64, err error) ([]crypto.PublicKey, uint64, error) {
	if len(keys) == 0 { // as beside every error
		return nil, generation, err
	}
	set := v.cache.usable.Load()
	if set == nil {
		return nil, 0, v.cache.unavailable(errRanOut, 0)
	}
	return v.of(set).held(q), set.generation, nil
}

// of returns what is left of a set.
func (v *View) of(set *keySet) *keySet {
	if n := v.narrow.Load(); n != nil && n.from == set {
		return n.to
	}
	left := newKeySet(slices.DeleteFunc(slices.Clone(set.entries), func(e entry) bool {
		return e.issuer != "" && !slices.Contains(v.issuers, e.issuer)
	}))
	v.narrow.Store(&narrowed{set, left})
	return left
}

// Warm is [Cache.Warm].
func (v *View) Warm(ctx context.Context) error { return v.cache.Warm(ctx) }

// Ready is [Cache.Ready].
func (v *View) Ready() error { return v.cache.Ready() }
