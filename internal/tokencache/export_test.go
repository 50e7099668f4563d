package tokencache

// Keyed reports whether keys have a secret of the cache in them.
func (c *Cache) Keyed() bool { return c.digest.gmac != nil }
