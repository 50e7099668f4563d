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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	mostKept    = 10_000 // values
	mostOthers  = 2_000  // names without a value, calls under way included
	mostPending = 1_000  // calls that have not returned
	callsPerSec = 100    // about names without a value, and as many about the others

	timeout    = 5 * time.Second  // of one call
	retry      = time.Second      // after a call that failed
	askAgain   = 5 * time.Minute  // after which a value is asked for again
	keptFor    = time.Hour        // a value counts so long if later calls fail
	idleFor    = time.Hour        // after which a value that is not used is forgotten
	usedOfLate = time.Minute      // if there are too many values, those that were used of late stay, if possible
	absentFor  = 30 * time.Second // how long it counts that a name has no value

	glances = 32                 // at values, for each that is added
	coarse  = int64(time.Second) // how exactly the last use is known
)

var (
	errTooMany = fmt.Errorf("too many names at once; the function is called at most %d times a second", callsPerSec)
	errPending = fmt.Errorf("%d calls of the function have not returned", mostPending)
	errDropped = errors.New("the answer was dropped, because there are too many")
	errTimeout = fmt.Errorf("the function did not return within %v", timeout)
	errHangs   = errors.New("an earlier call of the function has still not returned")
	errGoexit  = errors.New("the function ended its goroutine")
)

// A Source makes the values. Its functions must be set. The Cache never calls Check, Keep
// and Drop from two goroutines at once, and they must not call the Cache.
type Source[V any] struct {
	// Ask returns the value of a name, or nil if it has none. old is the value before, or
	// nil. Ask runs code of the program, which may hang or panic.
	Ask func(ctx context.Context, name string, old *V) (*V, error)

	// Check says why a value must not be handed out, or returns nil. If it returns an error,
	// the call counts as failed, and Drop is called for the value.
	Check func(value *V) error

	// Keep is called before a value is handed out, and when Ask has returned it once more.
	Keep func(value *V, answer *Answer[V])

	// Drop is called when a value no longer counts. If replaced is true, next takes its
	// place, or is nil because the name has no value any more. If not, the value is
	// forgotten, and may come back; next is then the value that stays, or nil.
	Drop func(old, next *V, replaced bool)

	// Wrap is what callers get if a value cannot be found out, and Panic if the function
	// panicked with p or, if p is an error of this package, ended its goroutine.
	Wrap  func(error) error
	Panic func(p any) error
}

// A Cache holds the answers of a Source. It is safe for concurrent use.
type Cache[V any] struct {
	source  Source[V]
	began   time.Time     // all times are nanoseconds since then, so that a clock that is set changes none
	calls   *rate.Limiter // about names without a value
	renewal *rate.Limiter // about the others, so that invented names do not use up their calls
	pending atomic.Int64  // calls that have not returned
	ctx     context.Context
	cancel  context.CancelFunc
	flights sync.WaitGroup

	mu      sync.Mutex
	answers map[string]*Answer[V] // by name; nil if the cache is closed
	known   list.List             // of *Answer with a value; those that were looked at last are in front
	others  list.List             // of all other answers
}

// An Answer is what is known of one name.
type Answer[V any] struct {
	name  string
	used  atomic.Int64
	again atomic.Int64 // when to ask again
	until atomic.Int64 // when the answer ends; 0 if nothing is known
	hangs atomic.Bool  // the function has not returned, although its call may have ended

	// The mutex of the cache guards these.
	place  *list.Element
	value  *V    // nil: the name has none
	err    error // of the last call, if there is no answer
	retry  int64 // the time until which err counts
	flight chan struct{}
}

// New makes a Cache. Close ends what it starts.
func New[V any](source Source[V]) *Cache[V] {
	c := &Cache[V]{
		source: source, began: time.Now(), answers: map[string]*Answer[V]{},
		calls: rate.NewLimiter(callsPerSec, callsPerSec), renewal: rate.NewLimiter(callsPerSec, callsPerSec),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *Cache[V]) now() int64 { return int64(time.Since(c.began)) }

// Get returns the value of a name, or nil if it has none. If nothing is known of the name,
// Get waits for a call, or until ctx ends.
func (c *Cache[V]) Get(ctx context.Context, name string) (*V, error) {
	a, flight, err := c.find(name, c.now())
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

// Foresee returns what Get would return now, but keeps nothing and counts as no use. isNew is
// true if the value was made for this call: the caller then has to end what it holds. The
// call of the function, if one is needed, is made in the caller's time.
func (c *Cache[V]) Foresee(ctx context.Context, name string) (value *V, isNew bool, err error) {
	now := c.now()
	c.mu.Lock()
	a := c.answers[name]
	var flight chan struct{}
	switch {
	case a != nil && now < a.until.Load():
		value = a.value
		c.mu.Unlock()
		return value, false, nil
	case a != nil && now < a.retry:
		err = a.err
	case a != nil && a.flight != nil:
		flight = a.flight
	case a != nil && a.hangs.Load():
		err = c.source.Wrap(errHangs)
	case c.answers == nil || c.limiter(a).TokensAt(time.Now()) < 1:
		err = c.source.Wrap(errTooMany)
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		return nil, false, err
	case flight != nil:
		value, err = c.Get(ctx, name)
		return value, false, err
	}
	value, err = c.call(&Answer[V]{name: name}, nil)
	if err == nil && value != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		err = c.source.Check(value)
	}
	return value, value != nil, err
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
	case a != nil && now < a.retry:
		return a, nil, nil
	case a != nil && a.flight != nil:
		return a, a.flight, nil
	case a != nil && a.hangs.Load():
		return nil, nil, errHangs
	case c.answers == nil || !c.mayCall(a):
		return nil, nil, errTooMany
	}
	if a == nil {
		a = &Answer[V]{name: strings.Clone(name)} // the caller's may be part of a much longer text
		c.add(a)
	}
	c.ask(a)
	return a, a.flight, nil
}

