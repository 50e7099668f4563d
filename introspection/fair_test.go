package introspection_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
)

// A reply is what a server says of one token.
type reply struct {
	status int // zero: 200
	after  string
	body   string
	delay  time.Duration
	err    error
}

const goodBody = `{"active":true,"sub":"alice","exp":4102444800}`

// replies is a transport that answers by the token.
type replies struct {
	reply func(token string) reply
	mu    sync.Mutex
	asked map[string]int // by the token's first word
}

func (r *replies) RoundTrip(request *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(request.Body)
	form, _ := url.ParseQuery(string(body))
	token := form.Get("token")
	r.mu.Lock()
	if r.asked == nil {
		r.asked = map[string]int{}
	}
	word, _, _ := strings.Cut(token, " ")
	r.asked[word]++
	says := r.reply(token)
	r.mu.Unlock()
	if says.delay > 0 {
		select {
		case <-time.After(says.delay):
		case <-request.Context().Done():
			return nil, request.Context().Err()
		}
	}
	if says.err != nil {
		return nil, says.err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if says.after != "" {
		header.Set("Retry-After", says.after)
	}
	return &http.Response{StatusCode: max(says.status, 200), Header: header, Body: io.NopCloser(bytes.NewReader([]byte(says.body))), Request: request}, nil
}

func (r *replies) set(reply func(string) reply) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reply = reply
}

func (r *replies) count(word string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[word]
}

func newFair(t *testing.T, reply func(token string) reply, change func(*introspection.Config)) (*introspection.Client, *replies) {
	t.Helper()
	transport := &replies{reply: reply}
	client := newCaching(t, nil, func(c *introspection.Config) {
		c.HTTPClient, c.CacheFor = &http.Client{Transport: transport}, 0
		if change != nil {
			change(c)
		}
	})
	return client, transport
}

// every calls do at regular intervals for a time, each in its own goroutine.
func every(wg *sync.WaitGroup, interval, whole time.Duration, do func(n int)) {
	wg.Go(func() {
		for n := 0; time.Duration(n)*interval < whole; n++ {
			wg.Go(func() { do(n) })
			time.Sleep(interval)
		}
	})
}

var oddReplies = map[string]reply{
	"a sub that is a number":   {body: `{"active":true,"sub":1}`},
	"70 KiB":                   {body: `{"active":true,"x":"` + strings.Repeat("x", 70<<10) + `"}`},
	"a status that is its own": {status: 418, body: `{}`},
	"404":                      {status: 404},
	"500":                      {status: 500},
	"503":                      {status: 503},
	"503 with Retry-After":     {status: 503, after: "30"},
	"429 with Retry-After":     {status: 429, after: "30"},
	"403":                      {status: 403},
	"a broken exchange":        {err: io.ErrUnexpectedEOF},
	"silence":                  {delay: time.Hour},
}

func TestOneTokensOddAnswerShutsTheEndpointForNoOther(t *testing.T) {
	for name, odd := range oddReplies {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wasActive := false
				client, transport := newFair(t, func(token string) reply {
					if token == "odd" && wasActive {
						return odd
					}
					return reply{body: goodBody, delay: 10 * time.Millisecond}
				}, nil)
				wantAnswer(t, client, "odd", "active") // it counts as any that was active before
				transport.set(func(token string) reply {
					if token == "odd" {
						return odd
					}
					return reply{body: goodBody, delay: 10 * time.Millisecond}
				})
				var wg sync.WaitGroup
				every(&wg, 5*time.Millisecond, 10*time.Second, func(int) {
					if _, err := client.Introspect(t.Context(), "odd"); err == nil {
						t.Error("odd: got an answer; want an error")
					}
				})
				time.Sleep(2 * time.Second)
				every(&wg, 500*time.Millisecond, 8*time.Second, func(n int) {
					wantAnswer(t, client, "another", "active")
				})
				wg.Wait()
				time.Sleep(time.Minute)
				if got := transport.count("odd"); got > 50 {
					t.Errorf("odd: asked about %d times in ten seconds; want 50 at most: it is left alone by itself", got)
				}
			})
		})
	}
}

