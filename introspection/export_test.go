package introspection

// Waiting tells tests how many wait for calls under way.
func (c *Client) Waiting() (waiting int) {
	c.calls.lock.Lock()
	defer c.calls.lock.Unlock()
	for _, shared := range c.calls.underWay {
		waiting += shared.waiting
	}
	return waiting
}
