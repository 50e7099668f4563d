package introspection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

const (
	// maxCalls bounds how many calls are under way at once: a flood of invented
	// tokens must not become one of requests to the authorization server.
	maxCalls = 64

	// maxQueued bounds the calls that wait for one of those to end. Who comes
	// later is told at once.
	maxQueued = 1024
)

// calls are those under way, by the digest of their token. Who asks about the
// same token shares one. A call belongs to none of them: it has a context of its
// own, which ends when nobody waits any more.
type calls struct {
	lock     sync.Mutex
	underWay map[tokencache.Key]*call
	alone    int // calls that nobody may join
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
	return &calls{underWay: map[tokencache.Key]*call{}, slots: make(chan struct{}, maxCalls)}
}

// A question is what a call asks. What it returns for later, unless nil, runs
// when nobody waits for it any more.
type question func(context.Context) (response Response, later func(), err error)

// do joins the call about the token, or makes it.
func (c *calls) do(ctx context.Context, key tokencache.Key, timeout time.Duration, ask question) (Response, error) {
	shared, err := c.join(key, timeout, ask)
	if err != nil {
		return Response{}, err
	}
	defer c.leave(key, shared)
	select {
	case <-shared.done:
		return shared.response.clone(), shared.err
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

// doAlone makes a call that begins now and that nobody else joins.
func (c *calls) doAlone(ctx context.Context, timeout time.Duration, ask question) (Response, error) {
	if err := c.enter(); err != nil {
		return Response{}, err
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	own := &call{cancel: cancel, done: make(chan struct{}), err: errLost}
	go func() {
		if later := c.answer(bounded, own, ask, c.exit); later != nil {
			run(later)
		}
	}()
	select {
	case <-own.done:
		return own.response.clone(), own.err // the cache has the other
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

// run keeps somebody else's panic from ending the program.
func run(later func()) {
	defer func() { _ = recover() }()
	later()
}

func (c *calls) enter() error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.full() {
		return errBusy
	}
	c.alone++
	return nil
}

func (c *calls) exit() {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.alone--
}

func (c *calls) full() bool { return len(c.underWay)+c.alone >= maxCalls+maxQueued }

func (c *calls) join(key tokencache.Key, timeout time.Duration, ask question) (*call, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if shared, ok := c.underWay[key]; ok {
		shared.waiting++
		return shared, nil
	}
	if c.full() {
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	shared := &call{waiting: 1, cancel: cancel, done: make(chan struct{}), err: errLost}
	c.underWay[key] = shared
	go func() {
		if later := c.answer(ctx, shared, ask, func() { c.end(key, shared) }); later != nil {
			run(later)
		}
	}()
	return shared, nil
}

// errLost is what a call ends with whose goroutine somebody else's code has ended.
var errLost = errors.New("introspection: the call ended without an answer")

// answer makes the call. It ends it, come what may.
func (c *calls) answer(ctx context.Context, made *call, ask question, end func()) (later func()) {
	defer made.cancel()
	defer close(made.done)
	defer end()
	made.response, later, made.err = c.ask(ctx, ask)
	return later
}

// errBusy says nothing about the endpoint, and nothing about the token.
var errBusy error = &busyError{}

type busyError struct{}

func (*busyError) Error() string { return "introspection: too many introspections are under way" }

// RetryAfter returns when asking again may help.
func (*busyError) RetryAfter() time.Duration { return time.Second }

// ask waits for its turn. Whoever's code panics within, nothing is known of the
// token: the goroutine is ours, and nobody else could recover.
func (c *calls) ask(ctx context.Context, ask question) (response Response, later func(), err error) {
	defer func() {
		if p := recover(); p != nil {
			response, later, err = Response{}, nil, fmt.Errorf("introspection: asking panicked: %T", p)
		}
	}()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
		return ask(ctx)
	case <-ctx.Done():
		return Response{}, nil, errBusy
	}
}

// leave ends the call with the last who waits for it.
func (c *calls) leave(key tokencache.Key, shared *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if shared.waiting--; shared.waiting == 0 {
		shared.cancel()
		c.forget(key, shared)
	}
}

// end lets nobody join any more: the next to ask is told what is true then.
func (c *calls) end(key tokencache.Key, ended *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.forget(key, ended)
}

func (c *calls) forget(key tokencache.Key, old *call) {
	if c.underWay[key] == old {
		delete(c.underWay, key)
	}
}
