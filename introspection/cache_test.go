package introspection_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// An endpoint is an http.RoundTripper that answers as an authorization server
// does: it works within synctest bubbles, where sockets do not.
type endpoint struct {
	mu     sync.Mutex
	status int // zero: 200
	header http.Header
	delay  time.Duration
	answer func(token string) string
	asked  int
	now    atomic.Int64 // requests under way
	peak   atomic.Int64
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.peak.Store(max(e.peak.Load(), e.now.Add(1)))
	defer e.now.Add(-1)
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	e.mu.Lock()
	e.asked++
	status, header, delay, answer := e.status, e.header.Clone(), e.delay, e.answer(form.Get("token"))
	e.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if status == 0 {
		status = http.StatusOK
	}
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *endpoint) set(change func(*endpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

// active answers that every token is, for this long from the start.
func active(d time.Duration) func(string) string {
	end := time.Now().Add(d).Unix()
	return func(string) string { return fmt.Sprintf(`{"active":true,"sub":"alice","exp":%d}`, end) }
}

func always(answer string) func(string) string { return func(string) string { return answer } }

func newCaching(t *testing.T, e *endpoint, change func(*introspection.Config)) *introspection.Client {
	t.Helper()
	config := introspection.Config{
		Endpoint:     "https://login.example.com/introspect",
		ClientID:     "api",
		ClientSecret: "secret",
		CacheFor:     time.Minute,
		HTTPClient:   &http.Client{Transport: e},
	}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// wantAnswer asks and wants "active", "inactive" or "unknown".
func wantAnswer(t *testing.T, client *introspection.Client, token, want string) {
	t.Helper()
	wantAnswerWith(t, client, token, introspection.Options{}, want)
}

func wantAnswerWith(t *testing.T, client *introspection.Client, token string, options introspection.Options, want string) {
	t.Helper()
	response, err := client.IntrospectWith(t.Context(), token, options)
	got := "inactive"
	switch {
	case err != nil:
		got = "unknown"
	case response.Active:
		got = "active"
	}
	if got != want {
		t.Errorf("%.20s: got %s (%v); want %s", token, got, err, want)
	}
}

func wantAsked(t *testing.T, e *endpoint, want int) {
	t.Helper()
	if got := e.count(); got != want {
		t.Errorf("asked %d times; want %d", got, want)
	}
}

func TestINTRO09AnActiveAnswerIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour)}
		client := newCaching(t, e, nil)
		for range 100 {
			wantAnswer(t, client, "token", "active")
		}
		wantAsked(t, e, 1)
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) }) // revoked
		time.Sleep(time.Minute - time.Nanosecond)
		wantAnswer(t, client, "token", "active")
		time.Sleep(time.Nanosecond)
		wantAnswer(t, client, "token", "inactive")
		wantAsked(t, e, 2)
	})
}

// The end of a token is exp and the leeway of whoever asks.
func TestINTRO09AnAnswerDoesNotOutlastItsToken(t *testing.T) {
	for leeway, want := range map[time.Duration]int{0: 2, 5 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: active(2 * time.Second)}
			client := newCaching(t, e, nil)
			options := introspection.Options{Leeway: leeway}
			wantAnswerWith(t, client, "token", options, "active")
			time.Sleep(2 * time.Second)
			wantAnswerWith(t, client, "token", options, "active")
			wantAsked(t, e, want)
			time.Sleep(5 * time.Second)
			wantAnswerWith(t, client, "token", options, "active")
			wantAsked(t, e, want+1)
		})
	}
}

func TestINTRO09WhatIsNotKept(t *testing.T) {
	for _, c := range []struct {
		name   string
		set    func(*endpoint)
		change func(*introspection.Config)
		answer string
	}{
		{"an answer without exp", func(e *endpoint) { e.answer = always(`{"active":true}`) }, nil, "active"},
		{"anything, by default", nil, func(c *introspection.Config) { c.CacheFor = 0 }, "active"},
		{"an error", func(e *endpoint) { e.status = 500 }, nil, "unknown"},
		{"an answer that is broken", func(e *endpoint) { e.answer = always(`{"active":"true"}`) }, nil, "unknown"},
		{"a refresh token", func(e *endpoint) { e.answer = always(`{"active":true,"token_type":"refresh_token","exp":4102444800}`) }, nil, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{answer: active(time.Hour)}
				if c.set != nil {
					c.set(e)
				}
				client := newCaching(t, e, c.change)
				for range 3 {
					wantAnswer(t, client, "token", c.answer)
				}
				wantAsked(t, e, 3)
			})
		})
	}
}

func TestINTRO09AnInactiveAnswerIsUsedBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: always(`{"active":false}`)}
		client := newCaching(t, e, nil)
		wantAnswer(t, client, "token", "inactive")
		wantAnswer(t, client, "token", "inactive")
		wantAsked(t, e, 1)
		e.set(func(e *endpoint) { e.answer = active(time.Hour) }) // known to all its servers by now
		time.Sleep(5 * time.Second)
		wantAnswer(t, client, "token", "active")
	})
}

