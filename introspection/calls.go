package introspection

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/accesstoken/accesstoken/internal/tokencache"
)

const (
	// maxCalls bounds how many calls are on the wire at once, so that a flood of invented
	// tokens does not become a flood of requests to the authorization server.
	maxCalls = 64

	// maxQueued bounds how many calls wait for a call on the wire to end. If the queue is
	// full, the next call fails at once.
	maxQueued = 1024

	// If any token is known, at most mostUnknown calls about unknown tokens are on the
	// wire at once, so that a flood of unknown tokens leaves room for known tokens. If
	// unknown tokens wait, at most mostKnown calls are about known tokens, so that the
	// good ones among the unknown tokens can become known.
	mostUnknown = 48
	mostKnown   = 56
)

// calls holds the calls under way, by the digest of their token. Concurrent callers of
// one token share its call, which belongs to none of them. While the call waits for its
// turn, it is given up if the last caller leaves. Once the call is on the wire it ends by
// itself, within its own time, because canceling it would close an HTTP/1.1 connection
// and cost the server a handshake.
//
// Known tokens go first. If the queue is full, a call about a known token takes the place
// of the last call about an unknown token.
type calls struct {
	timeout time.Duration           // how long a call waits for its turn
	known   interface{ any() bool } // if any token is known, places are kept for known tokens
	lock    sync.Mutex
	shared  map[tokencache.Key]*call
	queues  [2]list.List // of *call, in the order in which they came
	onWire  [2]int
}

type call struct {
	key     tokencache.Key
	alone   bool // must not be shared
	side    side
	ask     question
	waiting int
	place   *list.Element   // in its queue; nil if the call has its turn, or is over
	until   time.Time       // when its time in the queue is over
	timer   *time.Timer     // fires at until; nil if the call did not have to wait
	late    chan struct{}   // closed at until if the call has its turn by then
	sent    bool            // its request is on the wire
	waited  context.Context // ends when every caller has left
	unwait  context.CancelFunc
	done    chan struct{}

	response Response // response and err are set before done is closed
	err      error
}

func newCalls(timeout time.Duration, known interface{ any() bool }) *calls {
	return &calls{timeout: timeout, known: known, shared: map[tokencache.Key]*call{}}
}

// A question does the work of a call, within a time limit of its own. If later is not
// nil, it runs after the callers have their answer.
type question func(turn turn) (response Response, later func(), err error)

// A turn is passed to a question when its call's wait is over.
type turn struct {
	waited context.Context // ends when every caller has left
	send   func() error    // must be called before the request goes on the wire
}

// errLeft is the error of a call whose callers all left before its request was on the
// wire.
var errLeft = errors.New("introspection: every caller left before the request was sent")

