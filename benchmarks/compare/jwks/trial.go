package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A trial is one implementation in one scenario, with a server, keys and a verifier of
// its own.
type trial struct {
	implementation
	place
	server    *server
	now, next key // next is not published at first
	before    int // number of fetches that do not count

	life context.Context // of the verifier
	end  context.CancelFunc
}

func newTrial(ctx context.Context, i implementation, fresh time.Duration) (*trial, error) {
	s, err := newServer()
	if err != nil {
		return nil, err
	}
	t := &trial{
		implementation: i,
		place:          place{issuer: issuer, audience: audience, jwksURI: s.url, fresh: fresh},
		server:         s,
		now:            newKey("now"),
		next:           newKey("next"),
	}
	t.life, t.end = context.WithCancel(ctx)
	return t, nil
}

func (t *trial) close() {
	t.end()
	t.server.close()
}

// open makes the verifier. It does not change the server's answer.
func (t *trial) open() (verifier, error) {
	v, err := t.implementation.open(t.life, t.place)
	if err != nil {
		return nil, fmt.Errorf("the verifier's constructor fails: %w", err)
	}
	return v, nil
}

// openWith makes the verifier while the server delays its answers.
func (t *trial) openWith(delay time.Duration) (verifier, error) {
	t.server.say(answer{body: keySet(t.now), delay: delay})
	return t.open()
}

// warm makes the verifier and lets it accept a token, so that it holds the key. Its
// fetches so far do not count.
func (t *trial) warm(delay time.Duration) (verifier, error) {
	v, err := t.openWith(delay)
	if err != nil {
		return nil, err
	}
	if err := offer(t.life, v, t.now.sign(nil)); err != nil {
		return nil, fmt.Errorf("the verifier refuses a good token: %w", err)
	}
	t.before = t.server.fetches()
	return v, nil
}

// flood offers n tokens with made-up kids.
func (t *trial) flood(v verifier, rate, n int) error {
	for _, r := range load(t.life, v, rate, t.now.forgeries(n)) {
		if r.err == nil {
			return errors.New("the verifier accepts a forged token")
		}
	}
	return nil
}

// fetches returns the number of fetches that count.
func (t *trial) fetches() int { return t.server.fetches() - t.before }
