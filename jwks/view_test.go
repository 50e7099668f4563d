package jwks_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken/internal/dryrun"
	"github.com/accesstoken/accesstoken/jwks"
)

// shared is a document of several issuers, in which a kid is there twice.
func shared() string {
	key := func(kid, issuer string) members {
		more := members{}
		if issuer != "" {
			more["issuer"] = issuer
		}
		return jwk(&newECKey().PublicKey, kid, more)
	}
	return document(key("a", "https://a.example"), key("b", "https://b.example"), key("any", ""),
		key("both", "https://a.example"), key("both", "https://b.example"))
}

func askView(t *testing.T, view *jwks.View, kid string, want int) {
	t.Helper()
	keys, generation, err := view.Keys(t.Context(), kid, "ES256")
	if len(keys) != want || err != nil || generation == 0 {
		t.Errorf("Keys(%q): got %d keys, generation %d, %v; want %d keys", kid, len(keys), generation, err, want)
	}
}

func TestAViewLeavesOutTheKeysOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(shared())
		cache := open(t, s, nil)
		view := cache.For("https://a.example", "https://other.example")
		if err := view.Ready(); err == nil {
			t.Error("Ready before a fetch: got nil; want an error")
		}
		if err := view.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		for kid, want := range map[string]int{"a": 1, "b": 0, "any": 1, "both": 1, "": 3} {
			askView(t, view, kid, want)
		}
		if keys, _, err := view.Keys(t.Context(), "a", "RS256"); keys != nil || err == nil {
			t.Errorf("Keys for another algorithm: got %d, %v; want an error", len(keys), err)
		}
		ask(t, cache, "b", found) // the cache itself leaves nothing out
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1: a key of another issuer is no reason to ask", got)
		}
	})
}

// A dry run answers as a request would, and holds nothing afterwards.
func TestADryRunLeavesOutTheKeysOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(shared())
		view := open(t, s, nil).For("https://a.example", "https://other.example")
		for kid, want := range map[string]int{"a": 1, "b": 0, "any": 1, "both": 1, "": 3} {
			keys, _, err := view.Keys(dryrun.Context(t.Context()), kid, "ES256")
			if len(keys) != want || err != nil {
				t.Errorf("Keys(%q): got %d keys, %v; want %d keys", kid, len(keys), err, want)
			}
		}
		if got := s.fetches(keysURL); got != 5 || view.Ready() == nil {
			t.Errorf("got %d fetches, and Ready is %v; want one for each call, and not ready", got, view.Ready())
		}
	})
}

func TestAViewOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		s.set(keysURL, errDown)
		view := open(t, s, nil).For("https://a.example")
		if err := view.Warm(t.Context()); err == nil {
			t.Error("Warm: got nil; want why there are no keys")
		}
		if keys, _, err := view.Keys(t.Context(), "a", "ES256"); keys != nil || err == nil {
			t.Errorf("Keys: got %d, %v; want why there are none", len(keys), err)
		}
	})
}

func TestAViewFollowsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(shared())
		cache := open(t, s, nil)
		view := cache.For("https://a.example")
		askView(t, view, "a", 1)
		s.publish(document(jwk(&newECKey().PublicKey, "a", members{"issuer": "https://b.example"}), jwk(&newECKey().PublicKey, "c", nil)))
		time.Sleep(2 * time.Hour)
		askView(t, view, "a", 0)
		askView(t, view, "c", 1)
		if err := cache.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := view.Keys(t.Context(), "c", "ES256"); err == nil {
			t.Error("after Close: got nil; want an error")
		}
	})
}

// Whose a key is must outlive a restart.
func TestAViewOfRestoredKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		save(t, file, shared())
		s := serve("")
		s.set(keysURL, errDown)
		view := open(t, s, keptIn(file)).For("https://a.example")
		askView(t, view, "a", 1)
		askView(t, view, "b", 0)
	})
}

func TestAViewAllocatesNothing(t *testing.T) {
	s := serve(shared())
	view := open(t, s, nil).For("https://a.example")
	askView(t, view, "a", 1)
	if got := testing.AllocsPerRun(100, func() { _, _, _ = view.Keys(t.Context(), "a", "ES256") }); got != 0 {
		t.Errorf("got %v allocations; want none", got)
	}
}
