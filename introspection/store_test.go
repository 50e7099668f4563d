package introspection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// A memory is a Store within the test.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	ttl    time.Duration // of the last one
	err    error
	delay  time.Duration
	deaf   bool // to its context
	panics bool
}

func (m *memory) Get(ctx context.Context, name string) ([]byte, error) {
	if m.panics {
		panic("Get")
	}
	if m.delay > 0 {
		select {
		case <-time.After(m.delay):
		case <-ctx.Done():
			if m.deaf {
				time.Sleep(m.delay)
			}
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[name], m.err
}

func (m *memory) Set(_ context.Context, name string, value []byte, ttl time.Duration) error {
	if m.panics {
		panic("Set")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	m.values[name], m.ttl = value, ttl
	return m.err
}

var storeKey = bytes.Repeat([]byte("k"), 32)

// sharing makes a client whose answers are shared; errs, unless nil, gets what
// goes wrong with the store.
func sharing(t *testing.T, e *endpoint, m *memory, errs *[]error, change func(*introspection.Config)) *introspection.Client {
	var mu sync.Mutex
	return newCaching(t, e, func(c *introspection.Config) {
		c.Store, c.StoreKey = m, storeKey
		c.OnStoreError = func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if errs != nil {
				*errs = append(*errs, err)
			}
		}
		if change != nil {
			change(c)
		}
	})
}

func TestATokenLookedUpByOneIsAHitInTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(time.Hour)}, &memory{}
		one, two := sharing(t, e, m, nil, nil), sharing(t, e, m, nil, nil)
		wantAnswer(t, one, "token", "active")
		synctest.Wait()
		wantAnswer(t, two, "token", "active")
		wantAsked(t, e, 1)
		if m.ttl != time.Minute {
			t.Errorf("ttl: got %v; want 1m", m.ttl)
		}
		response, err := sharing(t, e, m, nil, nil).Introspect(t.Context(), "token")
		if err != nil || response.Subject != "alice" || len(response.Raw) == 0 {
			t.Errorf("got %+v, %v; want the whole answer", response, err)
		}

		// Who takes it over does not make it younger.
		time.Sleep(59 * time.Second)
		three := sharing(t, e, m, nil, nil)
		wantAnswer(t, three, "token", "active")
		wantAsked(t, e, 1)
		time.Sleep(time.Second)
		wantAnswer(t, three, "token", "active")
		wantAsked(t, e, 2)
	})
}

func TestAnInactiveAnswerIsSharedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: always(`{"active":false}`)}, &memory{}
		wantAnswer(t, sharing(t, e, m, nil, nil), "token", "inactive")
		synctest.Wait()
		wantAnswer(t, sharing(t, e, m, nil, nil), "token", "inactive")
		wantAsked(t, e, 1)
		time.Sleep(5 * time.Second)
		wantAnswer(t, sharing(t, e, m, nil, nil), "token", "inactive")
		wantAsked(t, e, 2)
	})
}

func TestAFreshAnswerIsNotTheStores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(time.Hour)}, &memory{}
		one, two := sharing(t, e, m, nil, nil), sharing(t, e, m, nil, nil)
		wantAnswer(t, one, "token", "active")
		synctest.Wait()
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
		wantAnswerWith(t, two, "token", introspection.Options{Fresh: true}, "inactive")
		synctest.Wait()
		wantAnswer(t, sharing(t, e, m, nil, nil), "token", "inactive") // and it replaces that
		wantAsked(t, e, 2)
	})
}

func TestAStoreThatFailsIsSlowerNeverWrong(t *testing.T) {
	for _, c := range []struct {
		name  string
		store *memory
		told  bool
		took  time.Duration
	}{
		{"down", &memory{err: errors.New("connection refused")}, true, 0},
		{"slow", &memory{delay: time.Hour}, true, 250 * time.Millisecond},
		{"deaf", &memory{delay: time.Hour, deaf: true}, true, 250 * time.Millisecond},
		{"panicking", &memory{panics: true}, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errs []error
				e := &endpoint{answer: active(time.Hour)}
				client := sharing(t, e, c.store, &errs, nil)
				began := time.Now()
				wantAnswer(t, client, "token", "active")
				if took := time.Since(began); took != c.took {
					t.Errorf("took %v; want %v", took, c.took)
				}
				synctest.Wait()
				wantAsked(t, e, 1)
				if (len(errs) > 0) != c.told {
					t.Errorf("told %v; want some: %t", errs, c.told)
				}
				wantAnswer(t, client, "token", "active") // from memory
				wantAsked(t, e, 1)
				time.Sleep(2 * time.Hour)
			})
		})
	}
}

// A store that does not heed its context gathers no more than a bound.
func TestAStoreThatHangsGathersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		client := sharing(t, &endpoint{answer: active(time.Hour)}, &memory{delay: time.Hour, deaf: true}, &errs, nil)
		before := runtime.NumGoroutine()
		for i := range 300 {
			wantAnswer(t, client, fmt.Sprint(i), "active")
		}
		synctest.Wait()
		if got := runtime.NumGoroutine() - before; got > 80 {
			t.Errorf("%d goroutines hang; want 80 at most", got)
		}
		time.Sleep(2 * time.Hour)
	})
}

