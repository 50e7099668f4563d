// Package tokencache is a bounded store of verified facts, by a digest of
// the token that proved them. It holds no token, and knows nothing of time or
// policy: whoever takes a fact out checks it again.
package tokencache

import (
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// A Cache is safe for concurrent use and owns no goroutine. Get takes no lock.
//
// It is a table of small sets. Which set a key belongs to, nobody can know who
// does not have the seed. An entry is as warm as it was found often lately. When
// there is no room, a hand goes around, and what it finds cold has to go: a flood
// of entries that are never asked for again drives out each other, and not what
// is in use.
type Cache struct {
	digest digest
	seed   maphash.Seed
	sets   []set
	locks  [64]sync.Mutex // of the sets, against two who change one

	most int64        // bytes
	held atomic.Int64 // bytes
	hand atomic.Uint64
}

const (
	ways     = 8   // as many pointers as a cache line has
	smallest = 256 // bytes: what smaller entries are reckoned at where the table is made
	warmest  = 3
	glances  = 32 // of the hand, before it takes the coldest that it has seen
)

type set [ways]atomic.Pointer[entry]

type entry struct {
	key    Key
	value  any
	bytes  int64
	warmth atomic.Uint32
}

// New returns a cache that holds at most maxBytes, by the sizes given to Put, and
// an entry for each 256 of them at most.
func New(maxBytes uint64) *Cache {
	sets := max(1, maxBytes/smallest/ways)
	return &Cache{
		digest: digest{newGMAC()},
		seed:   maphash.MakeSeed(),
		sets:   make([]set, 1<<bits.Len64(sets-1)),
		most:   int64(maxBytes),
	}
}

// KeyOf returns the key of a token. It allocates nothing.
func (c *Cache) KeyOf(token string) Key { return c.digest.keyOf(token) }

// find returns the set that a key belongs to, and its lock.
func (c *Cache) find(key Key) (*set, *sync.Mutex) {
	n := maphash.Comparable(c.seed, key) & uint64(len(c.sets)-1)
	return &c.sets[n], &c.locks[n%uint64(len(c.locks))]
}

// Get returns what is stored under the key, or nil.
func (c *Cache) Get(key Key) any {
	s, _ := c.find(key)
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
	if int64(bytes) > c.most {
		c.Drop(key) // what is there is no longer what is wanted
		return
	}
	s, lock := c.find(key)
	lock.Lock()
	c.swap(s.place(key), &entry{key: key, value: value, bytes: int64(bytes)})
	lock.Unlock()
	for c.held.Load() > c.most {
		c.evict()
	}
}

// place returns where a key is, or else belongs: where nothing is, or what is
// coldest.
func (s *set) place(key Key) *atomic.Pointer[entry] {
	place, coldest := &s[0], uint32(warmest+2)
	for i := range s {
		e := s[i].Load()
		switch {
		case e == nil && coldest > 0:
			place, coldest = &s[i], 0
		case e == nil:
		case e.key == key:
			return &s[i]
		case e.warmth.Load()+1 < coldest:
			place, coldest = &s[i], e.warmth.Load()+1
		}
	}
	return place
}

// swap puts an entry, or nil, in place of what is there.
func (c *Cache) swap(place *atomic.Pointer[entry], e *entry) {
	grown := int64(0)
	if e != nil {
		grown = e.bytes
	}
	if old := place.Swap(e); old != nil {
		grown -= old.bytes
	}
	c.held.Add(grown)
}

// evict lets the hand go on to an entry that is cold, cools down those on its
// way, and takes that one out.
func (c *Cache) evict() {
	var victim *atomic.Pointer[entry]
	coldest := uint32(warmest + 1)
	for seen := 0; seen < glances && c.held.Load() > c.most; {
		n := c.hand.Add(1) % uint64(len(c.sets)*ways)
		place := &c.sets[n/ways][n%ways]
		e := place.Load()
		if e == nil {
			continue
		}
		seen++
		warmth := e.warmth.Load()
		if warmth < coldest {
			victim, coldest = place, warmth
		}
		if warmth == 0 {
			break
		}
		e.warmth.Store(warmth - 1)
	}
	if victim != nil {
		c.swap(victim, nil)
	}
}

// Drop forgets the key.
func (c *Cache) Drop(key Key) {
	s, lock := c.find(key)
	lock.Lock()
	defer lock.Unlock()
	for i := range s {
		if e := s[i].Load(); e != nil && e.key == key {
			c.swap(&s[i], nil)
		}
	}
}

// Clear forgets everything.
func (c *Cache) Clear() {
	for i := range c.sets {
		for j := range c.sets[i] {
			c.swap(&c.sets[i][j], nil)
		}
	}
}
