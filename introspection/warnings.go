package introspection

// Warnings returns what an operator should know about a Config that is not wrong, one
// sentence each, without text from outside this package. If there is nothing to know,
// the result is nil.
func (c *Client) Warnings() []string {
	if !c.fetch.CannotPing() {
		return nil
	}
	return []string{"the transport of HTTPClient is not an *http.Transport with net/http's HTTP/2, so a connection that a firewall has silently dropped cannot be detected here; set SendPingTimeout and PingTimeout on the transport that it wraps"}
}