// Many servers answer 404 or 500 for a token that they do not know.
func TestStrangersWithInventedTokensShutTheEndpointForNobody(t *testing.T) {
	for _, status := range []int{404, 500, 400, 200} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, transport := newFair(t, func(token string) reply {
					if strings.HasPrefix(token, "invented") {
						return reply{status: status, body: `{"active":"no"}`, delay: 10 * time.Millisecond}
					}
					return reply{body: goodBody, delay: 10 * time.Millisecond}
				}, nil)
				var wg sync.WaitGroup
				every(&wg, 10*time.Millisecond, 20*time.Second, func(n int) {
					_, _ = client.Introspect(t.Context(), fmt.Sprint("invented ", n))
				})
				every(&wg, 100*time.Millisecond, 20*time.Second, func(n int) {
					wantAnswer(t, client, "good", "active")
				})
				every(&wg, 700*time.Millisecond, 20*time.Second, func(n int) { // never seen before
					wantAnswer(t, client, fmt.Sprint("new ", n), "active")
				})
				wg.Wait()
				if got := transport.count("good"); got != 200 {
					t.Errorf("good: asked about %d times; want 200", got)
				}
			})
		})
	}
	t.Run("while those that were active before ask seldom", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := newFair(t, func(token string) reply {
				if strings.HasPrefix(token, "invented") {
					return reply{status: 500}
				}
				return reply{body: goodBody}
			}, nil)
			wantAnswer(t, client, "good", "active")
			var wg sync.WaitGroup
			every(&wg, 10*time.Millisecond, time.Minute, func(n int) {
				_, _ = client.Introspect(t.Context(), fmt.Sprint("invented ", n))
			})
			every(&wg, 9*time.Second, time.Minute, func(n int) {
				wantAnswer(t, client, "good", "active")
			})
			wg.Wait()
			if got := transport.count("invented"); got > 2000 {
				t.Errorf("invented: asked about %d times in a minute; want 2000 at most: nothing but failures comes of them", got)
			}
		})
	})
}

// A restart during an outage: no token was active before.
func TestAnOutageIsFoundByStrangersAlone(t *testing.T) {
	for name, out := range map[string]reply{"503": {status: 503}, "408": {status: 408}, "429": {status: 429}, "broken": {err: io.ErrUnexpectedEOF}, "silence": {delay: time.Hour}, "500": {status: 500}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, transport := newFair(t, func(string) reply { return out }, nil)
				var wg sync.WaitGroup
				every(&wg, 10*time.Millisecond, 20*time.Second, func(n int) {
					wantAnswer(t, client, fmt.Sprint("new ", n), "unknown")
				})
				wg.Wait()
				if got := transport.count("new"); got > 200 {
					t.Errorf("asked %d times in 20 seconds of outage; want 200 at most of 2000", got)
				}
				time.Sleep(time.Second)
				transport.set(func(string) reply { return reply{body: goodBody} })
				wantAnswer(t, client, "later", "active")
			})
		})
	}
	t.Run("no connection, and one token", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		client, err := introspection.NewClient(introspection.Config{Endpoint: "http://" + listener.Addr().String(), ClientID: "api", ClientSecret: secret})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, _ = client.Introspect(t.Context(), token)
		}
		_, err = client.Introspect(t.Context(), token)
		if err == nil || !strings.Contains(err.Error(), "circuit breaker open") {
			t.Errorf("got %v; want the circuit breaker open", err)
		}
	})
}

func TestOneTokenThatIsRetriedInAnOutageIsAskedAboutOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		wantAnswer(t, client, "token", "active")
		transport.set(func(string) reply { return reply{status: 503} })
		var wg sync.WaitGroup
		every(&wg, 10*time.Millisecond, 10*time.Second, func(int) { wantAnswer(t, client, "token", "unknown") })
		wg.Wait()
		if got := transport.count("token"); got > 25 {
			t.Errorf("asked %d times in ten seconds; want 25 at most", got)
		}
	})
}