// mayCall reports whether the function may be called now. a is nil if nothing is known of
// the name. The caller holds the mutex.
func (c *Cache[V]) mayCall(a *Answer[V]) bool {
	return c.limiter(a).Allow()
}

func (c *Cache[V]) limiter(a *Answer[V]) *rate.Limiter {
	if a != nil && a.value != nil {
		return c.renewal
	}
	return c.calls
}

// Holds reports whether the value of an answer still counts. It takes no lock, unless it
// is time to ask again, which it does without waiting.
func (c *Cache[V]) Holds(a *Answer[V]) bool {
	now := c.now()
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
	if now < a.again.Load() || a.flight != nil || a.hangs.Load() || c.answers[a.name] != a {
		return
	}
	a.again.Store(now + int64(retry)) // if there is no call, or if it fails
	if c.mayCall(a) {
		c.ask(a)
	}
}

// add makes a place for a name of which nothing is known. The caller holds the mutex.
func (c *Cache[V]) add(a *Answer[V]) {
	for last := c.others.Back(); last != nil && c.others.Len() >= mostOthers; {
		old := last.Value.(*Answer[V])
		last = last.Prev()
		if old.flight == nil && !old.hangs.Load() {
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
		idle, most := time.Duration(now-old.used.Load()), idleFor
		crowded := c.known.Len() > mostKept
		if crowded {
			most = usedOfLate
		}
		switch {
		case old == a:
			return
		case idle < most && !(crowded && n == glances-1):
			c.known.MoveToFront(old.place) // so that it does not hide those that are not used
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

// Do calls f with the values that are kept, in no order. No value is dropped while f runs, and
// f must not call the Cache.
func (c *Cache[V]) Do(f func(values []*V)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var values []*V
	for _, a := range c.answers {
		if a.value != nil {
			values = append(values, a.value)
		}
	}
	f(values)
}

// Forget removes what is known of the names that match, because another source has it. The
// value is nil if the name has none.
func (c *Cache[V]) Forget(match func(name string, value *V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, a := range c.answers {
		if !match(name, a.value) {
			continue
		}
		c.drop(a)
		if a.value != nil {
			c.source.Drop(a.value, nil, true)
		}
	}
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
	a.hangs.Store(true)
	c.flights.Go(func() {
		defer close(flight)
		next, err := c.call(a, old)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.settle(a, next, err, c.now())
	})
}

// settle keeps the result of a call. If the call failed, an earlier answer goes on to
// count until it ends. The caller holds the mutex.
func (c *Cache[V]) settle(a *Answer[V], next *V, err error, now int64) {
	a.flight = nil
	old := a.value
	if c.answers[a.name] != a { // dropped meanwhile
		if next != nil {
			c.source.Drop(next, nil, false)
		}
		return
	}
	if err == nil && next != nil {
		if err = c.source.Check(next); err != nil {
			c.source.Drop(next, old, false)
		} else {
			c.source.Keep(next, a)
		}
	}
	switch {
	case err != nil && now < a.until.Load():
		return
	case err != nil:
		a.err, a.retry = err, now+int64(retry)
		return
	}
	a.value, a.err = next, nil
	lasts, again := absentFor, absentFor
	if next != nil {
		lasts, again = keptFor, askAgain
		a.used.Store(now)
	}
	switch {
	case old == nil && next != nil:
		c.know(a, now)
	case old != nil && next == nil:
		c.known.Remove(a.place)
		a.place = c.others.PushFront(a)
	}
	a.until.Store(now + varied(lasts))
	a.again.Store(now + varied(again))
	if old != nil {
		c.source.Drop(old, next, true)
	}
}

// varied shortens a time by up to a tenth, so that answers do not end together.
func varied(d time.Duration) int64 { return int64(d - rand.N(d/10)) }

// A result is what Ask returned.
type result[V any] struct {
	value *V
	err   error
}

// call waits no longer than the time of a call, even if the function does.
func (c *Cache[V]) call(a *Answer[V], old *V) (*V, error) {
	if c.pending.Add(1) > mostPending {
		c.pending.Add(-1)
		a.hangs.Store(false)
		return nil, c.source.Wrap(errPending)
	}
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	returned := make(chan result[V], 1)
	go c.run(ctx, a, old, returned)
	select {
	case got := <-returned:
		return got.value, got.err
	case <-ctx.Done():
		return nil, c.source.Wrap(errTimeout)
	}
}

// run calls the function. If it returns too late, its value is not used.
func (c *Cache[V]) run(ctx context.Context, a *Answer[V], old *V, returned chan<- result[V]) {
	got := result[V]{err: c.source.Panic(errGoexit)}
	defer func() {
		if p := recover(); p != nil {
			got = result[V]{err: c.source.Panic(p)}
		}
		c.pending.Add(-1)
		a.hangs.Store(false)
		returned <- got
	}()
	got.value, got.err = c.source.Ask(ctx, a.name, old)
}
