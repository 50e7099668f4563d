package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/jwks"
)

func TestFaultsAreReportedAllAtOnce(t *testing.T) {
	for _, c := range []struct {
		name   string
		config jwks.Config
		want   []string // one per line; none: good
	}{
		{"a URL is enough", jwks.Config{URL: keysURL}, nil},
		{"an issuer is enough", jwks.Config{Issuer: issuer}, nil},
		{"plain http on loopback", jwks.Config{URL: "http://127.0.0.1:1/jwks"}, nil},
		{"plain http said aloud", jwks.Config{URL: "http://keys.example/jwks", DangerouslyAllowHTTP: true}, nil},
		{"a short usable time shortens the refresh", jwks.Config{URL: keysURL, UsableFor: time.Minute}, nil},
		{"an http issuer whose keys are at https", jwks.Config{URL: keysURL, Issuer: "http://adfs.example/adfs/services/trust"}, nil},
		{"an http issuer whose metadata is at https", jwks.Config{Issuer: "http://adfs.example/adfs/services/trust", MetadataURL: keysURL}, nil},
		{"withdrawal by the first answer", jwks.Config{URL: keysURL, WithdrawAfter: -1}, nil},
		{"nothing", jwks.Config{}, []string{"one of URL and Issuer"}},
		{"an http issuer", jwks.Config{Issuer: "http://adfs.example/adfs/services/trust"}, []string{"not https"}},
		{"a metadata URL as issuer", jwks.Config{Issuer: issuer + "/.well-known/openid-configuration"}, []string{"probably \"" + issuer + "\""}},
		{"a withdrawal that takes too long", jwks.Config{URL: keysURL, WithdrawAfter: 2 * time.Minute}, []string{"WithdrawAfter"}},
		{"plain http", jwks.Config{URL: "http://keys.example/jwks"}, []string{"not https"}},
		{"an issuer with a query", jwks.Config{Issuer: issuer + "?a=b"}, []string{"query"}},
		{"two bad places and three bad times", jwks.Config{
			Issuer: "login", MetadataURL: "ftp://x/", RefreshAfter: -1, UsableFor: 8 * 24 * time.Hour, MissCooldown: time.Nanosecond,
		}, []string{"issuer:", "metadata URL:", "RefreshAfter", "UsableFor", "MissCooldown"}},
		{"metadata that nobody reads", jwks.Config{URL: keysURL, MetadataURL: keysURL}, []string{"MetadataURL"}},
		{"public addresses, and a client that connects as it likes", jwks.Config{URL: keysURL, PublicAddressesOnly: true, HTTPClient: http.DefaultClient}, []string{"exclude each other"}},
		{"metadata that is checked, and that nobody reads", jwks.Config{URL: keysURL, SameOrigin: true, MetadataKeys: jwks.Static()}, []string{"no metadata is read"}},
		{"metadata keys that are none", jwks.Config{Issuer: issuer, MetadataKeys: jwks.Static()}, []string{"MetadataKeys"}},
		{"timeouts out of bounds", jwks.Config{URL: keysURL, FetchTimeout: time.Hour, WaitTimeout: time.Nanosecond}, []string{"FetchTimeout", "WaitTimeout"}},
		{"keys that end before they are renewed", jwks.Config{URL: keysURL, RefreshAfter: time.Hour, UsableFor: time.Minute}, []string{"less than UsableFor"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache, err := jwks.NewCache(c.config)
			if err == nil {
				cache.Close()
			}
			var lines []string
			if err != nil {
				lines = strings.Split(err.Error(), "\n")
			}
			if len(lines) != len(c.want) {
				t.Fatalf("got %d faults (%v); want %d", len(lines), err, len(c.want))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], "jwks: ") || !strings.Contains(lines[i], want) {
					t.Errorf("fault %d: got %q; want it to contain %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestAHitAllocatesNothing(t *testing.T) {
	cache := open(t, serve(ec("a", "b")), nil)
	warm(t, cache)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if keys, _, err := cache.Keys(ctx, "a", "ES256"); len(keys) != 1 || err != nil {
			t.Fatalf("got %v, %v; want one key", keys, err)
		}
	}); n != 0 {
		t.Errorf("got %v allocations; want 0", n)
	}
}

func TestAHitTakesNoLock(t *testing.T) {
	cache := open(t, serve(ec("a")), nil)
	warm(t, cache)
	jwks.WhileLocked(cache, func() { ask(t, cache, "a", found) })
}

func TestAThousandColdRequestsMakeOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.delay = 50 * time.Millisecond
		cache := open(t, s, nil)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { ask(t, cache, "a", found) })
		}
		wg.Wait()
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1", got)
		}
	})
}

func TestJWK10WhoGivesUpTakesNobodyDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.delay = 200 * time.Millisecond
		cache := open(t, s, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, _, err := cache.Keys(ctx, "a", "ES256")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the one who gave up: got %v; want a deadline error", err)
			}
		})
		synctest.Wait() // its fetch is under way
		for range 49 {
			wg.Go(func() { ask(t, cache, "a", found) })
		}
		wg.Wait()
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1", got)
		}
	})
}

func TestARequestThatIsOverStartsNoFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := cache.Keys(ctx, "a", "ES256")
		synctest.Wait()
		if !errors.Is(err, context.Canceled) || s.fetches(keysURL) != 0 {
			t.Errorf("got %v and %d fetches; want a canceled context and none", err, s.fetches(keysURL))
		}
	})
}

