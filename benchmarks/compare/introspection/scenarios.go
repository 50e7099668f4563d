package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// A scenario is one row of the table.
type scenario struct {
	name  string
	title string

	// together allows several implementations at once, because the scenario takes
	// long but uses little processor time.
	together bool

	// sockets says that the scenario needs real sockets. Only TestSmokeBesideOthers
	// tests it.
	sockets bool

	run func(t *trial) (finding, error)
}

func (s scenario) id() string { return s.name }

const usual = 200 // lookups per second

var scenarios = []scenario{
	{
		name: "same", title: "1,000 concurrent lookups of one token; the server takes 50 ms",
		run: sameToken,
	},
	{
		name: "cancel", title: "the first caller gives up after 20 ms, while 999 others wait for the same token; the server takes 200 ms",
		run: firstGivesUp,
	},
	{
		name: "made-up", title: "made-up tokens one after another from 64 goroutines",
		run: madeUp,
	},
	{
		name: "slow", title: "the server takes 10 s, 200 lookups/s of different tokens for 15 s, callers would wait for 30 s",
		run: slow,
	},
	{
		name: "outage", title: "503 for 10 s, then the server works again; 200 lookups/s of different tokens until the first success",
		run: outage, together: true,
	},
	{
		name: "flapping", title: "the server alternates between 2 s of success and 2 s of 503, for 20 s; 200 lookups/s of different tokens",
		run: flapping, together: true,
	},
	{
		name: "again", title: "the same 1,000 tokens over and over from 16 goroutines, for 3 s",
		run: again,
	},
	{
		name: "new", title: "tokens that were never looked up before, from 16 goroutines, for 3 s",
		run: fresh,
	},
	{
		name: "forgotten", title: "HTTP/2; after a second a middlebox forgets the connection and discards what is sent on it, while new connections work; 20 lookups/s of different tokens for a minute",
		run: forgotten, together: true, sockets: true,
	},
	{
		name: "idle", title: "the server closes a connection that was idle for 20 ms; 600 lookups of different tokens, 15 to 25 ms apart",
		run: idle, together: true, sockets: true,
	},
	{
		name: "odd", title: "one client's token gets a 500, 200 times/s; counted are the lookups of another token, 10/s for 10 s",
		run: oddOne, together: true, sockets: true,
	},
	{
		name: "beside", title: "one odd client (500) at 200/s, made-up tokens (500) at 100/s, and 10 good clients at 10/s each for 30 s, which are counted; the server takes 20 ms",
		run: beside, sockets: true,
	},
}

func sameToken(t *trial) (finding, error) {
	t.server.behave(behaviour{delay: 50 * time.Millisecond})
	c, err := t.open()
	if err != nil {
		return finding{}, err
	}
	requests := load(t.life, c, 0, same(t.crowd))
	f := found(requests, t.calls(), within(durations(requests)))
	f.answerable = true
	return f, nil
}

func firstGivesUp(t *trial) (finding, error) {
	t.server.behave(behaviour{delay: 200 * time.Millisecond})
	c, err := t.open()
	if err != nil {
		return finding{}, err
	}
	impatient, cancel := context.WithTimeout(t.life, 20*time.Millisecond)
	defer cancel()
	var first sync.WaitGroup
	first.Go(func() { judge(impatient, c, good+"same") })
	time.Sleep(10 * time.Millisecond) // so that it is the first
	requests := load(t.life, c, 0, same(t.crowd-1))
	first.Wait()
	f := found(requests, t.calls(), within(durations(requests)))
	f.answerable = true
	return f, nil
}

func madeUp(t *trial) (finding, error) {
	t.cacheFor = time.Hour // if the token is gone, it was evicted and has not expired
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	held := t.holds(c)
	before := t.heap()
	var asked atomic.Int64
	w := toil(t.life, c, 64, false, func() string {
		if asked.Add(1) > int64(t.madeUp) {
			return ""
		}
		return rand.Text()
	})
	grown := fmt.Sprintf("heap %+.1f MiB", float64(t.heap()-before)/(1<<20))
	kept := ""
	if held {
		kept = "the active token is still held"
		if !t.holds(c) {
			kept = "**the active token was evicted**"
		}
	}
	return finding{verdicts: w.verdicts, answerable: true, notes: []string{grown, kept, t.connections()}}, nil
}

