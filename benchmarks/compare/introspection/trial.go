package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"time"
)

// A trial is one implementation in one scenario, with a server and a client that
// nobody else uses.
type trial struct {
	implementation
	server *server
	crowd  int // look-ups at once

	cacheFor time.Duration
	length   time.Duration // of a scenario beside others

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
	http.DefaultClient.CloseIdleConnections() // the peers share its transport
}

// open makes the client.
func (t *trial) open() (client, error) {
	c, err := t.implementation.open(t.life, t.server.url, t.cacheFor)
	if err != nil {
		return nil, fmt.Errorf("its constructor fails: %w", err)
	}
	return c, nil
}

// warm makes the client and has it find a token active.
func (t *trial) warm() (client, error) {
	c, err := t.open()
	if err != nil {
		return nil, err
	}
	if ask(t.life, c, good+"first") != right {
		return nil, errors.New("it does not find an active token active")
	}
	return c, nil
}

// holds reports whether the client knows the token of warm without a call.
func (t *trial) holds(c client) bool {
	before := t.server.counted().calls
	return ask(t.life, c, good+"first") == right && t.server.counted().calls == before
}

// heapInUse collects twice: what a pool holds goes in the second collection.
func heapInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