func TestASlowServerIsNotTheCallersDeadline(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*jwks.Config)
		metadata bool // discovery is what was slow
	}{
		{"the key set", nil, false},
		{"the metadata", func(c *jwks.Config) { c.URL, c.Issuer = "", issuer }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(ec("a"))
				s.delay = time.Hour
				cache := open(t, s, c.change)
				began := time.Now()
				_, _, err := cache.Keys(context.Background(), "a", "ES256")
				if err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v; want an error that is no deadline error", err)
				}
				if got := errors.Is(err, discovery.ErrUnavailable); got != c.metadata {
					t.Errorf("metadata unavailable: got %t; want %t", got, c.metadata)
				}
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("got an answer after %v; want 5s", took)
				}
			})
		})
	}
}

func TestJWK06RefreshAfterFollowsTheAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		header http.Header
		want   time.Duration // refreshed within a tenth before
	}{
		{"nothing said", nil, time.Hour},
		{"max-age", http.Header{"Cache-Control": {"public, max-age=7200"}}, 2 * time.Hour},
		{"max-age in quotes and capitals", http.Header{"Cache-Control": {`Max-Age="7200"`}}, 2 * time.Hour},
		{"max-age, partly used up", http.Header{"Cache-Control": {"max-age=7200"}, "Age": {"3600"}}, time.Hour},
		{"max-age before Expires", http.Header{"Cache-Control": {"max-age=7200"}, "Expires": {"0"}}, 2 * time.Hour},
		{"two lines with max-age", http.Header{"Cache-Control": {"max-age=7200", "max-age=3600"}}, time.Hour},
		{"max-age=0", http.Header{"Cache-Control": {"max-age=0"}}, 5 * time.Minute},
		{"an invalid max-age", http.Header{"Cache-Control": {"max-age=soon"}}, 5 * time.Minute},
		{"no-store", http.Header{"Cache-Control": {"no-store"}}, 5 * time.Minute},
		{"no-cache beside max-age", http.Header{"Cache-Control": {"max-age=7200, no-cache"}}, 5 * time.Minute},
		{"ten years", http.Header{"Cache-Control": {"max-age=315360000"}}, 18 * time.Hour},
		{"more than a number holds", http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, 18 * time.Hour},
		{"Expires against Date", http.Header{"Expires": {"Wed, 21 Oct 2015 09:28:00 GMT"}, "Date": {"Wed, 21 Oct 2015 07:28:00 GMT"}}, 2 * time.Hour},
		{"Expires against Date, partly used up", http.Header{"Expires": {"Wed, 21 Oct 2015 09:28:00 GMT"}, "Date": {"Wed, 21 Oct 2015 07:28:00 GMT"}, "Age": {"3600"}}, time.Hour},
		{"Expires in the past", http.Header{"Expires": {"0"}}, 5 * time.Minute},
		{"s-maxage is for others", http.Header{"Cache-Control": {"s-maxage=60"}}, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve("")
				s.set(keysURL, page{body: ec("a"), header: c.header})
				cache := open(t, s, nil)
				warm(t, cache)
				time.Sleep(c.want*9/10 - time.Second)
				synctest.Wait()
				if got := s.fetches(keysURL); got != 1 {
					t.Errorf("a second before: got %d fetches; want 1", got)
				}
				time.Sleep(c.want/10 + 2*time.Second)
				synctest.Wait()
				if got := s.fetches(keysURL); got != 2 {
					t.Errorf("a second after: got %d fetches; want 2", got)
				}
			})
		})
	}
}

func TestRefreshAfterCanBeConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, func(c *jwks.Config) { c.RefreshAfter = 10 * time.Second })
		warm(t, cache)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := s.fetches(keysURL); got != 2 {
			t.Errorf("got %d fetches in 11 s; want 2", got)
		}
	})
}

func TestJWK07KeysOutliveAnOutageButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		_, before, _ := cache.Keys(t.Context(), "a", "ES256")
		good := s.pages[keysURL]
		s.set(keysURL, page{err: errors.New("connection refused")})

		time.Sleep(23*time.Hour + 59*time.Minute)
		ask(t, cache, "a", found)
		ask(t, cache, "unknown", unavailable)
		if err := cache.Ready(); err != nil {
			t.Errorf("Ready while keys serve: got %v; want nil", err)
		}
		time.Sleep(2 * time.Minute)
		ask(t, cache, "a", unavailable)
		if err := cache.Ready(); err == nil {
			t.Error("Ready without keys: got nil; want an error")
		}

		s.set(keysURL, good)
		time.Sleep(10 * time.Second)
		ask(t, cache, "a", found)
		if _, after, _ := cache.Keys(t.Context(), "a", "ES256"); after != before {
			t.Errorf("the same set after the outage: got generation %d; want %d", after, before)
		}
	})
}

func TestJWK03TwoHundredKeysAreCapped(t *testing.T) {
	var keys []members
	for i := range 200 {
		keys = append(keys, jwk(&newECKey().PublicKey, fmt.Sprint(i), nil))
	}
	cache := open(t, serve(document(keys...)), nil)
	if some, _, err := cache.Keys(t.Context(), "", "ES256"); len(some) != 4 || err != nil {
		t.Errorf("got %d keys, %v; want 4", len(some), err)
	}
}

