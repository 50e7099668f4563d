package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"
)

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
