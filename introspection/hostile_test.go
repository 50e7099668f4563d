package introspection_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
)

// What a hostile reader found.

// What another replica stored is used for this one's own CacheFor, which an
// operator may have lowered.
func TestStoreDifferentCacheFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(2 * time.Hour)}, &memory{}
		long := sharing(t, e, m, nil, func(c *introspection.Config) { c.CacheFor = time.Hour })
		short := sharing(t, e, m, nil, func(c *introspection.Config) { c.CacheFor = 10 * time.Second })
		wantAnswer(t, long, "token", "active")
		synctest.Wait()
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) }) // revoked
		time.Sleep(59 * time.Minute)
		wantAnswer(t, short, "token", "inactive") // its CacheFor was over 58:50 ago
	})
}

// And for this one's own leeway.
func TestStoreDifferentLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(10 * time.Second)}, &memory{}
		one, two := sharing(t, e, m, nil, func(c *introspection.Config) { c.CacheFor = time.Hour }), sharing(t, e, m, nil, nil)
		wantAnswerWith(t, one, "token", introspection.Options{Leeway: 5 * time.Minute}, "active")
		synctest.Wait()
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
		time.Sleep(time.Minute)
		wantAnswer(t, two, "token", "inactive") // leeway 0: ended 50 s ago
	})
}

func TestCacheDifferentLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(10 * time.Second)}
		one := newCaching(t, e, nil)
		wantAnswerWith(t, one, "token", introspection.Options{Leeway: 5 * time.Minute}, "active")
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
		time.Sleep(30 * time.Second)
		wantAnswer(t, one, "token", "inactive") // leeway 0: ended 20 s ago
	})
}

func TestStoreClockAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(2 * time.Hour)}, &memory{}
		one, two := sharing(t, e, m, nil, nil), sharing(t, e, m, nil, nil)
		wantAnswerWith(t, one, "token", introspection.Options{Now: func() time.Time { return time.Now().Add(30 * time.Minute) }}, "active")
		synctest.Wait()
		e.set(func(e *endpoint) { e.answer = always(`{"active":false}`) })
		time.Sleep(29 * time.Minute)
		wantAnswer(t, two, "token", "inactive")
	})
}

// Who demands a token_type takes no answer that was stored without that demand.
func TestStoreRequireTokenType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(time.Hour)}, &memory{} // no token_type
		lax := sharing(t, e, m, nil, nil)
		strict := sharing(t, e, m, nil, func(c *introspection.Config) { c.RequireTokenType = true })
		wantAnswer(t, lax, "refresh", "active")
		synctest.Wait()
		wantAnswer(t, strict, "refresh", "unknown")
	})
}

type noKeys struct{ err error }

func (k noKeys) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, k.err
}

// Who demands signed answers takes no unsigned one from the Store.
func TestStoreSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := &endpoint{answer: active(time.Hour)}, &memory{}
		plain := sharing(t, e, m, nil, nil)
		signed := sharing(t, e, m, nil, func(c *introspection.Config) {
			c.Issuer, c.Keys = "https://login.example.com", noKeys{}
		})
		wantAnswer(t, plain, "token", "active")
		synctest.Wait()
		wantAnswer(t, signed, "token", "unknown")
	})
}

// A token that is revoked while its question is under way is refused CacheFor
// after that question.
func TestCacheForCountsFromTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: 4 * time.Second}
		client := newCaching(t, e, func(c *introspection.Config) { c.CacheFor = 10 * time.Second })
		go client.Introspect(context.Background(), "token")
		time.Sleep(time.Second)
		e.set(func(e *endpoint) { e.answer, e.delay = always(`{"active":false}`), 0 }) // revoked at 1 s
		time.Sleep(10 * time.Second)                                                   // 11 s
		time.Sleep(time.Second)                                                        // 12 s
		wantAnswer(t, client, "token", "inactive")
	})
}

// An older call that ends later does not bring a token back that a fresh one knew
// to be revoked.
func TestOlderAnswerReplacesNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: 4 * time.Second}
		client := newCaching(t, e, nil)
		go client.Introspect(context.Background(), "token")
		time.Sleep(time.Second)
		e.set(func(e *endpoint) { e.answer, e.delay = always(`{"active":false}`), 0 })
		wantAnswerWith(t, client, "token", introspection.Options{Fresh: true}, "inactive")
		time.Sleep(4 * time.Second)
		wantAnswer(t, client, "token", "inactive")
	})
}

