package answers_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/internal/answers"
)

// A source is a function of the program, with a record of what became of its values.
type source struct {
	mu      sync.Mutex
	ask     func(ctx context.Context, name string, old *value) (*value, error) // nil: a new value
	keepErr error
	calls   map[string]int
	running map[string]int
	twice   bool // a call began while one about the same name had not returned
	kept    []*value
	dropped []drop
}

type value struct {
	name   string
	answer *answers.Answer[value]
}

type drop struct {
	old, next *value
	replaced  bool
}

var (
	errWrapped  = errors.New("wrapped")
	errPanicked = errors.New("panicked")
	errDown     = errors.New("down")
)

func open(t *testing.T, s *source) *answers.Cache[value] {
	t.Helper()
	s.calls, s.running = map[string]int{}, map[string]int{}
	c := answers.New(answers.Source[value]{
		Ask: s.call,
		Check: func(*value) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.keepErr
		},
		Keep: func(v *value, answer *answers.Answer[value]) {
			s.mu.Lock()
			defer s.mu.Unlock()
			v.answer = answer
			s.kept = append(s.kept, v)
		},
		Drop: func(old, next *value, replaced bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.dropped = append(s.dropped, drop{old, next, replaced})
		},
		Wrap:  func(err error) error { return fmt.Errorf("%w: %w", errWrapped, err) },
		Panic: func(p any) error { return fmt.Errorf("%w: %v", errPanicked, p) },
	})
	t.Cleanup(c.Close)
	return c
}

func (s *source) call(ctx context.Context, name string, old *value) (*value, error) {
	s.mu.Lock()
	s.calls[name]++
	s.running[name]++
	s.twice = s.twice || s.running[name] > 1
	ask := s.ask
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running[name]--
	}()
	if ask == nil {
		return &value{name: name}, nil
	}
	return ask(ctx, name, old)
}

func (s *source) set(ask func(ctx context.Context, name string, old *value) (*value, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ask = ask
}

func (s *source) total() (sum int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.calls {
		sum += n
	}
	return sum
}

func (s *source) drops() []drop {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

func (s *source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = nil
}

func none(context.Context, string, *value) (*value, error)   { return nil, nil }
func failed(context.Context, string, *value) (*value, error) { return nil, errDown }

// fill gets this many names, at the pace that is allowed.
func fill(t *testing.T, c *answers.Cache[value], names string, count int) {
	t.Helper()
	for n := range count {
		if _, err := c.Get(t.Context(), fmt.Sprintf(names, n)); err != nil {
			t.Fatalf("name %d: %v", n, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func wantValue(t *testing.T, c *answers.Cache[value], name string) *value {
	t.Helper()
	v, err := c.Get(t.Context(), name)
	if err != nil || v == nil || v.name != name {
		t.Fatalf("%s: got %v, %v; want its value", name, v, err)
	}
	return v
}

func wantErr(t *testing.T, c *answers.Cache[value], name, want string) {
	t.Helper()
	v, err := c.Get(t.Context(), name)
	if v != nil || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: got %v, %v; want an error with %q", name, v, err, want)
	}
}

// Names without a value use up their own calls only.
func TestCallsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		wantValue(t, c, "known")
		s.set(none)
		refused := 0
		for n := range 1000 {
			if _, err := c.Get(t.Context(), fmt.Sprint(n)); err != nil {
				refused++
			}
		}
		if got := s.total(); got != 100 || refused != 901 {
			t.Errorf("got %d calls, and %d names refused; want 100 and 901", got, refused)
		}
		wantErr(t, c, "one more", "too many names at once")
		wantValue(t, c, "known")
		time.Sleep(2 * time.Hour) // the value has ended
		for n := range 1000 {
			_, _ = c.Get(t.Context(), fmt.Sprint(n))
		}
		wantErr(t, c, "one more", "too many names at once")
		s.set(nil)
		wantValue(t, c, "known")
	})
}

// While calls fail, known values are asked about a hundred times a second, all together.
func TestRenewalsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		const known = 500
		fill(t, c, "%d", known)
		s.set(failed)
		time.Sleep(5 * time.Minute)
		for second := range 3 {
			before := s.total()
			for n := range known {
				wantValue(t, c, fmt.Sprint(n))
			}
			synctest.Wait()
			if got := s.total() - before; got != 100 {
				t.Errorf("in second %d: got %d calls; want 100", second, got)
			}
			time.Sleep(time.Second)
		}
		s.set(nil)
		for range 10 {
			for n := range known {
				wantValue(t, c, fmt.Sprint(n))
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
		before := s.total()
		for n := range known {
			wantValue(t, c, fmt.Sprint(n))
		}
		synctest.Wait()
		if got := s.total() - before; got != 0 {
			t.Errorf("after all were renewed: got %d calls; want none", got)
		}
	})
}

// A function that hangs is not called about the same name again until it has returned.
func TestAFunctionThatHangsIsCalledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		held := wantValue(t, c, "known")
		release := make(chan struct{})
		s.set(func(_ context.Context, name string, _ *value) (*value, error) {
			<-release
			return &value{name: name}, nil
		})
		began := time.Now()
		wantErr(t, c, "new", "did not return within 5s")
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("got %v; want 5 s", took)
		}
		time.Sleep(5 * time.Minute)
		for range 100 {
			wantErr(t, c, "new", "has still not returned")
			if got := wantValue(t, c, "known"); got != held {
				t.Error("got another value for the known name")
			}
			time.Sleep(time.Second)
		}
		synctest.Wait() // for the call that still hangs
		if s.twice || s.total() != 3 {
			t.Errorf("got %d calls, two at once: %v; want 3, one at a time", s.total(), s.twice)
		}
		close(release)
		synctest.Wait()
		if drops := s.drops(); len(drops) != 0 || len(s.kept) != 1 {
			t.Errorf("got %v dropped, and %d kept; want the late values neither", drops, len(s.kept))
		}
		wantValue(t, c, "new")
	})
}

