package accesstoken

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

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/panics"
)

const (
	mostResolved   = 10_000 // issuers that are kept
	mostUnresolved = 2_000  // answers that there is no such issuer, and calls under way
	mostResolving  = 1_000  // calls that have not returned
	resolvesPerSec = 100    // calls about an iss of which nothing is known
	mostIssuerText = 512    // bytes of an iss

	resolveTimeout = 5 * time.Second  // of one call
	resolveRetry   = time.Second      // after a call that failed
	resolvedAgain  = 5 * time.Minute  // after which an issuer is asked about again
	resolvedFor    = time.Hour        // an issuer counts so long if later calls fail
	resolvedIdle   = time.Hour        // after which an issuer that is not used is forgotten
	unresolvedFor  = 30 * time.Second // an answer that there is no such issuer

	resolvedGlances = 32                 // at the issuers that were added first, if there are too many
	resolvedCoarse  = int64(time.Second) // how exactly the last use is known
)

// A resolver holds the answers of Config.ResolveIssuer.
type resolver struct {
	*family
	resolve func(context.Context, string) (*Issuer, error)
	calls   *rate.Limiter
	pending atomic.Int64 // calls that have not returned
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex
	answers map[string]*resolution // by iss; nil if the resolver is closed
	known   list.List              // of *resolution with an issuer; those that were added last are in front
	others  list.List              // of all other answers
}

// A resolution is what is known of one iss. A request with a cached token reads only the
// atomic fields.
type resolution struct {
	iss   string
	used  atomic.Int64 // times are in nanoseconds since 1970
	again atomic.Int64 // when to ask again
	until atomic.Int64 // when the answer ends; 0 if there is none

	// The mutex of the resolver guards these.
	place  *list.Element
	group  *group // nil: there is no such issuer
	err    error  // of the last call, if there is no answer
	retry  int64  // the time until which err is the answer
	flight chan struct{}
}