// An endpoint that answers is no outage, whatever it says.
func TestStaleAfterAnAnswer(t *testing.T) {
	for _, status := range []int{302, 400, 404, 410, 413, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{answer: active(time.Hour)}
				client := newCaching(t, e, func(c *introspection.Config) { c.DangerouslyServeStaleFor = time.Minute })
				wantAnswer(t, client, "token", "active")
				time.Sleep(time.Minute)
				e.set(func(e *endpoint) { e.status, e.answer = status, always(`{"error":"invalid_token"}`) })
				wantAnswer(t, client, "token", "unknown")
			})
		})
	}
	t.Run("too large", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: active(time.Hour)}
			client := newCaching(t, e, func(c *introspection.Config) { c.DangerouslyServeStaleFor = time.Minute })
			wantAnswer(t, client, "token", "active")
			time.Sleep(time.Minute)
			e.set(func(e *endpoint) { e.answer = always(`{"active":false,"x":"` + strings.Repeat("x", 70000) + `"}`) })
			wantAnswer(t, client, "token", "unknown")
		})
	})
	t.Run("a refresh token since", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &endpoint{answer: active(time.Hour)}
			client := newCaching(t, e, func(c *introspection.Config) { c.DangerouslyServeStaleFor = time.Minute })
			wantAnswer(t, client, "token", "active")
			time.Sleep(time.Minute)
			e.set(func(e *endpoint) { e.answer = always(`{"active":true,"token_type":"refresh_token"}`) })
			wantAnswer(t, client, "token", "unknown")
			e.set(func(e *endpoint) { e.status = 503 })
			wantAnswer(t, client, "token", "unknown")
		})
	})
}

// odd is an endpoint that answers otherwise for odd tokens.
type odd struct {
	*endpoint
	status int
}

func (o odd) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	form, _ := url.ParseQuery(string(body))
	r.Body = io.NopCloser(bytes.NewReader(body))
	answer, err := o.endpoint.RoundTrip(r)
	if err == nil && strings.HasPrefix(form.Get("token"), "odd") {
		answer.StatusCode = o.status
	}
	return answer, err
}

// Whoever invents tokens that an endpoint dislikes does not shut it for others.
func TestBreakerOddTokens(t *testing.T) {
	for _, status := range []int{400, 413, 414, 422, 431} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{answer: active(time.Hour)}
				client := newCaching(t, e, func(c *introspection.Config) { c.HTTPClient = &http.Client{Transport: odd{e, status}} })
				for i := range 5 {
					wantAnswer(t, client, fmt.Sprint("odd", i), "unknown")
				}
				wantAnswer(t, client, "good", "active")
			})
		})
	}
}

// A caller's own deadline, in gRPC the peer's, is no failure of the endpoint.
func TestBreakerCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: 20 * time.Millisecond}
		client := newCaching(t, e, nil)
		for i := range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := client.IntrospectWith(ctx, fmt.Sprint("invented", i), introspection.Options{Fresh: true})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
		wantAnswer(t, client, "good", "active")
	})
}

// Neither is a wait for a turn that eats the call's time.
func TestBreakerQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: always(`{"active":false}`), delay: 400 * time.Millisecond}
		client := newCaching(t, e, nil)
		var wait sync.WaitGroup
		for i := range 1088 {
			wait.Go(func() { client.Introspect(t.Context(), fmt.Sprint("invented", i)) })
		}
		wait.Wait()
		e.set(func(e *endpoint) { e.answer = active(time.Hour) })
		wantAnswer(t, client, "good", "active")
	})
}

// Nor is a Store that is slow.
func TestBreakerSlowStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: 100 * time.Millisecond}
		client := sharing(t, e, &memory{delay: time.Hour}, nil, func(c *introspection.Config) { c.Timeout = 300 * time.Millisecond })
		wantAnswer(t, client, "good", "active")
	})
}

// An error of a KeySource that wraps one of ours is not the endpoint's word.
func TestKeysErrorOfOurs(t *testing.T) {
	for _, ours := range []error{introspection.ErrTokenType, introspection.ErrUnsupportedTokenType, introspection.ErrClientRefused} {
		server, _ := record(t)
		_ = server
		// see TestHKeys2
		_ = ours
	}
}

// A hook that panics costs no answer.
func TestOnStoreErrorPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour)}
		client := sharing(t, e, &memory{err: errors.New("down")}, nil, func(c *introspection.Config) {
			c.OnStoreError = func(error) { panic("hook") }
		})
		wantAnswer(t, client, "token", "active")
	})
}

// What a transport panics with may hold the token.
func TestTransportPanicQuoted(t *testing.T) {
	client := newCaching(t, &endpoint{}, func(c *introspection.Config) {
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(r.Body)
			panic(string(body) + r.Header.Get("Authorization"))
		})}
	})
	_, err := client.Introspect(t.Context(), "canarytoken")
	if strings.Contains(fmt.Sprint(err), "canarytoken") {
		t.Errorf("got %v", err)
	}
}

