package jwks_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/jwks"
)

// A PEM file has no kid, and neither do the sets that are made of one. What a
// token says is then a hint without use (RFC 7515 §4.1.4).
func TestKeysWithoutKidServeATokenThatNamesOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newECKey(), newECKey()
		s := serve(document(jwk(&one.PublicKey, "", nil), jwk(&two.PublicKey, "", nil), jwk(&rsaKey().PublicKey, "", nil)))
		cache := open(t, s, nil)
		view := cache.For("https://a.example")
		static := jwks.Static(setKey(&one.PublicKey, jwkset.JWKMetadataOptions{}), setKey(&two.PublicKey, jwkset.JWKMetadataOptions{}))
		if err := static.Err(); err != nil {
			t.Fatal(err)
		}
		memory := jwkset.NewMemoryStorage()
		if err := memory.KeyWrite(t.Context(), setKey(&one.PublicKey, jwkset.JWKMetadataOptions{})); err != nil {
			t.Fatal(err)
		}
		other := jwks.FromKeyfunc(must(keyfunc.New(keyfunc.Options{Storage: memory})))
		for name, c := range map[string]struct {
			source interface {
				Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error)
			}
			want int
		}{"a Cache": {cache, 2}, "a View": {view, 2}, "a Set": {static, 2}, "a KeyfuncSource": {other, 1}} {
			keys, _, err := c.source.Keys(t.Context(), "named", "ES256")
			if len(keys) != c.want || err != nil {
				t.Errorf("%s: got %d keys, %v; want %d", name, len(keys), err, c.want)
			}
		}
		token := jwt.New(jwt.SigningMethodES256)
		token.Header["kid"] = "named"
		if _, err := jwt.Parse(must(token.SignedString(two)), cache.Keyfunc); err != nil {
			t.Errorf("Keyfunc: got %v; want nil", err)
		}
		if keys, _, err := cache.Keys(t.Context(), "named", "RS256"); len(keys) != 1 || err != nil {
			t.Errorf("RS256: got %d keys, %v; want the one that fits", len(keys), err)
		}
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1", got)
		}
	})
}

func TestAStorageWithoutKidsServesATokenThatNamesOne(t *testing.T) {
	s := serve(document(jwk(&ecKey().PublicKey, "", nil)))
	storage := open(t, s, nil).Storage()
	for _, kid := range []string{"named", "", "other"} {
		key, err := storage.KeyRead(t.Context(), kid)
		if err != nil || !ecKey().PublicKey.Equal(key.Key()) {
			t.Errorf("%q: got %v, %v; want the only key", kid, key.Key(), err)
		}
	}
	if got := s.fetches(keysURL); got != 1 {
		t.Errorf("got %d fetches; want 1", got)
	}
}

func TestReadersOfAStorageWithoutKidsShareAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(document(jwk(&ecKey().PublicKey, "", nil)))
		s.slow(time.Second)
		storage := open(t, s, nil).Storage()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				if _, err := storage.KeyRead(t.Context(), fmt.Sprint("named ", i)); err != nil {
					t.Errorf("got %v; want the only key", err)
				}
			})
		}
		wg.Wait()
		if got := s.fetches(keysURL); got != 1 {
			t.Errorf("got %d fetches; want 1", got)
		}
	})
}

func TestOneKeyWithAKidIsEnoughForKidsToCount(t *testing.T) {
	cache := open(t, serve(document(jwk(&ecKey().PublicKey, "", nil), jwk(&newECKey().PublicKey, "a", nil))), nil)
	ask(t, cache, "named", notThere)
	if _, err := cache.Storage().KeyRead(t.Context(), "named"); !errors.Is(err, jwkset.ErrKeyNotFound) {
		t.Errorf("KeyRead: got %v; want ErrKeyNotFound", err)
	}
	memory := jwkset.NewMemoryStorage()
	for _, kid := range []string{"", "a"} {
		if err := memory.KeyWrite(t.Context(), setKey(&newECKey().PublicKey, jwkset.JWKMetadataOptions{KID: kid})); err != nil {
			t.Fatal(err)
		}
	}
	other := jwks.FromKeyfunc(must(keyfunc.New(keyfunc.Options{Storage: memory})))
	if keys, _, err := other.Keys(t.Context(), "named", "ES256"); keys != nil || err != nil {
		t.Errorf("a KeyfuncSource: got %v, %v; want not there", keys, err)
	}
}

func TestAtMostFourKeysWithoutKidAreTried(t *testing.T) {
	var keys []members
	for range 7 {
		keys = append(keys, jwk(&newECKey().PublicKey, "", nil))
	}
	cache := open(t, serve(document(keys...)), nil)
	if some, _, err := cache.Keys(t.Context(), "named", "ES256"); len(some) != 4 || err != nil {
		t.Errorf("got %d keys, %v; want 4", len(some), err)
	}
}

// An issuer stops writing kids. Its tokens have a kid that is a hint without use, and
// the doubt about its former key costs them nothing.
func TestKeysWithoutKidServeAnyKidWhileANamedKeyIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unnamed := newECKey()
		s := serve(document(jwk(&newECKey().PublicKey, "a", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(jwk(&unnamed.PublicKey, "", nil)))
		fetchNow(t, cache, s)
		for kid, want := range map[string]int{"x": 1, "a": 2} {
			keys, _, err := cache.Keys(t.Context(), kid, "ES256")
			if err != nil || len(keys) != want || !unnamed.PublicKey.Equal(keys[0]) {
				t.Errorf("kid %q: got %v, %v; want %d keys, the only one published first", kid, keys, err, want)
			}
		}
	})
}

// The other way around: tokens signed by the former key, which has no kid, are what the
// doubt is for.
func TestAFormerKeyWithoutKidServesAnyKidWhileItIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unnamed := newECKey()
		s := serve(document(jwk(&unnamed.PublicKey, "", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(jwk(&newECKey().PublicKey, "b", nil)))
		time.Sleep(time.Until(cache.State().NextRefresh))
		synctest.Wait()
		for kid, want := range map[string]int{"x": 1, "b": 2} { // what is published comes first
			keys, _, err := cache.Keys(t.Context(), kid, "ES256")
			if err != nil || len(keys) != want || !unnamed.PublicKey.Equal(keys[want-1]) {
				t.Errorf("kid %q: got %v, %v; want %d keys, the one that verified before last", kid, keys, err, want)
			}
		}
	})
}

func TestAKeyWithoutKidThatWasBesideOthersServesNoKidWhileItIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := jwk(&newECKey().PublicKey, "a", nil)
		s := serve(document(a, jwk(&newECKey().PublicKey, "", nil)))
		cache := open(t, s, nil)
		warm(t, cache)
		s.publish(document(a))
		fetchNow(t, cache, s)
		if keys, _, _ := cache.Keys(t.Context(), "", "ES256"); len(keys) != 2 {
			t.Fatalf("without kid: got %d keys; want the one in doubt as well", len(keys))
		}
		ask(t, cache, "x", notThere)
	})
}
