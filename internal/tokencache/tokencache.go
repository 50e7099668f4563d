// Package tokencache is a bounded store of verified facts, by a digest of
// the token that proved them. It holds no token, and knows nothing of time or
// policy: whoever takes a fact out checks it again.
package tokencache

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A Cache is safe for concurrent use and owns no goroutine. Get takes no lock.
//
// It is a table of small sets, which grows when one is full. Which set a key
// belongs to, nobody can know who does not have the seed. An entry is as warm as it
// was found often lately. When there is no room, a hand goes around and cools down
// what it passes, and what it finds cold has to go: a flood of entries that are
// never asked for again drives out each other, and not what is in use.
type Cache struct {
	digest digest
	seed   maphash.Seed
	sets   atomic.Pointer[[]set]

	mu   sync.Mutex // for all that follows, and every change of the sets
	most int        // bytes
	held int        // bytes
	hand int
}

const (
	ways     = 8   // as many pointers as a cache line has
	fewest   = 64  // sets
	smallest = 256 // bytes: the table does not grow for entries that are smaller
	warmest  = 3
	glances  = 32 // of the hand, before it takes the coldest that it has seen
)

type set [ways]atomic.Pointer[entry]

type entry struct {
	key    Key
	value  any
	bytes  int
	warmth atomic.Uint32
}

// New returns a cache that holds at most maxBytes, by the sizes given to Put, and
// about an entry for each 256 of them at most.
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

// Get returns what is stored under the key, or nil.
func (c *Cache) Get(key Key) any {
	s := c.of(key, *c.sets.Load())
	for i := range s {
		e := s[i].Load()
		if e == nil || e.key != key {
			continue
		}
		if warmth := e.warmth.Load(); warmth < warmest { // a write would take the line from other cores
			e.warmth.Store(warmth + 1)
		}
		return e.value
	}
	return nil
}

// Put stores a value of about this many bytes.
func (c *Cache) Put(key Key, value any, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes > c.most {
		c.drop(key) // what is there is no longer what is wanted
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

// place returns where a key is, or else belongs: where nothing is, or what is
// coldest.
func (s *set) place(key Key) *atomic.Pointer[entry] {
	place, coldest := &s[0], uint32(warmest+2)
	for i := range s {
		warmth := uint32(0) // of nothing
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

// swap puts an entry, or nil, in place of what is there.
func (c *Cache) swap(place *atomic.Pointer[entry], e *entry) {
	if old := place.Swap(e); old != nil {
		c.held -= old.bytes
	}
	if e != nil {
		c.held += e.bytes
	}
}

// evict lets the hand go on to an entry that is cold, and takes it out.
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

// grow makes the table twice as large, since a set is full, unless it is as large
// as the bytes are good for.
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

// Drop forgets the key.
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

// Clear forgets everything.
func (c *Cache) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	sets := make([]set, fewest)
	c.sets.Store(&sets)
	c.held = 0
}
