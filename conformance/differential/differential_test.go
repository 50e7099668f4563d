package differential_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	duration = flag.Duration("duration", 0, "how long TestDifferences makes up tokens; 0 is 2000 tokens, the same ones each time")
	seed     = flag.Uint64("seed", 0, "what TestDifferences begins with; 0 is a new one with -duration")
)

// A tally counts what a run met.
type tally struct {
	tokens, somebody, ours int
	classes                map[string]int
	unexplained            map[string]specimen
}

// A specimen is the first token with a difference, and how often there was one.
type specimen struct {
	count int
	token string
}

func newTally() *tally { return &tally{classes: map[string]int{}, unexplained: map[string]specimen{}} }

func (t *tally) add(other *tally) {
	t.tokens += other.tokens
	t.somebody += other.somebody
	t.ours += other.ours
	for name, count := range other.classes {
		t.classes[name] += count
	}
	for text, s := range other.unexplained {
		t.note(text, s.token, s.count)
	}
}

func (t *tally) note(text, token string, count int) {
	s := t.unexplained[text]
	if s.token == "" || len(token) < len(s.token) {
		s.token = token
	}
	s.count += count
	t.unexplained[text] = s
}

// try lets all judges check a token, and counts the differences.
func (t *tally) try(w *world, classes []class, token string) {
	t.tokens++
	somebody := false
	var theirs []verdict
	for _, peer := range w.peers {
		read, err := peer.ask(token)
		theirs = append(theirs, verdict{peer.name, read, err})
		somebody = somebody || err == nil
	}
	in := newInput(token)
	for i, us := range w.ours {
		read, err := us.ask(token)
		somebody = somebody || err == nil
		if err == nil && i == 0 {
			t.ours++
		}
		in.strict = us.name == "RFC9068"
		for _, f := range w.compare(classes, in, verdict{us.name, read, err}, theirs) {
			if f.class == "" {
				t.note(f.text, token, 1)
				continue
			}
			t.classes[f.class]++
		}
	}
	if somebody {
		t.somebody++
	}
}

func mustClasses(t testing.TB) []class {
	t.Helper()
	classes, err := readClasses()
	if err != nil {
		t.Fatalf("testdata/explained.json: %v", err)
	}
	return classes
}

// randomData is what the n-th token of a run is made from.
func randomData(run, n uint64) []byte {
	random := rand.New(rand.NewPCG(run, n))
	data := make([]byte, 4+random.IntN(40))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	return data
}

// The library and the others agree on tokens made up at random, or it is
// explained why they do not.
func TestDifferences(t *testing.T) {
	run, goOn := plan()
	t.Logf("seed %d", run)
	began := time.Now()
	classes := mustClasses(t)
	total := tryAll(theWorld(), classes, run, goOn)
	report(t, classes, total, time.Since(began))
}

// plan returns the seed, and how to know whether there is a token after n.
func plan() (run uint64, goOn func(n uint64) bool) {
	if *duration == 0 {
		return *seed, func(n uint64) bool { return n < 2000 }
	}
	end := time.Now().Add(*duration)
	return cmp.Or(*seed, rand.Uint64()), func(uint64) bool { return time.Now().Before(end) }
}

// tryAll has each processor take its share of the tokens.
func tryAll(w *world, classes []class, run uint64, goOn func(n uint64) bool) *tally {
	tallies := make([]*tally, runtime.GOMAXPROCS(0))
	var group sync.WaitGroup
	for i := range tallies {
		tallies[i] = newTally()
		group.Go(func() {
			for n := uint64(i); goOn(n); n += uint64(len(tallies)) {
				tallies[i].try(w, classes, w.generate(randomData(run, n)))
			}
		})
	}
	group.Wait()
	total := newTally()
	for _, one := range tallies {
		total.add(one)
	}
	return total
}

func report(t *testing.T, classes []class, total *tally, took time.Duration) {
	t.Helper()
	percent := func(count int) float64 { return 100 * float64(count) / float64(max(total.tokens, 1)) }
	t.Logf("%d tokens in %.1fs, %.0f a second; somebody accepts %.1f %%, we do %.1f %%",
		total.tokens, took.Seconds(), float64(total.tokens)/took.Seconds(), percent(total.somebody), percent(total.ours))
	for _, c := range classes { // one that is never met may be out of date, or the run was short
		t.Logf("%9d %s", total.classes[c.Name], c.Name)
	}
	for _, text := range slices.Sorted(maps.Keys(total.unexplained)) {
		s := total.unexplained[text]
		t.Errorf("unexplained, %d times: %s\n%s", s.count, text, show(s.token))
	}
}

// show prints a token with its JSON.
func show(token string) string {
	in := newInput(token)
	lines := []string{fmt.Sprintf("\ttoken   %s", clip(token, 1500))}
	if in.compact() {
		lines = append(lines, fmt.Sprintf("\theader  %s", clip(in.header.text, 600)), fmt.Sprintf("\tpayload %s", clip(in.payload.text, 600)))
	}
	return strings.Join(lines, "\n")
}

func clip(text string, length int) string {
	if len(text) > length {
		return fmt.Sprintf("%q… (%d bytes)", text[:length], len(text))
	}
	return fmt.Sprintf("%q", text)
}

func FuzzDifferential(f *testing.F) {
	w, classes := theWorld(), mustClasses(f)
	for n := range uint64(64) {
		f.Add(randomData(1, n))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		one := newTally()
		token := w.generate(data)
		one.try(w, classes, token)
		for text := range one.unexplained {
			t.Errorf("unexplained: %s\n%s", text, show(token))
		}
	})
}