func TestINTRO09AFloodPushesNoActiveAnswerOut(t *testing.T) {
	e := &endpoint{answer: func(token string) string {
		if token == "good" {
			return active(time.Hour)("")
		}
		return `{"active":false}`
	}}
	client := newCaching(t, e, nil)
	wantAnswer(t, client, "good", "active")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const flood = 60_000
	for i := range flood {
		if response, err := client.Introspect(t.Context(), fmt.Sprint("made up ", i)); err != nil || response.Active {
			t.Fatalf("got %v, %v; want inactive", response.Active, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 10<<20 {
		t.Errorf("grew by %d MiB; want 10 at most", grown>>20)
	}
	wantAnswer(t, client, "good", "active")
	wantAsked(t, e, flood+1)
}

func TestINTRO10AFreshAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour)}
		client := newCaching(t, e, nil)
		fresh := introspection.Options{Fresh: true}
		wantAnswer(t, client, "token", "active")
		wantAnswerWith(t, client, "token", fresh, "active")
		wantAsked(t, e, 2)
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
		wantAnswer(t, client, "token", "active")
		wantAnswerWith(t, client, "token", fresh, "inactive")
		wantAnswer(t, client, "token", "inactive") // what the fresh one found out holds for all
		wantAsked(t, e, 3)

		// A call that began before this question is not its answer.
		e.set(func(e *endpoint) { e.delay = time.Second })
		go wantAnswer(t, client, "other", "inactive")
		synctest.Wait()
		wantAnswerWith(t, client, "other", fresh, "inactive")
		wantAsked(t, e, 5)
		time.Sleep(time.Minute)
	})
}

func TestACachedAnswerIsTheCallersToChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour).Unix()
		e := &endpoint{answer: always(fmt.Sprintf(`{"active":true,"aud":["a"],"exp":%d}`, end))}
		client := newCaching(t, e, nil)
		for range 3 {
			response, err := client.Introspect(t.Context(), "token")
			if err != nil || response.Audience[0] != "a" || response.Raw[0] != '{' {
				t.Errorf("got %v, %v; want it as the server said it", response, err)
			}
			response.Audience[0], response.Raw[0] = "poisoned", 'x'
		}
	})
}

func TestStaleAnswersServeOnlyIfToldTo(t *testing.T) {
	for _, c := range []struct {
		name  string
		stale time.Duration
		after time.Duration // since the answer
		life  time.Duration // of the token
		want  string
	}{
		{"not by default", 0, 2 * time.Minute, time.Hour, "unknown"},
		{"within the time", 5 * time.Minute, 2 * time.Minute, time.Hour, "active"},
		{"just before its end", 5 * time.Minute, 6*time.Minute - time.Second, time.Hour, "active"},
		{"after its end", 5 * time.Minute, 6 * time.Minute, time.Hour, "unknown"},
		{"after the end of the token", 5 * time.Minute, 2 * time.Minute, 2 * time.Minute, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{answer: active(c.life)}
				client := newCaching(t, e, func(config *introspection.Config) { config.DangerouslyServeStaleFor = c.stale })
				wantAnswer(t, client, "token", "active")
				e.set(func(e *endpoint) { e.status = 503 })
				time.Sleep(c.after)
				wantAnswer(t, client, "never seen", "unknown")
				wantAnswer(t, client, "token", c.want)
				wantAnswerWith(t, client, "token", introspection.Options{Fresh: true}, "unknown")
			})
		})
	}
	t.Run("not against an answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: active(time.Hour)}
			client := newCaching(t, e, func(config *introspection.Config) { config.DangerouslyServeStaleFor = time.Minute })
			wantAnswer(t, client, "token", "active")
			time.Sleep(time.Minute)
			e.set(func(e *endpoint) { e.answer = always("<html>") }) // whoever that was
			for range 10 {
				wantAnswer(t, client, "token", "unknown")
			}
			time.Sleep(500 * time.Millisecond)
			e.set(func(e *endpoint) { e.status, e.answer = 401, active(time.Hour) })
			if _, err := client.Introspect(t.Context(), "token"); !errors.Is(err, introspection.ErrClientRefused) {
				t.Errorf("got %v; want ErrClientRefused", err)
			}
			e.set(func(e *endpoint) { e.status, e.answer = 200, always(`{"active":false}`) })
			time.Sleep(5 * time.Second)
			wantAnswer(t, client, "token", "inactive")
			e.set(func(e *endpoint) { e.status = 503 })
			time.Sleep(10 * time.Second)
			wantAnswer(t, client, "token", "unknown")
		})
	})
}

