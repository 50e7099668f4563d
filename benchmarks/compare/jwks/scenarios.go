package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A scenario is one row of the table.
type scenario struct {
	name  string
	title string

	// fresh sets the freshness, so that it ends within the scenario. Zero means the
	// implementations' defaults.
	fresh time.Duration

	// together allows several implementations at once, because the scenario takes
	// long but uses little processor time.
	together bool

	run func(t *trial) (finding, error)
}

func (s scenario) id() string { return s.name }

const (
	usual = 200 // good requests per second
	few   = 50  // good requests per second in long scenarios
	short = 2 * time.Second
)

var scenarios = []scenario{
	{
		name: "cold", title: "1,000 requests at once; the key server takes 50 ms",
		run: coldStart,
	},
	{
		name: "cancel", title: "the first caller gives up after 20 ms, while 49 others wait; the key server takes 200 ms",
		run: firstGivesUp,
	},
	{
		name: "flood", title: "10,000 made-up kids in a second, 200 good requests beside them; the key server takes 2 ms",
		run: flood,
	},
	{
		name: "rotation", title: "a new key signs from the moment of its publication, 200 requests/s for 5 s; the key server takes 50 ms",
		run: rotation, together: true,
	},
	{
		name: "rotation-after-flood", title: "the same after 1,000 made-up kids in a second; 50 requests/s for 40 s",
		run: rotationAfterFlood, together: true,
	},
	{
		name: "rotation-in-flood", title: "the same while made-up kids keep coming, 1,000/s; 50 requests/s for 40 s",
		run: rotationInFlood, together: true,
	},
	{
		name: "boot", title: "503 at the start, for 2 s; 200 requests/s for 6 s",
		run: boot, together: true,
	},
	{
		name: "outage", title: "503 in place of a refresh, 200 requests/s with a held key for 10 s after the freshness has run out",
		fresh: short, run: outage, together: true,
	},
	{
		name: "junk-html", title: "a web page with status 200 in place of a refresh, 200 requests/s with a held key for 6 s after the freshness has run out",
		fresh: short, run: junk("<html><body>Sign in to the network</body></html>"), together: true,
	},
	{
		name: "junk-empty", title: "the same with `{\"keys\":[]}`",
		fresh: short, run: junk(`{"keys":[]}`), together: true,
	},
	{
		name: "junk-error", title: "the same with `{\"error\":\"temporarily_unavailable\"}`",
		fresh: short, run: junk(`{"error":"temporarily_unavailable"}`), together: true,
	},
	{
		// Some implementations begin a refresh after 80% of the freshness. What is left
		// of it then is enough for a refresh of 4 s.
		name: "slow", title: "a refresh takes 4 s, 200 requests/s with a held key for 32 s",
		fresh: 24 * time.Second, run: slow,
	},
	{
		name: "two-invented-kids", title: "a new key signs from the moment of its publication, after two made-up kids; 50 requests/s for 40 s",
		run: twoInventedKids, together: true,
	},
	{
		name: "rotation-without-kid", title: "a new key replaces the old one under the same kid, so no kid announces it, 31 s after the keys were read; 50 requests/s for 20 s",
		run: rotationWithoutKid, together: true,
	},
	{
		name: "lagging-node", title: "one of two nodes of the key server lacks a published key; 200 requests/s with that key for 20 s",
		fresh: short, run: laggingNode, together: true,
	},
	{
		name: "connection-forgotten", title: "a middlebox forgets the connection that the keys came over, and discards what is sent on it; a new key signs from then on, 50 requests/s for 40 s",
		run: connectionForgotten, together: true,
	},
	{
		name: "idle-closed", title: "the key server closes the connection that the keys came over just when it is used again; a new key signs from then on, 200 requests/s for 5 s",
		run: idleClosed, together: true,
	},
}

func coldStart(t *trial) (finding, error) {
	tokens := slices.Collect(t.now.tokens(1000))
	v, err := t.openWith(50 * time.Millisecond)
	if err != nil {
		return finding{}, err
	}
	requests := load(t.life, v, 0, slices.Values(tokens))
	return t.found(v, requests, slowest(requests)), nil
}

func firstGivesUp(t *trial) (finding, error) {
	tokens := slices.Collect(t.now.tokens(50))
	v, err := t.openWith(200 * time.Millisecond)
	if err != nil {
		return finding{}, err
	}
	impatient, cancel := context.WithTimeout(t.life, 20*time.Millisecond)
	defer cancel()
	var first sync.WaitGroup
	first.Go(func() { _ = v.verify(impatient, tokens[0]) })
	time.Sleep(10 * time.Millisecond) // so that it is the first
	requests := load(t.life, v, 0, slices.Values(tokens[1:]))
	first.Wait()
	return t.found(v, requests, slowest(requests)), nil
}

