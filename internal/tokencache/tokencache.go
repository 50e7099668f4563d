// Package tokencache is a bounded store of verified facts, by the digest of
// the token that proved them. It holds no token, and knows nothing of time or
// policy: whoever takes a fact out checks it again.
package tokencache

import (
	"crypto/sha256"
	"sync"

	"github.com/maypok86/otter/v2"
)

// A Key is the SHA-256 digest of a token. Two tokens with one digest would be
// taken for each other, so nothing weaker than a collision-resistant or a
// secretly keyed hash will do.
type Key [sha256.Size]byte

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// KeyOf returns the token's key. It allocates nothing: the token is copied
// into a pooled buffer, since hashing a string would copy it each time.
func KeyOf(token string) Key {
	buffer := buffers.Get().(*[]byte)
	*buffer = append((*buffer)[:0], token...)
	key := Key(sha256.Sum256(*buffer))
	clear(*buffer) // a pooled buffer keeps no bearer token
	buffers.Put(buffer)
	return key
}

// A Cache is safe for concurrent use and owns no goroutine.
type Cache[V any] struct {
	entries *otter.Cache[Key, entry[V]]
}

type entry[V any] struct {
	value V
	bytes uint32
}

// New returns a cache that holds at most maxBytes, by the sizes given to Put.
func New[V any](maxBytes uint64) *Cache[V] {
	return &Cache[V]{otter.Must(&otter.Options[Key, entry[V]]{
		MaximumWeight: maxBytes,
		Weigher:       func(_ Key, e entry[V]) uint32 { return e.bytes },
		Executor:      func(maintain func()) { maintain() }, // on the caller's goroutine
	})}
}

// Get returns what is stored under the key.
func (c *Cache[V]) Get(key Key) (value V, ok bool) {
	e, ok := c.entries.GetIfPresent(key)
	return e.value, ok
}

// Put stores a value of about this many bytes.
func (c *Cache[V]) Put(key Key, value V, bytes int) {
	c.entries.Set(key, entry[V]{value, uint32(bytes)})
}

// Drop forgets the key.
func (c *Cache[V]) Drop(key Key) { c.entries.Invalidate(key) }

// Clear forgets everything.
func (c *Cache[V]) Clear() { c.entries.InvalidateAll() }
