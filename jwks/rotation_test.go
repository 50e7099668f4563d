package jwks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

// askAfter reports whether key is among what KeysAfter returns.
func askAfter(t *testing.T, cache *jwks.Cache, kid string, generation uint64, key *ecdsa.PrivateKey) bool {
	t.Helper()
	keys, newer, err := cache.KeysAfter(t.Context(), kid, "ES256", generation)
	if err != nil {
		t.Fatalf("KeysAfter: got %v; want nil", err)
	}
	if len(keys) > 0 && newer <= generation {
		t.Errorf("got %d keys of generation %d; want a newer one than %d", len(keys), newer, generation)
	}
	return contains(keys, key)
}

func contains(keys []crypto.PublicKey, key *ecdsa.PrivateKey) bool {
	for _, k := range keys {
		if key.PublicKey.Equal(k) {
			return true
		}
	}
	return false
}

func TestARotationThatNoKidAnnouncesIsSeenByTheFirstSignatureThatFails(t *testing.T) {
	for _, c := range []struct{ name, published, asked string }{
		{"one key, and no kid", "", ""},
		{"one key without kid, and a token that names one", "", "named"},
		{"the same kid for every key", "only", "only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, young := newECKey(), newECKey()
				s := serve("")
				s.set(keysURL, tagged(document(jwk(&old.PublicKey, c.published, nil)), `"never changes"`))
				cache := open(t, s, nil)
				warm(t, cache)
				_, generation, _ := cache.Keys(t.Context(), c.asked, "ES256")
				time.Sleep(30 * time.Second)
				s.set(keysURL, tagged(document(jwk(&young.PublicKey, c.published, nil)), `"never changes"`))
				if !askAfter(t, cache, c.asked, generation, young) {
					t.Error("a signature failed under a key older than the cooldown: got no new key")
				}
				if got := s.fetches(keysURL); got != 2 {
					t.Errorf("got %d fetches; want 2", got)
				}
				if !askAfter(t, cache, c.asked, generation, young) || s.fetches(keysURL) != 2 {
					t.Errorf("a set that is newer already: got no new key, or %d fetches; want it at once", s.fetches(keysURL))
				}
			})
		})
	}
}

func TestAForgedSignatureInALoopCostsOneFetchPerCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		for range 600 * 10 { // ten minutes
			if keys, _, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); keys != nil || err != nil {
				t.Fatalf("got %v, %v; want nothing newer", keys, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if got := s.fetches(keysURL) - 1; got < 10 || got > 600/30 {
			t.Errorf("got %d fetches in ten minutes; want 20 at most", got)
		}
	})
}

func TestForgedSignaturesLeaveTheReserveToUnknownKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a))
		cache := open(t, s, nil)
		warm(t, cache)
		for i := range 20 {
			for range 60 { // a minute
				_, _, _ = cache.KeysAfter(t.Context(), "a", "ES256", 1)
				time.Sleep(time.Second)
			}
			kid := fmt.Sprint("new ", i)
			s.publish(document(a, jwk(&ecKey().PublicKey, kid, nil)))
			ask(t, cache, kid, found)
			s.publish(document(a))
		}
	})
}

func TestAForgedSignatureDoesNotSpendTheLastOfTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a))
		cache := open(t, s, nil)
		warm(t, cache)
		ask(t, cache, "made up 1", notThere)
		ask(t, cache, "made up 2", notThere)
		time.Sleep(31 * time.Second)
		before := s.fetches(keysURL)
		_, _, _ = cache.KeysAfter(t.Context(), "a", "ES256", 1)
		if got := s.fetches(keysURL) - before; got != 0 {
			t.Errorf("got %d fetches; want none: what is there is for unknown kids", got)
		}
		s.publish(document(a, jwk(&newECKey().PublicKey, "b", nil)))
		ask(t, cache, "b", found)
	})
}

// Four keys can be tried, and as many may be in doubt.
func TestAfterARotationOfAllKeysTheNewOnesComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("", "", "", ""))
		cache := open(t, s, nil)
		warm(t, cache)
		for range 10 {
			time.Sleep(40 * time.Minute)
			_, generation, _ := cache.Keys(t.Context(), "", "ES256")
			var keys []members
			var signers []*ecdsa.PrivateKey
			for range 4 {
				signers = append(signers, newECKey())
				keys = append(keys, jwk(&signers[len(signers)-1].PublicKey, "", nil))
			}
			s.publish(document(keys...))
			for _, signer := range signers {
				if !askAfter(t, cache, "", generation, signer) {
					t.Error("got the former keys; want all of the new ones")
				}
			}
		}
	})
}

func TestASetThatWasReadJustNowIsNotReadAgainForASignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		time.Sleep(29 * time.Second)
		if keys, newer, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); keys != nil || newer != 0 || err != nil {
			t.Errorf("got %v, %d, %v; want nothing newer", keys, newer, err)
		}
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1", got)
		}
	})
}

func TestAThousandSignaturesThatFailShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		young := newECKey()
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		time.Sleep(time.Minute)
		s.slow(50 * time.Millisecond)
		s.publish(document(jwk(&young.PublicKey, "a", nil)))
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if !askAfter(t, cache, "a", 1, young) {
					t.Error("got no new key; want it")
				}
			})
		}
		wg.Wait()
		if got := s.fetches(keysURL); got != 2 {
			t.Errorf("got %d fetches; want 2", got)
		}
	})
}

func TestASignatureThatFailsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		time.Sleep(time.Minute)
		s.set(keysURL, page{status: 503, header: map[string][]string{"Retry-After": {"20"}}})
		if _, newer, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); err == nil || newer != 0 || retryAfter(err) < 10*time.Second {
			t.Errorf("a fetch that failed: got %d, %v; want an error that says when to ask again", newer, err)
		}
		if keys, newer, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); keys != nil || newer != 0 || err == nil || retryAfter(err) < 10*time.Second {
			t.Errorf("a server that wants to be left alone: got %v, %d, %v; want an error that says when to ask again", keys, newer, err)
		}
		if got := s.fetches(keysURL); got != 2 {
			t.Errorf("got %d fetches; want 2", got)
		}
		ask(t, cache, "a", found)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := cache.KeysAfter(ended, "a", "ES256", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that is over: got %v; want its context's error", err)
		}
		cache.Close()
		if _, _, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); err == nil {
			t.Error("after Close: got nil; want an error")
		}
	})
}

func TestASignatureThatFailsDoesNotShortenTheServersPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, page{status: 503, header: map[string][]string{"Retry-After": {"20"}}})
		time.Sleep(time.Until(cache.State().NextRefresh) + time.Second)
		if got := s.fetches(keysURL); got != 2 {
			t.Fatalf("got %d fetches; want 2, the first and the refresh that failed", got)
		}
		if _, _, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); err == nil || retryAfter(err) < 10*time.Second {
			t.Errorf("got %v; want an error that says when to ask again", err)
		}
		if got := s.fetches(keysURL); got != 2 {
			t.Errorf("got %d fetches; want 2, because the server asked for 20 s", got)
		}
	})
}

func TestAClosedCacheLooksForNoNewerKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := open(t, serve(ec("a")), nil)
		warm(t, cache)
		time.Sleep(time.Minute)
		cache.Close()
		if keys, _, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); keys != nil || err == nil || !strings.Contains(err.Error(), "closed") {
			t.Errorf("got %v, %v; want an error that says that the cache is closed", keys, err)
		}
	})
}

func TestWithoutKeysNothingIsNewerThanTheKeysOfASignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := open(t, serve(ec("a")), nil)
		if keys, newer, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); keys != nil || newer != 0 || err != nil {
			t.Errorf("got %v, %d, %v; want nothing newer", keys, newer, err)
		}
	})
}

func TestTheWaitForNewerKeysIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, func(c *jwks.Config) { c.WaitTimeout = time.Second })
		warm(t, cache)
		time.Sleep(time.Minute)
		s.slow(4 * time.Second)
		began := time.Now()
		leaving, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, newer, err := cache.KeysAfter(leaving, "a", "ES256", 1); !errors.Is(err, context.DeadlineExceeded) || newer != 0 || time.Since(began) != 500*time.Millisecond {
			t.Errorf("a request that leaves: got %d, %v after %v; want its context's error after 500ms", newer, err, time.Since(began))
		}
		began = time.Now()
		if _, newer, err := cache.KeysAfter(t.Context(), "a", "ES256", 1); err == nil || newer != 0 || time.Since(began) != time.Second {
			t.Errorf("got %d, %v after %v; want an error after the WaitTimeout, 1s", newer, err, time.Since(began))
		}
		time.Sleep(4 * time.Second) // the fetch ends by itself
	})
}

func TestAViewSeesARotationThatNoKidAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := newECKey(), newECKey()
		s := serve(document(jwk(&newECKey().PublicKey, "a", nil)))
		view := open(t, s, nil).For("https://a.example")
		askView(t, view, "a", 1)
		time.Sleep(time.Minute)
		s.publish(document(jwk(&ours.PublicKey, "a", members{"issuer": "https://a.example"}), jwk(&theirs.PublicKey, "a", members{"issuer": "https://b.example"})))
		keys, newer, err := view.KeysAfter(t.Context(), "a", "ES256", 1)
		if !contains(keys, ours) || contains(keys, theirs) || newer != 2 || err != nil {
			t.Errorf("got %d keys of generation %d, %v; want the new key of this issuer alone", len(keys), newer, err)
		}
	})
}

// An issuer that rotates without a new kid, and cannot be asked: nothing is known of the
// token, so KeysAfter says so each time, not once in two cooldowns.
func TestASignatureThatFailsInAnOutageIsNotKnownToBeWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(document(jwk(&newECKey().PublicKey, "", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		_, generation, _ := cache.Keys(t.Context(), "", "ES256")
		time.Sleep(time.Until(cache.State().NextRefresh) + time.Hour)
		s.set(keysURL, page{status: 500})
		time.Sleep(2 * time.Hour)
		for n := range 3 {
			if keys, _, err := cache.KeysAfter(t.Context(), "", "ES256", generation); err == nil || retryAfter(err) <= 0 {
				t.Errorf("call %d: got %v, %v in an outage; want an error that says when to ask again", n, keys, err)
			}
		}
		s.publish(document(jwk(&newECKey().PublicKey, "", nil)))
		time.Sleep(6 * time.Minute)
		if keys, _, err := cache.KeysAfter(t.Context(), "", "ES256", generation); len(keys) == 0 || err != nil {
			t.Errorf("after the outage: got %v, %v; want the new key", keys, err)
		}
		time.Sleep(time.Minute)
		_, generation, _ = cache.Keys(t.Context(), "", "ES256")
		for n := range 3 {
			if keys, _, err := cache.KeysAfter(t.Context(), "", "ES256", generation); keys != nil || err != nil {
				t.Errorf("call %d: got %v, %v from an issuer that answers; want nothing newer", n, keys, err)
			}
		}
		s.set(keysURL, page{status: 500})
		time.Sleep(26 * time.Hour)
		if keys, _, err := cache.KeysAfter(t.Context(), "", "ES256", generation); err == nil {
			t.Errorf("keys that have run out meanwhile: got %v, nil; want an error", keys)
		}
	})
}
