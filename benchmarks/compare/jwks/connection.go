package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// connections are the connections that a server has accepted.
type connections struct {
	mu  sync.Mutex
	all []*connection
}

func (c *connections) add(accepted net.Conn) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := &connection{Conn: accepted}
	c.all = append(c.all, one)
	return one
}

func (c *connections) each(do func(*connection)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		do(one)
	}
}

// forgetting is a listener whose connections can be forgotten, as by a middlebox.
type forgetting struct {
	net.Listener
	accepted *connections
}

func (f forgetting) Accept() (net.Conn, error) {
	accepted, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return f.accepted.add(accepted), nil
}

// A connection is a connection that the key server has accepted.
type connection struct {
	net.Conn
	forgotten atomic.Bool // discard everything that comes
	ended     atomic.Bool // close when the next request comes
}

func (c *connection) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		switch {
		case err != nil:
			return n, err
		case c.ended.Load():
			_ = c.Conn.Close()
			return 0, io.EOF
		case !c.forgotten.Load():
			return n, nil
		}
	}
}
