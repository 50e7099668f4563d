package dpop

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Memory is a [Store] in the memory of this process. It is safe for concurrent use,
// and starts no goroutine. It never forgets a proof that could still be accepted. If
// it is full of such proofs, it refuses new proofs, and one key can fill at most a
// sixteenth of it, or one place if that is more. After a flood of proofs has expired,
// each use removes some of them, so that a use that finds room does not wait for the
// removal of all. Unless its context ends, a use is refused only after all expired
// proofs were removed.
type Memory struct {
	most, share int

	mu      sync.Mutex
	used    map[digest]struct{}
	slots   map[int64]*chunk // by the second in which their entries expire
	ended   []*chunk         // of seconds that are over, removed piece by piece
	clients map[digest]*client
	now     int64 // the latest second that was seen; earlier seconds are over
}

// A digest is half of a SHA-256 digest. If two different proofs have the same digest,
// their signers have made them so on purpose, and the second proof is refused.
type digest [16]byte

// An entry is a proof that was used.
type entry struct {
	proof digest
	by    *client
}

// A chunk holds some entries of one second. A full chunk is linked to a new chunk, so
// that many entries are not copied as their number grows.
type chunk struct {
	entries []entry
	next    *chunk
}

type client struct {
	id   digest
	held int
}

const (
	defaultEntries = 1 << 20
	shares         = 16
	mostChunk      = 512 // entries in a chunk
	mostSwept      = 128 // entries that are removed under the lock at a time: about 40 µs
)

// These errors of Use say what to change, because an operator reads them.
var (
	errFull  = errors.New("the Memory is full of unexpired proofs; give NewMemory more entries, or shorten MaxAge")
	errShare = errors.New("the unexpired proofs of this client fill a sixteenth of the Memory, the maximum; give NewMemory more entries, or shorten MaxAge")
	errClock = errors.New("the clock went back to a time whose proofs the Memory has forgotten; wait until the clock is past the latest time that it showed")
)

// NewMemory returns a Memory for at most entries unexpired proofs, or for 1,048,576
// if entries is not positive. An entry takes about 70 bytes, and most of the memory
// of expired entries is kept for new entries.
//
// With the defaults of a Config a use is held for about 71 s, so there is room for
// 14,000 requests per second, and for 900 per second of one client. If nonces are
// demanded, a use is held for up to 121 s, with room for 8,600 and 540. (If a nonce
// is from an instance whose clock is ahead, a use can be held for 151 s.)
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

// Use implements [Store]. Its errors say that there is no room, that the clock went
// back, or that ctx has ended.
func (m *Memory) Use(ctx context.Context, use Use) (first bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(slotOf(use.Now))
	m.sweep()
	for first, err = m.try(use); !first && len(m.ended) > 0; first, err = m.try(use) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		m.mu.Unlock() // so that other goroutines need not wait
		m.mu.Lock()
		m.sweep()
	}
	return first, err
}

// has reports whether the proof was used, and could still be accepted.
func (m *Memory) has(use Use) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, seen := m.used[digest(use.Key[:16])]
	return seen
}

// try remembers a proof, and reports whether the proof was new. If a new proof cannot
// be remembered, try returns an error.
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
	m.put(end, entry{proof, by})
	return true, nil
}

func (m *Memory) put(slot int64, added entry) {
	last := m.slots[slot]
	if last == nil || len(last.entries) == mostChunk {
		last = &chunk{next: last}
		m.slots[slot] = last
	}
	last.entries = append(last.entries, added)
}

// slotOf returns the second of a time. There are at most some thousand seconds with
// entries, because proofs expire within hours.
func slotOf(t time.Time) int64 { return t.Unix() }

// end moves the slots before now to m.ended. It does nothing unless a new second has
// begun.
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

// sweep removes at most mostSwept of the expired entries.
func (m *Memory) sweep() {
	for swept := 0; swept < mostSwept && len(m.ended) > 0; {
		last := len(m.ended) - 1
		c := m.ended[last]
		part := c.entries[max(0, len(c.entries)-(mostSwept-swept)):]
		for _, e := range part {
			m.drop(e)
		}
		swept += len(part)
		c.entries = c.entries[:len(c.entries)-len(part)]
		switch {
		case len(c.entries) > 0:
		case c.next != nil:
			m.ended[last] = c.next
		default:
			m.ended[last] = nil
			m.ended = m.ended[:last]
		}
	}
}

func (m *Memory) drop(e entry) {
	delete(m.used, e.proof)
	if e.by.held--; e.by.held == 0 {
		delete(m.clients, e.by.id)
	}
}