// Calls that do not return are limited all together, and leave those that did alone.
func TestCallsThatHangAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		release := make(chan struct{})
		s.set(func(context.Context, string, *value) (*value, error) { <-release; return nil, nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for n := range 1001 {
			_, _ = c.Get(ctx, fmt.Sprint(n))
			time.Sleep(10 * time.Millisecond)
		}
		if got := s.total(); got != 1000 {
			t.Errorf("got %d calls; want 1000", got)
		}
		wantErr(t, c, "one more", "1000 calls of the function have not returned")
		close(release)
		synctest.Wait()
		s.set(nil)
		time.Sleep(time.Second)
		wantValue(t, c, "one more")
	})
}

// Whoever waits for a call may give up; the call goes on.
func TestACallerThatGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		s.set(func(_ context.Context, name string, _ *value) (*value, error) {
			time.Sleep(time.Second)
			return &value{name: name}, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if v, err := c.Get(ctx, "a"); v != nil || err != context.Canceled {
			t.Errorf("got %v, %v; want the error of the context", v, err)
		}
		wantValue(t, c, "a")
		if got := s.total(); got != 1 {
			t.Errorf("got %d calls; want 1", got)
		}
	})
}

func TestWhatAFunctionCanDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			ask  func(context.Context, string, *value) (*value, error)
			want error
		}{
			"fails":               {failed, errDown},
			"fails, with a value": {func(context.Context, string, *value) (*value, error) { return &value{name: "a"}, errDown }, errDown},
			"panics":              {func(context.Context, string, *value) (*value, error) { panic("x") }, errPanicked},
			"ends":                {func(context.Context, string, *value) (*value, error) { runtime.Goexit(); return nil, nil }, errPanicked},
		} {
			s := &source{ask: test.ask}
			c := open(t, s)
			for range 2 { // once, and from what is known for a second
				if v, err := c.Get(t.Context(), "a"); v != nil || !errors.Is(err, test.want) {
					t.Errorf("%s: got %v, %v; want %v", name, v, err, test.want)
				}
			}
			time.Sleep(time.Second - 1)
			_, _ = c.Get(t.Context(), "a")
			if got := s.total(); got != 1 {
				t.Errorf("%s: got %d calls within a second; want 1", name, got)
			}
			if len(s.kept) > 0 {
				t.Errorf("%s: got a value kept", name)
			}
			time.Sleep(time.Nanosecond)
			s.set(nil)
			wantValue(t, c, "a")
			c.Close()
		}
	})
}

// That a name has no value counts for 27 to 30 seconds.
func TestANameWithoutAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{ask: none}
		c := open(t, s)
		for range 27 {
			if v, err := c.Get(t.Context(), "a"); v != nil || err != nil {
				t.Fatalf("got %v, %v; want neither", v, err)
			}
			time.Sleep(time.Second)
		}
		if got := s.total(); got != 1 {
			t.Errorf("got %d calls in 27 s; want 1", got)
		}
		time.Sleep(3 * time.Second)
		s.set(nil)
		v := wantValue(t, c, "a")
		if !c.Holds(v.answer) {
			t.Error("got that the value does not hold")
		}
	})
}