// What a tampering hand puts there is ignored and reported.
func TestAStoreThatIsTamperedWith(t *testing.T) {
	for name, tamper := range map[string]func(values map[string][]byte, mine, other string){
		"a changed byte": func(v map[string][]byte, mine, _ string) { v[mine][len(v[mine])/2] ^= 1 },
		"cut off":        func(v map[string][]byte, mine, _ string) { v[mine] = v[mine][:10] },
		"empty":          func(v map[string][]byte, mine, _ string) { v[mine] = []byte{} },
		"plain": func(v map[string][]byte, mine, _ string) {
			v[mine] = []byte(`{"fresh":"2100-01-01T00:00:00Z","answer":{"active":true}}`)
		},
		"that of another token":   func(v map[string][]byte, mine, other string) { v[mine] = v[other] },
		"that of another process": func(v map[string][]byte, mine, _ string) { v[mine] = v["foreign"] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errs []error
				e, m, foreign := &endpoint{answer: active(time.Hour)}, &memory{}, &memory{}
				wantAnswer(t, sharing(t, e, m, nil, nil), "other", "active")
				synctest.Wait()
				other := slices.Collect(maps.Keys(m.values))[0]
				e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
				wantAnswer(t, sharing(t, e, m, nil, nil), "mine", "inactive")
				synctest.Wait()
				var mine string
				for name := range m.values {
					if name != other {
						mine = name
					}
				}
				e.set(func(e *endpoint) { e.answer = active(time.Hour) })
				wantAnswer(t, sharing(t, e, foreign, nil, func(c *introspection.Config) { c.StoreKey = bytes.Repeat([]byte("x"), 32) }), "mine", "active")
				synctest.Wait()
				m.values["foreign"] = slices.Collect(maps.Values(foreign.values))[0]
				e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
				tamper(m.values, mine, other)
				wantAnswer(t, sharing(t, e, m, &errs, nil), "mine", "inactive")
				wantAsked(t, e, 4)
				synctest.Wait()
				if len(errs) != 1 {
					t.Errorf("told %v; want one error", errs)
				}
			})
		})
	}
}

func TestAStoreHoldsNothingToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(time.Hour)}, &memory{}
		wantAnswer(t, sharing(t, e, m, nil, nil), "canary-token", "active")
		synctest.Wait()
		content := fmt.Sprintf("%q", m.values)
		for _, secret := range []string{"canary", "alice", "active", string(storeKey)} {
			if strings.Contains(content, secret) {
				t.Errorf("%q stands in the store: %s", secret, content)
			}
		}
	})
}

func TestOthersShareNothing(t *testing.T) {
	for name, change := range map[string]func(*introspection.Config){
		"another endpoint": func(c *introspection.Config) { c.Endpoint += "2" },
		"another client":   func(c *introspection.Config) { c.ClientID = "other" },
		"another key":      func(c *introspection.Config) { c.StoreKey = bytes.Repeat([]byte("x"), 32) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, m := &endpoint{answer: active(time.Hour)}, &memory{}
				wantAnswer(t, sharing(t, e, m, nil, nil), "token", "active")
				synctest.Wait()
				e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
				wantAnswer(t, sharing(t, e, m, nil, change), "token", "inactive")
			})
		})
	}
}

// An answer that another process has found serves while the endpoint is left
// alone.
func TestAStoreServesWhileTheEndpointIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(time.Hour)}, &memory{}
		wantAnswer(t, sharing(t, e, m, nil, nil), "token", "active")
		synctest.Wait()
		e.set(func(e *endpoint) { e.status = 503 })
		other := sharing(t, e, m, nil, nil)
		for i := range 10 {
			wantAnswer(t, other, fmt.Sprint(i), "unknown")
		}
		wantAnswer(t, other, "token", "active")
		wantAsked(t, e, 6)
	})
}

func TestFaultsOfTheCacheSettings(t *testing.T) {
	for name, change := range map[string]func(*introspection.Config){
		"a negative CacheFor":        func(c *introspection.Config) { c.CacheFor = -1 },
		"a CacheFor of two hours":    func(c *introspection.Config) { c.CacheFor = 2 * time.Hour },
		"stale without cache":        func(c *introspection.Config) { c.CacheFor, c.DangerouslyServeStaleFor = 0, time.Minute },
		"stale for an hour":          func(c *introspection.Config) { c.DangerouslyServeStaleFor = time.Hour },
		"a store without key":        func(c *introspection.Config) { c.Store = &memory{} },
		"a store with a short key":   func(c *introspection.Config) { c.Store, c.StoreKey = &memory{}, storeKey[:31] },
		"a store without cache":      func(c *introspection.Config) { c.Store, c.StoreKey, c.CacheFor = &memory{}, storeKey, 0 },
		"a key without store":        func(c *introspection.Config) { c.StoreKey = storeKey },
		"a listener without a store": func(c *introspection.Config) { c.OnStoreError = func(error) {} },
	} {
		config := introspection.Config{Endpoint: "https://a.example", ClientID: "a", ClientSecret: "b", CacheFor: time.Minute}
		change(&config)
		if _, err := introspection.NewClient(config); err == nil {
			t.Errorf("%s: got nil; want a fault", name)
		}
	}
}
