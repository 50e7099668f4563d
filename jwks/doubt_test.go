package jwks_test

import (
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

// A server of the issuer that was just started, or that has cached the set, is
// behind for a moment. Keys in use must outlast that.
func TestAServerThatIsBehindForAMomentTakesNoKeyAway(t *testing.T) {
	a, b := jwk(&ecKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil)
	for _, c := range []struct {
		name          string
		ahead, behind string
		kid           string
	}{
		{"a new kid is missing", document(a, b), document(a), "b"},
		{"the other set has nothing in common", document(b), document(a), "b"},
		{"a kid has its former key", document(jwk(&newECKey().PublicKey, "b", nil)), document(b), "b"},
		{"a key without kid is missing", document(jwk(&newECKey().PublicKey, "", nil)), document(jwk(&newECKey().PublicKey, "", nil)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(c.ahead)
				cache := open(t, s, nil)
				warm(t, cache)
				want, _, _ := cache.Keys(t.Context(), c.kid, "ES256")
				s.publish(c.behind)
				time.Sleep(time.Until(cache.State().NextRefresh))
				synctest.Wait()
				s.publish(c.ahead)
				for range 600 { // a minute
					keys, _, err := cache.Keys(t.Context(), c.kid, "ES256")
					if !slices.ContainsFunc(keys, equalTo(want[0])) || err != nil {
						t.Fatalf("got %v, %v; want the key that verified before", keys, err)
					}
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(5 * time.Minute)
				if got := s.fetches(keysURL); got != 8 {
					t.Errorf("got %d fetches; want the first, one of the other server, and looks after 5 s, 10 s, and so on to 2 minutes", got)
				}
				state := cache.State()
				if next := time.Until(state.NextRefresh); next < 30*time.Minute {
					t.Errorf("the next refresh is in %v; want the doubt to be over", next)
				}
			})
		})
	}
}

func equalTo(key crypto.PublicKey) func(crypto.PublicKey) bool {
	return key.(interface{ Equal(crypto.PublicKey) bool }).Equal
}

// fetchNow has the set fetched by an unknown kid.
func fetchNow(t *testing.T, cache *jwks.Cache, s *server) {
	t.Helper()
	before := s.fetches(keysURL)
	_, _, _ = cache.Keys(t.Context(), fmt.Sprint("unknown ", before), "ES256")
	if got := s.fetches(keysURL) - before; got != 1 {
		t.Fatalf("got %d fetches; want 1", got)
	}
}

func TestTwoAnswersWithoutAKeyWithdrawIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // Config.WithdrawAfter
		want  time.Duration
	}{
		{"by default", 0, 5 * time.Second},
		{"as configured", 20 * time.Second, 20 * time.Second},
		{"at once", -1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := jwk(&ecKey().PublicKey, "a", nil)
				s := serve("")
				s.set(keysURL, tagged(document(a, jwk(&newECKey().PublicKey, "stolen", nil)), `"1"`))
				var told []jwks.Fetch
				cache := open(t, s, func(config *jwks.Config) {
					config.WithdrawAfter = c.after
					config.OnFetch = func(f jwks.Fetch) { told = append(told, f) }
				})
				warm(t, cache)
				s.set(keysURL, tagged(document(a), `"1"`))
				fetchNow(t, cache, s)
				if c.want > 0 {
					ask(t, cache, "stolen", found)
					time.Sleep(c.want - time.Millisecond)
					ask(t, cache, "stolen", found)
					time.Sleep(2 * time.Millisecond)
					synctest.Wait()
					if got := s.last(); got.Get("Cache-Control") != "no-cache" || got.Get("If-None-Match") != "" {
						t.Errorf("the second request: got %v; want it past caches and without condition", got)
					}
				}
				synctest.Wait()
				ask(t, cache, "stolen", notThere)
				last := told[len(told)-1]
				if !slices.Equal(last.Withdrawn, []string{"stolen"}) || last.Generation != 2 || cache.State().Generation != 2 {
					t.Errorf("got %+v; want stolen withdrawn, in generation 2", last)
				}
				time.Sleep(10 * time.Minute)
				if got := s.fetches(keysURL); c.want > 0 && got != 3 || got > 3 {
					t.Errorf("got %d fetches; want no more than the second look", got)
				}
			})
		})
	}
}

func TestAnswersInARowAreNoSecondAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a, jwk(&newECKey().PublicKey, "b", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(a))
		fetchNow(t, cache, s)
		fetchNow(t, cache, s)
		ask(t, cache, "b", found)
		time.Sleep(6 * time.Second)
		ask(t, cache, "b", notThere)
	})
}

