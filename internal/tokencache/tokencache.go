// Package tokencache is a bounded store of verified facts, by a digest of
// the token that proved them. It holds no token, and knows nothing of time or
// policy: whoever takes a fact out checks it again.
package tokencache

import "github.com/maypok86/otter/v2"

// A Cache is safe for concurrent use and owns no goroutine.
type Cache struct {
	entries store
	digest  digest
}

// A store is what is used of otter. The interface, and an entry that is not
// generic, keep its instantiation in this package: otherwise every package that
// imports the validator compiles it once more, which takes seconds each.
type store interface {
	GetIfPresent(Key) (entry, bool)
	Set(Key, entry) (entry, bool)
	Invalidate(Key) (entry, bool)
	InvalidateAll()
}

type entry struct {
	value any
	bytes uint32
}

// New returns a cache that holds at most maxBytes, by the sizes given to Put.
func New(maxBytes uint64) *Cache {
	return &Cache{digest: digest{newGMAC()}, entries: otter.Must(&otter.Options[Key, entry]{
		MaximumWeight: maxBytes,
		Weigher:       func(_ Key, e entry) uint32 { return e.bytes },
		Executor:      func(maintain func()) { maintain() }, // on the caller's goroutine
	})}
}

// KeyOf returns the key of a token. It allocates nothing.
func (c *Cache) KeyOf(token string) Key { return c.digest.keyOf(token) }

// Get returns what is stored under the key, or nil.
func (c *Cache) Get(key Key) any {
	e, _ := c.entries.GetIfPresent(key)
	return e.value
}

// Put stores a value of about this many bytes. A pointer costs no allocation.
func (c *Cache) Put(key Key, value any, bytes int) {
	c.entries.Set(key, entry{value, uint32(bytes)})
}

// Drop forgets the key.
func (c *Cache) Drop(key Key) { c.entries.Invalidate(key) }

// Clear forgets everything.
func (c *Cache) Clear() { c.entries.InvalidateAll() }