// A new key serves the very request that brings it; the same kid with another
// key is noticed at the next refresh.
func TestJWK05ARotationIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(ec("a", "b"))
		ask(t, cache, "b", found)
		before, _, _ := cache.Keys(t.Context(), "a", "ES256")
		s.publish(ec("a", "b"))
		time.Sleep(time.Hour + 10*time.Second)
		if after, _, _ := cache.Keys(t.Context(), "a", "ES256"); len(after) != 1 || after[0].(*ecdsa.PublicKey).Equal(before[0]) {
			t.Errorf("got %v; want the new key of the same kid", after)
		}
	})
}

func TestJWK08AskedAndNotThereIsNotCouldNotAsk(t *testing.T) {
	for _, c := range []struct {
		name  string
		first page // none: nothing was ever fetched
		then  page
		want  string
	}{
		{"not in the set", page{body: ec("a")}, page{body: ec("a")}, notThere},
		{"the refresh fails", page{body: ec("a")}, page{status: 500}, unavailable},
		{"the refresh brings no key set", page{body: ec("a")}, page{body: document()}, unavailable},
		{"never fetched, and down", page{}, page{err: errors.New("connection refused")}, unavailable},
		{"never fetched, and no key set", page{}, page{body: document()}, unavailable},
		{"never fetched, and not in the set", page{}, page{body: ec("a")}, notThere},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve("")
				cache := open(t, s, nil)
				if c.first.body != "" {
					s.set(keysURL, c.first)
					warm(t, cache)
				}
				s.set(keysURL, c.then)
				for range 5 { // beyond the budget as well
					ask(t, cache, "b", c.want)
				}
			})
		})
	}
}

func TestJWK05ARemovedKeyStopsWorking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("old"))
		cache := open(t, s, nil)
		ask(t, cache, "old", found)
		s.publish(ec("new"))
		time.Sleep(time.Hour + 6*time.Second)
		synctest.Wait()
		ask(t, cache, "old", notThere)
		ask(t, cache, "new", found)
	})
}

func TestJWK10RequestsThatHaveTheirKeyDoNotWaitForARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		s.mu.Lock()
		s.delay = 4 * time.Second
		s.mu.Unlock()
		time.Sleep(time.Hour) // the refresh began between 0 and 6 minutes ago
		s.publish(ec("a", "b"))
		go ask(t, cache, "b", found) // and one for an unknown kid begins now
		synctest.Wait()
		began := time.Now()
		ask(t, cache, "a", found)
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v; want 0s", took)
		}
		time.Sleep(5 * time.Second)
	})
}

func TestJWK04UnknownKids(t *testing.T) {
	t.Run("a flood costs the budget and no more", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			absent := 0
			for i := range 10000 {
				switch keys, _, err := cache.Keys(t.Context(), fmt.Sprint("made up ", i), "ES256"); outcome(keys, err) {
				case found:
					t.Fatalf("made up %d: got %v; want no key", i, keys)
				case notThere:
					absent++
				}
				time.Sleep(6 * time.Millisecond) // a minute in all
			}
			if got := s.fetches(keysURL) - 1; got < 2 || got > 2+60/30 {
				t.Errorf("got %d fetches for unknown kids; want 2 to 4", got)
			}
			if got := s.fetches(keysURL) - 1; absent != got {
				t.Errorf("got %d kids that are said not to be there; want %d, those that were asked for", absent, got)
			}
		})
	})
	t.Run("a rotation in the middle of a flood is seen within one cooldown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			for i := range 5000 {
				want := notThere
				if i >= 2 { // the burst is spent
					want = unavailable
				}
				ask(t, cache, fmt.Sprint("made up ", i), want)
			}
			s.publish(ec("a", "b"))
			time.Sleep(30 * time.Second)
			ask(t, cache, "b", found)
		})
	})
	t.Run("one who is repeated leaves the budget to others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			for range 100 {
				ask(t, cache, "stale", notThere)
			}
			_, _, _ = cache.Keys(t.Context(), "stale", "RS256") // another alg does not make it another kid
			if got := s.fetches(keysURL); got != 2 {
				t.Errorf("got %d fetches; want 2: one to warm, one for the kid", got)
			}
			s.publish(ec("a", "b"))
			ask(t, cache, "b", found)
		})
	})
	t.Run("one that is absent is found in the next answer, whatever caused it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			ask(t, cache, "late", notThere)
			s.publish(ec("a", "late"))
			ask(t, cache, "late", notThere) // just asked for in vain
			ask(t, cache, "other", notThere)
			ask(t, cache, "late", found)
		})
	})
	t.Run("several that are repeated leave the budget to others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			last := map[string]int{}
			for range 600 { // ten minutes
				for i := range 5 {
					keys, _, err := cache.Keys(t.Context(), fmt.Sprint("stale ", i), "ES256")
					last[outcome(keys, err)]++
				}
				time.Sleep(time.Second)
			}
			if last[found] != 0 || last[notThere] < last[unavailable] {
				t.Errorf("got %v; want most of them not there: each answer tells it of all that were asked for", last)
			}
			if got := s.fetches(keysURL) - 1; got < 2 || got > 2+600/30 {
				t.Errorf("got %d fetches for unknown kids; want 2 to 22", got)
			}
			s.publish(ec("a", "b"))
			ask(t, cache, "b", found)
		})
	})
	t.Run("an endless flood of stale kids is remembered within bounds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cache := open(t, serve(ec("a")), nil)
			warm(t, cache)
			for i := range 600 {
				ask(t, cache, fmt.Sprint("stale ", i), notThere)
				time.Sleep(30 * time.Second)
			}
			if got := jwks.Remembered(cache); got == 0 || got > 256 {
				t.Errorf("got %d kids remembered; want 256 at most", got)
			}
		})
	})
	t.Run("a key published after its first token is seen within one cooldown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			ask(t, cache, "late", notThere)
			s.publish(ec("a", "late"))
			time.Sleep(30 * time.Second)
			ask(t, cache, "late", found)
		})
	})
	t.Run("many at once share two fetches", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			s.delay = time.Second
			s.publish(ec("a", "kid 7"))
			var wg sync.WaitGroup
			for i := range 50 {
				want := notThere
				if i == 7 {
					want = found
				}
				wg.Go(func() { ask(t, cache, fmt.Sprint("kid ", i), want) })
			}
			wg.Wait()
			if got := s.fetches(keysURL); got != 3 {
				t.Errorf("got %d fetches; want 3: one to warm, one that the first of them began, one for who came later", got)
			}
		})
	})
	t.Run("one that is published while a fetch is under way is found", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			s.late(time.Second)
			go ask(t, cache, "made up", notThere)
			synctest.Wait() // the server has the old set ready, and takes its time
			s.publish(ec("a", "b"))
			ask(t, cache, "b", found)
			time.Sleep(time.Second)
		})
	})
	t.Run("one longer than 256 bytes is not asked for", func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		ask(t, cache, strings.Repeat("k", 257), notThere)
		if got := s.fetches(keysURL); got != 0 {
			t.Errorf("got %d fetches; want 0", got)
		}
	})
	t.Run("without budget, the answer says whether the last fetch was good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			s.set(keysURL, page{status: 500})
			for i := range 10 {
				ask(t, cache, fmt.Sprint("made up ", i), unavailable)
			}
			ask(t, cache, "a", found)
			if got := s.fetches(keysURL); got > 3 {
				t.Errorf("got %d fetches; want 3 at most", got)
			}
			s.publish(ec("a"))
			time.Sleep(30 * time.Second) // the background has recovered
			ask(t, cache, "made up", notThere)
		})
	})
	t.Run("an unknown kid finds the key that a failing refresh missed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			s.set(keysURL, page{status: 500})
			time.Sleep(3 * time.Hour) // the background asks every 5 minutes by now
			s.publish(ec("a", "b"))
			ask(t, cache, "b", found)
		})
	})
}

