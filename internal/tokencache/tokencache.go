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
type Cache struct{ entries store }

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
	return &Cache{otter.Must(&otter.Options[Key, entry]{
		MaximumWeight: maxBytes,
		Weigher:       func(_ Key, e entry) uint32 { return e.bytes },
		Executor:      func(maintain func()) { maintain() }, // on the caller's goroutine
	})}
}

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