func TestServersThatGoOnDisagreeing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := jwk(&ecKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil)
		s := serve(document(a))
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if body := document(a); s.fetches(keysURL)%2 == 0 {
				s.publish(body)
			} else {
				s.publish(document(b))
			}
			return s.RoundTrip(r)
		})}
		cache := open(t, s, func(c *jwks.Config) { c.HTTPClient = client })
		warm(t, cache)
		fetchNow(t, cache, s)
		_, generation, _ := cache.Keys(t.Context(), "a", "ES256")
		for range 3600 {
			ask(t, cache, "a", found)
			ask(t, cache, "b", found)
			time.Sleep(time.Second)
		}
		if got := cache.State().Generation; got != generation {
			t.Errorf("got generation %d; want %d: nothing has changed", got, generation)
		}
		if got := s.fetches(keysURL); got > 2+6+3600/120 {
			t.Errorf("got %d fetches in an hour; want the pauses to grow to two minutes", got)
		}
	})
}

// An issuer that withdraws a key and is down afterwards has said that it is
// withdrawn.
func TestAWithdrawnKeyDoesNotLiveOnInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a, jwk(&newECKey().PublicKey, "stolen", nil)))
		cache := open(t, s, func(c *jwks.Config) { c.Logger = log.logger() })
		warm(t, cache)
		s.publish(document(a))
		fetchNow(t, cache, s)
		s.set(keysURL, page{err: errors.New("connection refused")})
		time.Sleep(5*time.Minute - time.Second)
		ask(t, cache, "stolen", found)
		time.Sleep(2 * time.Second)
		ask(t, cache, "stolen", unavailable)
		ask(t, cache, "a", found)
		if got := cache.State(); got.Generation != 2 || !slices.Equal(got.KeyIDs, []string{"a"}) {
			t.Errorf("got %+v; want generation 2 of a alone", got)
		}
		if got := log.String(); got == "" {
			t.Error("got no line in the log; want one that keys are dropped")
		}
	})
}

func TestAKeyInDoubtIsNotKeptInFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a, jwk(&newECKey().PublicKey, "stolen", nil)))
		cache := open(t, s, keptIn(file))
		warm(t, cache)
		synctest.Wait()
		s.publish(document(a))
		fetchNow(t, cache, s)
		ask(t, cache, "stolen", found)
		synctest.Wait()
		cache.Close()

		s.set(keysURL, errDown)
		again := open(t, s, keptIn(file))
		ask(t, again, "a", found)
		ask(t, again, "stolen", unavailable)
	})
}

func TestKeysThatRanOutAreNotInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a, jwk(&newECKey().PublicKey, "old", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, page{err: errors.New("connection refused")})
		time.Sleep(25 * time.Hour)
		s.publish(document(a))
		time.Sleep(10 * time.Second)
		ask(t, cache, "a", found)
		ask(t, cache, "old", notThere)
	})
}

// A connection that is kept would go to the same server, which is still behind, or
// may be forgotten by a firewall.
func TestEachFetchHasAConnectionOfItsOwn(t *testing.T) {
	checkLeaks(t)
	a, b := jwk(&ecKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil)
	addresses := make(chan string, 100)
	var requests atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addresses <- r.RemoteAddr
		if requests.Add(1) == 2 {
			fmt.Fprint(w, document(a))
			return
		}
		fmt.Fprint(w, document(a, b))
	}))
	defer s.Close()
	cache, err := jwks.NewCache(jwks.Config{URL: s.URL, WithdrawAfter: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	warm(t, cache)
	_, _, _ = cache.Keys(t.Context(), "unknown", "ES256")
	// The servers disagree, so that fetches go on after the third.
	first, second, third := <-addresses, <-addresses, <-addresses
	if first == second || second == third || first == third {
		t.Errorf("got requests from %s, %s and %s; want three connections", first, second, third)
	}
	ask(t, cache, "b", found)
}

func TestADoubtThatIsOverLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		a, b := jwk(&ecKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil)
		s := serve(document(a, b))
		cache := open(t, s, func(c *jwks.Config) { c.Logger = log.logger() })
		warm(t, cache)
		for range 5 {
			s.publish(document(a))
			fetchNow(t, cache, s)
			if next := time.Until(cache.State().NextRefresh); next != 5*time.Second {
				t.Errorf("the second look is in %v; want 5s, as if it were the first doubt", next)
			}
			s.publish(document(a, b))
			time.Sleep(10 * time.Minute)
		}
		ask(t, cache, "b", found)
		if got := log.String(); got != "" {
			t.Errorf("got %q in the log; want nothing", got)
		}
	})
}

