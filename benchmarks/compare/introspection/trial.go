package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

// A trial is one implementation in one scenario, with a server and a client of its own.
type trial struct {
	implementation
	server *server
	crowd  int // concurrent lookups

	cacheFor time.Duration
	length   time.Duration // from which the scenarios with sockets derive how long they take

	heap       func() int // bytes in use, after a collection
	goroutines func() int

	life context.Context
	end  context.CancelFunc
}

func newTrial(ctx context.Context, i implementation) (*trial, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	t := &trial{implementation: i, server: s, crowd: 1000, cacheFor: time.Minute, length: 30 * time.Second, heap: heapInUse, goroutines: runtime.NumGoroutine}
	t.life, t.end = context.WithCancel(ctx)
	return t, nil
}

func (t *trial) close() {
	t.end()
	t.server.close()
	http.DefaultClient.CloseIdleConnections() // the other implementations share its transport
}

// open makes the client.
func (t *trial) open() (client, error) {
	c, err := t.implementation.open(t.life, t.server.url, t.cacheFor)
	if err != nil {
		return nil, fmt.Errorf("the client's constructor fails: %w", err)
	}
	return c, nil
}

// warm makes the client and checks that it finds a good token active.
func (t *trial) warm() (client, error) {
	c, err := t.open()
	if err != nil {
		return nil, err
	}
	if ask(t.life, c, good+"first") != right {
		return nil, errors.New("the client does not find an active token active")
	}
	return c, nil
}

// holds reports whether the client finds the token of warm active without a call.
func (t *trial) holds(c client) bool {
	before := t.server.counted().calls
	return ask(t.life, c, good+"first") == right && t.server.counted().calls == before
}

// heapInUse runs the garbage collector twice, because the contents of a sync.Pool are
// freed only by the second collection.
func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