func TestJWK09AnAnswerThatIsNoKeySetReplacesNone(t *testing.T) {
	many := make([]members, 501)
	for i := range many {
		many[i] = jwk(&ecKey().PublicKey, fmt.Sprint(i), nil)
	}
	elsewhere := http.Header{"Location": {"https://elsewhere.example/jwks"}}
	for _, c := range []struct {
		name string
		page page
	}{
		{"no connection", page{err: errors.New("connection refused")}},
		{"an internal error", page{status: 500, body: ec("b")}},
		{"no content", page{status: 204}},
		{"a redirect", page{status: 302, header: elsewhere, body: ec("b")}},
		{"more than 1 MiB", page{body: strings.Replace(ec("b"), "{", "{"+strings.Repeat(" ", 1<<20), 1)}},
		{"an endless error page", page{status: 503, body: strings.Repeat("sorry ", 1<<18)}},
		{"nothing", page{}},
		{"a web page", page{body: "<html>"}},
		{"an error object", page{body: `{"error":"temporarily_unavailable"}`}},
		{"keys that are no array", page{body: `{"keys":{"a":1}}`}},
		{"an array", page{body: `[` + ec("b") + `]`}},
		{"two documents", page{body: ec("b") + ec("b")}},
		{"a member twice", page{body: strings.Replace(ec("b"), "{", `{"keys":[],`, 1)}},
		{"a byte order mark", page{body: "\ufeff" + ec("b")}},
		{"no keys", page{body: document()}},
		{"only a key to encrypt with", page{body: document(jwk(&ecKey().PublicKey, "b", members{"use": "enc"}))}},
		{"501 keys", page{body: document(many...)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(ec("a"))
				s.set("https://elsewhere.example/jwks", page{body: ec("b")})
				cache := open(t, s, nil)
				warm(t, cache)
				s.set(keysURL, c.page)
				ask(t, cache, "b", unavailable)
				ask(t, cache, "a", found)
				if got := s.fetches("https://elsewhere.example/jwks"); got != 0 {
					t.Errorf("followed the redirect %d times; want 0", got)
				}
			})
		})
	}
	t.Run("500 keys are a key set", func(t *testing.T) {
		cache := open(t, serve(document(many[:500]...)), nil)
		ask(t, cache, "499", found)
	})
}

