package introspection

import (
	"sync"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// A digest is the first half of a token's SHA-256 digest. If two tokens had the same
// digest, they would be counted as one token here, which affects fairness and nothing
// else.
type digest [16]byte

func digestOf(key tokencache.Key) digest { return digest(key[:16]) }

// maxKnown is how many tokens each of the two halves of [knownTokens] holds: 2 × 32,768
// digests of 16 bytes, in maps of at most 1 MiB each.
const maxKnown = 32 << 10

// knownTokens remembers which tokens were active when they were last looked up; all
// others are unknown. Invented tokens are never active, so they cannot displace a known
// token. If the young half is full, it becomes the old half, and the former old half is
// dropped. So the tokens that were found active least recently are dropped first.
type knownTokens struct {
	mu         sync.Mutex
	young, old map[digest]struct{}
}

// learn records whether the endpoint has reported a token as active.
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

// any reports whether at least one token is known.
func (k *knownTokens) any() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.young)+len(k.old) > 0
}