// knowing makes tokens known: "known 0", "known 1" and so on.
func knowing(t *testing.T, client *introspection.Client, n int) {
	t.Helper()
	for i := range n {
		wantAnswer(t, client, fmt.Sprint("known ", i), "active")
	}
}

func TestAfterAnOutageTheProbeIsATokenThatWasActiveBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		knowing(t, client, 10)
		transport.set(func(string) reply { return reply{status: 503} })
		for i := range 10 {
			wantAnswer(t, client, fmt.Sprint("known ", i), "unknown")
		}
		if got := transport.count("known"); got != 15 {
			t.Errorf("known: asked %d times; want 10, and 5 in the outage", got)
		}
		wantAnswer(t, client, "stranger 0", "unknown")
		if got := transport.count("stranger"); got != 0 {
			t.Errorf("strangers: asked %d times; want 0 while the endpoint is down for those known", got)
		}
		// The server is well again, but for invented tokens; their probes hold up nobody.
		transport.set(func(token string) reply {
			if strings.HasPrefix(token, "stranger") {
				return reply{status: 500}
			}
			return reply{body: goodBody}
		})
		time.Sleep(500 * time.Millisecond)
		for i := range 100 {
			wantAnswer(t, client, fmt.Sprint("stranger ", i), "unknown")
		}
		wantAnswer(t, client, "known 7", "active")
		wantAnswer(t, client, "new", "active")
		if got := transport.count("stranger"); got != 1 {
			t.Errorf("strangers: asked %d times; want one probe", got)
		}
	})
}

// What a server did not answer before it was mended comes in afterwards.
func TestQuestionsFromBeforeTheLastAnswerSayNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{delay: time.Hour} }, nil)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { wantAnswer(t, client, fmt.Sprint("old ", i), "unknown") })
		}
		synctest.Wait()
		transport.set(func(string) reply { return reply{body: goodBody} })
		time.Sleep(time.Second)
		wantAnswer(t, client, "new", "active")
		wg.Wait() // all of them fail at once
		wantAnswer(t, client, "newer", "active")
	})
}

func TestAProbeForNobodyDoesNotKeepTheEndpointShut(t *testing.T) {
	shut := func(t *testing.T) (*introspection.Client, *replies) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503} }, nil)
		for i := range 6 {
			wantAnswer(t, client, fmt.Sprint("token ", i), "unknown")
		}
		time.Sleep(time.Second)
		return client, transport
	}
	t.Run("its callers have left", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := shut(t)
			transport.set(func(token string) reply {
				if token == "token 7" {
					return reply{delay: 4 * time.Second, status: 503}
				}
				return reply{body: goodBody}
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, _ = client.Introspect(ctx, "token 7")
			synctest.Wait()
			wantAnswer(t, client, "token 8", "active")
			time.Sleep(5 * time.Second)
			wantAnswer(t, client, "token 9", "active")
		})
	})
	t.Run("it never ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := shut(t)
			stuck := make(chan struct{})
			transport.set(func(token string) reply {
				return reply{body: goodBody}
			})
			deaf := newCaching(t, nil, func(c *introspection.Config) {
				c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					body, _ := io.ReadAll(r.Body)
					switch {
					case bytes.Contains(body, []byte("probe")):
						<-stuck // it heeds no context
						return nil, io.EOF
					case bytes.Contains(body, []byte("fails")):
						return nil, io.ErrUnexpectedEOF
					}
					return answer(r, goodBody)
				})}
			})
			for i := range 5 {
				wantAnswer(t, deaf, fmt.Sprint("fails ", i), "unknown")
			}
			time.Sleep(time.Second)
			go func() { _, _ = deaf.Introspect(context.Background(), "probe") }()
			synctest.Wait()
			wantAnswer(t, deaf, "token 8", "unknown") // one probe at a time
			time.Sleep(6 * time.Second)               // the Timeout, and a second
			wantAnswer(t, deaf, "token 9", "active")
			close(stuck)
			synctest.Wait()
			_ = client
		})
	})
}

