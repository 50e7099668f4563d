package tokencache

import "unsafe"

// Keyed reports whether keys have a secret of the cache in them.
func (c *Cache) Keyed() bool { return c.digest.gmac != nil }

// KeyUnder is KeyOf of a cache with a secret that is known.
func KeyUnder(secret [16]byte, token string) Key { return digest{newGMAC(secret)}.keyOf(token) }

// Sizes returns the bytes that the cache counts, for itself and for each share, and
// how many shares it counts.
func (c *Cache) Sizes(of ...*Share) (held int, each []int, shares int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, share := range of {
		each = append(each, share.bytes)
	}
	return c.held, each, c.shares
}

// SizeOfEntry is the size of an entry without its value.
const SizeOfEntry = unsafe.Sizeof(entry{})

// Places returns how many entries the table has room for.
func (c *Cache) Places() int { return len(*c.sets.Load()) * ways }
