// Package answers remembers what a function of the program says of the names that clients
// bring. It bounds the calls and what is kept, asks again in the background, and lets an
// old answer serve while calls fail.
package answers

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	mostKept    = 10_000 // values
	mostOthers  = 2_000  // names without a value, calls under way included
	mostPending = 1_000  // calls that have not returned
	callsPerSec = 100    // about names of which nothing is known

	timeout   = 5 * time.Second  // of one call
	retry     = time.Second      // after a call that failed
	askAgain  = 5 * time.Minute  // after which a value is asked for again
	keptFor   = time.Hour        // a value counts so long if later calls fail
	idleFor   = time.Hour        // after which a value that is not used is forgotten
	absentFor = 30 * time.Second // how long it counts that a name has no value

	glances = 32                 // at the values that were added first, if there are too many
	coarse  = int64(time.Second) // how exactly the last use is known
)

var (
	errTooMany = fmt.Errorf("too many unknown names at once; the function is called at most %d times a second", callsPerSec)
	errPending = fmt.Errorf("%d calls of the function have not returned", mostPending)
	errDropped = errors.New("the answer was dropped, because there are too many")
	errTimeout = fmt.Errorf("the function did not return within %v", timeout)
	errGoexit  = errors.New("the function ended its goroutine")
)

// A Source makes the values. Its functions must be set.
type Source[V any] struct {
	// Ask returns the value of a name, or nil if it has none. old is the value before, or
	// nil. Ask runs code of the program, which may hang or panic.
	Ask func(ctx context.Context, name string, old *V) (*V, error)

	// Keep is called before a value is handed out, and when Ask has returned it once more.
	Keep func(value *V, answer *Answer[V])

	// Drop is called when a value no longer counts. If replaced is true, next takes its
	// place, or is nil because the name has no value any more. If not, the value is
	// forgotten, and may come back.
	Drop func(old, next *V, replaced bool)

	// Wrap is what callers get if a value cannot be found out, and Panic if the function
	// panicked with p or, if p is an error of this package, ended its goroutine.
	Wrap  func(error) error
	Panic func(p any) error
}

// A Cache holds the answers of a Source. It is safe for concurrent use.
type Cache[V any] struct {
	source  Source[V]
	calls   *rate.Limiter
	pending atomic.Int64 // calls that have not returned
	ctx     context.Context
	cancel  context.CancelFunc
	flights sync.WaitGroup

	mu      sync.Mutex
	answers map[string]*Answer[V] // by name; nil if the cache is closed
	known   list.List             // of *Answer with a value; those that were added last are in front
	others  list.List             // of all other answers
}

// An Answer is what is known of one name.
type Answer[V any] struct {
	name  string
	used  atomic.Int64 // times are in nanoseconds since 1970
	again atomic.Int64 // when to ask again
	until atomic.Int64 // when the answer ends; 0 if nothing is known

	// The mutex of the cache guards these.
	place  *list.Element
	value  *V    // nil: the name has none
	err    error // of the last call, if there is no answer
	retry  int64 // the time until which err counts
	flight chan struct{}
}