func TestTheBreaker(t *testing.T) {
	t.Run("opens after five tokens failed in a row, and one probe closes it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{status: 503, answer: active(time.Hour)}
			client := newCaching(t, e, nil)
			for i := range 100 {
				wantAnswer(t, client, fmt.Sprint(i), "unknown")
			}
			wantAsked(t, e, 5)
			_, err := client.Introspect(t.Context(), "token")
			if after := retryAfter(err); after <= 0 || after > 500*time.Millisecond {
				t.Errorf("RetryAfter: got %v; want up to 500ms", after)
			}
			time.Sleep(500 * time.Millisecond)
			e.set(func(e *endpoint) { e.delay = time.Second })
			go wantAnswer(t, client, "probe", "unknown")
			synctest.Wait()
			for i := range 100 {
				wantAnswer(t, client, fmt.Sprint(i), "unknown")
			}
			wantAsked(t, e, 6) // one probe at a time
			e.set(func(e *endpoint) { e.status, e.delay = 200, 0 })
			time.Sleep(2 * time.Second)
			for i := range 100 {
				wantAnswer(t, client, fmt.Sprint(i), "active")
			}
			wantAsked(t, e, 106)
		})
	})
	t.Run("probes an endpoint that stays down every second at the least", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{status: 500, answer: always("")}
			client := newCaching(t, e, nil)
			for range 6000 { // ten minutes
				wantAnswer(t, client, "token", "unknown")
				time.Sleep(100 * time.Millisecond)
			}
			if got := e.count(); got < 600 || got > 800 {
				t.Errorf("asked %d times in ten minutes; want 600 to 800", got)
			}
			e.set(func(e *endpoint) { e.status, e.answer = 200, active(time.Hour) })
			time.Sleep(time.Second)
			wantAnswer(t, client, "token", "active")
		})
	})
	t.Run("heeds Retry-After, within bounds, for all as soon as two tokens met it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{status: 429, header: http.Header{"Retry-After": {"3600"}}, answer: active(time.Hour)}
			client := newCaching(t, e, nil)
			for range 10 {
				wantAnswer(t, client, "a", "unknown")
			}
			wantAsked(t, e, 1)
			wantAnswer(t, client, "b", "unknown")
			wantAnswer(t, client, "c", "unknown")
			wantAsked(t, e, 2) // two have met it
			e.set(func(e *endpoint) { e.status = 200 })
			time.Sleep(30 * time.Second)
			wantAnswer(t, client, "a", "active")
		})
	})
	t.Run("is not opened by answers, whatever they say", func(t *testing.T) {
		for _, set := range []func(*endpoint){
			func(e *endpoint) { e.answer = always(`{"active":false}`) },
			func(e *endpoint) { e.status, e.answer = 400, always(`{"error":"unsupported_token_type"}`) },
			func(e *endpoint) { e.answer = always(`{"active":true,"token_type":"refresh_token"}`) },
		} {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{answer: active(time.Hour)}
				set(e)
				client := newCaching(t, e, nil)
				for i := range 20 {
					_, _ = client.Introspect(t.Context(), fmt.Sprint(i))
				}
				wantAsked(t, e, 20)
			})
		}
	})
	t.Run("is not opened by callers who leave", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{delay: time.Second, answer: active(time.Hour)}
			client := newCaching(t, e, nil)
			for i := range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				_, _ = client.Introspect(ctx, fmt.Sprint(i))
				cancel()
			}
			synctest.Wait()
			wantAnswer(t, client, "token", "active")
		})
	})
	t.Run("gives a probe back whose caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{status: 503, answer: active(time.Hour)}
			client := newCaching(t, e, nil)
			for i := range 5 {
				wantAnswer(t, client, fmt.Sprint(i), "unknown")
			}
			time.Sleep(time.Second)
			e.set(func(e *endpoint) { e.status, e.delay = 200, time.Second })
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, _ = client.Introspect(ctx, "probe")
			synctest.Wait()
			wantAnswer(t, client, "token", "active")
		})
	})
}

// A server that hangs makes nobody wait longer than Timeout, and gathers no more
// than it is asked at once, and a queue.
func TestAServerThatHangsGathersNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{delay: time.Hour, answer: active(time.Hour)}
		client := newCaching(t, e, nil)
		var wg sync.WaitGroup
		var atOnce atomic.Int64
		began := time.Now()
		for i := range 3000 {
			wg.Go(func() {
				wantAnswer(t, client, fmt.Sprint(i), "unknown")
				switch took := time.Since(began); {
				case took == 0:
					atOnce.Add(1)
				case took > 5*time.Second:
					t.Errorf("took %v; want 5s at most", took)
				}
			})
		}
		wg.Wait()
		if got := atOnce.Load(); got != 3000-64-1024 {
			t.Errorf("%d were told at once; want %d", got, 3000-64-1024)
		}
		if got := e.peak.Load(); got != 64 {
			t.Errorf("got %d requests at once; want 64", got)
		}
		before := e.count()
		wantAnswer(t, client, "token", "unknown") // open by now
		wantAsked(t, e, before)
	})
}

func retryAfter(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return asks.RetryAfter()
	}
	return -1
}