// A stale answer is for an outage, not for what a revoked client can bring about.
func TestStaleAnswersServeInARealOutageOnly(t *testing.T) {
	down := func(status int) func(string) reply { return func(string) reply { return reply{status: status} } }
	for _, c := range []struct {
		name   string
		reply  func(token string) reply
		before func(ask func(token string)) // what was asked just before
		want   string
	}{
		{"429, which all get", down(429), func(ask func(string)) { ask("known 0"); ask("known 1"); ask("new") }, "unknown"},
		{"503, which no other has met", down(503), func(func(string)) {}, "unknown"},
		{"503, which another has met", down(503), func(ask func(string)) { ask("known 0") }, "active"},
		{"503, which a stranger has met", down(503), func(ask func(string)) { ask("new") }, "active"},
		{"500, which no other has met", down(500), func(ask func(string)) { ask("revoked") }, "unknown"},
		{"500, which a stranger has met", down(500), func(ask func(string)) { ask("new"); ask("newer"); ask("newest") }, "unknown"},
		{"500, which another known one has met", down(500), func(ask func(string)) { ask("known 0") }, "active"},
		{"408, which another has met", down(408), func(ask func(string)) { ask("known 0") }, "active"},
		{"503, and others have got an answer since", func(token string) reply {
			if token == "revoked" || token == "known 0" {
				return reply{status: 503}
			}
			return reply{body: goodBody}
		}, func(ask func(string)) { ask("known 0"); ask("known 1") }, "unknown"},
		{"silence, which another has met", func(string) reply { return reply{delay: time.Hour} }, func(ask func(string)) { ask("known 0") }, "active"},
		{"a broken exchange, which another has met", func(string) reply { return reply{err: io.ErrUnexpectedEOF} }, func(ask func(string)) { ask("known 0") }, "active"},
		{"the refusal of this client", down(401), func(ask func(string)) { ask("known 0"); ask("known 1") }, "unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, func(c *introspection.Config) {
					c.CacheFor, c.DangerouslyServeStaleFor = time.Second, 10*time.Minute
				})
				knowing(t, client, 3)
				wantAnswer(t, client, "revoked", "active")
				time.Sleep(2 * time.Second)
				transport.set(c.reply)
				c.before(func(token string) { _, _ = client.Introspect(t.Context(), token) })
				wantAnswer(t, client, "revoked", c.want)
			})
		})
	}
	t.Run("our own queue is full", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, func(c *introspection.Config) {
				c.CacheFor, c.DangerouslyServeStaleFor = time.Second, 10*time.Minute
			})
			const tokens = 1600
			knowing(t, client, tokens)
			time.Sleep(2 * time.Second)
			transport.set(func(string) reply { return reply{body: `{"active":false}`, delay: 200 * time.Millisecond} })
			var active, unknown atomic.Int32
			var wg sync.WaitGroup
			for i := range tokens {
				wg.Go(func() {
					switch response, err := client.Introspect(t.Context(), fmt.Sprint("known ", i)); {
					case err != nil:
						unknown.Add(1)
					case response.Active:
						active.Add(1)
					}
				})
			}
			wg.Wait()
			if active.Load() != 0 || unknown.Load() == 0 {
				t.Errorf("got %d stale answers, and %d times none; want 0, and those that found no place", active.Load(), unknown.Load())
			}
		})
	})
	t.Run("no connection", func(t *testing.T) {
		e := serve(t, answers(200, "application/json", goodBody))
		now := time.Now()
		client := newClient(t, e, func(c *introspection.Config) { c.CacheFor, c.DangerouslyServeStaleFor = time.Minute, time.Minute })
		wantAnswerWith(t, client, token, introspection.Options{Now: func() time.Time { return now }}, "active")
		e.Close()
		now = now.Add(90 * time.Second)
		wantAnswerWith(t, client, token, introspection.Options{Now: func() time.Time { return now }}, "active")
	})
}

