package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The comparison is fair only if all implementations give the same answers.
func TestTheImplementationsAgree(t *testing.T) {
	for _, i := range implementations {
		t.Run(i.name, func(t *testing.T) {
			trial := newTestTrial(t, i)
			c, err := trial.warm()
			if err != nil {
				t.Fatal(err)
			}
			if active, err := c.lookUp(t.Context(), "made up"); active || err != nil {
				t.Errorf("a made-up token: got %v, %v; want false, nil", active, err)
			}
			if got, want := trial.holds(c), i.name == "accesstoken-cached"; got != want {
				t.Errorf("a token asked for before is held: got %v; want %v", got, want)
			}
			trial.server.behave(failing)
			if active, err := c.lookUp(t.Context(), good+"other"); active || err == nil {
				t.Errorf("an active token in an outage: got %v, %v; want false and an error", active, err)
			}
		})
	}
}

func newTestTrial(t *testing.T, i implementation) *trial {
	t.Helper()
	trial, err := newTrial(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(trial.close)
	return trial
}

// Everything is real, but shorter.
func TestSmoke(t *testing.T) {
	for _, i := range implementations {
		t.Run(i.name, func(t *testing.T) {
			i.madeUp = 500
			for _, run := range []func(*trial) (finding, error){sameToken, firstGivesUp, madeUp} {
				trial := newTestTrial(t, i)
				trial.crowd = 50
				got, err := run(trial)
				if err != nil || got.verdicts[right] == 0 || got.verdicts[unavailable]+got.verdicts[wrong] != 0 {
					t.Errorf("got %v, %v; want every look-up to be right", got, err)
				}
			}
		})
	}
}

// The rows about networks and odd clients, shortened.
func TestSmokeBesideOthers(t *testing.T) {
	for _, run := range []func(*trial) (finding, error){idle, oddOne, beside} {
		trial := newTestTrial(t, implementations[1])
		trial.length = time.Second
		got, err := run(trial)
		if err != nil || got.verdicts[right] == 0 || got.verdicts[unavailable]+got.verdicts[wrong] != 0 {
			t.Errorf("got %v, %v; want every look-up of the good ones to be right", got, err)
		}
	}
	trial := newTestTrial(t, implementations[1])
	trial.length = time.Second
	if got, err := forgotten(trial); err != nil || got.verdicts[right] == 0 || got.verdicts[wrong] != 0 {
		t.Errorf("got %v, %v; want some that are right, and none wrong", got, err)
	}
}

func TestTheServerCounts(t *testing.T) {
	trial := newTestTrial(t, implementations[len(implementations)-1])
	trial.server.behave(behaviour{delay: time.Hour})
	c, err := trial.open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	verdicts := make(chan verdict)
	for range 3 {
		go func() { verdicts <- judge(ctx, c, good) }()
	}
	wait(t, "3 calls under way", func() bool { return trial.server.counted().now == 3 })
	cancel()
	for range 3 {
		if got := <-verdicts; got != unavailable {
			t.Errorf("got verdict %v; want %v", got, unavailable)
		}
	}
	wait(t, "no call under way", func() bool { return trial.server.counted().now == 0 })
	if got, want := trial.server.counted(), (counts{calls: 3, peak: 3, connections: 3}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestAConnectionIsCountedOnce(t *testing.T) {
	trial := newTestTrial(t, implementations[len(implementations)-1])
	c, err := trial.warm()
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{good + "second", good + "third"} {
		if got := ask(t.Context(), c, token); got != right {
			t.Errorf("%s: got verdict %v; want %v", token, got, right)
		}
	}
	if got := trial.server.counted(); got.calls != 3 || got.connections != 1 {
		t.Errorf("got %+v; want 3 calls on 1 connection", got)
	}
}

// wait waits for a change that the server notices by itself.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	tooLong := time.After(10 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-tooLong:
			t.Fatalf("waited for 10 s; want %s", what)
		}
	}
}

type clientFunc func(ctx context.Context, token string) (bool, error)

func (f clientFunc) lookUp(ctx context.Context, token string) (bool, error) { return f(ctx, token) }

var errDown = errors.New("the server is down")

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		active bool
		err    error
		token  string
		want   verdict
	}{
		{"active, called so", true, nil, good, right},
		{"active, called inactive", false, nil, good, wrong},
		{"active, an error", false, errDown, good, unavailable},
		{"made up, called inactive", false, nil, "made up", right},
		{"made up, called active", true, nil, "made up", wrong},
		{"made up, an error", false, errDown, "made up", unavailable},
	} {
		answers := clientFunc(func(context.Context, string) (bool, error) { return c.active, c.err })
		if got := ask(t.Context(), answers, c.token); got != c.want {
			t.Errorf("%s: got %v; want %v", c.name, got, c.want)
		}
	}
}

func TestALoadKeepsItsRateWhateverTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clientFunc(func(ctx context.Context, token string) (bool, error) {
			if token == good+"slow" {
				<-ctx.Done()
				return false, ctx.Err()
			}
			return token == good+"known", nil
		})
		got := load(t.Context(), c, 2, slices.Values([]string{good + "slow", good + "unknown", good + "known"}))
		want := []request{
			{0, deadline, unavailable},
			{500 * time.Millisecond, 500 * time.Millisecond, wrong},
			{time.Second, time.Second, right},
		}
		for n := range want {
			if *got[n] != want[n] {
				t.Errorf("request %d: got %v; want %v", n, *got[n], want[n])
			}
		}
	})
}

func TestFindingsReadWell(t *testing.T) {
	for _, c := range []struct {
		finding finding
		want    string
	}{
		{finding{verdicts: [verdicts]int{1000, 0, 0}, answerable: true}, "1,000 right, 0 unavailable, 0 wrong"},
		{finding{verdicts: [verdicts]int{0, 1234567, 0}, notes: []string{"", "1 call"}}, "0 right, 1,234,567 unavailable, 0 wrong, 1 call"},
		{finding{verdicts: [verdicts]int{1, 2, 0}, answerable: true}, "1 right, **2 unavailable**, 0 wrong"},
		{finding{verdicts: [verdicts]int{1, 2, 3}}, "1 right, 2 unavailable, **3 wrong**"},
	} {
		if got := c.finding.String(); got != c.want {
			t.Errorf("got %q; want %q", got, c.want)
		}
	}
}

func TestWhenAndHowFast(t *testing.T) {
	ms := time.Millisecond
	requests := []*request{
		{0, 400 * ms, right},
		{100 * ms, 100*ms + 1500*time.Nanosecond, unavailable},
		{200 * ms, 205 * ms, right},
		{3000 * ms, 3002 * ms, unavailable},
	}
	for _, c := range []struct{ name, got, want string }{
		{"first success", recovery(requests), "first success 205 ms after the server is back"},
		{"no success", recovery([]*request{requests[1], requests[3]}), "**no success in 3 s**"},
		{"latency", within(durations(requests)), "p50 5.0 ms, p99 400 ms, slowest 400 ms"},
		{"short", within([]time.Duration{1500}), "p50 1.5 µs, p99 1.5 µs, slowest 1.5 µs"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %q; want %q", c.name, c.got, c.want)
		}
	}
}

func TestTheTableRenders(t *testing.T) {
	text := table{rows: scenarios[:2], columns: implementations[1:3], cells: [][]string{{"a1", "a2"}, {"b1", "b2"}}}.markdown()
	for _, want := range []string{
		"\n| | accesstoken | zitadel |\n|---|---|---|\n| **same**: ", " | a1 | a2 |\n| **cancel**: ", " | b1 | b2 |\n",
		"One implementation ran at a time.", "- **zitadel**: github.com/zitadel/oidc/v3 v3.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s\nwant it to contain %q", text, want)
		}
	}
	if strings.Contains(text, "net-http") {
		t.Errorf("got %s\nwant nothing of net-http, which was not chosen", text)
	}
	if text := (table{rows: scenarios, columns: implementations, cells: make([][]string, len(scenarios))}).markdown(); !strings.Contains(text, "except in outage, flapping, forgotten, idle, odd, where all ran side by side, each with a server of its own.") {
		t.Errorf("got %s\nwant it to say what ran side by side", text)
	}
}

func TestChoosing(t *testing.T) {
	for list, want := range map[string]string{"": names(implementations), "zitadel": "zitadel", "zitadel,accesstoken": "accesstoken, zitadel"} {
		got, err := choose(implementations, list)
		if err != nil || names(got) != want {
			t.Errorf("%q: got %s, %v; want %s", list, names(got), err, want)
		}
	}
	if _, err := choose(scenarios, "same,other"); err == nil || !strings.Contains(err.Error(), `"other"`) {
		t.Errorf(`got %v; want an error that names "other"`, err)
	}
}

func TestTheTableIsReplacedInItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("above\n" + begin + "\nold\n" + end + "\nbelow\n")
	if err := replace(file, "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file)
	if want := "above\n" + begin + "\n\nnew\n\n" + end + "\nbelow\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	write("no marks")
	if err := replace(file, "new"); err == nil {
		t.Error("no marks: got nil; want an error")
	}
}

