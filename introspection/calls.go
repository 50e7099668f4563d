package introspection

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// maxCalls bounds how many calls are under way at once: a flood of invented
// tokens must not become one of requests to the authorization server.
const maxCalls = 64

// calls are those under way, by the digest of their token. Who asks about the
// same token shares one. A call belongs to none of them: it has a context of its
// own, which ends when nobody waits any more.
type calls struct {
	lock     sync.Mutex
	underWay map[[sha256.Size]byte]*call
	slots    chan struct{}
}

type call struct {
	waiting  int
	cancel   context.CancelFunc
	done     chan struct{}
	response Response // and err: set before done is closed
	err      error
}

func newCalls() *calls {
	return &calls{underWay: map[[sha256.Size]byte]*call{}, slots: make(chan struct{}, maxCalls)}
}

// do joins the call about the token, or makes it.
func (c *calls) do(ctx context.Context, token string, timeout time.Duration, ask func(context.Context) (Response, error)) (Response, error) {
	key := sha256.Sum256([]byte(token))
	shared := c.join(key, timeout, ask)
	defer c.leave(key, shared)
	select {
	case <-shared.done:
		return shared.response.clone(), shared.err
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

func (c *calls) join(key [sha256.Size]byte, timeout time.Duration, ask func(context.Context) (Response, error)) *call {
	c.lock.Lock()
	defer c.lock.Unlock()
	if shared, ok := c.underWay[key]; ok {
		shared.waiting++
		return shared
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	shared := &call{waiting: 1, cancel: cancel, done: make(chan struct{})}
	c.underWay[key] = shared
	go func() {
		defer close(shared.done)
		shared.response, shared.err = c.ask(ctx, ask)
		c.end(key, shared)
	}()
	return shared
}

var errBusy = errors.New("introspection: too many introspections are under way")

func (c *calls) ask(ctx context.Context, ask func(context.Context) (Response, error)) (Response, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		return ask(ctx)
	case <-ctx.Done():
		return Response{}, errBusy
	}
}

// leave ends the call with the last who waits for it.
func (c *calls) leave(key [sha256.Size]byte, shared *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if shared.waiting--; shared.waiting == 0 {
		shared.cancel()
		c.forget(key, shared)
	}
}

// end lets nobody join any more: the next to ask is told what is true then.
func (c *calls) end(key [sha256.Size]byte, ended *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.forget(key, ended)
}

func (c *calls) forget(key [sha256.Size]byte, old *call) {
	if c.underWay[key] == old {
		delete(c.underWay, key)
	}
}