func flood(t *trial) (finding, error) {
	v, err := t.warm(2 * time.Millisecond)
	if err != nil {
		return finding{}, err
	}
	var beside sync.WaitGroup
	beside.Go(func() { err = t.flood(v, 10_000, 10_000) })
	requests := load(t.life, v, usual, t.now.tokens(usual))
	beside.Wait()
	return t.found(v, requests), err
}

func rotation(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	return t.rotate(v, usual, 5), nil
}

func rotationAfterFlood(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	if err := t.flood(v, 1000, 1000); err != nil {
		return finding{}, err
	}
	return t.rotate(v, few, 40), nil
}

func rotationInFlood(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	var beside sync.WaitGroup
	beside.Go(func() { err = t.flood(v, 1000, 41_000) })
	time.Sleep(time.Second)
	found := t.rotate(v, few, 40)
	beside.Wait()
	return found, err
}

const rotationDelay = 50 * time.Millisecond

// rotate publishes the next key in addition to the current one, and signs with it from
// then on.
func (t *trial) rotate(v verifier, rate, seconds int) finding {
	t.server.say(answer{body: keySet(t.now, t.next), delay: rotationDelay})
	requests := load(t.life, v, rate, t.next.tokens(rate*seconds))
	return t.found(v, requests, recovery(requests, 0))
}

func twoInventedKids(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	if err := t.flood(v, 10, 2); err != nil {
		return finding{}, err
	}
	return t.rotate(v, few, 40), nil
}

func rotationWithoutKid(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	load(t.life, v, few, t.now.tokens(few*31))
	t.before = t.server.fetches()
	replacement := key{t.now.kid, t.next.private}
	t.server.say(answer{body: keySet(replacement), delay: rotationDelay})
	requests := load(t.life, v, few, replacement.tokens(few*20))
	return t.found(v, requests, recovery(requests, 0)), nil
}

func laggingNode(t *trial) (finding, error) {
	ahead, behind := keySet(t.now, t.next), keySet(t.now)
	t.server.say(answer{body: ahead})
	v, err := t.open()
	if err != nil {
		return finding{}, err
	}
	if err := offer(t.life, v, t.next.sign(nil)); err != nil {
		return finding{}, fmt.Errorf("the verifier refuses a good token: %w", err)
	}
	t.before = t.server.fetches()
	t.server.say(answer{body: behind, next: ahead})
	requests := load(t.life, v, usual, t.next.tokens(usual*20))
	return t.found(v, requests), nil
}

func connectionForgotten(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	t.server.forget()
	return t.rotate(v, few, 40), nil
}

func idleClosed(t *trial) (finding, error) {
	v, err := t.warm(rotationDelay)
	if err != nil {
		return finding{}, err
	}
	t.server.hangUp()
	return t.rotate(v, usual, 5), nil
}

func outage(t *trial) (finding, error) {
	v, requests, err := t.age(unavailable, 10)
	return t.found(v, requests), err
}

func junk(body string) func(t *trial) (finding, error) {
	return func(t *trial) (finding, error) {
		v, requests, err := t.age(answer{body: body}, 6)
		return t.found(v, requests), err
	}
}

func slow(t *trial) (finding, error) {
	v, err := t.warm(0)
	if err != nil {
		return finding{}, err
	}
	t.server.say(answer{body: keySet(t.now), delay: 4 * time.Second})
	requests := load(t.life, v, usual, t.now.tokens(usual*32))
	return t.found(v, requests, latency(requests)), nil
}

// age changes the server's answer to other as soon as the verifier holds a key, and
// goes on sending tokens signed with that key. It returns the verifier and the requests
// of the given number of seconds after the key set's freshness lifetime (t.fresh) has
// ended.
func (t *trial) age(other answer, seconds int) (verifier, []*request, error) {
	v, err := t.warm(0)
	if err != nil {
		return nil, nil, err
	}
	t.server.say(other)
	fresh := usual * int(t.fresh.Seconds())
	requests := load(t.life, v, usual, t.now.tokens(fresh+usual*seconds))
	return v, requests[fresh:], nil
}

func boot(t *trial) (finding, error) {
	const back = 2 * time.Second
	t.server.say(unavailable)
	v := start(t)
	time.AfterFunc(back, func() { t.server.say(answer{body: keySet(t.now)}) })
	requests := load(t.life, v, usual, t.now.tokens(usual*6))
	return t.found(v.verifier(), requests, v.state(), recovery(requests, back)), nil
}