// Strangers fill every place and the whole queue, and tokens that were active before
// do not wait for them.
func TestTokensThatWereActiveBeforeGoFirst(t *testing.T) {
	const delay = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		knowing(t, client, 1600)
		transport.set(func(token string) reply {
			if strings.HasPrefix(token, "invented") {
				return reply{body: `{"active":false}`, delay: delay}
			}
			return reply{body: goodBody, delay: delay}
		})
		var wg sync.WaitGroup
		every(&wg, time.Millisecond, 10*time.Second, func(n int) { // twice what there is room for
			_, _ = client.Introspect(t.Context(), fmt.Sprint("invented ", n))
		})
		time.Sleep(5 * time.Second)
		every(&wg, 3*time.Millisecond, 4*time.Second, func(n int) { // more than their own share at once
			began := time.Now()
			wantAnswer(t, client, fmt.Sprint("known ", n), "active")
			if took := time.Since(began); took > 2*delay {
				t.Errorf("known: took %v; want at most %v, twice the endpoint's own time", took, 2*delay)
			}
		})
		wg.Wait()
	})
	t.Run("while strangers hang", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
			knowing(t, client, 10)
			transport.set(func(token string) reply {
				if strings.HasPrefix(token, "invented") {
					return reply{delay: time.Hour}
				}
				return reply{body: goodBody, delay: delay}
			})
			var wg sync.WaitGroup
			for i := range 500 {
				wg.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint("invented ", i)) })
			}
			synctest.Wait()
			began := time.Now()
			wantAnswer(t, client, "known 1", "active")
			if took := time.Since(began); took > 2*delay {
				t.Errorf("known: took %v; want at most %v, twice the endpoint's own time", took, 2*delay)
			}
			wg.Wait()
		})
	})
	t.Run("a thousand at once find a full queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
			knowing(t, client, 1000)
			transport.set(func(token string) reply { return reply{body: goodBody, delay: delay} })
			var wg sync.WaitGroup
			var refused atomic.Int32
			for i := range 2000 {
				wg.Go(func() {
					if _, err := client.Introspect(t.Context(), fmt.Sprint("invented ", i)); err != nil {
						refused.Add(1)
					}
				})
			}
			synctest.Wait()
			for i := range 1000 {
				wg.Go(func() { wantAnswer(t, client, fmt.Sprint("known ", i), "active") })
			}
			wg.Wait()
			if got := refused.Load(); got < 1000 || got == 2000 {
				t.Errorf("refused %d strangers; want those that found no place, and not all", got)
			}
		})
	})
	t.Run("and strangers that wait have a share as well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
			knowing(t, client, 1000)
			transport.set(func(token string) reply { return reply{body: goodBody, delay: delay} })
			var wg sync.WaitGroup
			every(&wg, time.Millisecond, 5*time.Second, func(n int) {
				_, _ = client.Introspect(t.Context(), fmt.Sprint("known ", n%1000))
			})
			time.Sleep(2 * time.Second)
			wantAnswer(t, client, "new", "active")
			wg.Wait()
		})
	})
}

// The same over TLS, as a user's test would have it.
func TestAnotherUserIsNotRefusedBesideAnOddOne(t *testing.T) {
	for name, fault := range map[string]accesstokentest.Fault{
		"an answer of the wrong type": {Body: []byte(`{"active":true,"sub":1}`)},
		"70 KiB":                      {Body: bytes.Repeat([]byte(" "), 70<<10)},
		"500":                         {Status: 500},
		"404":                         {Status: 404},
		"429":                         {Status: 429, Header: http.Header{"Retry-After": {"30"}}},
		"a reset":                     {Reset: true},
		"half an answer":              {Drop: true},
	} {
		t.Run(name, func(t *testing.T) {
			as := accesstokentest.NewServer(t)
			client := newDemanding(t, as, func(c *introspection.Config) { c.Keys = nil })
			odd, another := as.Opaque(nil), as.Opaque(nil)
			as.BreakToken(odd, fault)
			refused := 0
			for range 16 {
				for range 20 {
					if _, err := client.Introspect(t.Context(), odd); err == nil {
						t.Fatal("odd: got an answer; want an error")
					}
				}
				if response, err := client.Introspect(t.Context(), another); err != nil || !response.Active {
					refused++
				}
			}
			if refused != 0 {
				t.Errorf("another user was refused %d times of 16; want 0", refused)
			}
			as.MendToken(odd)
		})
	}
}

