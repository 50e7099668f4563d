package tokencache

// Keyed reports whether keys have a secret of the cache in them.
func (c *Cache) Keyed() bool { return c.digest.gmac != nil }

// KeyUnder is KeyOf of a cache with a secret that is known.
func KeyUnder(secret [16]byte, token string) Key { return digest{newGMAC(secret)}.keyOf(token) }