func TestDISC07AServerDownAtBoot(t *testing.T) {
	for outage := 1500 * time.Millisecond; outage <= 2500*time.Millisecond; outage += 100 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			good := s.pages[keysURL]
			s.set(keysURL, page{err: errors.New("connection refused")})
			cache := open(t, s, nil)
			began, served := time.Now(), time.Duration(0)
			for range 1200 { // 200 a second
				if time.Since(began) >= outage {
					s.set(keysURL, good)
				}
				if keys, _, _ := cache.Keys(t.Context(), "a", "ES256"); keys != nil && served == 0 {
					served = time.Since(began)
				}
				time.Sleep(5 * time.Millisecond)
			}
			if served == 0 || served > outage+time.Second {
				t.Errorf("down for %v: got served after %v; want within a second of the return", outage, served)
			}
			if got := s.fetches(keysURL); got > 6 {
				t.Errorf("down for %v: got %d fetches; want 6 at most", outage, got)
			}
		})
	}
}

func TestALongOutageAtBootIsAskedAboutEveryFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, page{status: 500})
		cache := open(t, s, nil)
		for range 600 * 10 { // ten minutes
			ask(t, cache, "a", unavailable)
			time.Sleep(100 * time.Millisecond)
		}
		if got := s.fetches(keysURL); got < 600/5 || got > 600/4+10 {
			t.Errorf("got %d fetches in ten minutes; want 120 to 160", got)
		}
	})
}

func TestReadinessDoesNotNeedTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		good := s.pages[keysURL]
		s.set(keysURL, page{status: 500})
		cache := open(t, s, nil)
		for range 10 {
			if err := cache.Ready(); err == nil {
				t.Fatal("Ready: got nil; want an error")
			}
			time.Sleep(time.Second)
		}
		s.set(keysURL, good)
		time.Sleep(3 * time.Second)
		_ = cache.Ready()
		synctest.Wait()
		if err := cache.Ready(); err != nil {
			t.Errorf("Ready: got %v; want nil", err)
		}
	})
}

func TestWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, page{status: 500})
		cache := open(t, s, nil)
		if err := cache.Warm(t.Context()); err == nil || !strings.Contains(err.Error(), "500") {
			t.Errorf("Warm, server failing: got %v; want the status", err)
		}
		s.publish(ec("a"))
		if err := cache.Warm(t.Context()); err == nil || s.fetches(keysURL) != 1 {
			t.Errorf("Warm at once again: got %v, %d fetches; want the last failure and no fetch", err, s.fetches(keysURL))
		}
		time.Sleep(time.Second)
		warm(t, cache)
		warm(t, cache)
		if got := s.fetches(keysURL); got != 2 {
			t.Errorf("got %d fetches; want 2", got)
		}
	})
}

func TestTheBackgroundBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, page{status: 500})
		time.Sleep(12 * time.Hour)
		s.mu.Lock()
		defer s.mu.Unlock()
		most := time.Second
		for i := 2; i < len(s.times); i++ {
			gap := s.times[i].Sub(s.times[i-1])
			if gap > most || gap < most*8/10 {
				t.Fatalf("attempt %d: got a pause of %v; want %v, shortened by a fifth at most", i, gap, most)
			}
			most = min(2*most, 5*time.Minute)
		}
		if len(s.times) < 12*11 {
			t.Errorf("got %d attempts in 12 hours; want the pause to end at 5 minutes", len(s.times))
		}
	})
}

func TestRetryAfterIsRespectedWithinBounds(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		value   string
		holding bool // keys are held
		want    time.Duration
	}{
		{"429 with keys", 429, "120", true, 2 * time.Minute},
		{"503 with keys, for ever", 503, "999999999", true, 5 * time.Minute},
		{"500 is no reason to be left alone", 500, "120", true, time.Second},
		{"503 without keys", 503, "10", false, 10 * time.Second},
		{"503 without keys, for ever", 503, "86400", false, 30 * time.Second},
		{"503 with a date that is over", 503, "Wed, 21 Oct 1998 07:28:00 GMT", false, 250 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(ec("a"))
				cache := open(t, s, nil)
				if c.holding {
					warm(t, cache)
				}
				s.set(keysURL, page{status: c.status, header: http.Header{"Retry-After": {c.value}}})
				before := s.fetches(keysURL)
				_, _, err := cache.Keys(t.Context(), "unknown", "ES256")
				var timed interface{ RetryAfter() time.Duration }
				if !errors.As(err, &timed) || timed.RetryAfter() > c.want || timed.RetryAfter() < c.want*8/10 {
					t.Fatalf("got %v; want an error that says %v", err, c.want)
				}
				time.Sleep(timed.RetryAfter() - time.Millisecond)
				if c.status != 500 {
					ask(t, cache, "another", unavailable)
				}
				if got := s.fetches(keysURL) - before; got != 1 {
					t.Errorf("got %d fetches until then; want 1", got)
				}
				time.Sleep(2 * time.Millisecond)
				ask(t, cache, "another", unavailable)
				synctest.Wait()
				if got := s.fetches(keysURL) - before; got < 2 {
					t.Errorf("got %d fetches afterwards; want one more", got)
				}
			})
		})
	}
}

func TestGenerationChangesWithTheSetOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := jwk(&ecKey().PublicKey, "a", nil), jwk(edKey().Public(), "b", nil)
		s := serve(document(a, b))
		cache := open(t, s, atOnce)
		for i, c := range []struct {
			name string
			body string
			want uint64
		}{
			{"the first set", document(a, b), 1},
			{"the same", document(a, b), 1},
			{"in another order", document(b, a), 1},
			{"with a key twice", document(b, a, b), 1},
			{"with a useless key beside", document(members{"kty": "oct", "k": "c2VjcmV0"}, b, a), 1},
			{"with another use of words", document(b, jwk(&ecKey().PublicKey, "a", members{"use": "sig", "x-note": 1})), 1},
			{"without a key", document(a), 2},
			{"with it again", document(a, b), 3},
			{"under another kid", document(a, jwk(edKey().Public(), "c", nil)), 4},
			{"for fewer algorithms", document(a, jwk(edKey().Public(), "c", members{"alg": "EdDSA"})), 5},
		} {
			s.publish(c.body)
			if i > 0 {
				time.Sleep(time.Hour)
				synctest.Wait()
			}
			if _, got, err := cache.Keys(t.Context(), "a", "ES256"); got != c.want || err != nil {
				t.Errorf("%s: got generation %d, %v; want %d", c.name, got, err, c.want)
			}
			if _, got, err := cache.Keys(t.Context(), strings.Repeat("k", 300), "ES256"); got != c.want || err != nil {
				t.Errorf("%s, key not there: got generation %d, %v; want %d", c.name, got, err, c.want)
			}
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("ends the fetch and whoever waits for it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			s.delay = time.Hour
			cache := open(t, s, nil)
			var waiting sync.WaitGroup
			waiting.Go(func() { ask(t, cache, "a", unavailable) })
			synctest.Wait()
			began := time.Now()
			if err := cache.Close(); err != nil {
				t.Errorf("got %v; want nil", err)
			}
			waiting.Wait()
			if took := time.Since(began); took != 0 {
				t.Errorf("took %v; want 0s", took)
			}
		})
	})
	t.Run("ends the clocks, and everything afterwards is an error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := serve(ec("a"))
			cache := open(t, s, nil)
			warm(t, cache)
			cache.Close()
			cache.Close()
			ask(t, cache, "a", unavailable)
			if cache.Warm(t.Context()) == nil || cache.Ready() == nil {
				t.Error("Warm or Ready: got nil; want an error")
			}
			time.Sleep(100 * time.Hour)
			if got := s.fetches(keysURL); got != 1 {
				t.Errorf("got %d fetches; want 1", got)
			}
		})
	})
	t.Run("waits for a transport that does not heed its context, and drops what it brings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, release := serve(ec("a")), make(chan struct{})
			deaf := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				<-release
				return s.RoundTrip(r)
			})}
			cache := open(t, s, func(c *jwks.Config) { c.HTTPClient = deaf })
			go ask(t, cache, "a", unavailable)
			synctest.Wait()
			closed := false
			go func() { cache.Close(); closed = true }()
			synctest.Wait()
			if closed {
				t.Error("Close returned while its fetch was under way")
			}
			close(release)
			synctest.Wait()
			ask(t, cache, "a", unavailable)
			time.Sleep(100 * time.Hour)
			if got := s.fetches(keysURL); got != 1 || !closed {
				t.Errorf("got %d fetches, closed %t; want 1, true", got, closed)
			}
		})
	})
	t.Run("leaves nothing behind on a real network", func(t *testing.T) {
		checkLeaks(t)
		hold := make(chan struct{})
		slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-hold:
			case <-r.Context().Done():
			}
		}))
		defer slow.Close()
		defer close(hold)
		cache, err := jwks.NewCache(jwks.Config{URL: slow.URL})
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() { failed <- cache.Warm(context.Background()) }()
		for cache.Ready() == nil { // its fetch has started once Ready has been called
		}
		cache.Close()
		if err := <-failed; err == nil {
			t.Error("Warm: got nil; want an error")
		}
	})
	t.Run("may come at any moment", func(t *testing.T) {
		checkLeaks(t)
		real := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, ec("a")) }))
		defer real.Close()
		for range 20 {
			cache, err := jwks.NewCache(jwks.Config{URL: real.URL, RefreshAfter: 100 * time.Millisecond, MissCooldown: 100 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() { _, _, _ = cache.Keys(context.Background(), fmt.Sprint(i), "ES256") })
			}
			wg.Go(func() { cache.Close() })
			cache.Close()
			wg.Wait()
		}
	})
}

func TestAPanicOfTheTransportIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.panics = true
		cache := open(t, s, nil)
		ask(t, cache, "a", unavailable)
		s.mu.Lock()
		s.panics = false
		s.mu.Unlock()
		time.Sleep(time.Second)
		ask(t, cache, "a", found)
	})
}

func TestTheLogTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		s := serve(ec("a"))
		good := s.pages[keysURL]
		cache := open(t, s, func(c *jwks.Config) { c.Logger = log.logger() })
		warm(t, cache)
		if got := log.String(); got != "" {
			t.Errorf("nothing happened: got %q; want no line", got)
		}
		s.set(keysURL, page{status: 500, body: "body of the error"})
		time.Sleep(3 * time.Hour)
		ask(t, cache, "made up", unavailable)
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || strings.Contains(got, "body") || strings.Contains(got, "made up") {
			t.Errorf("an outage: got %q; want one warning, without body or kid", got)
		}
		s.set(keysURL, good)
		time.Sleep(time.Hour)
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "level=INFO") {
			t.Errorf("its end: got %q; want one info more", got)
		}
	})
}

func TestTheLogTellsOfKeysThatAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		secret := b64([]byte("a secret of the issuer"))
		s := serve(document(
			jwk(&ecKey().PublicKey, "good", nil),
			jwk(&rsaKey().PublicKey, "enc", members{"use": "enc"}),
			jwk(&ecKey().PublicKey, "leaky", members{"d": secret}),
			members{"kty": "AKP", "kid": "post-quantum", "alg": "ML-DSA-44", "pub": "AA"},
		))
		cache := open(t, s, func(c *jwks.Config) { c.Logger = log.logger() })
		warm(t, cache)
		time.Sleep(5 * time.Hour)
		got := log.String()
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, "key 2: it carries private key material") || !strings.Contains(got, "key 3: ") {
			t.Errorf("got %q; want one warning about keys 2 and 3", got)
		}
		for _, kept := range []string{secret, "key 1", "leaky", "post-quantum"} {
			if strings.Contains(got, kept) {
				t.Errorf("got %q; want it without %q", got, kept)
			}
		}
	})
}

// A token's alg against its kid, as a caller sees it.
func TestKeyAndAlgorithmMustFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(document(
			jwk(&rsaKey().PublicKey, "rsa", nil),
			jwk(&rsaKey().PublicKey, "rs256", members{"alg": "RS256"}),
			jwk(&ecKey().PublicKey, "ec", nil),
			jwk(edKey().Public(), "ed", nil),
			jwk(edKey().Public(), "old", members{"alg": "EdDSA"}),
			jwk(edKey().Public(), "new", members{"alg": "Ed25519"}),
		))
		cache := open(t, s, nil)
		warm(t, cache)
		fits := map[string]string{
			"rsa": "RS256 RS384 RS512 PS256 PS384 PS512", "rs256": "RS256", "ec": "ES256",
			"ed": "EdDSA Ed25519", "old": "EdDSA", "new": "Ed25519",
		}
		algs := strings.Fields("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 HS256 none ES256K")
		for kid, fitting := range fits {
			for _, alg := range algs {
				want := " " + alg + " "
				keys, _, err := cache.Keys(t.Context(), kid, alg)
				if strings.Contains(" "+fitting+" ", want) {
					if len(keys) != 1 || err != nil {
						t.Errorf("%s with %s: got %v, %v; want its key", kid, alg, keys, err)
					}
				} else if keys != nil || !errors.Is(err, jose.ErrAlgorithm) {
					t.Errorf("%s with %s: got %v, %v; want jose.ErrAlgorithm", kid, alg, keys, err)
				}
			}
		}
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1: a known kid is no reason to ask", got)
		}
	})
}

func TestJWK03ATokenWithoutKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []members
		for i := range 7 {
			keys = append(keys, jwk(&newECKey().PublicKey, fmt.Sprint(i), nil))
		}
		keys = append(keys, jwk(&rsaKey().PublicKey, "", nil))
		s := serve(document(keys...))
		first := open(t, s, nil)
		several, _, err := first.Keys(t.Context(), "", "ES256")
		if len(several) != 4 || err != nil {
			t.Fatalf("seven fit: got %d, %v; want 4", len(several), err)
		}
		if one, _, _ := first.Keys(t.Context(), "", "RS256"); len(one) != 1 {
			t.Errorf("one fits: got %d; want 1", len(one))
		}

		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		s.publish(document(keys...))
		same, _, _ := open(t, s, nil).Keys(t.Context(), "", "ES256")
		for i, key := range several {
			if !key.(*ecdsa.PublicKey).Equal(same[i]) {
				t.Errorf("key %d differs after a shuffle; want the same keys in the same order", i)
			}
		}

		if none, _, err := first.Keys(t.Context(), "", "ES384"); none != nil || err != nil {
			t.Errorf("none fits: got %v, %v; want not there", none, err)
		}
		before := s.fetches(keysURL)
		for range 10 {
			_, _, _ = first.Keys(t.Context(), "", "ES384")
		}
		if got := s.fetches(keysURL); got != before {
			t.Errorf("got %d more fetches; want none: it was seen to be absent", got-before)
		}
	})
}

func TestJWK03EveryKeyOfAKidIsTried(t *testing.T) {
	one, two, three := jwk(&newECKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "a", nil)
	cache := open(t, serve(document(one, two, three, one)), nil)
	keys, _, err := cache.Keys(t.Context(), "a", "ES256")
	if len(keys) != 3 || err != nil {
		t.Fatalf("got %d keys, %v; want 3", len(keys), err)
	}
	if grown := append(keys, nil); &grown[0] == &keys[0] {
		t.Error("a caller's append writes into the cache's own slice; want a copy")
	}
}

