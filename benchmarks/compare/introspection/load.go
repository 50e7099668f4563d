package main

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"time"
)

// deadline is how long a caller in ask waits.
const deadline = 30 * time.Second

// A verdict is the result of a lookup.
type verdict int

const (
	right       verdict = iota
	unavailable         // an error, so the state is unknown
	wrong               // an active token was called inactive, or the reverse
	verdicts            // number of verdicts
)

// ask looks a token up within deadline, and compares an answer with isGood.
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

// A request is one lookup with its result.
type request struct {
	sent, done time.Duration // since the load began
	verdict    verdict
}

// load looks tokens up at a rate per second, even if earlier lookups have no answer
// yet, and returns when all have one. It takes each token from the sequence when its
// turn comes. If rate is 0, it looks up all of them at once.
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

// different yields n different active tokens.
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

// A work is the result of goroutines that look up tokens one after another, without a
// pause.
type work struct {
	verdicts [verdicts]int
	took     []time.Duration // nil if not timed
}

// toil lets n goroutines look up the tokens from next, until next returns "".
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
