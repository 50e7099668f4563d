package jwks_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

func tagged(body, tag string) page { return page{body: body, header: http.Header{"Etag": {tag}}} }

func TestAnAnswerThatHasNotChangedIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"1"`))
		cache := open(t, s, nil)
		warm(t, cache)
		before, generation, _ := cache.Keys(t.Context(), "a", "ES256")
		time.Sleep(30 * time.Hour) // longer than the first answer is usable for
		after, same, _ := cache.Keys(t.Context(), "a", "ES256")
		state := cache.State()
		if got := s.last().Get("If-None-Match"); got != `"1"` {
			t.Errorf("If-None-Match: got %q; want the ETag", got)
		}
		if len(after) != 1 || after[0] != before[0] || same != generation {
			t.Errorf("got %v, generation %d; want the very key and generation %d", after, same, generation)
		}
		if whole := state.Fetches - state.NotModified; whole != 3 || state.Failures != 0 || state.Age > time.Hour {
			t.Errorf("got %+v; want all fetches but one in twelve hours answered by 304, the last within the hour", state)
		}
		s.set(keysURL, tagged(ec("b"), `"2"`))
		time.Sleep(time.Hour)
		ask(t, cache, "b", found)
		ask(t, cache, "a", notThere)
	})
}

func TestAnETagThatNeverChangesHidesNoRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"1"`))
		cache := open(t, s, nil)
		warm(t, cache)
		s.set(keysURL, tagged(ec("b"), `"1"`))
		ask(t, cache, "b", found)
		if sent := s.last(); sent.Get("If-None-Match") != "" || sent.Get("Cache-Control") != "no-cache" {
			t.Errorf("for an unknown kid: sent %v; want no condition, and past the caches on the way", sent)
		}
	})
}

func TestNotModifiedIsAnAnswerToAConditionOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, page{status: http.StatusNotModified})
		cache := open(t, s, nil)
		ask(t, cache, "a", unavailable)
	})
}

func TestAnETagStaysWithItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moved := issuer + "/moved"
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"1"`))
		s.set(moved, tagged(ec("b"), `"1"`))
		metadata := func(uri string) {
			s.set(issuer+"/.well-known/oauth-authorization-server", page{body: `{"issuer":"` + issuer + `","jwks_uri":"` + uri + `"}`})
		}
		metadata(keysURL)
		cache := open(t, s, func(c *jwks.Config) { c.URL, c.Issuer = "", issuer })
		warm(t, cache)
		metadata(moved)
		time.Sleep(time.Hour)
		ask(t, cache, "b", found)
		if got := s.last().Get("If-None-Match"); got != "" {
			t.Errorf("at the new place: got If-None-Match %q; want none", got)
		}
	})
}

func TestAnETagOfAnySizeIsNotSentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, tagged(ec("a"), `"`+strings.Repeat("x", 1<<10)+`"`))
		cache := open(t, s, nil)
		warm(t, cache)
		time.Sleep(time.Hour)
		if got := s.last().Get("If-None-Match"); got != "" || s.fetches(keysURL) != 2 {
			t.Errorf("got If-None-Match of %d bytes in %d fetches; want none in 2", len(got), s.fetches(keysURL))
		}
	})
}