// do joins the call about the token. If there is no such call, or it must not be
// shared, it makes a new call that starts after do was called. If refuses returns an
// error, no call is made.
func (c *calls) do(ctx context.Context, wanted call, refuses func() error) (Response, error) {
	made, late, err := c.join(&wanted, refuses)
	if err != nil {
		return Response{}, err
	}
	defer c.leave(made)
	select {
	case <-made.done:
		return made.response.clone(), made.err
	case <-late:
		return Response{}, errBusy
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

// join returns a call and the channel late. If the call's time in the queue ends, late is
// closed, and every caller that joined the call while it was queued gives up. If the call
// has its turn already, late is nil.
func (c *calls) join(wanted *call, refuses func() error) (made *call, late chan struct{}, err error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if made, ok := c.shared[wanted.key]; ok && !wanted.alone {
		made.waiting++
		return made, made.patience(), nil
	}
	if err := refuses(); err != nil {
		return nil, nil, err
	}
	wanted.waiting, wanted.err = 1, errLost
	wanted.late, wanted.done = make(chan struct{}), make(chan struct{})
	wanted.waited, wanted.unwait = context.WithCancel(context.Background())
	if !c.admit(wanted) {
		return nil, nil, errBusy
	}
	if !wanted.alone {
		c.shared[wanted.key] = wanted
	}
	return wanted, wanted.patience(), nil
}

// patience returns late for a caller that joins now, or nil if the call is not queued.
func (made *call) patience() chan struct{} {
	if made.place == nil {
		return nil
	}
	return made.late
}

// admit starts or queues a call, and reports whether there was a place for it.
func (c *calls) admit(made *call) bool {
	if c.queues[made.side].Len() == 0 && c.mayStart(made.side) {
		c.start(made)
		return true
	}
	if c.queues[unknownSide].Len()+c.queues[knownSide].Len() >= maxQueued {
		last := c.queues[unknownSide].Back()
		if made.side == unknownSide || last == nil {
			return false
		}
		c.giveUp(last.Value.(*call))
	}
	made.place = c.queues[made.side].PushBack(made)
	made.until = time.Now().Add(c.timeout)
	made.timer = time.AfterFunc(c.timeout, func() { c.isLate(made) })
	return true
}

// mayStart reports whether a call of the side can have its turn.
func (c *calls) mayStart(side side) bool {
	switch {
	case c.onWire[unknownSide]+c.onWire[knownSide] >= maxCalls:
		return false
	case side == unknownSide:
		return c.onWire[unknownSide] < mostUnknown || !c.known.any()
	}
	return c.onWire[knownSide] < mostKnown || c.queues[unknownSide].Len() == 0
}

// next starts the queued calls that can start now, and gives up queued calls that are
// late.
func (c *calls) next() {
	for _, side := range []side{knownSide, unknownSide} {
		for queue := &c.queues[side]; queue.Len() > 0 && c.mayStart(side); {
			made := queue.Front().Value.(*call)
			if !time.Now().Before(made.until) {
				c.giveUp(made)
				continue
			}
			queue.Remove(made.place)
			made.place = nil
			c.start(made)
		}
	}
}

func (c *calls) start(made *call) {
	c.onWire[made.side]++
	go func() {
		if later := c.answer(made); later != nil {
			run(later)
		}
	}()
}

// isLate runs when a call's time in the queue is over. If the call is still queued, it is
// given up. If the call has its turn, it continues, but the callers that were queued with
// it give up.
func (c *calls) isLate(made *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if made.place != nil {
		c.giveUp(made)
		return
	}
	close(made.late)
}

// giveUp ends a queued call.
func (c *calls) giveUp(made *call) {
	c.queues[made.side].Remove(made.place)
	made.place, made.err = nil, errBusy
	made.timer.Stop()
	made.unwait()
	c.forget(made)
	close(made.done)
}

// leave notes that a caller has left. After the last caller, a queued call is given up.
// If the request is on the wire, the call continues and later callers can join it. If the
// request is not on the wire yet, later callers make a new call.
func (c *calls) leave(made *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	made.waiting--
	switch {
	case made.waiting > 0:
	case made.place != nil:
		c.giveUp(made)
	case made.sent:
		made.unwait()
	default:
		made.unwait()
		c.forget(made)
	}
}

// send marks a call as sent, or returns errLeft if every caller has left.
func (c *calls) send(made *call) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if made.waiting == 0 {
		return errLeft
	}
	made.sent = true
	return nil
}

// errLost is the error of a call whose goroutine was ended by a function of the Config,
// for example with runtime.Goexit.
var errLost = errors.New("introspection: the call ended without an answer")

// answer makes the call, and ends it even if the question panics.
func (c *calls) answer(made *call) (later func()) {
	defer close(made.done)
	defer c.end(made)
	made.response, later, made.err = c.put(made)
	return later
}

// put asks the question, and turns a panic into an error, because no caller could recover
// from a panic on this goroutine. If a function of the Config panics, nothing is known of
// the token.
func (c *calls) put(made *call) (response Response, later func(), err error) {
	defer func() {
		if p := recover(); p != nil {
			response, later, err = Response{}, nil, fmt.Errorf("introspection: the lookup panicked with a %T", p)
		}
	}()
	return made.ask(turn{made.waited, func() error { return c.send(made) }})
}

// end removes the call, so that later callers get a newer answer, and starts the next.
func (c *calls) end(made *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if made.timer != nil {
		made.timer.Stop()
	}
	made.unwait()
	c.forget(made)
	c.onWire[made.side]--
	c.next()
}

func (c *calls) forget(old *call) {
	if c.shared[old.key] == old {
		delete(c.shared, old.key)
	}
}

// run recovers if a function of the Config panics, because otherwise the program would
// crash.
func run(later func()) {
	defer func() { _ = recover() }()
	later()
}

// errBusy means that the queue is full, or that a call's time in the queue is over. It
// says nothing about the endpoint or the token.
var errBusy error = &busyError{}

// errNoConnection is errBusy for the queue of HTTPClient's transport.
var errNoConnection = fmt.Errorf("%w: the transport of HTTPClient had no connection left (MaxConnsPerHost)", errBusy)

type busyError struct{}

func (*busyError) Error() string {
	return "introspection: too many calls are under way; try again later"
}

// RetryAfter returns how long to wait before trying again.
func (*busyError) RetryAfter() time.Duration { return time.Second }