func TestWhatIsRememberedOfTokensIsBounded(t *testing.T) {
	const most = 2 * 32 << 10
	client, _ := newFair(t, func(token string) reply {
		if strings.HasPrefix(token, "revoked") {
			return reply{body: `{"active":false}`}
		}
		return reply{body: goodBody}
	}, nil)
	for i := range 100 {
		_, _ = client.Introspect(t.Context(), fmt.Sprint("revoked ", i))
	}
	if got := client.Known(); got != 0 {
		t.Errorf("got %d that were never active; want none", got)
	}
	for i := range 1_000 {
		_, _ = client.Introspect(t.Context(), fmt.Sprint("good ", i))
	}
	if got := client.Known(); got != 1_000 {
		t.Errorf("got %d that were active; want 1,000", got)
	}
	peak := 0
	for i := range most + 40_000 {
		client.Learn(i)
		peak = max(peak, client.Known())
	}
	if got := client.Known(); peak != most || got < most/2 {
		t.Errorf("got %d, and %d at the end; want %d at most, and the half of it at least", peak, got, most)
	}
}

func TestATokenThatWasRevokedIsAStrangerAgain(t *testing.T) {
	client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
	wantAnswer(t, client, "token", "active")
	transport.set(func(string) reply { return reply{body: `{"active":false}`} })
	wantAnswer(t, client, "token", "inactive")
	if got := client.Known(); got != 0 {
		t.Errorf("got %d that are known; want 0", got)
	}
}

// Where servers have answered lately, the one that a probe reaches speaks for itself.
func TestOneProbesRetryAfterIsShortBesideServersThatAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		wantAnswer(t, client, "known", "active")
		transport.set(func(string) reply { return reply{status: 503} })
		for i := range 6 {
			wantAnswer(t, client, fmt.Sprint("made up ", i), "unknown")
		}
		time.Sleep(1500 * time.Millisecond)
		transport.set(func(string) reply { return reply{status: 503, after: "25"} })
		before := transport.count("probe")
		wantAnswer(t, client, "probe", "unknown")
		if got := transport.count("probe") - before; got != 1 {
			t.Fatalf("the probe: got %d calls; want 1", got)
		}
		transport.set(func(string) reply { return reply{body: `{"active":false}`} })
		time.Sleep(3 * time.Second)
		wantAnswer(t, client, "another", "inactive")
	})
}

// If no server has answered of late, the Retry-After that a probe gets is for everyone.
func TestOneProbesRetryAfterIsKeptIfNoServerAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503} }, nil)
		for i := range 6 {
			wantAnswer(t, client, fmt.Sprint("made up ", i), "unknown")
		}
		time.Sleep(time.Second)
		transport.set(func(string) reply { return reply{status: 503, after: "25"} })
		wantAnswer(t, client, "probe", "unknown")
		transport.set(func(string) reply { return reply{body: `{"active":false}`} })
		time.Sleep(24 * time.Second)
		wantAnswer(t, client, "early", "unknown")
		time.Sleep(time.Second)
		wantAnswer(t, client, "another", "inactive")
	})
}

func TestKnownTokensLeaveEightPlacesToUnknownOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		knowing(t, client, 200)
		transport.set(func(token string) reply {
			if strings.HasPrefix(token, "invented") {
				return reply{body: `{"active":false}`, delay: 100 * time.Millisecond}
			}
			return reply{body: goodBody, delay: 4 * time.Second}
		})
		var wg sync.WaitGroup
		for i := range 300 {
			wg.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint("invented ", i)) })
		}
		synctest.Wait()
		for i := range 200 {
			wg.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint("known ", i)) })
		}
		time.Sleep(150 * time.Millisecond)
		if known, all := client.OnWireKnown(), client.OnWire(); known != 56 || all != 64 {
			t.Errorf("got %d calls about known tokens of %d on the wire; want 56 of 64", known, all)
		}
		wg.Wait()
		time.Sleep(time.Minute) // for the calls that nobody waits for any more
	})
}