// A client that makes a call of 1.4 ms for each look-up, and gives up
// just before 5 s, has one possible result in each scenario.
func TestTheScenariosDoWhatTheySay(t *testing.T) {
	want := map[string]string{
		"same":     "1,000 right, 0 unavailable, 0 wrong, 1,000 calls, p50 50 ms, p99 50 ms, slowest 50 ms",
		"cancel":   "999 right, 0 unavailable, 0 wrong, 1,000 calls, p50 200 ms, p99 200 ms, slowest 200 ms",
		"made-up":  "1,000 right, 0 unavailable, 0 wrong, heap +2.0 MiB, 7 connections",
		"slow":     "0 right, 3,000 unavailable, 0 wrong, p50 5.0 s, p99 5.0 s, slowest 5.0 s, 0 goroutines more, 1,000 calls at a time",
		"outage":   "0 right, 2,000 unavailable, 0 wrong, 2,000 calls, p50 1.4 ms, p99 1.4 ms, slowest 1.4 ms, first success 1.4 ms after the server is back",
		"flapping": "2,000 right, 2,000 unavailable, 0 wrong, 0 of 2,000 lost while the server worked, 4,000 calls",
		"again":    "34,288 right, 0 unavailable, 0 wrong, 11,428/s, p50 1.4 ms, p99 1.4 ms, slowest 1.4 ms, 7 connections",
		"new":      "34,288 right, 0 unavailable, 0 wrong, 11,428/s, p50 1.4 ms, p99 1.4 ms, slowest 1.4 ms, 7 connections",
	}
	for _, s := range scenarios {
		if s.sockets {
			continue // a synctest bubble has no sockets
		}
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				found, err := s.run(newInMemoryTrial(t, &simple{}))
				if got := found.String(); err != nil || got != want[s.name] {
					t.Errorf("got %q, %v; want %q", got, err, want[s.name])
				}
			})
		})
	}
}

// If a client remembers an outage, it loses lookups after the outage.
func TestWhatIsLostWhileTheServerIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			run  func(*trial) (finding, error)
			want string
		}{
			"outage":   {outage, "first success 536 ms after the server is back"},
			"flapping": {flapping, "**808 of 2,000 lost** while the server worked"},
		} {
			found, err := c.run(newInMemoryTrial(t, &simple{leavesAlone: 1500 * time.Millisecond}))
			if err != nil || !slices.Contains(found.notes, c.want) {
				t.Errorf("%s: got %v, %v; want %q", name, found, err, c.want)
			}
		}
	})
}

func TestATokenThatIsPushedOutIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for keeps, want := range map[int]string{0: "", 10: "**the active token was evicted**", 10_000: "the active token is still held"} {
			trial := newInMemoryTrial(t, &simple{keeps: keeps})
			trial.server.behave(behaviour{delay: 4500 * time.Millisecond}) // for 70 s: no token may end meanwhile
			found, err := madeUp(trial)
			if err != nil || found.notes[1] != want {
				t.Errorf("keeps %d: got %v, %v; want %q", keeps, found, err, want)
			}
		}
	})
}

// newInMemoryTrial uses no sockets, and its heap size is simulated.
func newInMemoryTrial(t *testing.T, c *simple) *trial {
	c.server = &server{count: counts{connections: 7}}
	heap := 1 << 20
	return &trial{
		implementation: implementation{madeUp: 1000, open: func(_ context.Context, _ string, cacheFor time.Duration) (client, error) {
			c.cacheFor = cacheFor
			return c, nil
		}},
		server:     c.server,
		crowd:      1000,
		cacheFor:   time.Minute,
		heap:       func() int { heap += 2 << 20; return heap },
		goroutines: func() int { return 3 },
		life:       t.Context(),
	}
}

// simple calls the server for each token that it does not hold.
type simple struct {
	server      *server
	leavesAlone time.Duration // pause after a failure, without calls
	keeps       int           // number of tokens in its cache
	cacheFor    time.Duration

	failed time.Time
	held   []held
}

type held struct {
	token string
	until time.Time
}

func (s *simple) lookUp(ctx context.Context, token string) (bool, error) {
	s.server.mu.Lock()
	alone := s.leavesAlone > 0 && time.Since(s.failed) < s.leavesAlone
	known := slices.ContainsFunc(s.held, func(h held) bool { return h.token == token && time.Now().Before(h.until) })
	s.server.mu.Unlock()
	switch {
	case alone:
		return false, errDown
	case known:
		return isGood(token), nil
	}
	b := s.server.enter()
	defer s.server.leave()
	ctx, cancel := context.WithTimeout(ctx, 4999*time.Millisecond)
	defer cancel()
	select {
	case <-time.After(max(b.delay, 1400*time.Microsecond)):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if b.status == http.StatusServiceUnavailable {
		s.failed = time.Now()
		return false, errDown
	}
	s.held = append(s.held, held{token, time.Now().Add(s.cacheFor)})
	s.held = s.held[max(0, len(s.held)-s.keeps):]
	return isGood(token), nil
}
