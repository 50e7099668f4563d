package jwks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/jwks"
)

// What a hostile reader found.

// picky answers 400 to a request with If-None-Match.
type picky struct{ *server }

func (p picky) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("If-None-Match") != "" {
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return p.server.RoundTrip(r)
}

func TestAConditionThatFailsIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `unquoted`))
		cache := open(t, s, func(c *jwks.Config) { c.HTTPClient = &http.Client{Transport: picky{s}} })
		warm(t, cache)
		time.Sleep(72 * time.Hour)
		ask(t, cache, "a", found)
		time.Sleep(time.Minute)
		ask(t, cache, "a", found)
	})
}

func TestAWithdrawnKeyBehindAnETagThatNeverChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("stolen", "b"), `"1"`))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, tagged(ec("b"), `"1"`))
		time.Sleep(30 * 24 * time.Hour)
		ask(t, cache, "stolen", notThere)
	})
}

func TestAfterTheKeysRanOutAnUnknownKidIsAskedForWithoutCondition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"1"`))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, errDown)
		time.Sleep(25 * time.Hour)
		s.set(keysURL, tagged(ec("b"), `"1"`))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		ask(t, cache, "b", found)
		if got := s.last().Get("If-None-Match"); got != "" {
			t.Errorf("If-None-Match: %q", got)
		}
	})
}

func TestAMovedKeySetIsSeenWithinOneCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := described(keysURL, nil)
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
		warm(t, cache)
		s.set(metadataURL, page{body: `{"issuer":"` + issuer + `","jwks_uri":"` + keysURL + `/2"}`})
		s.set(keysURL+"/2", page{body: ec("b")})
		time.Sleep(time.Minute)
		ask(t, cache, "b", found)
	})
}

func TestAWithdrawnKeyAtTheOldPlaceOfAnAnswerOfFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := described(keysURL, nil)
		p := s.pages[keysURL]
		p.header = http.Header{"Cache-Control": {"max-age=300"}}
		s.set(keysURL, p)
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
		warm(t, cache)
		s.set(metadataURL, page{body: `{"issuer":"` + issuer + `","jwks_uri":"` + keysURL + `/2"}`})
		s.set(keysURL+"/2", page{body: ec("b")})
		time.Sleep(11 * time.Minute) // two refreshes
		synctest.Wait()
		ask(t, cache, "a", notThere)
	})
}

func TestWhoReadsTheWholeSetIsBoundedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.delay = 14 * time.Second
		cache := open(t, s, nil)
		storage := cache.Storage()
		var wg sync.WaitGroup
		began := time.Now()
		var mu sync.Mutex
		away := 0
		var longest time.Duration
		for range 5000 {
			wg.Go(func() {
				_, err := storage.KeyReadAll(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					away++
				}
				longest = max(longest, time.Since(began))
			})
		}
		synctest.Wait()
		waiting := cache.State().Waiting
		wg.Wait()
		if away == 0 || waiting == 0 || longest > 5*time.Second {
			t.Errorf("5000 read: State says %d wait, %d turned away, the longest waited %v; want 4096, 904, 5s", waiting, away, longest)
		}
	})
}

func TestALongKidAfterClose(t *testing.T) {
	cache := open(t, serve(ec("a")), nil)
	cache.Close()
	ask(t, cache, strings.Repeat("k", 257), unavailable)
	if _, err := cache.Storage().KeyRead(t.Context(), strings.Repeat("k", 257)); errors.Is(err, jwkset.ErrKeyNotFound) {
		t.Errorf("KeyRead: got %v; want an error that is not ErrKeyNotFound", err)
	}
}

func TestRetryAfterOfTheTimeWithKeysEndsWithThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		good := s.pages[keysURL]
		cache := open(t, s, nil)
		warm(t, cache)
		until := cache.State().UsableUntil
		s.set(keysURL, page{status: 500})
		time.Sleep(time.Until(until) - 10*time.Second)
		synctest.Wait()
		s.set(keysURL, page{status: 503, header: http.Header{"Retry-After": {"300"}}})
		ask(t, cache, "unknown", unavailable)
		time.Sleep(11 * time.Second)
		s.set(keysURL, good)
		time.Sleep(31 * time.Second)
		ask(t, cache, "a", found)
	})
}

func TestNothingIsPlannedOnceTheKeysHaveRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, page{status: 500})
		time.Sleep(time.Until(cache.State().UsableUntil) + time.Millisecond)
		synctest.Wait()
		state := cache.State()
		before := s.fetches(keysURL)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !state.NextRefresh.IsZero() || s.fetches(keysURL) != before {
			t.Errorf("keys %v, NextRefresh in %v, %d fetches that nobody asked for; want zero and none", state.KeyIDs, state.NextRefresh.Sub(state.UsableUntil), s.fetches(keysURL)-before)
		}
	})
}

func TestAPlaceThatIsDownIsNoMismatch(t *testing.T) {
	for name, first := range map[string]string{
		"another issuer": `{"issuer":"https://login.example.com/other","jwks_uri":"https://login.example.com/x"}`,
		"no jwks_uri":    `{"issuer":"` + issuer + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				second := issuer + "/.well-known/openid-configuration"
				s := serve(ec("a"))
				s.set(metadataURL, page{body: first})
				s.set(second, page{body: `{"issuer":"` + issuer + `","jwks_uri":"` + keysURL + `"}`})
				cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
				warm(t, cache)
				s.set(second, page{status: 503})
				time.Sleep(48 * time.Hour)
				ask(t, cache, "a", found)
				_, _, err := cache.Keys(t.Context(), "a", "ES256")
				if errors.Is(err, discovery.ErrMismatch) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestAKeptPlaceSurvivesOneNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := described(keysURL, nil)
		good := s.pages[keysURL]
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
		warm(t, cache)
		s.set(metadataURL, page{status: 503})
		time.Sleep(time.Minute)
		s.set(keysURL, page{status: 404}) // a deployment: for a moment
		ask(t, cache, "unknown", unavailable)
		s.set(keysURL, good)
		time.Sleep(48 * time.Hour)
		ask(t, cache, "a", found)
	})
}

