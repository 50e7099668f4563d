package jwks

import (
	"crypto"
	"math/bits"
	"slices"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A table finds the keys of a token by its kid and alg. If a key set is held, every call
// of [Cache.Keys] does this lookup, and a map would take a quarter to a half longer. Once
// filled, a table is read-only.
type table struct {
	slots []slot // their number is a power of two; at least half are empty
	shift uint8  // reduces a mark to the bits of a slot's index
}

// A slot is empty if its record is nil.
type slot struct {
	mark   uint64
	kid    string
	record *record
}

// A record holds the keys for tokens with one kid, or with any kid, indexed by the number
// of the alg.
type record [algorithmCount][]crypto.PublicKey

// newTable returns an empty table with room for this number of kids.
func newTable(kids int) table {
	size := 1 + bits.Len(uint(kids))
	return table{make([]slot, 1<<size), uint8(64 - size)}
}

// find returns the record of kid, or nil.
func (t *table) find(kid string) *record { return t.slot(kid).record }

// insert returns the record of kid. If kid is new, it adds one.
func (t *table) insert(kid string) *record {
	s := t.slot(kid)
	if s.record == nil {
		*s = slot{mark(kid), kid, new(record)}
	}
	return s.record
}

// slot returns the slot of kid. If kid is not in the table, the slot is empty.
func (t *table) slot(kid string) *slot {
	m := mark(kid)
	for i := m >> (t.shift & 63); ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.record == nil || s.mark == m && s.kid == kid {
			return s
		}
	}
}

// add makes the key of e an answer for each of e's algs, if there is room.
func (r *record) add(e entry) {
	for _, alg := range e.algs {
		r.answer(number(alg), e.key)
	}
}

// join adds the answers of another record after those of r, as far as there is room.
func (r *record) join(other *record) {
	for n, keys := range other {
		for _, key := range keys {
			r.answer(n, key)
		}
	}
}

// answer makes key an answer for an alg, unless key is one already or there is no room.
// The list is clipped, so that an append by a caller does not write into ours.
func (r *record) answer(number int, key crypto.PublicKey) {
	keys := &r[number]
	if hasRoom(*keys, key) && !jose.Contains(*keys, key) {
		*keys = slices.Clip(append(*keys, key))
	}
}

// hasRoom reports whether key can be added to keys. The cost of one answer is limited: at
// most maxAnswer keys, at most one of them large.
func hasRoom(keys []crypto.PublicKey, key crypto.PublicKey) bool {
	return len(keys) < maxAnswer && !(jose.IsLarge(key) && slices.ContainsFunc(keys, jose.IsLarge))
}

const phi = 0x9e3779b97f4a7c15

// mark hashes a kid by its length and its first and last eight bytes, or all bytes if
// there are fewer than eight. It uses Fibonacci hashing, which mixes the high bits best.
// The hash need not be hard to guess, because only kids of the issuer are in the table
// and can collide.
func mark(kid string) uint64 {
	if n := len(kid); n >= 8 {
		return (word(kid) ^ bits.RotateLeft64((word(kid[n-8:])+uint64(n))*phi, 32)) * phi
	}
	return shortMark(kid)
}

func shortMark(kid string) uint64 {
	m := uint64(len(kid))
	for i := range len(kid) {
		m = m<<8 | uint64(kid[i])
	}
	return m * phi
}

// word reads the first eight bytes of s. On most processors the compiler makes this one
// load.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

const algorithmCount = 15

// number returns the index of alg in a record. If no key here can have alg, it
// returns 0. The compiler turns the switch into a few comparisons, without a hash.
func number(alg string) int {
	switch alg {
	case "RS256":
		return 1
	case "RS384":
		return 2
	case "RS512":
		return 3
	case "PS256":
		return 4
	case "PS384":
		return 5
	case "PS512":
		return 6
	case "ES256":
		return 7
	case "ES384":
		return 8
	case "ES512":
		return 9
	case "EdDSA":
		return 10
	case "Ed25519":
		return 11
	case "ML-DSA-44":
		return 12
	case "ML-DSA-65":
		return 13
	case "ML-DSA-87":
		return 14
	}
	return 0
}