func TestKeyfunc(t *testing.T) {
	s := serve(document(
		jwk(&newECKey().PublicKey, "twin", nil), jwk(&ecKey().PublicKey, "twin", nil),
		jwk(&ecKey().PublicKey, "one", nil),
	))
	cache := open(t, s, nil)
	signed := func(header map[string]any) string {
		token := jwt.New(jwt.SigningMethodES256)
		for name, value := range header {
			token.Header[name] = value
		}
		return must(token.SignedString(ecKey()))
	}
	for _, c := range []struct {
		name   string
		header map[string]any
		want   error // nil: valid
	}{
		{"a kid", map[string]any{"kid": "one"}, nil},
		{"a kid of two keys, the second right", map[string]any{"kid": "twin"}, nil},
		{"no kid", nil, nil},
		{"an unknown kid", map[string]any{"kid": "two"}, jwkset.ErrKeyNotFound},
		{"a kid that is a number", map[string]any{"kid": 1}, jwt.ErrTokenUnverifiable},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := jwt.Parse(signed(c.header), cache.Keyfunc)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v; want %v", err, c.want)
			}
		})
	}
	t.Run("HMAC with the public key", func(t *testing.T) {
		forged := must(jwt.New(jwt.SigningMethodHS256).SignedString(must(ecKey().PublicKey.Bytes())))
		if _, err := jwt.Parse(forged, cache.Keyfunc); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("got %v; want jose.ErrAlgorithm", err)
		}
	})
	t.Run("no answer", func(t *testing.T) {
		s := serve("")
		_, err := jwt.Parse(signed(nil), open(t, s, nil).Keyfunc)
		if err == nil || errors.Is(err, jwkset.ErrKeyNotFound) {
			t.Errorf("got %v; want an error that is not about the key", err)
		}
	})
}

func TestDISC02And07Discovery(t *testing.T) {
	metadata := func(issuer, uri string) page {
		return page{body: fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, uri)}
	}
	start := func(t *testing.T, metadata page) (*server, *jwks.Cache) {
		s := serve(ec("a"))
		s.set(metadataURL, metadata)
		return s, open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
	}
	t.Run("finds the key set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, cache := start(t, metadata(issuer, keysURL))
			ask(t, cache, "a", found)
			ask(t, cache, "unknown", notThere)
			if got := s.fetches(metadataURL); got != 1 {
				t.Errorf("got %d requests for the metadata; want 1: it is kept", got)
			}
		})
	})
	t.Run("notices that the key set has moved, at a refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, cache := start(t, metadata(issuer, keysURL))
			warm(t, cache)
			s.set(metadataURL, metadata(issuer, keysURL+"/2"))
			s.set(keysURL+"/2", page{body: ec("b")})
			time.Sleep(time.Hour)
			synctest.Wait()
			ask(t, cache, "b", found)
		})
	})
	t.Run("notices it within a cooldown when an unknown kid asks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, cache := start(t, metadata(issuer, keysURL))
			warm(t, cache)
			s.set(metadataURL, metadata(issuer, keysURL+"/2"))
			s.set(keysURL+"/2", page{body: ec("b")})
			time.Sleep(30 * time.Second)
			ask(t, cache, "b", found)
		})
	})
	t.Run("is not needed again while the kept place answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, cache := start(t, metadata(issuer, keysURL))
			warm(t, cache)
			s.set(metadataURL, page{err: errors.New("connection refused")})
			time.Sleep(48 * time.Hour)
			ask(t, cache, "a", found)
		})
	})
	t.Run("does not use the time of the keys up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, cache := start(t, metadata(issuer, keysURL))
			warm(t, cache)
			s.mu.Lock()
			s.delay = 2 * time.Second // six of them for three places are too slow
			s.mu.Unlock()
			s.set(metadataURL, page{status: 404})
			time.Sleep(48 * time.Hour)
			ask(t, cache, "a", found)
		})
	})
	t.Run("that contradicts the configuration is a misconfiguration", func(t *testing.T) {
		for name, p := range map[string]page{
			"another issuer":   metadata(issuer+"/", keysURL),
			"plain http":       metadata(issuer, "http://login.example.com/jwks"),
			"no jwks_uri":      {body: fmt.Sprintf(`{"issuer":%q}`, issuer)},
			"an empty jwksuri": metadata(issuer, ""),
		} {
			synctest.Test(t, func(t *testing.T) {
				_, cache := start(t, p)
				if _, _, err := cache.Keys(t.Context(), "a", "ES256"); !errors.Is(err, discovery.ErrMismatch) {
					t.Errorf("%s: got %v; want discovery.ErrMismatch", name, err)
				}
			})
		}
	})
	t.Run("that fails is told from a key set that fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, cache := start(t, page{status: 503})
			if err := cache.Warm(t.Context()); !errors.Is(err, discovery.ErrUnavailable) {
				t.Errorf("metadata failing: got %v; want discovery.ErrUnavailable", err)
			}
			_, cache = start(t, metadata(issuer, issuer+"/nowhere"))
			if err := cache.Warm(t.Context()); err == nil || errors.Is(err, discovery.ErrUnavailable) || errors.Is(err, discovery.ErrMismatch) {
				t.Errorf("key set failing: got %v; want neither error of discovery", err)
			}
		})
	})
}

func TestARealNetwork(t *testing.T) {
	checkLeaks(t)
	var s *httptest.Server
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tenant/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, s.URL+"/tenant", s.URL+"/jwks")
		case "/jwks":
			fmt.Fprint(w, ec("a"))
		case "/moved":
			http.Redirect(w, r, "/jwks", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	for _, c := range []struct {
		name   string
		config jwks.Config
		want   string
	}{
		{"discovery and keys", jwks.Config{Issuer: s.URL + "/tenant", HTTPClient: s.Client()}, found},
		{"a redirect", jwks.Config{URL: s.URL + "/moved", HTTPClient: s.Client()}, unavailable},
		{"an untrusted certificate", jwks.Config{URL: s.URL + "/jwks"}, unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Logger = slog.New(slog.DiscardHandler)
			cache, err := jwks.NewCache(c.config)
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			ask(t, cache, "a", c.want)
		})
	}
}