func TestARowOfUnknownKidsWhileTheMetadataIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := described(keysURL, nil)
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
		warm(t, cache)
		s.set(metadataURL, page{status: 503, header: http.Header{"Retry-After": {"3600"}}})
		time.Sleep(40 * time.Minute)
		before := s.fetches(metadataURL)
		for i := range 20 { // 10 minutes
			ask(t, cache, fmt.Sprint("made up ", i), notThere)
			time.Sleep(30 * time.Second)
		}
		if got := s.fetches(metadataURL) - before; got > 3 {
			t.Errorf("got %d requests for the metadata in 10 minutes, whose server asked to be left alone for an hour", got)
		}
	})
}

func TestWhatAClosedFetchSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.delay = time.Hour
		var told []jwks.Fetch
		cache := open(t, s, func(c *jwks.Config) { c.OnFetch = func(f jwks.Fetch) { told = append(told, f) } })
		_ = cache.Ready()
		synctest.Wait()
		cache.Close()
		if len(told) != 1 || strings.Contains(told[0].Err.Error(), "15s") {
			t.Errorf("closed after %v: got %v; want that the cache is closed", told[0].Duration, told[0].Err)
		}
		if f := cache.State().Failures; f != 0 {
			t.Errorf("failures %d", f)
		}
	})
}

func TestFromKeyfuncOverACacheWaitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		s.delay = time.Hour
		cache := open(t, s, nil)
		source := jwks.FromKeyfunc(must(keyfunc.New(keyfunc.Options{Storage: cache.Storage()})))
		began := time.Now()
		_, _, err := source.Keys(context.Background(), "a", "ES256")
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("got %v after %v; want 5s", err, took)
		}
	})
}

type quoting struct{ jwkset.Storage }

func (quoting) KeyRead(_ context.Context, kid string) (jwkset.JWK, error) {
	return jwkset.JWK{}, fmt.Errorf("redis: cannot read %q", kid)
}

func TestAKeyfuncThatQuotesTheToken(t *testing.T) {
	source := jwks.FromKeyfunc(must(keyfunc.New(keyfunc.Options{Storage: quoting{jwkset.NewMemoryStorage()}})))
	_, _, err := source.Keys(t.Context(), "made up\nby an attacker", "ES256")
	if strings.Contains(err.Error(), "by an attacker") {
		t.Errorf("the error quotes the token: %v", err)
	}
}

func TestAnIssuerThatOnlyServesTheLog(t *testing.T) {
	var log lockedBuffer
	cache, err := jwks.NewCache(jwks.Config{URL: "https://127.0.0.1:1/jwks", Issuer: "https://u:pass@login.example.com/?key=secret", Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	err = cache.Warm(t.Context())
	if strings.Contains(err.Error(), "secret") || strings.Contains(log.String(), "secret") {
		t.Errorf("got %v, log %s", err, log.String())
	}
}

func TestAZeroSet(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panicked: %v", p)
		}
	}()
	var set jwks.Set
	if set.Err() == nil {
		t.Error("Err: got nil")
	}
	_, _, _ = set.Keys(t.Context(), "a", "ES256")
}

func TestAHookThatHangsGathersNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cache := open(t, serve(ec("a")), func(c *jwks.Config) {
			c.RefreshAfter = time.Second
			c.OnFetch = func(jwks.Fetch) { <-release }
		})
		defer close(release)
		before := runtime.NumGoroutine()
		warm(t, cache)
		time.Sleep(time.Hour)
		if got := runtime.NumGoroutine() - before; got > 64 {
			t.Errorf("%d goroutines hang", got)
		}
	})
}

func TestANotModifiedWithoutCacheControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		p := tagged(ec("a"), `"1"`)
		p.header.Set("Cache-Control", "max-age=300")
		s.set(keysURL, p)
		cache := open(t, s, func(c *jwks.Config) {
			c.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				a, err := s.RoundTrip(r)
				if err == nil && a.StatusCode == 304 {
					a.Header = http.Header{}
				}
				return a, err
			})}
		})
		warm(t, cache)
		time.Sleep(5*time.Minute + time.Second) // a 304
		synctest.Wait()
		if next := time.Until(cache.State().NextRefresh); next > 5*time.Minute {
			t.Errorf("next refresh in %v; the stored answer said 5 minutes", next)
		}
	})
}

func TestAWellKnownPlaceThatHangsUpIsNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := issuer + "/.well-known/openid-configuration"
		s := serve(ec("a"))
		s.set(metadataURL, page{err: errors.New("stream error: stream ID 1; REFUSED_STREAM")})
		s.set(second, page{body: `{"issuer":"` + issuer + `","jwks_uri":"` + keysURL + `"}`})
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
		ask(t, cache, "a", found)
	})
}

func TestMetadataThatHangsHidesNoNewKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := described(keysURL, nil)
		cache := open(t, s, func(c *jwks.Config) {
			c.URL, c.Issuer = "", issuer
			c.HTTPClient = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if strings.Contains(r.URL.Path, "well-known") && s.fetches(keysURL) > 0 {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return s.RoundTrip(r)
			})}
		})
		warm(t, cache)
		time.Sleep(31 * time.Minute)
		s.publish(ec("b"))
		ask(t, cache, "b", found)
	})
}

func TestALoggerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := serve(document(jwk(&ecKey().PublicKey, "a", nil), members{"kty": "AKP"}))
		cache := open(t, s, func(c *jwks.Config) { c.Logger = slog.New(waitingHandler{slog.DiscardHandler, release}) })
		defer close(release)
		ask(t, cache, "a", found)
	})
}

func TestWarmOnADeafTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cache := open(t, serve(""), func(c *jwks.Config) {
			c.HTTPClient = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				<-release
				return nil, errors.New("at last")
			})}
		})
		defer close(release)
		done := make(chan error, 1)
		go func() { done <- cache.Warm(context.Background()) }()
		time.Sleep(time.Minute)
		cache.Close()
		time.Sleep(time.Hour)
		select {
		case <-done:
		default:
			t.Error("Warm hangs, an hour after Close")
		}
	})
}

type waitingHandler struct {
	slog.Handler
	release chan struct{}
}

func (h waitingHandler) Handle(context.Context, slog.Record) error { <-h.release; return nil }
func (waitingHandler) Enabled(context.Context, slog.Level) bool    { return true }

func TestFromKeyfuncOverACacheSpendsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		source := jwks.FromKeyfunc(must(keyfunc.New(keyfunc.Options{Storage: cache.Storage()})))
		s.set(keysURL, errDown)
		before := s.fetches(keysURL)
		_, _, _ = source.Keys(context.Background(), "made up", "ES256")
		if got := s.fetches(keysURL) - before; got != 1 {
			t.Errorf("one unknown kid: got %d fetches; want 1", got)
		}
	})
}

func TestAFetchIsTwoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(issuer+"/t/.well-known/openid-configuration", page{body: `{"issuer":"` + issuer + `/t","jwks_uri":"` + keysURL + `"}`})
		s.set(keysURL, page{status: 404})
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer+"/t" })
		for range 6000 { // ten minutes of probes
			_ = cache.Ready()
			time.Sleep(100 * time.Millisecond)
		}
		if fetches := cache.State().Fetches; len(s.asked) > 2*int(fetches) {
			t.Errorf("got %d requests in %d fetches", len(s.asked), fetches)
		}
	})
}