// A known token and an unknown one that are told to come back later are too few of
// either to close the endpoint to other unknown tokens.
func TestARetryAfterOfAKnownTokenCountsForNoUnknownOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, nil)
		wantAnswer(t, client, "known", "active")
		time.Sleep(time.Minute) // so that two tokens are enough
		transport.set(func(token string) reply {
			if token == "known" || token == "made up" {
				return reply{status: 503, after: "30"}
			}
			return reply{body: `{"active":false}`}
		})
		wantAnswer(t, client, "known", "unknown")
		wantAnswer(t, client, "made up", "unknown")
		wantAnswer(t, client, "another", "inactive")
	})
}

// The server has told it to come back in half a minute, and is well for all others.
func TestATokenIsAskedAboutAgainAsSoonAsOthersGetAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{status: 503, after: "30"} }, nil)
		wantAnswer(t, client, "token", "unknown")
		transport.set(func(string) reply { return reply{body: goodBody} })
		time.Sleep(time.Millisecond)
		wantAnswer(t, client, "other", "active")
		wantAnswer(t, client, "token", "unknown")
		time.Sleep(499 * time.Millisecond) // half a second since it failed
		wantAnswer(t, client, "token", "active")
	})
}

// What shows who we are takes a second, as a key service or a token server may. That
// makes no odd token of a stranger a failure in which no token had a part.
func TestStrangersOpenNoCircuitOfKnownTokensBesideASlowSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, slowBearer)
		knowing(t, client, 1)
		transport.set(func(token string) reply {
			if strings.HasPrefix(token, "odd") {
				return reply{delay: time.Hour}
			}
			return reply{body: goodBody}
		})
		for i := range 5 {
			_, _ = client.Introspect(t.Context(), fmt.Sprint("odd ", i))
		}
		wantAnswer(t, client, "known 0", "active")
	})
}

func slowBearer(c *introspection.Config) {
	c.ClientID, c.ClientSecret, c.AuthMethod = "", "", introspection.Bearer
	c.BearerToken = func(context.Context) (string, error) {
		time.Sleep(time.Second)
		return "ours", nil
	}
}

// Nor does it keep stale answers from being served in an outage.
func TestStaleAnswersAreServedBesideASlowSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, func(c *introspection.Config) {
			slowBearer(c)
			c.CacheFor, c.DangerouslyServeStaleFor = time.Second, 10*time.Minute
		})
		knowing(t, client, 3)
		time.Sleep(2 * time.Second)
		transport.set(func(string) reply { return reply{delay: time.Hour} })
		_, _ = client.Introspect(t.Context(), "known 0")
		_, _ = client.Introspect(t.Context(), "known 1")
		wantAnswer(t, client, "known 2", "active")
	})
}

// One token that fails five times is left alone, whatever the signer takes.
func TestAnOddTokenIsLeftAloneBesideASlowSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, slowBearer)
		knowing(t, client, 1)
		transport.set(func(token string) reply {
			if strings.HasPrefix(token, "odd") {
				return reply{delay: time.Hour}
			}
			return reply{body: goodBody}
		})
		for range 5 {
			_, _ = client.Introspect(t.Context(), "odd")
			wantAnswer(t, client, "known 0", "active")
		}
		for range 10 { // the first of them is a probe
			_, _ = client.Introspect(t.Context(), "odd")
		}
		if got := transport.count("odd"); got > 6 {
			t.Errorf("got %d calls about the odd token; want 6: it is left alone after 5, but for a probe", got)
		}
	})
}

