package jwks_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := serve(ec("b", "a"))
		cache := open(t, s, nil)
		if got := cache.State(); got.KeyIDs != nil || got.Generation != 0 || !got.FetchedAt.IsZero() || got.Age != 0 || got.Fetches != 0 {
			t.Errorf("before the first fetch: got %+v; want nothing", got)
		}
		warm(t, cache)
		ask(t, cache, "made up", notThere)
		time.Sleep(time.Minute)
		got := cache.State()
		if !slices.Equal(got.KeyIDs, []string{"a", "b"}) || got.Generation != 1 || !got.FetchedAt.Equal(began) || got.Age != time.Minute {
			t.Errorf("got %+v; want a and b of generation 1, a minute old", got)
		}
		if got.Fetches != 2 || got.Failures != 0 || got.Misses != 1 || got.Err != nil || !got.FailingSince.IsZero() {
			t.Errorf("got %+v; want 2 fetches, 1 miss, no failure", got)
		}
		if until := got.NextRefresh.Sub(began); until < 54*time.Minute || until > time.Hour {
			t.Errorf("NextRefresh: got %v after the start; want 54 to 60 minutes", until)
		}
		if until := got.UsableUntil.Sub(began); until != 24*time.Hour {
			t.Errorf("UsableUntil: got %v after the start; want 24h", until)
		}

		s.set(keysURL, page{status: 500})
		time.Sleep(2 * time.Hour)
		failing := cache.State()
		if failing.Err == nil || failing.FailingSince.Before(got.NextRefresh) || failing.Failures == 0 || failing.Fetches != failing.Failures+2 {
			t.Errorf("in an outage: got %+v; want its error and since when", failing)
		}
		time.Sleep(24 * time.Hour)
		if gone := cache.State(); gone.KeyIDs != nil || !gone.UsableUntil.IsZero() || !gone.NextRefresh.IsZero() || gone.Generation != 1 {
			t.Errorf("after usable-until: got %+v; want no keys, and nothing planned", gone)
		}
	})
}

func TestAStateIsTheCallersToChange(t *testing.T) {
	cache := open(t, serve(ec("a")), nil)
	warm(t, cache)
	cache.State().KeyIDs[0] = "changed"
	if got := cache.State().KeyIDs[0]; got != "a" {
		t.Errorf("got %q; want a", got)
	}
}

func TestOnFetchTellsEachFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []jwks.Fetch
		s := serve("")
		first := document(jwk(&ecKey().PublicKey, "a", nil), jwk(&newECKey().PublicKey, "b", nil), members{"kty": "AKP"})
		s.set(keysURL, tagged(first, `"1"`))
		s.delay = time.Second
		cache := open(t, s, func(c *jwks.Config) {
			atOnce(c)
			c.OnFetch = func(f jwks.Fetch) { told = append(told, f) }
		})
		next := func(p page) jwks.Fetch {
			t.Helper()
			s.set(keysURL, p)
			time.Sleep(time.Hour)
			synctest.Wait()
			return told[len(told)-1]
		}
		warm(t, cache)
		synctest.Wait()
		if f := told[0]; !slices.Equal(f.Added, []string{"a", "b"}) || f.Withdrawn != nil || f.Generation != 1 || f.Omitted != 1 || f.Duration != time.Second || f.Err != nil {
			t.Errorf("the first: got %+v; want a and b added, one omitted, in 1s", f)
		}
		if f := next(tagged(first, `"1"`)); !f.NotModified || f.Generation != 1 || f.Added != nil {
			t.Errorf("304: got %+v; want the same generation", f)
		}
		if f := next(page{body: ec("b", "c")}); !slices.Equal(f.Added, []string{"c"}) || !slices.Equal(f.Withdrawn, []string{"a"}) || f.Generation != 2 {
			t.Errorf("a rotation: got %+v; want c added and a withdrawn", f)
		}
		if f := next(page{body: ec("b", "c")}); len(f.Added)+len(f.Withdrawn) != 0 || f.Generation != 3 {
			t.Errorf("new keys of the same kids: got %+v; want generation 3 and no kid named", f)
		}
		if f := next(page{status: 500}); f.Err == nil || f.Generation != 0 {
			t.Errorf("a failure: got %+v; want its error", f)
		}
	})
}

func TestAHookThatPanicsIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		cache := open(t, serve(ec("a")), func(c *jwks.Config) {
			c.Logger = log.logger()
			c.OnFetch = func(jwks.Fetch) { panic("hook") }
		})
		warm(t, cache)
		time.Sleep(5 * time.Hour)
		ask(t, cache, "a", found)
		if got := strings.Count(log.String(), "OnFetch panicked"); got != 1 {
			t.Errorf("said %d times; want once", got)
		}
	})
}

func TestAHookThatHangsHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := serve(ec("a"))
		cache := open(t, s, func(c *jwks.Config) { c.OnFetch = func(jwks.Fetch) { <-release } })
		defer close(release)
		warm(t, cache)
		s.publish(ec("b"))
		ask(t, cache, "b", found)
	})
}

func TestKeysThatHaveRunOutAreSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedBuffer
		s := serve(ec("a"))
		cache := open(t, s, func(c *jwks.Config) { c.Logger = log.logger() })
		warm(t, cache)
		s.set(keysURL, page{status: 500})
		time.Sleep(25 * time.Hour)
		if got := strings.Count(log.String(), "the last keys have expired"); got != 1 {
			t.Errorf("said %d times; want once: %s", got, log.String())
		}
		ask(t, cache, "a", unavailable)
	})
}