// New makes a Cache. Close ends what it starts.
func New[V any](source Source[V]) *Cache[V] {
	c := &Cache[V]{source: source, calls: rate.NewLimiter(callsPerSec, callsPerSec), answers: map[string]*Answer[V]{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Get returns the value of a name, or nil if it has none. If nothing is known of the name,
// Get waits for a call, or until ctx ends.
func (c *Cache[V]) Get(ctx context.Context, name string) (*V, error) {
	a, flight, err := c.find(name, time.Now().UnixNano())
	if err != nil {
		return nil, c.source.Wrap(err)
	}
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.err != nil {
		return nil, a.err
	}
	return a.value, nil
}

// find returns what is known of a name, and the end of the call to wait for, or nil if
// there is an answer.
func (c *Cache[V]) find(name string, now int64) (a *Answer[V], flight chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a = c.answers[name]
	switch {
	case a != nil && now < a.until.Load():
		c.use(a, now)
		return a, nil, nil
	case a != nil && a.err != nil && now < a.retry:
		return a, nil, nil
	case a != nil && a.flight != nil:
		return a, a.flight, nil
	case c.answers == nil || !c.calls.Allow():
		return nil, nil, errTooMany
	}
	if a == nil {
		a = &Answer[V]{name: name}
		c.add(a)
	}
	c.ask(a)
	return a, a.flight, nil
}

// Holds reports whether the value of an answer still counts. It takes no lock, unless it
// is time to ask again, which it does without waiting.
func (c *Cache[V]) Holds(a *Answer[V]) bool {
	now := time.Now().UnixNano()
	if now >= a.until.Load() {
		return false
	}
	if now-a.used.Load() > coarse {
		a.used.Store(now)
	}
	if now >= a.again.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.use(a, now)
	}
	return true
}

// use notes that an answer was used and, if it is time, asks again. The caller holds the
// mutex.
func (c *Cache[V]) use(a *Answer[V], now int64) {
	a.used.Store(now)
	if now >= a.again.Load() && a.flight == nil && c.answers[a.name] == a {
		a.again.Store(now + int64(retry)) // if the call fails
		c.ask(a)
	}
}

// add makes a place for a name of which nothing is known. The caller holds the mutex.
func (c *Cache[V]) add(a *Answer[V]) {
	for last := c.others.Back(); last != nil && c.others.Len() >= mostOthers; {
		old := last.Value.(*Answer[V])
		last = last.Prev()
		if old.flight == nil {
			c.drop(old)
		}
	}
	a.place, c.answers[a.name] = c.others.PushFront(a), a
}

// know moves an answer to those with a value, and forgets values that are not used, or for
// which there is no room. The caller holds the mutex.
func (c *Cache[V]) know(a *Answer[V], now int64) {
	c.others.Remove(a.place)
	a.place = c.known.PushFront(a)
	for n := range glances {
		old := c.known.Back().Value.(*Answer[V])
		idle, crowded := time.Duration(now-old.used.Load()), c.known.Len() > mostKept
		switch {
		case old == a || !crowded && idle < idleFor:
			return
		case crowded && idle < time.Minute && n < glances-1:
			c.known.MoveToFront(old.place) // used of late
		default:
			c.drop(old)
		}
	}
}

// drop forgets an answer. The caller holds the mutex.
func (c *Cache[V]) drop(a *Answer[V]) {
	delete(c.answers, a.name)
	a.until.Store(0)
	if a.value == nil {
		c.others.Remove(a.place)
		a.err = cmp.Or(a.err, c.source.Wrap(errDropped))
		return
	}
	c.known.Remove(a.place)
	c.source.Drop(a.value, nil, false)
}

// Forget removes the value of a name, because another source has one.
func (c *Cache[V]) Forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[name]
	if a == nil {
		return
	}
	c.drop(a)
	if a.value != nil {
		c.source.Drop(a.value, nil, true)
	}
}

// Any reports whether a value matches.
func (c *Cache[V]) Any(match func(name string, value *V) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, a := range c.answers {
		if a.value != nil && match(name, a.value) {
			return true
		}
	}
	return false
}

// Close drops all values, and waits for the calls. A call whose function does not return
// is not waited for.
func (c *Cache[V]) Close() {
	c.cancel()
	c.mu.Lock()
	for _, a := range c.answers {
		c.drop(a)
	}
	c.answers = nil
	c.mu.Unlock()
	c.flights.Wait()
}

// ask starts a call. The caller holds the mutex.
func (c *Cache[V]) ask(a *Answer[V]) {
	flight, old := make(chan struct{}), a.value
	a.flight = flight
	c.flights.Go(func() {
		defer close(flight)
		next, err := c.call(a.name, old)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settle(a, next, err, time.Now())
	})
}

// settle keeps the result of a call. If the call failed, an earlier answer goes on to
// count until it ends. The caller holds the mutex.
func (c *Cache[V]) settle(a *Answer[V], next *V, err error, now time.Time) {
	a.flight = nil
	old := a.value
	switch {
	case c.answers[a.name] != a: // dropped meanwhile
		if next != nil {
			c.source.Drop(next, nil, false)
		}
		return
	case err != nil && now.UnixNano() < a.until.Load():
		return
	case err != nil:
		a.err, a.retry = err, now.Add(retry).UnixNano()
		return
	}
	a.value, a.err = next, nil
	lasts, again := absentFor, absentFor
	if next != nil {
		lasts, again = keptFor, askAgain
		a.used.Store(now.UnixNano())
		c.source.Keep(next, a)
	}
	switch {
	case old == nil && next != nil:
		c.know(a, now.UnixNano())
	case old != nil && next == nil:
		c.known.Remove(a.place)
		a.place = c.others.PushFront(a)
	}
	a.until.Store(now.Add(varied(lasts)).UnixNano())
	a.again.Store(now.Add(varied(again)).UnixNano())
	if old != nil {
		c.source.Drop(old, next, true)
	}
}

// varied shortens a time by up to a tenth, so that answers do not end together.
func varied(d time.Duration) time.Duration { return d - rand.N(d/10) }

// A result is what Ask returned.
type result[V any] struct {
	value *V
	err   error
}

// call waits no longer than the time of a call, even if the function does.
func (c *Cache[V]) call(name string, old *V) (*V, error) {
	if c.pending.Add(1) > mostPending {
		c.pending.Add(-1)
		return nil, c.source.Wrap(errPending)
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	returned := make(chan result[V], 1)
	go c.run(ctx, name, old, returned)
	select {
	case got := <-returned:
		return got.value, got.err
	case <-ctx.Done():
		return nil, c.source.Wrap(errTimeout)
	}
}

// run calls the function. If it returns too late, its value is dropped.
func (c *Cache[V]) run(ctx context.Context, name string, old *V, returned chan<- result[V]) {
	defer c.pending.Add(-1)
	got := result[V]{err: c.source.Panic(errGoexit)}
	defer func() {
		if p := recover(); p != nil {
			got = result[V]{err: c.source.Panic(p)}
		}
		returned <- got
	}()
	got.value, got.err = c.source.Ask(ctx, name, old)
}