// A value is renewed by the first use after 5 minutes, holds for an hour while calls fail,
// and is replaced, or removed, by what the function says.
func TestAValueIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		first := wantValue(t, c, "a")
		time.Sleep(4*time.Minute + 29*time.Second)
		if !c.Holds(first.answer) {
			t.Error("got that the value does not hold")
		}
		if synctest.Wait(); s.total() != 1 {
			t.Errorf("before 4 min 30 s: got %d calls; want 1", s.total())
		}
		time.Sleep(31 * time.Second)
		if !c.Holds(first.answer) {
			t.Error("got that the value does not hold")
		}
		if synctest.Wait(); s.total() != 2 || wantValue(t, c, "a") == first {
			t.Errorf("after 5 min: got %d calls; want 2, and another value", s.total())
		}
		second := wantValue(t, c, "a")
		if drops := s.drops(); len(drops) != 1 || drops[0] != (drop{first, second, true}) || second.answer != first.answer {
			t.Errorf("got %v dropped; want the first value replaced by the second", drops)
		}
		s.forget()
		s.set(failed)
		for range 53 {
			time.Sleep(time.Minute)
			if !c.Holds(second.answer) || wantValue(t, c, "a") != second {
				t.Fatal("got that the value does not hold within an hour")
			}
			synctest.Wait()
		}
		time.Sleep(7 * time.Minute)
		if c.Holds(second.answer) {
			t.Error("after an hour: got that the value holds")
		}
		if _, err := c.Get(t.Context(), "a"); !errors.Is(err, errDown) {
			t.Errorf("after an hour: got %v; want what the function says", err)
		}
		if drops := s.drops(); len(drops) != 0 {
			t.Errorf("got %v dropped; want none, because nothing is known", drops)
		}
		time.Sleep(time.Second)
		s.set(none)
		if v, err := c.Get(t.Context(), "a"); v != nil || err != nil {
			t.Errorf("got %v, %v; want neither", v, err)
		}
		if drops := s.drops(); len(drops) != 1 || drops[0] != (drop{second, nil, true}) {
			t.Errorf("got %v dropped; want the second value removed", drops)
		}
		time.Sleep(30 * time.Second)
		s.set(nil)
		wantValue(t, c, "a")
	})
}

// A renewed value has its place among the values, so that names without one do not drive it
// out.
func TestARenewedValueStaysAmongTheValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		wantValue(t, c, "a")
		time.Sleep(5 * time.Minute)
		wantValue(t, c, "a")
		synctest.Wait()
		s.forget()
		s.set(none)
		fill(t, c, "%d", 2_100)
		if v := wantValue(t, c, "a"); !c.Holds(v.answer) || len(s.drops()) != 0 {
			t.Errorf("got %v dropped; want none", s.drops())
		}
	})
}

// A value that cannot be kept is dropped, and the one before goes on to count.
func TestAValueThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		first := wantValue(t, c, "a")
		s.keepErr = errDown
		time.Sleep(5 * time.Minute)
		wantValue(t, c, "a")
		synctest.Wait()
		if got := wantValue(t, c, "a"); got != first {
			t.Error("got another value; want the first, because the second cannot be kept")
		}
		if drops := s.drops(); len(drops) != 1 || drops[0].old == first || drops[0].next != first || drops[0].replaced {
			t.Errorf("got %v dropped; want the second value, and that the first one stays", drops)
		}
		if _, err := c.Get(t.Context(), "b"); !errors.Is(err, errDown) {
			t.Errorf("got %v; want what Keep says", err)
		}
	})
}

// At most 10,000 values are kept. Those that are in use stay.
func TestValuesInUseAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		fill(t, c, "old %d", 10_000) // for 100 s
		if drops := s.drops(); len(drops) != 0 {
			t.Fatalf("got %d dropped; want none up to 10,000", len(drops))
		}
		time.Sleep(time.Minute)
		for n := 0; n < 10_000; n += 2 { // each second one, half of them without Get
			if n%4 == 0 {
				wantValue(t, c, fmt.Sprintf("old %d", n))
			} else if !c.Holds(s.kept[n].answer) {
				t.Fatalf("old %d: got that it does not hold", n)
			}
		}
		fill(t, c, "new %d", 10)
		drops := s.drops()
		if len(drops) != 10 {
			t.Fatalf("got %d dropped; want 10", len(drops))
		}
		for _, d := range drops {
			var n int
			if _, err := fmt.Sscanf(d.old.name, "old %d", &n); err != nil || n%2 == 0 {
				t.Errorf("got %s dropped; want one that is not in use", d.old.name)
			}
			if d.next != nil || d.replaced || c.Holds(d.old.answer) {
				t.Errorf("got %v dropped; want it forgotten", d)
			}
		}
	})
}

