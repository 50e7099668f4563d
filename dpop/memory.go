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
// at the most. After a flood of proofs has ended, each use forgets a few of them, so
// that none waits for all; a use is refused only once they are all forgotten.
type Memory struct {
	most, share int

	mu      sync.Mutex
	used    map[digest]struct{}
	slots   map[int64]*chunk // by the slot in which they end
	ended   []*chunk         // of slots that are over, to be forgotten in pieces
	clients map[digest]*client
	now     int64 // the latest slot that was seen; those before it are over
}

// A digest is half of a SHA-256 digest: two proofs with one are found by nobody
// but their signer, who only has the second refused.
type digest [16]byte

// A memory is a proof that was used.
type memory struct {
	proof digest
	by    *client
}

// A chunk is a part of the memories of one slot. Parts need no copy as they grow.
type chunk struct {
	memories []memory
	next     *chunk
}

type client struct {
	id   digest
	held int
}

const (
	defaultEntries = 1 << 20
	shares         = 16
	mostChunk      = 512 // memories in a chunk
	mostSwept      = 128 // memories that are forgotten under the lock at a time: some 40 µs
)

// The errors of Use name what to change, since they are read by an operator.
var (
	errFull  = errors.New("the Memory is full of proofs that are still good; give NewMemory more room, or shorten MaxAge")
	errShare = errors.New("the client has used more proofs than a sixteenth of the Memory can hold; give NewMemory more room, or shorten MaxAge")
	errClock = errors.New("the clock went back to a time of which the Memory has forgotten the proofs; wait until it is past the latest time it showed")
)

// NewMemory returns a Memory for that many proofs that are good at a time; 1,048,576
// if entries is zero. One takes some 70 bytes, and most of their room is kept for others.
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
		slots:   map[int64]*chunk{},
		clients: map[digest]*client{},
	}
}

// Use implements [Store]. Its errors say that there is no room, or that the clock
// went back.
func (m *Memory) Use(ctx context.Context, use Use) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(slotOf(use.Now))
	m.sweep()
	for first, err = m.try(use); !first && len(m.ended) > 0; first, err = m.try(use) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		m.mu.Unlock() // others need not wait
		m.mu.Lock()
		m.sweep()
	}
	return first, err
}

// try remembers a proof unless it is held already, or there is no room for it.
func (m *Memory) try(use Use) (first bool, err error) {
	proof, id, end := digest(use.Key[:16]), digest(use.Client), slotOf(use.Until)
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
	m.put(end, memory{proof, by})
	return true, nil
}

func (m *Memory) put(slot int64, added memory) {
	last := m.slots[slot]
	if last == nil || len(last.memories) == mostChunk {
		last = &chunk{next: last}
		m.slots[slot] = last
	}
	last.memories = append(last.memories, added)
}

// slotOf returns the second that a moment is in: there are never many with proofs
// that end in them.
func slotOf(t time.Time) int64 { return t.Unix() }

// end lays aside what ended before this slot, each time that a new one begins.
func (m *Memory) end(now int64) {
	if now <= m.now {
		return
	}
	m.now = now
	for slot, chunks := range m.slots {
		if slot < now {
			m.ended = append(m.ended, chunks)
			delete(m.slots, slot)
		}
	}
}

// sweep forgets a few of those that ended.
func (m *Memory) sweep() {
	for swept := 0; swept < mostSwept && len(m.ended) > 0; {
		last := len(m.ended) - 1
		c := m.ended[last]
		part := c.memories[max(0, len(c.memories)-(mostSwept-swept)):]
		for _, memory := range part {
			m.drop(memory)
		}
		swept += len(part)
		c.memories = c.memories[:len(c.memories)-len(part)]
		switch {
		case len(c.memories) > 0:
		case c.next != nil:
			m.ended[last] = c.next
		default:
			m.ended[last] = nil
			m.ended = m.ended[:last]
		}
	}
}

func (m *Memory) drop(memory memory) {
	delete(m.used, memory.proof)
	if memory.by.held--; memory.by.held == 0 {
		delete(m.clients, memory.by.id)
	}
}
