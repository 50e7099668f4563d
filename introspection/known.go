package introspection

import (
	"sync"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// A digest is the first half of a token's SHA-256 digest. Two tokens that have the
// same one are taken for each other here, which costs fairness and nothing else.
type digest [16]byte

func digestOf(key tokencache.Key) digest { return digest(key[:16]) }

// maxKnown is how many tokens each of the two halves of [knownTokens] holds: 2 × 32,768
// digests of 16 bytes, in maps of at most 1 MiB each.
const maxKnown = 32 << 10

// knownTokens remembers which tokens the endpoint last said to be active; all others
// are strangers. No invented token gets in. The least recently active ones go first:
// when the young half is full it becomes the old one, which is forgotten.
type knownTokens struct {
	mu         sync.Mutex
	young, old map[digest]struct{}
}

// learn notes what the endpoint has said of a token.
func (k *knownTokens) learn(d digest, active bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !active {
		delete(k.young, d)
		delete(k.old, d)
		return
	}
	if _, ok := k.young[d]; ok {
		return
	}
	if k.young == nil || len(k.young) >= maxKnown {
		k.young, k.old = map[digest]struct{}{}, k.young
	}
	k.young[d] = struct{}{}
}

func (k *knownTokens) has(d digest) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.young[d]; ok {
		return true
	}
	_, ok := k.old[d]
	return ok
}

// any reports whether a token is known.
func (k *knownTokens) any() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.young)+len(k.old) > 0
}
