package pool

import "net/http"

// Open returns how many connections are open.
func Open(t *Transport) int {
	t.conns.mu.Lock()
	defer t.conns.mu.Unlock()
	return len(t.conns.open)
}

// HTTP returns the transport below.
func HTTP(t *Transport) *http.Transport { return t.http }
