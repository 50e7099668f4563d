package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"
)

// deadline is how long a caller waits.
const deadline = 10 * time.Second

var errTooLate = errors.New("answered after the deadline")

// A request is one token that was offered to a verifier, with the result.
type request struct {
	sent, done time.Duration // since the load began
	err        error
}

// load offers tokens at a rate per second, even if earlier ones have no result yet, and
// returns when all have one. If rate is 0, it offers all of them at once.
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

// offer makes one request with the deadline. Some implementations ignore the context,
// so offer checks the deadline itself.
func offer(ctx context.Context, v verifier, token string) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	err := v.verify(ctx, token)
	if err == nil && ctx.Err() != nil {
		err = errTooLate
	}
	return err
}

// A starting verifier is one whose constructor may still be running. Until it returns
// a verifier, every request fails, because a program that waits for it does not serve
// requests.
type starting struct {
	made chan struct{}
	v    verifier // set before made is closed
	err  error    // likewise
}

// start calls the constructor and waits for it for at most 100 ms. Then the requests
// begin, even if the constructor has not returned.
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

// verifier returns the verifier, or nil if its constructor has not returned one.
func (s *starting) verifier() verifier {
	select {
	case <-s.made:
		return s.v
	default:
		return nil
	}
}

// state returns a note if the constructor blocks or has failed.
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
