package jwks_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"testing"
	"testing/synctest"
	"time"
)

// pairInOrder returns two keys, of which the first sorts before the second.
func pairInOrder(t *testing.T) (first, second *ecdsa.PrivateKey) {
	t.Helper()
	first, second = newECKey(), newECKey()
	a, b := must(x509.MarshalPKIXPublicKey(&first.PublicKey)), must(x509.MarshalPKIXPublicKey(&second.PublicKey))
	if bytes.Compare(a, b) > 0 {
		return second, first
	}
	return first, second
}

// A kid has a new key. A Storage has one place for it, and what is published is the
// answer, as with Keys.
func TestReviewAStorageHasThePublishedKeyOfAKidWhileTheFormerIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		former, published := pairInOrder(t)
		s := serve(document(jwk(&former.PublicKey, "a", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(jwk(&published.PublicKey, "a", nil)))
		fetchNow(t, cache, s)
		keys, _, _ := cache.Keys(t.Context(), "a", "ES256")
		if len(keys) != 2 || !published.PublicKey.Equal(keys[0]) {
			t.Fatalf("Keys: got %v; want the published key first", keys)
		}
		key, err := cache.Storage().KeyRead(t.Context(), "a")
		if err != nil || !published.PublicKey.Equal(key.Key()) {
			t.Errorf("KeyRead: got the former key, %v; want the published one", err)
		}
	})
}

// An issuer stops writing kids. Its tokens have a kid that is a hint without use, and
// the doubt about its former key costs them nothing.
func TestReviewKeysWithoutKidServeAnyKidWhileANamedKeyIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unnamed := newECKey()
		s := serve(document(jwk(&newECKey().PublicKey, "a", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(jwk(&unnamed.PublicKey, "", nil)))
		fetchNow(t, cache, s)
		for _, kid := range []string{"x", "a"} {
			keys, _, err := cache.Keys(t.Context(), kid, "ES256")
			if err != nil || len(keys) == 0 || !unnamed.PublicKey.Equal(keys[0]) {
				t.Errorf("kid %q: got %v, %v; want the only key published", kid, keys, err)
			}
		}
	})
}

// The other way around: tokens signed by the former key, which has no kid, are what the
// doubt is for.
func TestReviewAFormerKeyWithoutKidServesAnyKidWhileItIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unnamed := newECKey()
		s := serve(document(jwk(&unnamed.PublicKey, "", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(jwk(&newECKey().PublicKey, "b", nil)))
		time.Sleep(time.Until(cache.State().NextRefresh))
		synctest.Wait()
		keys, _, err := cache.Keys(t.Context(), "x", "ES256")
		if err != nil || len(keys) == 0 {
			t.Errorf("got %v, %v; want the key that verified before", keys, err)
		}
	})
}

// An issuer that rotates without a new kid, and cannot be asked: nothing is known of the
// token, so KeysAfter says so each time, not once in two cooldowns.
func TestReviewASignatureThatFailsInAnOutageIsNotKnownToBeWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(document(jwk(&newECKey().PublicKey, "", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		_, generation, _ := cache.Keys(t.Context(), "", "ES256")
		time.Sleep(time.Until(cache.State().NextRefresh) + time.Hour)
		s.set(keysURL, page{status: 500})
		time.Sleep(2 * time.Hour)
		for n := range 3 {
			if keys, _, err := cache.KeysAfter(t.Context(), "", "ES256", generation); err == nil {
				t.Errorf("call %d: got %v, nil in an outage; want an error", n, keys)
			}
		}
	})
}

// A server of the issuer that was just started is slow, and behind. The second look comes
// WithdrawAfter after its answer, not after the question.
func TestReviewTheSecondLookWaitsAfterASlowAnswer(t *testing.T) {
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

// An issuer withdraws a stolen key. One of its servers is 10 s behind, and is the one that
// the second look meets. The servers disagreed, so the cache looks again soon: doc.go has
// 2 minutes as the longest pause while they do.
func TestReviewAStolenKeyEndsSoonAfterServersHaveDisagreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, stolen := jwk(&newECKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "stolen", nil)
		s := serve(document(a, stolen))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(a))
		fetchNow(t, cache, s)
		s.publish(document(a, stolen)) // the server that is behind
		time.Sleep(6 * time.Second)
		s.publish(document(a)) // it has caught up
		time.Sleep(10 * time.Minute)
		if keys, _, _ := cache.Keys(t.Context(), "stolen", "ES256"); keys != nil {
			t.Errorf("got the stolen key 10 minutes after its issuer has withdrawn it, and the next look in %v; want none", time.Until(cache.State().NextRefresh))
		}
	})
}