func slow(t *trial) (finding, error) {
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	t.server.behave(behaviour{delay: 10 * time.Second})
	goroutines := t.watchGoroutines()
	requests := load(t.life, c, usual, different(usual*15))
	return found(requests, within(durations(requests)), counted(goroutines(), "goroutine")+" more",
		counted(t.server.counted().peak, "call")+" at a time"), nil
}

// watchGoroutines starts to count goroutines. stop ends this and returns the largest
// increase since the start.
func (t *trial) watchGoroutines() (stop func() int) {
	baseline, peak := t.goroutines(), 0
	ctx, cancel := context.WithCancel(t.life)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, t.goroutines()-baseline)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() int {
		cancel()
		watching.Wait()
		return peak
	}
}

func outage(t *trial) (finding, error) {
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	t.server.behave(failing)
	before := t.server.counted().calls
	requests := load(t.life, c, usual, different(usual*10))
	calls := counted(t.server.counted().calls-before, "call")
	t.server.behave(behaviour{})
	return found(requests, calls, within(durations(requests)), recovery(t.untilSuccess(c))), nil
}

// untilSuccess starts lookups until one succeeds, for at most a minute.
func (t *trial) untilSuccess(c client) []*request {
	w := &watched{client: c}
	return load(t.life, w, usual, func(yield func(string) bool) {
		for n := range usual * 60 {
			if w.succeeded.Load() || !yield(good+"later-"+strconv.Itoa(n)) {
				return
			}
		}
	})
}

type watched struct {
	client
	succeeded atomic.Bool
}

func (w *watched) lookUp(ctx context.Context, token string) (bool, error) {
	active, err := w.client.lookUp(ctx, token)
	if err == nil {
		w.succeeded.Store(true)
	}
	return active, err
}

const phase = usual * 2 // number of lookups after which the server begins or stops failing

func flapping(t *trial) (finding, error) {
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	before := t.server.counted().calls
	requests := load(t.life, c, usual, t.flap(usual*20))
	calls := counted(t.server.counted().calls-before, "call")
	lost, well := 0, 0
	for n, r := range requests {
		if isWell(n) {
			well++
			if r.verdict == unavailable {
				lost++
			}
		}
	}
	note := boldIf(lost > 0, fmt.Sprintf("%s of %s lost", thousands(lost), thousands(well))) + " while the server worked"
	return found(requests, note, calls), nil
}

// flap yields n tokens. The server works for the first phase of them, fails for the next
// phase, and so on.
func (t *trial) flap(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		asked := 0
		for token := range different(n) {
			switch {
			case asked%phase != 0:
			case isWell(asked):
				t.server.behave(behaviour{})
			default:
				t.server.behave(failing)
			}
			asked++
			if !yield(token) {
				return
			}
		}
	}
}

func isWell(n int) bool { return n/phase%2 == 0 }

func again(t *trial) (finding, error) {
	const tokens = 1000
	return t.race(func(n int64) string { return good + strconv.FormatInt(n%tokens, 10) }, tokens)
}

func fresh(t *trial) (finding, error) {
	return t.race(func(n int64) string { return good + strconv.FormatInt(n, 10) }, 0)
}

// race looks tokens up for 3 seconds. Before that, it looks up as many of them once
// as first says.
func (t *trial) race(token func(n int64) string, first int) (finding, error) {
	c, err := t.warm()
	if err != nil {
		return finding{}, err
	}
	for n := range first {
		if ask(t.life, c, token(int64(n))) != right {
			return finding{}, fmt.Errorf("the client does not find %q active", token(int64(n)))
		}
	}
	var asked atomic.Int64
	var over atomic.Bool
	defer time.AfterFunc(3*time.Second, func() { over.Store(true) }).Stop()
	began := time.Now()
	w := toil(t.life, c, 16, true, func() string {
		if over.Load() {
			return ""
		}
		return token(asked.Add(1))
	})
	speed := thousands(int(float64(len(w.took))/time.Since(began).Seconds())) + "/s"
	return finding{verdicts: w.verdicts, answerable: true, notes: []string{speed, within(w.took), t.connections()}}, nil
}

func (t *trial) calls() string { return counted(t.server.counted().calls, "call") }

func (t *trial) connections() string { return counted(t.server.counted().connections, "connection") }
