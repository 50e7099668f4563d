package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// deadline is when a caller gives up.
const deadline = 10 * time.Second

var errTooLate = errors.New("answered after the deadline")

// A request is one token offered, and what became of it.
type request struct {
	sent, done time.Duration // since the load began
	err        error
}

// load offers tokens at a rate per second, whether or not earlier ones have been
// answered, and returns when all have. Rate 0 offers all of them at once.
func load(ctx context.Context, v verifier, rate int, tokens iter.Seq[string]) []*request {
	began := time.Now()
	var pause time.Duration
	if rate > 0 {
		pause = time.Second / time.Duration(rate)
	}
	var requests []*request
	var running sync.WaitGroup
	for token := range tokens {
		due := time.Duration(len(requests)) * pause
		time.Sleep(due - time.Since(began))
		r := &request{sent: time.Since(began)}
		requests = append(requests, r)
		running.Go(func() {
			r.err = offer(ctx, v, token)
			r.done = time.Since(began)
		})
	}
	running.Wait()
	return requests
}

// offer is one request, from the point of view of a caller who does not wait
// for ever. Some implementations do not look at the context.
func offer(ctx context.Context, v verifier, token string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	err := v.verify(ctx, token)
	if err == nil && ctx.Err() != nil {
		err = errTooLate
	}
	return err
}

// A starting verifier is being made. Until it is, it refuses: a program that
// waits for its constructor serves nobody.
type starting struct {
	made chan struct{}
	v    verifier // set before made is closed
	err  error    // likewise
}

// start gives the constructor a moment; then requests come, made or not.
func start(t *trial) *starting {
	s := &starting{made: make(chan struct{})}
	go func() {
		defer close(s.made)
		s.v, s.err = t.open()
	}()
	select {
	case <-s.made:
	case <-time.After(100 * time.Millisecond):
	}
	return s
}

var errStarting = errors.New("the constructor has not returned")

func (s *starting) verify(ctx context.Context, token string) error {
	if v := s.verifier(); v != nil {
		return v.verify(ctx, token)
	}
	return errStarting
}

// verifier returns what was made, or nil.
func (s *starting) verifier() verifier {
	select {
	case <-s.made:
		return s.v
	default:
		return nil
	}
}

// state says what became of the constructor, if that is worth a word.
func (s *starting) state() string {
	select {
	case <-s.made:
	default:
		return "constructor blocks"
	}
	if s.err != nil {
		return "constructor fails"
	}
	return ""
}
