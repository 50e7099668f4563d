package jwks

import (
	"crypto"
	"math/bits"
	"slices"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A table finds the keys of a token by its kid and alg, which every request
// asks: with a map it takes a quarter to a half longer. It is read-only once it
// is filled.
type table struct {
	slots []slot // a power of two, at least half of them empty
	shift uint8  // leaves as many bits of a mark as count the slots
}

// A slot is empty if its record is nil.
type slot struct {
	mark   uint64
	kid    string
	record *record
}

// A record is all that is known of one kid, by the number of alg.
type record [algorithmCount][]crypto.PublicKey

// newTable makes room for some kids.
func newTable(kids int) table {
	size := 1 + bits.Len(uint(kids))
	return table{make([]slot, 1<<size), uint8(64 - size)}
}

// find returns the record of kid, or nil.
func (t *table) find(kid string) *record { return t.slot(kid).record }

// insert returns the record of kid, a new one if there was none.
func (t *table) insert(kid string) *record {
	s := t.slot(kid)
	if s.record == nil {
		*s = slot{mark(kid), kid, new(record)}
	}
	return s.record
}

// slot returns the place of kid, which is empty if it is not in the table.
func (t *table) slot(kid string) *slot {
	m := mark(kid)
	for i := m >> (t.shift & 63); ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.record == nil || s.mark == m && s.kid == kid {
			return s
		}
	}
}

// add makes the key of e an answer for its algorithms.
func (r *record) add(e entry) {
	for _, alg := range e.algs {
		r.answer(number(alg), e.key)
	}
}

// join adds the answers of another record after those of r.
func (r *record) join(other *record) {
	for n, keys := range other {
		for _, key := range keys {
			r.answer(n, key)
		}
	}
}

// answer makes key an answer for an alg, unless it is one already or there are
// enough. The list is clipped: an append by a caller must not write into ours.
func (r *record) answer(number int, key crypto.PublicKey) {
	keys := &r[number]
	if hasRoom(*keys, key) && !jose.Contains(*keys, key) {
		*keys = slices.Clip(append(*keys, key))
	}
}

// hasRoom bounds what one answer can cost: four keys, one of them large.
func hasRoom(keys []crypto.PublicKey, key crypto.PublicKey) bool {
	return len(keys) < maxAnswer && !(jose.IsLarge(key) && slices.ContainsFunc(keys, jose.IsLarge))
}

const phi = 0x9e3779b97f4a7c15

// mark spreads kids by both of their ends and their length, by way of
// Fibonacci hashing, whose high bits are the mixed ones. Only kids of the issuer
// can be in each other's way, so it need not be hard to guess.
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

// word reads eight bytes; the compiler makes it one load.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

const algorithmCount = 12

// number tells algorithms apart; 0 is every one that no key here is for. The
// compiler makes it a few comparisons, without a hash.
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
	}
	return 0
}