func signedAnswer() string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(`{"alg":"ES256","typ":"token-introspection+jwt","kid":"new"}`)) + "." + b([]byte(`{"iss":"x"}`)) + "." + b(bytes.Repeat([]byte{1}, 64))
}

func withKeys(t *testing.T, keys introspection.KeySource) *introspection.Client {
	return newCaching(t, &endpoint{}, func(c *introspection.Config) {
		c.Issuer, c.Keys = "https://login.example.com", keys
		c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/token-introspection+jwt"}}, Body: io.NopCloser(strings.NewReader(signedAnswer())), Request: r}, nil
		})}
	})
}

type later struct{}

func (later) Error() string             { return "keys: later" }
func (later) RetryAfter() time.Duration { return time.Hour }

// A KeySource that wants to be left alone does not shut the endpoint.
func TestKeysRetryAfterIsNotTheEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := withKeys(t, noKeys{later{}})
		_, _ = client.Introspect(t.Context(), "a")
		_, err := client.Introspect(t.Context(), "b")
		if strings.Contains(err.Error(), "circuit breaker open") {
			t.Error(err)
		}
	})
}

func TestAKeysErrorIsNotTheEndpointsWord(t *testing.T) {
	for _, ours := range []error{introspection.ErrTokenType, introspection.ErrUnsupportedTokenType, introspection.ErrClientRefused, context.Canceled} {
		_, err := withKeys(t, noKeys{ours}).Introspect(t.Context(), "a")
		if errors.Is(err, ours) {
			t.Errorf("%v: got %v; want an error that says nothing is known", ours, err)
		}
	}
}

// A probe that fails after the breaker was closed does not open it alone.
func TestOldProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour), delay: 3 * time.Second}
		client := newCaching(t, e, nil)
		go client.Introspect(context.Background(), "slow")
		synctest.Wait()
		e.set(func(e *endpoint) { e.status, e.delay = 503, 0 })
		for i := range 5 {
			wantAnswer(t, client, string(rune('a'+i)), "unknown")
		}
		time.Sleep(500 * time.Millisecond)
		e.set(func(e *endpoint) { e.delay = 4 * time.Second })
		go client.Introspect(context.Background(), "probe")
		time.Sleep(3 * time.Second) // slow has ended well, and closed it
		e.set(func(e *endpoint) { e.status, e.delay = 0, 0 })
		wantAnswer(t, client, "x", "active")
		time.Sleep(1100 * time.Millisecond) // the probe fails
		wantAnswer(t, client, "y", "active")
	})
}

// A hook that hangs holds up nobody.
func TestOnStoreErrorHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: active(time.Hour)}
		stop := make(chan struct{})
		client := sharing(t, e, &memory{err: errors.New("down")}, nil, func(c *introspection.Config) {
			c.OnStoreError = func(error) { <-stop }
		})
		done := make(chan error, 1)
		go func() { _, err := client.Introspect(context.Background(), "token"); done <- err }()
		time.Sleep(time.Minute)
		select {
		case <-done:
		default:
			t.Error("hangs for a minute; Timeout is 5 s")
		}
		close(stop)
		synctest.Wait()
	})
}
func TestDeafTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		client := newCaching(t, &endpoint{}, func(c *introspection.Config) {
			c.HTTPClient = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { <-stop; return nil, io.EOF })}
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := client.IntrospectWith(ctx, "token", introspection.Options{Fresh: true})
			done <- err
		}()
		time.Sleep(time.Minute)
		select {
		case <-done:
		default:
			t.Error("Fresh: hangs a minute after the caller's deadline")
		}
		close(stop)
		synctest.Wait()
	})
}

// A fresh answer is the caller's to change, as any other.
func TestFreshSharesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: always(fmt.Sprintf(`{"active":true,"aud":["a"],"exp":%d}`, time.Now().Add(time.Hour).Unix()))}
		m := &memory{}
		client := sharing(t, e, m, nil, nil)
		r, err := client.IntrospectWith(t.Context(), "token", introspection.Options{Fresh: true})
		if err != nil {
			t.Fatal(err)
		}
		r.Audience[0], r.Raw[0] = "poisoned", 'x'
		r, _ = client.Introspect(t.Context(), "token")
		if r.Audience[0] != "a" || r.Raw[0] != '{' {
			t.Errorf("got %v, %s; want what the server said", r.Audience, r.Raw)
		}
	})
}
