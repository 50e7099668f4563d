package main

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"time"
)

// deadline is when a caller gives up.
const deadline = 30 * time.Second

// A verdict is what a look-up was worth.
type verdict int

const (
	right       verdict = iota
	unavailable         // an error: nobody knows
	wrong               // an active token was called inactive, or the other way round
	verdicts            // how many there are
)

// ask looks a token up, from the point of view of a caller who knows what is true
// and does not wait for ever.
func ask(ctx context.Context, c client, token string) verdict {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return judge(ctx, c, token)
}

func judge(ctx context.Context, c client, token string) verdict {
	active, err := c.lookUp(ctx, token)
	switch {
	case err != nil:
		return unavailable
	case active != isGood(token):
		return wrong
	}
	return right
}

// A request is one look-up, and what became of it.
type request struct {
	sent, done time.Duration // since the load began
	verdict    verdict
}

// load looks tokens up at a rate per second, whether or not earlier ones have been
// answered, and returns when all have. It takes a token when it is due. Rate 0 asks
// for all of them at once.
func load(ctx context.Context, c client, rate int, tokens iter.Seq[string]) []*request {
	began := time.Now()
	var pause time.Duration
	if rate > 0 {
		pause = time.Second / time.Duration(rate)
	}
	var requests []*request
	var running sync.WaitGroup
	for token := range tokens {
		r := &request{sent: time.Since(began)}
		requests = append(requests, r)
		running.Go(func() {
			r.verdict = ask(ctx, c, token)
			r.done = time.Since(began)
		})
		due := time.Duration(len(requests)) * pause
		time.Sleep(due - time.Since(began))
	}
	running.Wait()
	return requests
}

// different yields n active tokens.
func different(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(good + strconv.Itoa(i)) {
				return
			}
		}
	}
}

// same yields one active token n times.
func same(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range n {
			if !yield(good + "same") {
				return
			}
		}
	}
}

// A work is what goroutines do who each ask as soon as they were answered.
type work struct {
	verdicts [verdicts]int
	took     []time.Duration // nil if not timed
}

// toil has n goroutines look up what next returns, until that is "".
func toil(ctx context.Context, c client, n int, timed bool, next func() string) work {
	works := make([]work, n)
	var running sync.WaitGroup
	for i := range works {
		running.Go(func() { works[i] = toilAlone(ctx, c, timed, next) })
	}
	running.Wait()
	var sum work
	for _, w := range works {
		for v, n := range w.verdicts {
			sum.verdicts[v] += n
		}
		sum.took = append(sum.took, w.took...)
	}
	return sum
}

func toilAlone(ctx context.Context, c client, timed bool, next func() string) work {
	var w work
	for token := next(); token != ""; token = next() {
		began := time.Now()
		w.verdicts[judge(ctx, c, token)]++
		if timed {
			w.took = append(w.took, time.Since(began))
		}
	}
	return w
}
