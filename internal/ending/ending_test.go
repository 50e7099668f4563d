package ending_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/ending"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// as is the authorization server of all tests.
var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// end is when all tokens here end, after they have been made.
const end = 5*time.Minute + 30*time.Second

// admit returns a validator and claims that it has let in.
func admit(t testing.TB, change func(*accesstoken.Config)) (*accesstoken.Validator, accesstoken.Claims) {
	t.Helper()
	v := testkit.NewValidator(t, as, func(config *accesstoken.Config) {
		testkit.Offline(as)(config)
		if change != nil {
			change(config)
		}
	})
	return v, claimsFor(t, v, 5*time.Minute)
}

// claimsFor returns those of a token whose exp lies that far ahead.
func claimsFor(t testing.TB, v *accesstoken.Validator, lasts time.Duration) accesstoken.Claims {
	t.Helper()
	now := time.Now()
	token := as.Token(accesstokentest.Claims{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(lasts).Unix()})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// A writer is told deadlines, and says when.
type writer struct {
	http.ResponseWriter
	fail func() error
	mu   sync.Mutex
	told []string
	over bool // Serve has returned
}

func newWriter() *writer {
	return &writer{ResponseWriter: httptest.NewRecorder(), fail: func() error { return nil }}
}

func (w *writer) SetReadDeadline(at time.Time) error  { return w.tell("read", at) }
func (w *writer) SetWriteDeadline(at time.Time) error { return w.tell("write", at) }

func (w *writer) tell(what string, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		w.told = append(w.told, "too late")
	}
	w.told = append(w.told, fmt.Sprint(what, " ", at.Before(time.Now())))
	return w.fail()
}

func (w *writer) want(t testing.TB, want ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if fmt.Sprint(w.told) != fmt.Sprint(want) {
		t.Errorf("the writer was told %q; want %q", w.told, want)
	}
}

// serve calls Serve and returns what it panicked with.
func serve(w http.ResponseWriter, v *accesstoken.Validator, claims accesstoken.Claims, handler func(context.Context)) (panicked any) {
	defer func() {
		panicked = recover()
		if w, ok := w.(*writer); ok {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.over = true
		}
	}()
	ending.Serve(context.Background(), w, v, claims, handler)
	return nil
}

func TestServe(t *testing.T) {
	for _, test := range []struct {
		name     string
		takes    time.Duration // the handler
		ended    bool
		told     []string
		panicked any
	}{
		{"returns at once", 0, false, nil, nil},
		{"returns before the end", end - 1, false, nil, nil},
		{"returns after the end", end + 1, true, nil, nil},
		{"returns before it would be cut off", end + time.Second - 1, true, nil, nil},
		{"is cut off", end + time.Second + 1, true, []string{"write true", "read true"}, http.ErrAbortHandler},
		{"is cut off, and goes on", end + time.Hour, true, []string{"write true", "read true"}, http.ErrAbortHandler},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				refused := 0
				v, claims := admit(t, func(config *accesstoken.Config) {
					config.OnRefuse = func(ctx context.Context, _ *accesstoken.Error) {
						if refused++; ctx.Err() != nil {
							t.Error("the hook's context has ended; want it to be usable")
						}
					}
				})
				w, kept := newWriter(), context.Context(nil)
				panicked := serve(w, v, claims, func(ctx context.Context) {
					kept = ctx
					time.Sleep(test.takes)
					if err := context.Cause(ctx); errors.Is(err, accesstoken.TokenExpired) != test.ended || (err != nil) != test.ended {
						t.Errorf("got the cause %v; want TokenExpired: %v", err, test.ended)
					}
				})
				if panicked != test.panicked {
					t.Errorf("got the panic %v; want %v", panicked, test.panicked)
				}
				if kept.Err() == nil {
					t.Error("the context goes on when the handler has returned; want its end")
				}
				time.Sleep(time.Hour)
				w.want(t, test.told...)
				if want := map[bool]int{true: 1}[test.ended]; refused != want {
					t.Errorf("OnRefuse heard: got %d refusals; want %d", refused, want)
				}
			})
		})
	}
}

