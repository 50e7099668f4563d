package introspection

import (
	"encoding/binary"
	"time"
)

// Waiting tells tests how many wait for calls under way.
func (c *Client) Waiting() (waiting int) {
	c.calls.lock.Lock()
	defer c.calls.lock.Unlock()
	for _, shared := range c.calls.shared {
		waiting += shared.waiting
	}
	return waiting
}

// OnWire tells tests how many calls are under way.
func (c *Client) OnWire() int {
	c.calls.lock.Lock()
	defer c.calls.lock.Unlock()
	return c.calls.onWire[unknownSide] + c.calls.onWire[knownSide]
}

// OnWireKnown tells tests how many calls about known tokens are under way.
func (c *Client) OnWireKnown() int {
	c.calls.lock.Lock()
	defer c.calls.lock.Unlock()
	return c.calls.onWire[knownSide]
}

// Known tells tests how many tokens are remembered as active before.
func (c *Client) Known() int {
	known := &c.breaker.known
	known.mu.Lock()
	defer known.mu.Unlock()
	return len(known.young) + len(known.old)
}

// Learn does for a made-up digest what an answer about an active token does, so that
// tests need not make a hundred thousand calls.
func (c *Client) Learn(n int) {
	var d digest
	binary.BigEndian.PutUint64(d[:], uint64(n)+1)
	c.breaker.known.learn(d, true)
}

// The failures of a Failed, as the breaker names them.
const (
	Refused   = refused
	Forbidden = forbidden
	Limited   = limited
	Internal  = internal
	Down      = down
	Unsent    = unsent
)

// A Failed is one failure of a token: a known one if its name begins with k.
type Failed struct {
	Token   string
	Failure failure
	Asks    bool
}

// Row tells tests what a row of failures decides after the last one: whether the circuits
// of known and of unknown tokens open, and whether a Retry-After applies to all tokens.
func Row(few int, never bool, lasted time.Duration, failures ...Failed) (known, unknown, asksAll bool) {
	var r row
	began := time.Unix(1_900_000_000, 0)
	last := failures[len(failures)-1].Failure
	for _, f := range failures {
		t := ticket{side: unknownSide}
		if f.Token != "" && f.Token[0] == 'k' {
			t.side = knownSide
		}
		copy(t.token[:], f.Token)
		r.add(t, f.Failure, f.Asks, began)
	}
	return r.opensKnown(last, few), r.opensUnknown(last, few, never, began.Add(lasted)), r.asksAll(few)
}