// One server of three refuses, or is down. The other two serve, and a balancer sends a
// request to any.
func TestOneServerOfThreeIsNoOutage(t *testing.T) {
	for name, says := range map[string]reply{
		"401":                  {status: 401},
		"503":                  {status: 503},
		"503, Retry-After: 10": {status: 503, after: "10"},
		"429, Retry-After: 10": {status: 429, after: "10"},
		"the exchange broke":   {err: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := false
				client, _ := newFair(t, func(string) reply {
					if bad && rand.IntN(3) == 0 {
						return says
					}
					return reply{body: goodBody, delay: 20 * time.Millisecond}
				}, nil)
				knowing(t, client, 100)
				bad = true
				const most = 6000 // ten minutes of 10 requests in a second
				good := 0
				for range most {
					if r, err := client.Introspect(t.Context(), fmt.Sprint("known ", rand.IntN(100))); err == nil && r.Active {
						good++
					}
					time.Sleep(80 * time.Millisecond)
				}
				// A token that met a 429 is left alone for as long as that asks, by itself.
				least := most * 2 / 5
				if says.status == 429 {
					least = most / 3
				}
				if good < least {
					t.Errorf("got %d answers of %d; want %d at least", good, most, least)
				}
			})
		})
	}
}

// limited is an endpoint that hangs for odd tokens, and a client with one connection.
func limited(t *testing.T, change func(*introspection.Config)) (client *introspection.Client, arrived chan string) {
	t.Helper()
	arrived = make(chan string, 100)
	e := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.FormValue("token"), "odd") {
			arrived <- r.FormValue("token")
			<-r.Context().Done()
			return
		}
		answers(200, "application/json", goodBody)(w, r)
	})
	client = newClient(t, e, func(c *introspection.Config) {
		transport := e.Client().Transport.(*http.Transport).Clone()
		transport.MaxConnsPerHost = 1
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(30 * time.Millisecond) // a server that is some way off
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		c.HTTPClient = &http.Client{Transport: transport}
		c.Timeout = 300 * time.Millisecond
		if change != nil {
			change(c)
		}
	})
	return client, arrived
}

// A limit of our own transport is as our own queue: it says nothing of the endpoint.
func TestStrangersOpenNoCircuitOfKnownTokensByTakingTheConnections(t *testing.T) {
	client, _ := limited(t, nil)
	wantAnswer(t, client, "known", "active")
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() { _, _ = client.Introspect(t.Context(), fmt.Sprint("odd ", i)) })
	}
	all.Wait()
	wantAnswer(t, client, "known", "active")
}

// The endpoint is up, and says that the token is revoked to all who ask it.
func TestNoStaleAnswerWhileAStrangerHasTheConnection(t *testing.T) {
	now := time.Now()
	client, arrived := limited(t, func(c *introspection.Config) { c.CacheFor, c.DangerouslyServeStaleFor = time.Minute, 10*time.Minute })
	options := introspection.Options{Now: func() time.Time { return now }}
	wantAnswerWith(t, client, "known", options, "active")
	now = now.Add(2 * time.Minute)
	var all sync.WaitGroup
	all.Go(func() { _, _ = client.Introspect(t.Context(), "odd") })
	<-arrived
	wantAnswerWith(t, client, "known", options, "unknown")
	all.Wait()
}

// A probe has its time from when it is on the wire, whatever the signer took before.
func TestThereIsOneProbeAtATimeBesideASlowSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, transport := newFair(t, func(string) reply { return reply{body: goodBody} }, func(c *introspection.Config) {
			slowBearer(c)
			source := c.BearerToken
			c.BearerToken = func(ctx context.Context) (string, error) {
				time.Sleep(3 * time.Second)
				return source(ctx)
			}
		})
		knowing(t, client, 7)
		transport.set(func(token string) reply {
			if token == "known 5" {
				return reply{delay: time.Hour}
			}
			return reply{status: 503}
		})
		for i := range 5 {
			wantAnswer(t, client, fmt.Sprint("known ", i), "unknown")
		}
		time.Sleep(time.Second)
		var all sync.WaitGroup
		all.Go(func() { wantAnswer(t, client, "known 5", "unknown") }) // for 4 s, and 5 s on the wire
		time.Sleep(8 * time.Second)
		before := transport.count("known")
		began := time.Now()
		wantAnswer(t, client, "known 6", "unknown")
		if got := transport.count("known") - before; got != 0 || time.Since(began) != 0 {
			t.Errorf("got %d more calls in %v; want none, at once, while a probe is under way", got, time.Since(began))
		}
		all.Wait()
	})
}
