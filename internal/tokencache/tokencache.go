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
// mostly its own entries.
//
// Entries can belong to a [Share]. Half of the cache is reserved, in equal parts, for the
// shares that have entries. While a share has no more than its part, shares that have more
// evict none of its entries. So the tokens of one issuer, however many, do not evict those
// of the others.
type Cache struct {
	digest digest
	seed   maphash.Seed
	sets   atomic.Pointer[[]set]

	mu      sync.Mutex // guards the fields below, the shares, and every change of the sets
	most    int        // bytes
	held    int        // bytes
	evicted uint64     // entries, to make room
	hand    int
	shares  int // that have entries and were not ended
	broom   int // the next place to sweep
	unswept int // places that may have entries of ended shares
}

// A Share is the part of one cache that belongs to one owner, for example the tokens of
// an issuer. Its zero value is an empty share. The mutex of the cache guards it.
type Share struct {
	bytes int
	ended bool
}

const (
	ways     = 8   // entries in a set: as many pointers as fit in a cache line
	fewest   = 64  // sets
	smallest = 256 // bytes; the table stops growing when it has a place for each entry of this size
	warmest  = 3
	glances  = 32 // entries that the hand examines at most; if none is cold, it evicts the coldest
	strokes  = 64 // places that are swept with each Put
)

type set [ways]atomic.Pointer[entry]

// An entry has 64 bytes, which is one of the sizes that Go's allocator has.
type entry struct {
	key    Key
	value  any
	share  *Share // nil: none
	bytes  int32
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

// Put stores a value of about this many bytes, which belongs to no share. If it is larger
// than the whole cache, only the old value under the key is removed.
func (c *Cache) Put(key Key, value any, bytes int) { c.PutIn(nil, key, value, bytes) }

// PutIn is Put for a value that belongs to a share. If the share was ended, only the old
// value under the key is removed. If storing the value would evict an entry of a share
// that has no more than its part, while this share has more, the value is not stored.
func (c *Cache) PutIn(share *Share, key Key, value any, bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep()
	if bytes > c.most || share != nil && share.ended {
		c.drop(key) // the old value is out of date
		return
	}
	place := c.place(share, key)
	for (place == nil || place.Load() != nil && place.Load().key != key) && c.grow() {
		place = c.place(share, key)
	}
	if place == nil {
		return
	}
	if old := place.Load(); old != nil && old.key != key {
		c.evicted++
	}
	c.swap(place, &entry{key: key, value: value, share: share, bytes: int32(bytes)})
	for c.held > c.most {
		c.evict()
	}
}

// place returns the place of a key. If the key is not in its set, place returns an empty
// place or, if the set is full, that of the coldest entry which can make room for one of
// this share, or nil.
func (c *Cache) place(share *Share, key Key) *atomic.Pointer[entry] {
	s := c.of(key, *c.sets.Load())
	if place := s.place(key); place != nil {
		return place
	}
	modest := c.isReserved(share)
	var place *atomic.Pointer[entry]
	coldest := ^uint32(0)
	for i := range s {
		e := s[i].Load()
		warmth := e.warmth.Load()
		if c.isReserved(e.share) {
			if !modest {
				continue
			}
			warmth += warmest + 1 // only if there is no other
		}
		if warmth < coldest {
			place, coldest = &s[i], warmth
		}
	}
	return place
}

// place returns the place of a key or, if the key is not in the set, an empty place. If
// the set is full, it returns nil.
func (s *set) place(key Key) (empty *atomic.Pointer[entry]) {
	for i := range s {
		switch e := s[i].Load(); {
		case e == nil && empty == nil:
			empty = &s[i]
		case e != nil && e.key == key:
			return &s[i]
		}
	}
	return empty
}

// isReserved reports whether a share has no more than its part of the reserved half. If
// the cache is full, at least half of it belongs to entries that are not reserved.
func (c *Cache) isReserved(share *Share) bool {
	return share != nil && !share.ended && share.bytes <= c.most/2/max(c.shares, 1)
}

// swap replaces the entry in a place; e may be nil.
func (c *Cache) swap(place *atomic.Pointer[entry], e *entry) {
	if old := place.Swap(e); old != nil {
		c.count(old.share, -int(old.bytes))
	}
	if e != nil {
		c.count(e.share, int(e.bytes))
	}
}

// count adds to what the cache and a share hold.
func (c *Cache) count(share *Share, bytes int) {
	c.held += bytes
	if share == nil {
		return
	}
	had := share.bytes > 0
	share.bytes += bytes
	switch has := share.bytes > 0; {
	case share.ended:
	case has && !had:
		c.shares++
	case had && !has:
		c.shares--
	}
}

// evict moves the hand on to a cold entry that is not reserved, and removes it. If the
// next glances entries are not cold, it removes the coldest of them.
func (c *Cache) evict() {
	sets := *c.sets.Load()
	var victim *atomic.Pointer[entry]
	coldest := uint32(warmest + 1)
	for seen := 0; seen < glances && coldest > 0; {
		c.hand = (c.hand + 1) % (len(sets) * ways)
		place := &sets[c.hand/ways][c.hand%ways]
		e := place.Load()
		if e == nil || c.isReserved(e.share) {
			continue
		}
		seen++
		warmth := e.warmth.Load()
		if warmth < coldest {
			victim, coldest = place, warmth
		}
		e.warmth.Store(max(warmth, 1) - 1)
	}
	c.evicted++
	c.swap(victim, nil)
}

// Stats returns how many entries were evicted to make room, and how many bytes the cache
// holds and can hold.
func (c *Cache) Stats() (evicted uint64, held, most int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evicted, int64(c.held), int64(c.most)
}

// End removes all entries of a share, and keeps out later ones. The memory is given back
// during the next calls of Put, so that no caller waits for the whole table. Get may
// return an entry until then.
func (c *Cache) End(share *Share) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if share.ended {
		return
	}
	share.ended = true
	if share.bytes > 0 {
		c.shares--
		c.unswept = len(*c.sets.Load()) * ways
	}
}

// sweep removes entries of ended shares from the next places.
func (c *Cache) sweep() {
	sets := *c.sets.Load()
	for range min(strokes, c.unswept) {
		c.unswept--
		c.broom = (c.broom + 1) % (len(sets) * ways)
		place := &sets[c.broom/ways][c.broom%ways]
		if e := place.Load(); e != nil && e.share != nil && e.share.ended {
			c.swap(place, nil)
		}
	}
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
	if c.unswept > 0 {
		c.unswept = len(sets) * ways
	}
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
	old := *c.sets.Load()
	sets := make([]set, fewest)
	c.sets.Store(&sets)
	for i := range old {
		for j := range old[i] {
			c.swap(&old[i][j], nil)
		}
	}
	c.unswept = 0
}