func newResolver(f *family, resolve func(context.Context, string) (*Issuer, error)) *resolver {
	if resolve == nil {
		return nil
	}
	r := &resolver{family: f, resolve: resolve, calls: rate.NewLimiter(resolvesPerSec, resolvesPerSec), answers: map[string]*resolution{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

var (
	errManyUnknown = fmt.Errorf("too many unknown issuers at once: ResolveIssuer is asked at most %d times a second", resolvesPerSec)
	errManyPending = fmt.Errorf("%d calls of ResolveIssuer have not returned", mostResolving)
	errForgotten   = errors.New("the answer of ResolveIssuer was dropped, because there are too many")
)

// isResolvable reports whether ResolveIssuer may see an iss. No other hook gets anything
// unverified.
func isResolvable(iss string) bool {
	return len(iss) <= mostIssuerText && strings.HasPrefix(iss, "https://") && fetch.CheckURL(iss, false) == nil && !strings.Contains(iss, "?")
}

// issuer returns the issuer that iss names, or nil if there is none. If nothing is known
// of it, issuer waits for a call.
func (r *resolver) issuer(ctx context.Context, iss string) (*issuer, error) {
	if !isResolvable(iss) {
		return nil, nil
	}
	e, flight, err := r.find(iss, time.Now().UnixNano())
	if err != nil {
		return nil, wrapError(IssuerUnavailable, err)
	}
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, couldNotFindOut(ctx, IssuerUnavailable, ctx.Err())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.err != nil || e.group == nil {
		return nil, e.err
	}
	return e.group.members[0], nil
}

// find returns what is known of an iss, and the end of the call to wait for, or nil if
// there is an answer.
func (r *resolver) find(iss string, now int64) (e *resolution, flight chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e = r.answers[iss]
	switch {
	case e != nil && now < e.until.Load():
		r.use(e, now)
		return e, nil, nil
	case e != nil && e.err != nil && now < e.retry:
		return e, nil, nil
	case e != nil && e.flight != nil:
		return e, e.flight, nil
	case r.answers == nil || !r.calls.Allow():
		return nil, nil, errManyUnknown
	}
	if e == nil {
		e = &resolution{iss: iss}
		r.add(e)
	}
	r.ask(e)
	return e, e.flight, nil
}

// holds reports whether the answer on which cached facts rest still counts. If it is time
// to ask again, holds does, without waiting.
func (r *resolver) holds(e *resolution) bool {
	now := time.Now().UnixNano()
	if now >= e.until.Load() {
		return false
	}
	if now-e.used.Load() > resolvedCoarse {
		e.used.Store(now)
	}
	if now >= e.again.Load() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.use(e, now)
	}
	return true
}

// use notes that an answer was used and, if it is time, asks again. The caller holds the
// mutex.
func (r *resolver) use(e *resolution, now int64) {
	e.used.Store(now)
	if now >= e.again.Load() && e.flight == nil && r.answers[e.iss] == e {
		e.again.Store(now + int64(resolveRetry)) // if the call fails
		r.ask(e)
	}
}

// add makes a place for an iss of which nothing is known. The caller holds the mutex.
func (r *resolver) add(e *resolution) {
	for last := r.others.Back(); last != nil && r.others.Len() >= mostUnresolved; {
		old := last.Value.(*resolution)
		last = last.Prev()
		if old.flight == nil {
			r.drop(old)
		}
	}
	e.place, r.answers[e.iss] = r.others.PushFront(e), e
}

// know moves an answer to those with an issuer, and forgets issuers that are not used, or
// for which there is no room. The caller holds the mutex.
func (r *resolver) know(e *resolution, now int64) {
	r.others.Remove(e.place)
	e.place = r.known.PushFront(e)
	for n := range resolvedGlances {
		old := r.known.Back().Value.(*resolution)
		idle, crowded := time.Duration(now-old.used.Load()), r.known.Len() > mostResolved
		switch {
		case old == e || !crowded && idle < resolvedIdle:
			return
		case crowded && idle < time.Minute && n < resolvedGlances-1:
			r.known.MoveToFront(old.place) // used of late
		default:
			r.drop(old)
		}
	}
}

// drop forgets an answer. Cached facts that rest on it are verified anew, and streams go
// on. The caller holds the mutex.
func (r *resolver) drop(e *resolution) {
	delete(r.answers, e.iss)
	if e.group == nil {
		r.others.Remove(e.place)
		e.err = cmp.Or(e.err, error(wrapError(IssuerUnavailable, errForgotten)))
		return
	}
	r.known.Remove(e.place)
	e.until.Store(0)
	r.background.Go(func() { _ = e.group.close() })
}

// forget drops what is known of an iss that the configuration has now, and removes its
// issuer.
func (r *resolver) forget(iss string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.answers[iss]; e != nil {
		r.drop(e)
		remove(e.group, nil)
	}
}

// close drops all answers, and ends the waiting for calls.
func (r *resolver) close() {
	r.cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.answers {
		r.drop(e)
	}
	r.answers = nil
}

// ask starts a call. The caller holds the mutex.
func (r *resolver) ask(e *resolution) {
	flight, old := make(chan struct{}), e.group
	e.flight = flight
	r.background.Go(func() {
		defer close(flight)
		next, err := r.call(e.iss, old)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.settle(e, next, err, time.Now())
	})
}

// settle keeps the result of a call. If the call failed, an earlier answer goes on to
// count until it ends. The caller holds the mutex.
func (r *resolver) settle(e *resolution, next *group, err error, now time.Time) {
	e.flight = nil
	old := e.group
	if r.answers[e.iss] == e && r.roster.Load().issuerOf(e.iss) != nil { // SetIssuers has configured it meanwhile
		r.drop(e)
		remove(old, nil)
	}
	switch {
	case r.answers[e.iss] != e: // dropped meanwhile
		if next != nil {
			r.background.Go(func() { _ = next.close() })
		}
		return
	case err != nil:
		e.err, e.retry = err, now.Add(resolveRetry).UnixNano()
		if now.UnixNano() < e.until.Load() {
			e.err = nil
		}
		return
	}
	e.group, e.err = next, nil
	lasts, again := unresolvedFor, unresolvedFor
	if next != nil {
		lasts, again = resolvedFor, resolvedAgain
		if next.members[0].resolution == nil { // new, so no request has it yet
			next.members[0].resolution = e
		}
		next.members[0].current.Store(r.config.settingsOf(next.given))
		e.used.Store(now.UnixNano())
	}
	switch {
	case old == nil && next != nil:
		r.know(e, now.UnixNano())
	case old != nil && next == nil:
		r.known.Remove(e.place)
		e.place = r.others.PushFront(e)
	}
	e.until.Store(now.Add(varied(lasts)).UnixNano())
	e.again.Store(now.Add(varied(again)).UnixNano())
	remove(old, next)
	if old != nil && (next == nil || next.owned != old.owned) {
		r.background.Go(func() { _ = old.close() })
	}
}

// remove takes the issuer of a group out of use, unless the next group keeps it. Both may
// be nil.
func remove(old, next *group) {
	if old == nil || next != nil && next.members[0] == old.members[0] {
		return
	}
	old.members[0].removed.Store(true)
	old.members[0].remove()
}

// varied shortens a time by up to a tenth, so that answers do not end together.
func varied(d time.Duration) time.Duration { return d - rand.N(d/10) }

// call asks ResolveIssuer, and makes the issuer, or returns nil if there is none. It waits
// no longer than the time of a call, even if the function does.
func (r *resolver) call(iss string, old *group) (next *group, err error) {
	defer func() {
		if p := recover(); p != nil { // a key source has panicked
			next, err = nil, wrapError(InternalError, fmt.Errorf("what ResolveIssuer returned panicked: %s", panics.Describe(p)))
		}
	}()
	if r.pending.Add(1) > mostResolving {
		r.pending.Add(-1)
		return nil, wrapError(IssuerUnavailable, errManyPending)
	}
	ctx, cancel := context.WithTimeout(r.ctx, resolveTimeout)
	defer cancel()
	returned := make(chan resolved, 1)
	go r.run(ctx, iss, returned)
	select {
	case got := <-returned:
		if got.err != nil || got.given == nil {
			return nil, got.err
		}
		return r.accept(iss, *got.given, old)
	case <-ctx.Done():
		return nil, wrapError(IssuerUnavailable, fmt.Errorf("ResolveIssuer did not return within %v", resolveTimeout))
	}
}

// resolved is what ResolveIssuer returned.
type resolved struct {
	given *Issuer
	err   error
}

// run calls the function, which may panic, or end its goroutine.
func (r *resolver) run(ctx context.Context, iss string, returned chan<- resolved) {
	defer r.pending.Add(-1)
	got := resolved{err: wrapError(InternalError, errors.New("ResolveIssuer has ended its goroutine"))}
	defer func() {
		if p := recover(); p != nil {
			got = resolved{err: wrapError(InternalError, fmt.Errorf("ResolveIssuer panicked: %s", panics.Describe(p)))}
		}
		returned <- got
	}()
	given, err := r.resolve(ctx, iss)
	if err != nil {
		err = wrapError(IssuerUnavailable, fmt.Errorf("ResolveIssuer: %w", err))
	}
	got = resolved{given, err}
}

// accept checks what ResolveIssuer returned as NewValidator would, and makes the issuer.
func (r *resolver) accept(iss string, given Issuer, old *group) (*group, error) {
	config := r.config
	given.Name = "resolved"
	config.Issuers = []Issuer{given}
	config = config.clone()
	found := config.faults()
	switch {
	case given.URL != iss:
		found.add("URL is not the iss that was asked about")
	case given.Aliases != nil:
		found.add("Aliases is set; ResolveIssuer is asked about each spelling by itself")
	case given.Introspection != nil && !given.AlwaysIntrospect:
		found.add("Introspection is set without AlwaysIntrospect; an opaque token names no issuer, so list its issuer in Config.Issuers")
	case r.sharesKeys(iss, given.Keys):
		found.add("Keys is the KeySource of another issuer, so either could sign for the other")
	}
	if len(found) == 0 {
		next, err := r.succeed(old, config, config.Issuers[0])
		if err == nil {
			return next, nil
		}
		found.add("%w", err)
	}
	return nil, wrapError(ResourceServerMisconfigured, fmt.Errorf("ResolveIssuer returned a faulty Issuer: %w", joinFaults(found)))
}

// sharesKeys reports whether another issuer in use has the key source.
func (r *resolver) sharesKeys(iss string, keys KeySource) bool {
	if keys == nil {
		return false
	}
	for _, g := range r.roster.Load().groups {
		if identical(g.given.Keys, keys) {
			return true
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.answers {
		if e.iss != iss && e.group != nil && identical(e.group.given.Keys, keys) {
			return true
		}
	}
	return false
}
