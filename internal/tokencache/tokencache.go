// Package tokencache is a bounded store of verified facts, by a digest of the token that
// proved them. It holds no token. The store does not check expiry or policy, so you
// should check them each time you get a fact.
package tokencache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A Cache is safe for concurrent use and owns no goroutine. Get takes no lock.
//
// A Cache is a table of small sets, and the table grows if a set is full. A secret seed
// decides which set a key belongs to, so an attacker cannot choose tokens that fill one
// set.
//
// Entries are evicted by the CLOCK algorithm. Each hit makes an entry warmer, up to
// warmest. If there is no room, a hand goes around, cools each entry that it passes, and
// evicts the first cold entry. So a flood of entries that are never used again evicts
// only its own entries, and not the entries in use.
type Cache struct {
	digest digest
	seed   maphash.Seed
	sets   atomic.Pointer[[]set]

	mu   sync.Mutex // guards the fields below, and every change of the sets
	most int        // bytes
	held int        // bytes
	hand int
}

const (
	ways     = 8   // entries in a set: as many pointers as fit in a cache line
	fewest   = 64  // sets
	smallest = 256 // bytes; the table has no places for more entries than fit at this size
	warmest  = 3
	glances  = 32 // entries that the hand examines at most; if none is cold, it evicts the coldest
)

type set [ways]atomic.Pointer[entry]

type entry struct {
	key    Key
	value  any
	bytes  int
	warmth atomic.Uint32
}

// New returns a cache that holds at most maxBytes, by the sizes given to Put, and about
// one entry for each 256 bytes of maxBytes. For example, 1 MiB holds about 4096 entries
// at most, even if they are smaller.
func New(maxBytes int) *Cache {
	c := &Cache{digest: newDigest(), seed: maphash.MakeSeed(), most: maxBytes}
	sets := make([]set, fewest)
	c.sets.Store(&sets)
	return c
}

// KeyOf returns the key of a token. It allocates nothing.
func (c *Cache) KeyOf(token string) Key { return c.digest.keyOf(token) }

// of returns the set that a key belongs to.
func (c *Cache) of(key Key, sets []set) *set {
	return &sets[maphash.Comparable(c.seed, key)&uint64(len(sets)-1)]
}

// Get returns the value that is stored under the key, or nil.
func (c *Cache) Get(key Key) any {
	s := c.of(key, *c.sets.Load())
	for i := range s {
		e := s[i].Load()
		if e == nil || e.key != key {
			continue
		}
		if warmth := e.warmth.Load(); warmth < warmest { // a warmest entry is not written, because a write would take the cache line from other cores
			e.warmth.Store(warmth + 1)
		}
		return e.value
	}
	return nil
}

// Put stores a value of about this many bytes. If it is larger than the whole cache, only
// the old value under the key is removed.
func (c *Cache) Put(key Key, value any, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes > c.most {
		c.drop(key) // the old value is out of date
		return
	}
	place := c.place(key)
	for e := place.Load(); e != nil && e.key != key && c.grow(); e = place.Load() {
		place = c.place(key)
	}
	c.swap(place, &entry{key: key, value: value, bytes: bytes})
	for c.held > c.most {
		c.evict()
	}
}

func (c *Cache) place(key Key) *atomic.Pointer[entry] { return c.of(key, *c.sets.Load()).place(key) }

// place returns the place of a key. If the key is not in the set, it returns an empty
// place or, if the set is full, the place of the coldest entry.
func (s *set) place(key Key) *atomic.Pointer[entry] {
	place, coldest := &s[0], uint32(warmest+2)
	for i := range s {
		warmth := uint32(0) // of an empty place
		if e := s[i].Load(); e != nil && e.key == key {
			return &s[i]
		} else if e != nil {
			warmth = 1 + e.warmth.Load()
		}
		if warmth < coldest {
			place, coldest = &s[i], warmth
		}
	}
	return place
}

// swap replaces the entry in a place; e may be nil.
func (c *Cache) swap(place *atomic.Pointer[entry], e *entry) {
	if old := place.Swap(e); old != nil {
		c.held -= old.bytes
	}
	if e != nil {
		c.held += e.bytes
	}
}

// evict moves the hand on to a cold entry, and removes it.
func (c *Cache) evict() {
	sets := *c.sets.Load()
	var victim *atomic.Pointer[entry]
	coldest := uint32(warmest + 1)
	for seen := 0; seen < glances && coldest > 0; {
		c.hand = (c.hand + 1) % (len(sets) * ways)
		place := &sets[c.hand/ways][c.hand%ways]
		e := place.Load()
		if e == nil {
			continue
		}
		seen++
		warmth := e.warmth.Load()
		if warmth < coldest {
			victim, coldest = place, warmth
		}
		e.warmth.Store(max(warmth, 1) - 1)
	}
	c.swap(victim, nil)
}

// grow doubles the table after a set is full. If the table already has a place for each
// 256 bytes (smallest) of the maximum, grow returns false.
func (c *Cache) grow() bool {
	old := *c.sets.Load()
	if len(old)*ways*smallest >= c.most {
		return false
	}
	sets := make([]set, 2*len(old))
	for i := range old {
		for j := range old[i] {
			if e := old[i][j].Load(); e != nil {
				c.of(e.key, sets).place(e.key).Store(e)
			}
		}
	}
	c.sets.Store(&sets)
	return true
}

// Drop removes the key.
func (c *Cache) Drop(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key)
}

func (c *Cache) drop(key Key) {
	s := c.of(key, *c.sets.Load())
	for i := range s {
		if e := s[i].Load(); e != nil && e.key == key {
			c.swap(&s[i], nil)
		}
	}
}

// Clear removes everything.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	sets := make([]set, fewest)
	c.sets.Store(&sets)
	c.held = 0
}
