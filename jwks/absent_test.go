package jwks_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/jwks"
)

// A client that is told 401 throws its token away, so that has to be certain.
func TestANewKeyIsNeverSaidToBeAbsentBecauseOthersMadeUpKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a))
		cache := open(t, s, nil)
		warm(t, cache)
		ask(t, cache, "made up 1", notThere)
		ask(t, cache, "made up 2", notThere)
		s.publish(document(a, jwk(&newECKey().PublicKey, "b", nil)))
		before := s.fetches(keysURL)
		_, generation, err := cache.Keys(t.Context(), "b", "ES256")
		after := retryAfter(err)
		if err == nil || generation != 0 || after <= 29*time.Second || after > 30*time.Second {
			t.Fatalf("got generation %d, %v, to be asked again after %v; want an error that says 30s", generation, err, after)
		}
		if got := s.fetches(keysURL); got != before {
			t.Errorf("got %d fetches; want none: the budget is spent", got-before)
		}
		if _, err := cache.Storage().KeyRead(t.Context(), "b"); err == nil || errors.Is(err, jwkset.ErrKeyNotFound) {
			t.Errorf("KeyRead: got %v; want an error that is not ErrKeyNotFound", err)
		}
		token := &jwt.Token{Method: jwt.SigningMethodES256, Header: map[string]any{"kid": "b"}}
		if _, err := cache.Keyfunc(token); err == nil || errors.Is(err, jwkset.ErrKeyNotFound) {
			t.Errorf("Keyfunc: got %v; want an error that is not ErrKeyNotFound", err)
		}
		time.Sleep(after)
		ask(t, cache, "b", found)
	})
}

func TestTheTimeToAskAgainIsThatOfTheNextFetchAndBounded(t *testing.T) {
	for _, c := range []struct {
		name     string
		cooldown time.Duration
		passed   time.Duration
		kid      string
		want     time.Duration
	}{
		{"at once", 20 * time.Second, 0, "b", 20 * time.Second},
		{"later", 20 * time.Second, 15 * time.Second, "b", 5 * time.Second},
		{"at most half a minute", time.Hour, 0, "b", 30 * time.Second},
		{"one that is absent leaves the reserve to others", 20 * time.Second, 25 * time.Second, "withdrawn", 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := jwk(&ecKey().PublicKey, "a", nil)
				s := serve(document(a, jwk(&newECKey().PublicKey, "withdrawn", nil)))
				cache := open(t, s, func(config *jwks.Config) { config.MissCooldown = c.cooldown })
				warm(t, cache)
				s.publish(document(a))
				ask(t, cache, "made up 1", notThere)
				ask(t, cache, "made up 2", notThere)
				time.Sleep(c.passed)
				_, _, err := cache.Keys(t.Context(), c.kid, "ES256")
				if got := retryAfter(err); got > c.want || got < c.want-100*time.Millisecond {
					t.Errorf("got %v, to be asked again after %v; want %v", err, got, c.want)
				}
			})
		})
	}
}

// A request that joins a fetch may know of a newer key than the server did.
func TestARequestThatJoinedAFetchIsNotToldThatItsKeyIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		warm(t, cache)
		ask(t, cache, "made up 1", notThere)
		s.late(time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { ask(t, cache, "made up 2", notThere) }) // spends the last of the budget
		synctest.Wait()
		wg.Go(func() { ask(t, cache, "b", unavailable) })
		wg.Wait()
	})
}

// A client whose key was withdrawn has to learn that, or it never renews its
// token. Each answer tells it of every kid that was asked for before.
func TestAWithdrawnKeyIsSaidToBeAbsentWhileOthersMakeUpKids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&ecKey().PublicKey, "a", nil)
		s := serve(document(a, jwk(&newECKey().PublicKey, "withdrawn", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(a))
		ask(t, cache, "made up", notThere)
		time.Sleep(time.Minute)
		told := map[string]int{}
		for i := range 600 { // ten minutes
			_, _, _ = cache.Keys(t.Context(), fmt.Sprint("made up ", i), "ES256")
			keys, _, err := cache.Keys(t.Context(), "withdrawn", "ES256")
			told[outcome(keys, err)]++
			time.Sleep(time.Second)
		}
		if told[notThere] < 590 {
			t.Errorf("got %v; want nearly all of 600 not there", told)
		}
	})
}

func TestAFirstFetchIsEnoughToKnowThatAKeyIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ec("a"))
		cache := open(t, s, nil)
		ask(t, cache, "made up", notThere)
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1: it began after the request came", got)
		}
	})
}
