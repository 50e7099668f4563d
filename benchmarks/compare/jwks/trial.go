package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A trial is one implementation in one scenario, with a server, keys and a
// verifier that nobody else uses.
type trial struct {
	implementation
	place
	server    *server
	now, next key // next is not published at first
	before    int // fetches that do not count

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

// open makes the verifier, whatever the server says.
func (t *trial) open() (verifier, error) {
	v, err := t.implementation.open(t.life, t.place)
	if err != nil {
		return nil, fmt.Errorf("its constructor fails: %w", err)
	}
	return v, nil
}

// openWith makes the verifier with a server that takes delay for its answers.
func (t *trial) openWith(delay time.Duration) (verifier, error) {
	t.server.say(answer{body: keySet(t.now), delay: delay})
	return t.open()
}

// warm makes the verifier and has it accept a token, so that it holds the key.
// What it fetched for that does not count.
func (t *trial) warm(delay time.Duration) (verifier, error) {
	v, err := t.openWith(delay)
	if err != nil {
		return nil, err
	}
	if err := offer(t.life, v, t.now.sign(nil)); err != nil {
		return nil, fmt.Errorf("it refuses a good token: %w", err)
	}
	t.before = t.server.fetches()
	return v, nil
}

// flood offers n tokens with made-up kids.
func (t *trial) flood(v verifier, rate, n int) error {
	for _, r := range load(t.life, v, rate, t.now.forgeries(n)) {
		if r.err == nil {
			return errors.New("it accepts a forged token")
		}
	}
	return nil
}

// fetches returns how often the server was asked.
func (t *trial) fetches() int { return t.server.fetches() - t.before }
