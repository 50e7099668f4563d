package jwks_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/jwks"
)

func TestAStorageReadsTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(document(jwk(&ecKey().PublicKey, "a", members{"alg": "ES256", "use": "sig"})))
		storage := open(t, s, nil).Storage()
		key, err := storage.KeyRead(t.Context(), "a")
		if err != nil || !ecKey().PublicKey.Equal(key.Key()) {
			t.Fatalf("KeyRead: got %v, %v; want the key", key.Key(), err)
		}
		if m := key.Marshal(); m.KID != "a" || m.ALG != jwkset.AlgES256 || m.USE != jwkset.UseSig {
			t.Errorf("got %+v; want kid, alg and use as published", m)
		}
		s.publish(ec("a", "b"))
		if _, err := storage.KeyRead(t.Context(), "b"); err != nil {
			t.Errorf("after a rotation: got %v; want nil", err)
		}
		if _, err := storage.KeyRead(t.Context(), "made up"); !errors.Is(err, jwkset.ErrKeyNotFound) {
			t.Errorf("unknown kid: got %v; want ErrKeyNotFound", err)
		}
		for range 100 {
			_, _ = storage.KeyRead(t.Context(), "made up")
			_, _ = storage.KeyRead(t.Context(), "")
		}
		if got := s.fetches(keysURL); got != 3 {
			t.Errorf("got %d fetches; want 3: the first, and the two of the budget", got)
		}
		s.set(keysURL, page{status: 500})
		time.Sleep(2 * time.Hour)
		if _, err := storage.KeyRead(t.Context(), "other"); err == nil || errors.Is(err, jwkset.ErrKeyNotFound) {
			t.Errorf("in an outage: got %v; want an error that is not ErrKeyNotFound", err)
		}
	})
}

func TestAStorageWithoutKeysSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve("")
		storage := open(t, s, nil).Storage()
		if _, err := storage.KeyReadAll(t.Context()); err == nil {
			t.Error("KeyReadAll: got nil; want an error")
		}
		if _, err := storage.JSON(t.Context()); err == nil {
			t.Error("JSON: got nil; want an error")
		}
		if _, err := storage.KeyRead(t.Context(), "a"); err == nil || errors.Is(err, jwkset.ErrKeyNotFound) {
			t.Errorf("KeyRead: got %v; want an error that is not ErrKeyNotFound", err)
		}
	})
}

func TestAStorageIsReadOnly(t *testing.T) {
	storage := open(t, serve(ec("a")), nil).Storage()
	_, deleted := storage.KeyDelete(t.Context(), "a")
	for name, err := range map[string]error{
		"KeyDelete":     deleted,
		"KeyWrite":      storage.KeyWrite(t.Context(), jwkset.JWK{}),
		"KeyReplaceAll": storage.KeyReplaceAll(t.Context(), nil),
	} {
		if err == nil {
			t.Errorf("%s: got nil; want an error", name)
		}
	}
}

func TestAStorageWritesTheSetAsJSON(t *testing.T) {
	storage := open(t, serve(document(jwk(&ecKey().PublicKey, "a", nil), jwk(edKey().Public(), "b", nil))), nil).Storage()
	ctx := t.Context()
	options, validate := jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{}
	for name, write := range map[string]func() (json.RawMessage, error){
		"JSON":            func() (json.RawMessage, error) { return storage.JSON(ctx) },
		"JSONPublic":      func() (json.RawMessage, error) { return storage.JSONPublic(ctx) },
		"JSONPrivate":     func() (json.RawMessage, error) { return storage.JSONPrivate(ctx) },
		"JSONWithOptions": func() (json.RawMessage, error) { return storage.JSONWithOptions(ctx, options, validate) },
		"Marshal": func() (json.RawMessage, error) {
			m, err := storage.Marshal(ctx)
			return must(json.Marshal(m)), err
		},
		"MarshalWithOptions": func() (json.RawMessage, error) {
			m, err := storage.MarshalWithOptions(ctx, options, validate)
			return must(json.Marshal(m)), err
		},
	} {
		text, err := write()
		if err != nil || strings.Contains(string(text), `"d"`) {
			t.Errorf("%s: got %s, %v; want public keys", name, text, err)
			continue
		}
		cache := open(t, serve(string(text)), nil)
		ask(t, cache, "a", found)
		if keys, _, err := cache.Keys(ctx, "b", "EdDSA"); len(keys) != 1 || err != nil {
			t.Errorf("%s: got %v, %v for b; want its key", name, keys, err)
		}
	}
}

// The acceptance of a keyfunc that stands on the cache is the cache's own.
func TestAKeyfuncStandsOnTheCache(t *testing.T) {
	s := serve(document(jwk(&ecKey().PublicKey, "a", members{"alg": "ES256"})))
	k, err := keyfunc.New(keyfunc.Options{Storage: open(t, s, nil).Storage()})
	if err != nil {
		t.Fatal(err)
	}
	sign := func(kid string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"sub": "alice"})
		if kid != "" {
			token.Header["kid"] = kid
		}
		return must(token.SignedString(ecKey()))
	}
	for kid, want := range map[string]error{"a": nil, "": nil, "made up": jwkset.ErrKeyNotFound} {
		if _, err := jwt.Parse(sign(kid), k.Keyfunc); !errors.Is(err, want) {
			t.Errorf("kid %q: got %v; want %v", kid, err, want)
		}
	}
	source := jwks.FromKeyfunc(k)
	if keys, _, err := source.Keys(t.Context(), "a", "ES256"); len(keys) != 1 || err != nil {
		t.Errorf("and back: got %v, %v; want the key", keys, err)
	}
}

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
func TestAStorageHasThePublishedKeyOfAKidWhileTheFormerIsInDoubt(t *testing.T) {
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
