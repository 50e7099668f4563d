package dpop

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Memory is a [Store] in the memory of this process. It is safe for concurrent
// use, and owns no goroutine. It forgets no proof that could still be accepted: once
// it is full of those it refuses new ones, and one key may fill a sixteenth of it
// at the most.
type Memory struct {
	most, share int

	mu      sync.Mutex
	used    map[digest]struct{}
	slots   map[int64][]memory // by the slot in which they end
	clients map[digest]*client
	now     int64 // the latest slot that was seen; those before it are empty
}

// A digest is half of a SHA-256 digest: two proofs with one are found by nobody
// but their signer, who only has the second refused.
type digest [16]byte

// A memory is a proof that was used.
type memory struct {
	proof digest
	by    *client
}

type client struct {
	id   digest
	held int
}

const (
	defaultEntries = 1 << 20
	shares         = 16
)

var (
	errFull  = errors.New("the Memory is full of proofs that are still good")
	errShare = errors.New("the client has used more proofs than one may have the Memory hold")
	errClock = errors.New("the clock went back to a time of which the Memory has forgotten the proofs")
)

// NewMemory returns a Memory for that many proofs that are good at a time; 1,048,576
// if entries is zero. One takes 65 bytes, and their room is kept for others.
//
// With the defaults of a Config a use is held for 71 s, so that there is room for
// 14,000 requests in a second, and 900 of one client. Where nonces are demanded it is
// held for up to 121 s, with room for 8,600 and 540.
func NewMemory(entries int) *Memory {
	if entries <= 0 {
		entries = defaultEntries
	}
	return &Memory{
		most:    entries,
		share:   max(1, entries/shares),
		used:    map[digest]struct{}{},
		slots:   map[int64][]memory{},
		clients: map[digest]*client{},
	}
}

// Use implements [Store]. Its errors say that there is no room, or that the clock
// went back.
func (m *Memory) Use(_ context.Context, use Use) (first bool, err error) {
	proof, id, end := digest(use.Key[:16]), digest(use.Client), slotOf(use.Until)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(slotOf(use.Now))
	by := m.clients[id]
	_, seen := m.used[proof]
	switch {
	case seen:
		return false, nil
	case end < m.now:
		return false, errClock
	case len(m.used) >= m.most:
		return false, errFull
	case by != nil && by.held >= m.share:
		return false, errShare
	case by == nil:
		by = &client{id: id}
		m.clients[id] = by
	}
	by.held++
	m.used[proof] = struct{}{}
	m.slots[end] = append(m.slots[end], memory{proof, by})
	return true, nil
}

// slotOf returns the second that a moment is in: there are never many with proofs
// that end in them.
func slotOf(t time.Time) int64 { return t.Unix() }

// forget lets go of what ended before this slot, each time that a new one begins.
func (m *Memory) forget(now int64) {
	if now <= m.now {
		return
	}
	m.now = now
	for slot, memories := range m.slots {
		if slot >= now {
			continue
		}
		for _, memory := range memories {
			m.drop(memory)
		}
		delete(m.slots, slot)
	}
}

func (m *Memory) drop(memory memory) {
	delete(m.used, memory.proof)
	if memory.by.held--; memory.by.held == 0 {
		delete(m.clients, memory.by.id)
	}
}
