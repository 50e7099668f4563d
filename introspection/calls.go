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
	// maxCalls bounds how many calls are on the wire at once: a flood of invented
	// tokens must not become one of requests to the authorization server.
	maxCalls = 64

	// maxQueued bounds the calls that wait for one of those to end. What comes later
	// is told at once.
	maxQueued = 1024

	// mostStrangers is how many calls about strangers are on the wire at once, as soon
	// as one token is known: a flood of them leaves room for tokens that were active
	// before. mostKnown leaves room for strangers that wait: the good ones among them
	// are to become known.
	mostStrangers = 48
	mostKnown     = 56
)

// calls are those under way, by the digest of their token; askers of the same token
// share one. A call belongs to none of them. While it waits, it is given up with the
// last who waits for it. Once it is on the wire it ends by itself, within its own time:
// to cancel it would close an HTTP/1.1 connection, and cost the server a handshake.
//
// Tokens that were active before go first. When the queue is full, one of them takes
// the place of the stranger that came last.
type calls struct {
	timeout time.Duration           // how long a call waits for its turn
	known   interface{ any() bool } // whether a share is to be kept for those
	lock    sync.Mutex
	shared  map[tokencache.Key]*call
	queues  [2]list.List // of *call, in the order in which they came
	onWire  [2]int
}

type call struct {
	key     tokencache.Key
	alone   bool // may not be joined
	side    side
	ask     question
	waiting int
	place   *list.Element   // in its queue; nil: it is on the wire, or over
	until   time.Time       // when it has waited long enough for its turn
	timer   *time.Timer     // for that; nil if it had not to wait
	late    chan struct{}   // closed then, if it is on the wire
	sent    bool            // it is on the wire
	waited  context.Context // ends when nobody waits
	unwait  context.CancelFunc
	done    chan struct{}

	response Response // and err: set before done is closed
	err      error
}

func newCalls(timeout time.Duration, known interface{ any() bool }) *calls {
	return &calls{timeout: timeout, known: known, shared: map[tokencache.Key]*call{}}
}

// A question is what a call asks. What it returns for later, unless nil, runs
// when its answer is there. It bounds itself in time.
type question func(turn turn) (response Response, later func(), err error)

// A turn is what a call has while it is under way.
type turn struct {
	waited context.Context // ends when nobody waits any more
	send   func() error    // to be called before the question goes on the wire
}

// errLeft is what a call ends with for which nobody waited when it would have gone on
// the wire.
var errLeft = errors.New("introspection: nobody waits for the answer")

// do joins the call about the token, unless it is to be alone, or makes it, unless that
// is refused. A call alone begins after do was called.
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

// join returns with a call what is closed when its time in the queue, and with it that
// of those who came meanwhile, is over. It is nil for one that is on the wire.
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

// patience is late for those that wait for a turn with the call.
func (made *call) patience() chan struct{} {
	if made.place == nil {
		return nil
	}
	return made.late
}

// admit starts a call or has it wait, and reports whether there was a place.
func (c *calls) admit(made *call) bool {
	if c.queues[made.side].Len() == 0 && c.mayStart(made.side) {
		c.start(made)
		return true
	}
	if c.queues[strangers].Len()+c.queues[knownSide].Len() >= maxQueued {
		last := c.queues[strangers].Back()
		if made.side == strangers || last == nil {
			return false
		}
		c.giveUp(last.Value.(*call))
	}
	made.place = c.queues[made.side].PushBack(made)
	made.until = time.Now().Add(c.timeout)
	made.timer = time.AfterFunc(c.timeout, func() { c.isLate(made) })
	return true
}

// mayStart reports whether a call of the side may go on the wire.
func (c *calls) mayStart(side side) bool {
	switch {
	case c.onWire[strangers]+c.onWire[knownSide] >= maxCalls:
		return false
	case side == strangers:
		return c.onWire[strangers] < mostStrangers || !c.known.any()
	}
	return c.onWire[knownSide] < mostKnown || c.queues[strangers].Len() == 0
}

// next starts what may start now, and is not yet late.
func (c *calls) next() {
	for _, side := range []side{knownSide, strangers} {
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

// isLate ends the wait for a call that had to wait; if it is on the wire by now, it
// goes on.
func (c *calls) isLate(made *call) {
	c.lock.Lock()
	defer c.lock.Unlock()
	if made.place != nil {
		c.giveUp(made)
		return
	}
	close(made.late)
}

// giveUp ends a call that waits for its turn.
func (c *calls) giveUp(made *call) {
	c.queues[made.side].Remove(made.place)
	made.place, made.err = nil, errBusy
	made.timer.Stop()
	made.unwait()
	c.forget(made)
	close(made.done)
}

// leave gives a call up that waits for its turn, with the last who waits for it. One
// that is on the wire goes on, and who asks meanwhile joins it.
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

// send keeps a question from the wire for whose answer nobody waits.
func (c *calls) send(made *call) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	if made.waiting == 0 {
		return errLeft
	}
	made.sent = true
	return nil
}

// errLost is what a call ends with whose goroutine somebody else's code has ended.
var errLost = errors.New("introspection: the call ended without an answer")

// answer makes the call. It ends it, come what may.
func (c *calls) answer(made *call) (later func()) {
	defer close(made.done)
	defer c.end(made)
	made.response, later, made.err = c.put(made)
	return later
}

// put asks. Whoever's code panics within, nothing is known of the token: the
// goroutine is ours, and nobody else could recover.
func (c *calls) put(made *call) (response Response, later func(), err error) {
	defer func() {
		if p := recover(); p != nil {
			response, later, err = Response{}, nil, fmt.Errorf("introspection: asking panicked: %T", p)
		}
	}()
	return made.ask(turn{made.waited, func() error { return c.send(made) }})
}

// end lets nobody join any more: the next to ask is told what is true then.
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

// run keeps somebody else's panic from ending the program.
func run(later func()) {
	defer func() { _ = recover() }()
	later()
}

// errBusy says nothing about the endpoint, and nothing about the token.
var errBusy error = &busyError{}

// errNoConnection is the same of a queue that the transport of HTTPClient has.
var errNoConnection = fmt.Errorf("%w: the transport of HTTPClient had no connection left (MaxConnsPerHost)", errBusy)

type busyError struct{}

func (*busyError) Error() string { return "introspection: too many introspections are under way" }

// RetryAfter returns when asking again may help.
func (*busyError) RetryAfter() time.Duration { return time.Second }
