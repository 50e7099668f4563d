package introspection

import "encoding/binary"

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
