package jwks

import (
	"crypto"
	"encoding/json"
)

// ReadSet lets the fuzz test reach the reader without a fetch per input.
func ReadSet(document []byte) (keys []crypto.PublicKey, answers [][]crypto.PublicKey, err error) {
	set, _, err := readSet(document)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range set.table.slots {
		if s.record == nil {
			continue
		}
		for _, answer := range s.record {
			if answer != nil {
				answers = append(answers, answer)
				keys = append(keys, answer...)
			}
		}
	}
	return keys, answers, nil
}

// Rewrite reads a document and writes what it accepted as a document again;
// equal reports whether that one has the same keys.
func Rewrite(document []byte) (text []byte, equal bool, err error) {
	set, _, err := readSet(document)
	if err != nil {
		return nil, false, err
	}
	if text, err = json.Marshal(set.document()); err != nil {
		return nil, false, err
	}
	again, left, err := readSet(text)
	return text, err == nil && left == nil && again.identity == set.identity, err
}

// Lookup fills a table with kids and returns what it finds for each of asked.
func Lookup(kids, asked []string) (found []bool, slots int) {
	table := newTable(len(kids))
	for _, kid := range kids {
		table.insert(kid)
	}
	for _, kid := range asked {
		found = append(found, table.find(kid) != nil)
	}
	return found, len(table.slots)
}

// Number tells algorithms apart.
var Number = number

// WhileLocked runs f while the cache's lock is held.
func WhileLocked(c *Cache, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// Remembered counts the kids that were asked for in vain.
func Remembered(c *Cache) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.budget.absent)
}
