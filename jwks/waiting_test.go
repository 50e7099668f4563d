package jwks_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

// One timeout cannot serve both a request that waits and the fetch itself: a
// slow issuer would never get through, or every request would hang for long.
func TestAFetchOutlivesThoseWhoWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := jwk(&newECKey().PublicKey, "a", nil)
		s := serve(document(first))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(first, jwk(&newECKey().PublicKey, "b", nil)))
		s.slow(8 * time.Second)
		began := time.Now()
		_, _, err := cache.Keys(t.Context(), "b", "ES256")
		if took := time.Since(began); err == nil || took != 5*time.Second {
			t.Errorf("the first: got %v after %v; want an error after 5s", err, took)
		}
		if after := retryAfter(err); after != time.Second {
			t.Errorf("RetryAfter: got %v; want 1s", after)
		}
		began = time.Now()
		ask(t, cache, "b", found)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the second: found after %v; want 3s", took)
		}
		if got := s.fetches(keysURL); got != 2 {
			t.Errorf("got %d fetches; want 2", got)
		}
	})
}

func TestAFetchEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*jwks.Config)
		want time.Duration
	}{
		{"by default", nil, 15 * time.Second},
		{"as configured", func(c *jwks.Config) { c.FetchTimeout = time.Minute }, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fetches := make(chan jwks.Fetch, 100)
				s := serve(ec("a"))
				cache := open(t, s, func(config *jwks.Config) {
					config.OnFetch = func(f jwks.Fetch) { fetches <- f }
					if c.set != nil {
						c.set(config)
					}
				})
				warm(t, cache)
				s.slow(time.Hour)
				<-fetches
				fetched := <-fetches
				if fetched.Err == nil || errors.Is(fetched.Err, context.DeadlineExceeded) || fetched.Duration != c.want {
					t.Errorf("got %v after %v; want an error that is nobody's deadline after %v", fetched.Err, fetched.Duration, c.want)
				}
			})
		})
	}
}

func TestWaitTimeoutCanBeConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.slow(time.Hour)
		cache := open(t, s, func(c *jwks.Config) { c.WaitTimeout = time.Second })
		began := time.Now()
		ask(t, cache, "a", unavailable)
		if took := time.Since(began); took != time.Second {
			t.Errorf("waited %v; want 1s", took)
		}
	})
}

// Without keys, everybody waits: for a server that is slow, and for a
// connection that hangs although the server is well again.
func TestAFirstFetch(t *testing.T) {
	until := func(t *testing.T, cache *jwks.Cache) time.Duration {
		began := time.Now()
		for cache.Warm(t.Context()) != nil {
			time.Sleep(10 * time.Millisecond)
		}
		return time.Since(began)
	}
	t.Run("from a slow server", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			s.slow(8 * time.Second)
			took := until(t, open(t, s, nil))
			if took > 20*time.Second || s.fetches(keysURL) != 3 {
				t.Errorf("took %v in %d fetches; want 20s at most, in 3", took, s.fetches(keysURL))
			}
		})
	})
	t.Run("over a connection that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			s.slow(time.Hour)
			time.AfterFunc(time.Second, func() { s.slow(0) })
			if took := until(t, open(t, s, nil)); took > 6*time.Second {
				t.Errorf("took %v; want 6s at most", took)
			}
		})
	})
}

// Whoever waits for one fetch and then for another still waits no longer.
func TestTwoWaitsAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		s.slow(4 * time.Second)
		go ask(t, cache, "made up", notThere)
		synctest.Wait()
		began := time.Now()
		ask(t, cache, "b", unavailable)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("waited %v; want 5s", took)
		}
		time.Sleep(time.Minute)
	})
}

func TestThoseWhoWaitAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, more = 4096, 100
		s := serve(ec("a"))
		s.delay = 4 * time.Second
		cache := open(t, s, nil)
		var turnedAway atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for range most + more {
			wg.Go(func() {
				_, _, err := cache.Keys(t.Context(), "a", "ES256")
				if err == nil {
					return
				}
				turnedAway.Add(1)
				if took := time.Since(began); took != 0 || retryAfter(err) != time.Second {
					t.Errorf("got %v after %v; want to be told at once, to come back in 1s", err, took)
				}
			})
		}
		synctest.Wait()
		if got := cache.State().Waiting; got != most {
			t.Errorf("got %d waiting; want %d", got, most)
		}
		wg.Wait()
		if got := turnedAway.Load(); got != more {
			t.Errorf("got %d turned away; want %d", got, more)
		}
		if got := cache.State().Waiting; got != 0 {
			t.Errorf("got %d waiting at the end; want 0", got)
		}
	})
}

// Nothing hangs on a transport that does not heed its context.
func TestADeafTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cache := open(t, serve(""), func(c *jwks.Config) {
			c.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				<-release
				return nil, errors.New("at last")
			})}
		})
		began := time.Now()
		ask(t, cache, "a", unavailable)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("Keys: took %v; want 5s", took)
		}
		began = time.Now()
		if err := cache.Close(); err == nil || time.Since(began) != 5*time.Second {
			t.Errorf("Close: got %v after %v; want an error after 5s", err, time.Since(began))
		}
		close(release)
		synctest.Wait()
		if err := cache.Close(); err != nil {
			t.Errorf("Close, once it has ended: got %v; want nil", err)
		}
	})
}

func TestASecondChance(t *testing.T) {
	for _, c := range []struct {
		name  string
		later func(t *testing.T, s *server, cache *jwks.Cache)
	}{
		{"whose budget others have spent", func(t *testing.T, s *server, cache *jwks.Cache) {
			ask(t, cache, "late", notThere)
			ask(t, cache, "other", notThere) // the burst is spent
			s.publish(ec("a", "late"))
			time.Sleep(30 * time.Second)
			ask(t, cache, "late", found)
		}},
		{"not before a cooldown has passed", func(t *testing.T, s *server, cache *jwks.Cache) {
			ask(t, cache, "late", notThere)
			s.publish(ec("a", "late"))
			time.Sleep(29 * time.Second)
			ask(t, cache, "late", notThere)
		}},
		{"not a third", func(t *testing.T, s *server, cache *jwks.Cache) {
			ask(t, cache, "stale", notThere)
			ask(t, cache, "other", notThere)
			time.Sleep(30 * time.Second)
			ask(t, cache, "stale", notThere) // its second
			before := s.fetches(keysURL)
			time.Sleep(29 * time.Second)
			ask(t, cache, "stale", notThere)
			time.Sleep(time.Second)
			ask(t, cache, "stale", unavailable) // its absence is no longer certain
			if got := s.fetches(keysURL); got != before {
				t.Errorf("got %d fetches; want %d: the reserve is not for it", got, before)
			}
		}},
		{"not for what was withdrawn", func(t *testing.T, s *server, cache *jwks.Cache) {
			s.publish(ec("b"))
			ask(t, cache, "b", found) // a is gone, and one of the burst
			ask(t, cache, "other", notThere)
			before := s.fetches(keysURL)
			time.Sleep(29 * time.Second)
			ask(t, cache, "a", notThere)
			time.Sleep(time.Second)
			ask(t, cache, "a", unavailable)
			if got := s.fetches(keysURL); got != before {
				t.Errorf("got %d fetches; want %d", got, before)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(ec("a"))
				cache := open(t, s, atOnce)
				warm(t, cache)
				c.later(t, s, cache)
			})
		})
	}
}

func retryAfter(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return asks.RetryAfter()
	}
	return -1
}