// An issuer that has other keys in every answer does not fill the memory.
func TestKeysInDoubtAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		cache := open(t, s, func(c *jwks.Config) { c.MissCooldown, c.WithdrawAfter = 100*time.Millisecond, time.Minute })
		for i := range 10 {
			var keys []members
			for j := range 400 {
				keys = append(keys, jwk(&ecKey().PublicKey, fmt.Sprint(i, "/", j), nil))
			}
			s.publish(document(keys...))
			ask(t, cache, fmt.Sprint(i, "/", 0), found)
			time.Sleep(time.Second)
		}
		if got := len(cache.State().KeyIDs); got != 900 {
			t.Errorf("got %d keys; want the 400 of the last answer, and 500 in doubt", got)
		}
	})
}

// Servers that disagree for half a day cost a question every two minutes, not one in a
// hurry.
func TestServersThatGoOnDisagreeingAreAskedEveryTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sets := []string{document(jwk(&newECKey().PublicKey, "a", nil)), document(jwk(&newECKey().PublicKey, "b", nil))}
		s := serve(sets[0])
		cache := open(t, s, nil)
		warm(t, cache)
		for range 12 * 60 * 60 {
			s.publish(sets[s.fetches(keysURL)%2]) // another one than at the last question
			time.Sleep(time.Second)
		}
		if got := s.fetches(keysURL); got < 100 || got > 500 {
			t.Errorf("got %d fetches in twelve hours; want some 360 at most", got)
		}
	})
}

// A server of the issuer that was just started is slow, and behind. The second look comes
// WithdrawAfter after its answer, not after the question.
func TestTheSecondLookWaitsAfterASlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := jwk(&newECKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil)
		s := serve(document(a, b))
		cache := open(t, s, nil)
		warm(t, cache)
		s.late(6 * time.Second)
		s.publish(document(a))
		time.Sleep(time.Until(cache.State().NextRefresh) + 6*time.Second) // it has just answered
		synctest.Wait()
		time.Sleep(2 * time.Second)
		s.publish(document(a, b)) // 2 s later it has caught up
		for range 30 {
			ask(t, cache, "b", found)
			time.Sleep(time.Second)
		}
	})
}

// An issuer withdraws a stolen key. One of its servers is behind, and is the one that the
// second look meets. The servers disagreed, so the cache goes on looking, past caches.
func TestAStolenKeyEndsSoonAfterServersHaveDisagreed(t *testing.T) {
	for _, kid := range []string{"stolen", "0"} { // behind the key that stays, and before it
		for _, behind := range []time.Duration{6 * time.Second, time.Minute, 2 * time.Minute} {
			synctest.Test(t, func(t *testing.T) {
				a, stolen := jwk(&newECKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, kid, nil)
				s := serve(document(a, stolen))
				cache := open(t, s, nil)
				warm(t, cache)
				s.publish(document(a))
				fetchNow(t, cache, s)
				s.set(keysURL, tagged(document(a, stolen), `"1"`)) // the server that is behind
				time.Sleep(behind)
				s.set(keysURL, tagged(document(a), `"1"`)) // it has caught up
				time.Sleep(10*time.Minute - behind)
				if keys, _, _ := cache.Keys(t.Context(), kid, "ES256"); keys != nil {
					t.Errorf("a server that is %v behind: got the stolen key %q 10 minutes after its issuer has withdrawn it, and the next look in %v; want none", behind, kid, time.Until(cache.State().NextRefresh))
				}
			})
		}
	}
}

func TestServersThatAgreeAgainAreAskedAsBefore(t *testing.T) {
	for _, after := range []time.Duration{100 * time.Millisecond, 5 * time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			a, b := jwk(&newECKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil)
			s := serve(document(a, b))
			cache := open(t, s, func(c *jwks.Config) { c.WithdrawAfter = after })
			warm(t, cache)
			s.publish(document(a))
			fetchNow(t, cache, s)
			s.publish(document(a, b))
			time.Sleep(10 * time.Minute)
			if next := time.Until(cache.State().NextRefresh); next < 30*time.Minute {
				t.Errorf("WithdrawAfter %v: the next refresh is in %v; want the looks to be over", after, next)
			}
			if got := s.fetches(keysURL); got > 2+12 {
				t.Errorf("WithdrawAfter %v: got %d fetches; want pauses that double up to two minutes", after, got)
			}
		})
	}
}