// If all values are in use, one is dropped all the same.
func TestMoreValuesInUseThanCanBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		fill(t, c, "%d", 10_000)
		for n := range 10_000 {
			wantValue(t, c, fmt.Sprint(n))
		}
		for n := range 3 {
			wantValue(t, c, fmt.Sprint("more ", n))
			if drops := s.drops(); len(drops) != n+1 {
				t.Errorf("got %d dropped; want %d", len(drops), n+1)
			}
		}
	})
}

// Values that were not used for an hour are forgotten when others come.
func TestIdleValuesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		fill(t, c, "%d", 100)
		time.Sleep(50 * time.Minute)
		busy := wantValue(t, c, "7")
		synctest.Wait()
		time.Sleep(10*time.Minute - 2*time.Second)
		wantValue(t, c, "before the hour")
		if drops := s.drops(); len(drops) != 1 || drops[0].old.name != "7" || !drops[0].replaced {
			t.Fatalf("got %v dropped; want only the renewed value", drops)
		}
		s.forget()
		time.Sleep(3 * time.Second)
		for n := range 4 { // which look at 32 each
			wantValue(t, c, fmt.Sprint("after the hour ", n))
		}
		for _, d := range s.drops() {
			if d.old == busy || d.old.name == "7" || d.replaced {
				t.Errorf("got %v dropped; want only values that are idle", d)
			}
		}
		if got := len(s.drops()); got != 99 {
			t.Errorf("got %d dropped; want 99", got)
		}
	})
}

// Names without a value are kept in a bounded number; those that are asked about stay.
func TestNamesWithoutAValueAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{ask: none}
		c := open(t, s)
		release := make(chan struct{})
		s.set(func(ctx context.Context, name string, _ *value) (*value, error) {
			if name == "hangs" {
				<-release
			}
			return nil, nil
		})
		wantErr(t, c, "hangs", "did not return")
		time.Sleep(time.Second)
		fill(t, c, "%d", 2_100) // for 21 s, less than they count
		before := s.total()
		for n := 102; n < 2_100; n++ {
			_, _ = c.Get(t.Context(), fmt.Sprint(n))
		}
		if got := s.total(); got != before {
			t.Errorf("got %d calls about the latest 1998 names; want none", got-before)
		}
		_, _ = c.Get(t.Context(), "0")
		if got := s.total(); got != before+1 {
			t.Errorf("got %d calls about the first name; want 1", got-before)
		}
		wantErr(t, c, "hangs", "has still not returned")
		close(release)
	})
}

// Forget takes out what matches, with and without a value, and what is under way.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		a, b := wantValue(t, c, "a"), wantValue(t, c, "b")
		s.set(none)
		_, _ = c.Get(t.Context(), "none")
		release := make(chan struct{})
		s.set(func(_ context.Context, name string, _ *value) (*value, error) {
			<-release
			return &value{name: name}, nil
		})
		var wait sync.WaitGroup
		wait.Go(func() { wantErr(t, c, "under way", "wrapped") })
		synctest.Wait()
		c.Forget(func(name string, v *value) bool {
			if (v != nil) != (name == "a" || name == "b") {
				t.Errorf("%s: got the value %v", name, v)
			}
			return name != "b"
		})
		close(release)
		wait.Wait()
		drops := s.drops()
		if len(drops) != 3 || drops[0] != (drop{a, nil, false}) || drops[1] != (drop{a, nil, true}) || drops[2].old.name != "under way" || drops[2].replaced {
			t.Errorf("got %v dropped; want the value of a, as replaced too, and the late one", drops)
		}
		if c.Holds(a.answer) || !c.Holds(b.answer) {
			t.Errorf("got that they hold: %v, %v; want only the second", c.Holds(a.answer), c.Holds(b.answer))
		}
		s.set(nil)
		for _, name := range []string{"a", "none", "under way"} {
			wantValue(t, c, name)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(source)
		c := open(t, s)
		a := wantValue(t, c, "a")
		s.set(func(ctx context.Context, _ string, _ *value) (*value, error) { <-ctx.Done(); return nil, ctx.Err() })
		var wait sync.WaitGroup
		wait.Go(func() { wantErr(t, c, "under way", "wrapped") })
		synctest.Wait()
		began := time.Now()
		c.Close()
		wait.Wait()
		if took := time.Since(began); took > 0 {
			t.Errorf("Close took %v; want that it ends the call", took)
		}
		if drops := s.drops(); len(drops) != 1 || drops[0] != (drop{a, nil, false}) || c.Holds(a.answer) {
			t.Errorf("got %v dropped; want the value", drops)
		}
		wantErr(t, c, "a", "wrapped")
		if got := s.total(); got != 2 {
			t.Errorf("got %d calls; want none after Close", got)
		}
	})
}