// Looks at an open response are not told, but its end is, once, and with the caller.
func TestTheEndOfAResponseIsToldOnce(t *testing.T) {
	for name, test := range map[string]struct {
		takes  time.Duration
		remove bool
		want   []string
	}{
		"returns before": {takes: end - 1},
		"is ended":       {takes: end + 1, want: []string{`"alice" by "check" over "": ended with TOKEN_EXPIRED`}},
		"is cut off":     {takes: end + time.Hour, want: []string{`"alice" by "check" over "": ended with TOKEN_EXPIRED`}},
		"its issuer is removed": {takes: end + time.Hour, remove: true,
			want: []string{`"alice" by "check" over "": ended with ISSUER_UNKNOWN`}},
	} {
		synctest.Test(t, func(t *testing.T) {
			told := new(testkit.Told)
			v, claims := admit(t, func(config *accesstoken.Config) { config.OnDecide = told.OnDecide })
			told.Want(t, `"alice" by "signature" over "": accepted`)
			serve(newWriter(), v, claims, func(context.Context) {
				if test.remove {
					_ = v.SetIssuers(accesstoken.Issuer{URL: "https://other.example"})
				}
				time.Sleep(test.takes)
			})
			synctest.Wait()
			t.Log(name)
			told.Want(t, test.want...)
		})
	}
}

func TestATokenWithoutAnEndHasNone(t *testing.T) {
	v, _ := admit(t, nil)
	ctx := t.Context()
	ending.Serve(ctx, newWriter(), v, accesstoken.Claims{}, func(got context.Context) {
		if got != ctx {
			t.Errorf("got %v; want the very same context", got)
		}
	})
}

// The hook of an end takes its time, and the handler does not wait for it.
func TestAHandlerThatReturnsWhileItsEndIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, claims := admit(t, func(config *accesstoken.Config) {
			config.OnRefuse = func(context.Context, *accesstoken.Error) { time.Sleep(time.Minute) }
		})
		w := newWriter()
		if panicked := serve(w, v, claims, func(context.Context) { time.Sleep(end + time.Second) }); panicked != nil {
			t.Errorf("got the panic %v; want none", panicked)
		}
		time.Sleep(time.Hour)
		w.want(t)
	})
}

// Nor does anybody look at a clock for it any more.
func TestAHandlerThatReturnsWhileItsEndIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		var looks atomic.Int32
		v, claims := admit(t, func(config *accesstoken.Config) {
			config.Now = func() time.Time {
				if looks.Add(1); slow.Load() {
					time.Sleep(time.Minute)
				}
				return time.Now().Add(-time.Hour)
			}
		})
		slow.Store(true)
		serve(newWriter(), v, claims, func(context.Context) { time.Sleep(end + time.Second) })
		before := looks.Load()
		time.Sleep(30 * time.Minute)
		if more := looks.Load() - before; more != 0 {
			t.Errorf("got %d looks after the return; want none", more)
		}
	})
}

// The Validator decides when a token ends, by its own clock.
func TestTheValidatorsClockDecides(t *testing.T) {
	for name, late := range map[string]time.Duration{"it is late": 10 * time.Second, "it is very late": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, claims := admit(t, func(config *accesstoken.Config) {
					config.Now = func() time.Time { return time.Now().Add(-late) }
					config.Leeway = -1
				})
				begun := time.Now()
				serve(newWriter(), v, claims, func(ctx context.Context) { <-ctx.Done() })
				if took := time.Since(begun); took != 5*time.Minute+late {
					t.Errorf("the context ended after %v; want %v", took, 5*time.Minute+late)
				}
			})
		})
	}
}

func TestAWriterThatCannotBeCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		fail     func() error
		panicked any
	}{
		"it has no deadlines":    {func() error { return http.ErrNotSupported }, nil},
		"its connection is gone": {func() error { return os.ErrClosed }, nil},
		"it panics":              {func() error { panic("gone") }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, claims := admit(t, nil)
				w, ended := newWriter(), false
				w.fail = test.fail
				panicked := serve(w, v, claims, func(ctx context.Context) {
					time.Sleep(time.Hour)
					ended = ctx.Err() != nil
				})
				if panicked != nil || !ended {
					t.Errorf("got the panic %v, ended %v; want none, and the context's end", panicked, ended)
				}
			})
		})
	}
}

func TestAPanicOfTheHandlerIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, claims := admit(t, nil)
		for _, takes := range []time.Duration{0, end + time.Hour} {
			w := newWriter()
			panicked := serve(w, v, claims, func(context.Context) {
				time.Sleep(takes)
				panic("mine")
			})
			if panicked != "mine" {
				t.Errorf("after %v: got the panic %v; want the handler's", takes, panicked)
			}
		}
	})
}

// An inner Serve adds nothing, unless something else ends.
func TestAServeInsideAServe(t *testing.T) {
	for _, test := range []struct {
		name  string
		lasts time.Duration // the inner token
		other bool          // another validator has let the inner one in
		takes time.Duration
		heard string
	}{
		{"the same token", 5 * time.Minute, false, end, "[one]"},
		{"a token that ends earlier", time.Minute, false, end - 4*time.Minute, "[one]"},
		{"a token that ends later", time.Hour, false, end, "[one]"},
		{"another validator", 5 * time.Minute, true, end, "[one other]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var heard []string
				hear := func(name string) func(*accesstoken.Config) {
					return func(config *accesstoken.Config) {
						config.OnRefuse = func(context.Context, *accesstoken.Error) {
							mu.Lock()
							defer mu.Unlock()
							heard = append(heard, name)
							slices.Sort(heard)
						}
					}
				}
				v, claims := admit(t, hear("one"))
				inner, _ := admit(t, hear("other"))
				if !test.other {
					inner = v
				}
				begun := time.Now()
				serve(newWriter(), v, claims, func(ctx context.Context) {
					ctx = context.WithValue(ctx, t, "between")
					ending.Serve(ctx, newWriter(), inner, claimsFor(t, inner, test.lasts), func(ctx context.Context) {
						if ctx.Value(t) != "between" {
							t.Errorf("got %v; want what is in the context", ctx.Value(t))
						}
						<-ctx.Done()
						synctest.Wait()
					})
				})
				if took := time.Since(begun); took != test.takes || fmt.Sprint(heard) != test.heard {
					t.Errorf("got the end after %v, refusals of %v; want %v, %v", took, heard, test.takes, test.heard)
				}
			})
		})
	}
}

// A response that is over is not kept until its token ends.
func TestNothingIsKeptOfAResponse(t *testing.T) {
	v, claims := admit(t, nil)
	w := newWriter()
	kept := weak.Make(w)
	serve(w, v, claims, func(context.Context) {})
	runtime.KeepAlive(w)
	w = nil
	for deadline := time.Now().Add(10 * time.Second); kept.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the ResponseWriter is kept; want it to be collected")
		}
	}
}

// Handlers return while timers fire.
func TestManyReturnAsTheyEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, claims := admit(t, nil)
		var wait sync.WaitGroup
		writers := make([]*writer, 1000)
		for i := range writers {
			writers[i] = newWriter()
			takes := end + time.Duration(i%2)*time.Second
			wait.Go(func() { serve(writers[i], v, claims, func(context.Context) { time.Sleep(takes) }) })
		}
		wait.Wait()
		time.Sleep(time.Minute)
		for _, w := range writers {
			if slices.Contains(w.told, "too late") {
				t.Fatalf("got %q; want nothing after the return", w.told)
			}
		}
	})
}
