// Package websocket tests both adapters for HTTP with a WebSocket library,
// github.com/coder/websocket: a WebSocket is refused on its handshake, as any other
// request is, and closed when its token ends.
package websocket
