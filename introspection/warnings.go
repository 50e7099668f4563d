package introspection

// Warnings returns what an operator should know of the Config although it is not wrong,
// one sentence each, in words of our own; nil if there is nothing.
func (c *Client) Warnings() []string {
	if !c.fetch.CannotPing() {
		return nil
	}
	return []string{"the transport of HTTPClient is not an *http.Transport whose HTTP/2 is that of net/http, so that a connection which a firewall has forgotten is not found out here; set the SendPingTimeout and PingTimeout of what it wraps"}
}
