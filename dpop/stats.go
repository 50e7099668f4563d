package dpop

import (
	"errors"
	"sync/atomic"
)

// Stats are the numbers of a [Verifier], for metrics.
type Stats struct {
	// Accepted counts the proofs that were accepted. The others count those that were
	// refused, by the error: Invalid is [ErrProof], OtherKey [ErrKey], Replayed
	// [ErrReplayed], NonceRequired [ErrNonce] and Unknown [ErrStore].
	Accepted, Invalid, OtherKey, Replayed, NonceRequired, Unknown uint64

	// Held is how many proofs the Store remembers, and Limit how many it can remember, if
	// it is a [Memory]. For another Store both are zero.
	Held, Limit int
}

// Stats returns the numbers.
func (v *Verifier) Stats() Stats {
	s := Stats{
		Accepted: v.counts[accepted].Load(), Invalid: v.counts[invalid].Load(), OtherKey: v.counts[otherKey].Load(),
		Replayed: v.counts[replayed].Load(), NonceRequired: v.counts[nonceRequired].Load(), Unknown: v.counts[unknown].Load(),
	}
	if m, ok := v.store.(*Memory); ok {
		s.Held, s.Limit = m.size()
	}
	return s
}

// size returns how many proofs the Memory remembers, and how many it can remember.
func (m *Memory) size() (held, most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.used), m.most
}

// counts are the proofs by how they were judged.
type counts [unknown + 1]atomic.Uint64

const (
	accepted = iota
	invalid
	otherKey
	replayed
	nonceRequired
	unknown
)

func (c *counts) add(err error) {
	place := unknown
	switch {
	case err == nil:
		place = accepted
	case errors.Is(err, ErrProof):
		place = invalid
	case errors.Is(err, ErrKey):
		place = otherKey
	case errors.Is(err, ErrReplayed):
		place = replayed
	case errors.Is(err, ErrNonce):
		place = nonceRequired
	}
	c[place].Add(1)
}
