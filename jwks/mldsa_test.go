//go:build go1.27

package jwks_test

import (
	"crypto"
	"crypto/mldsa"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/jwks"
)

func newMLDSA(set mldsa.Parameters) *mldsa.PublicKey {
	return must(mldsa.GenerateKey(set)).PublicKey()
}

// akp writes an ML-DSA key as jwk does the keys of other types.
func akp(key *mldsa.PublicKey, kid string, more members) members {
	all := members{"kty": "AKP", "alg": key.Parameters().String(), "pub": b64(key.Bytes())}
	for name, value := range more {
		all[name] = value
	}
	return jwk(nil, kid, all)
}

// JOSE-24.
func TestWhichMLDSAKeysAreUsed(t *testing.T) {
	key := newMLDSA(mldsa.MLDSA65())
	for _, c := range []struct {
		name string
		key  members
		want string // why it is left out, or ""
	}{
		{"ML-DSA-44", akp(newMLDSA(mldsa.MLDSA44()), "k", nil), ""},
		{"ML-DSA-65", akp(key, "k", nil), ""},
		{"ML-DSA-87", akp(newMLDSA(mldsa.MLDSA87()), "k", nil), ""},
		{"no kid", akp(key, "", nil), ""},
		{"use and key_ops", akp(key, "k", members{"use": "sig", "key_ops": []string{"verify"}}), ""},
		{"no alg", akp(key, "k", members{"alg": nil}), "its alg is not ML-DSA-44"},
		{"alg of another set", akp(key, "k", members{"alg": "ML-DSA-87"}), "its key values"},
		{"alg RS256", akp(key, "k", members{"alg": "RS256"}), "its alg is not ML-DSA-44"},
		{"an RSA key that says ML-DSA", jwk(&rsaKey().PublicKey, "k", members{"alg": "ML-DSA-65"}), "its alg is not a signature algorithm of its type"},
		{"pub cut off", akp(key, "k", members{"pub": b64(key.Bytes()[1:])}), "its key values"},
		{"pub with padding", akp(key, "k", members{"pub": b64(key.Bytes()) + "="}), "its key values"},
		{"pub a number", akp(key, "k", members{"pub": 1}), "its key values"},
		{"no pub", akp(key, "k", members{"pub": nil}), "its key values"},
		{"priv", akp(key, "k", members{"priv": b64(make([]byte, 32))}), "private key material"},
		{"use enc", akp(key, "k", members{"use": "enc"}), `its use is not "sig"`},
		{"key_ops without verify", akp(key, "k", members{"key_ops": []string{"sign"}}), "its key_ops"},
		{"a kid of 257 bytes", akp(key, strings.Repeat("k", 257), nil), "its kid"},
	} {
		keys, _, err := jwks.ReadSet([]byte(document(c.key)))
		if c.want == "" && (err != nil || len(keys) == 0) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %d keys, %v; want %q", c.name, len(keys), err, c.want)
		}
	}
}

// A kid that keys of several types share finds the key of the token's alg.
func TestMLDSAKeysBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keys")
		small, large := newMLDSA(mldsa.MLDSA44()), newMLDSA(mldsa.MLDSA65())
		want := map[string]crypto.PublicKey{"RS256": &rsaKey().PublicKey, "ES256": &ecKey().PublicKey, "ML-DSA-44": small, "ML-DSA-65": large}
		s := serve(document(jwk(&rsaKey().PublicKey, "k", nil), akp(small, "k", nil), jwk(&ecKey().PublicKey, "k", nil),
			akp(large, "k", members{"issuer": issuer}), akp(newMLDSA(mldsa.MLDSA44()), "other", nil)))
		cache := open(t, s, keptIn(file))
		warm(t, cache)
		synctest.Wait()
		down := serve("")
		down.set(keysURL, errDown)
		for name, cache := range map[string]*jwks.Cache{"fetched": cache, "restored": open(t, down, keptIn(file))} {
			for alg, key := range want {
				keys, _, err := cache.Keys(t.Context(), "k", alg)
				if len(keys) != 1 || err != nil || !jose.Contains(keys, key) {
					t.Errorf("%s, %s: got %v, %v; want its key only", name, alg, keys, err)
				}
			}
			if keys, _, err := cache.Keys(t.Context(), "k", "ML-DSA-87"); keys != nil || !errors.Is(err, jose.ErrAlgorithm) {
				t.Errorf("%s, ML-DSA-87: got %v, %v; want %v", name, keys, err, jose.ErrAlgorithm)
			}
			if keys, _, err := cache.For("https://other.example").Keys(t.Context(), "k", "ML-DSA-65"); keys != nil || err != nil {
				t.Errorf("%s, for another issuer: got %v, %v; want no key", name, keys, err)
			}
		}
		checkStorageWithoutAKP(t, cache.Storage())
	})
}

// checkStorageWithoutAKP expects the RSA and the EC key of a set.
func checkStorageWithoutAKP(t *testing.T, storage jwkset.Storage) {
	t.Helper()
	if keys, err := storage.KeyReadAll(t.Context()); len(keys) != 2 || err != nil {
		t.Errorf("KeyReadAll: got %d keys, %v; want 2", len(keys), err)
	}
	if set, err := storage.Marshal(t.Context()); len(set.Keys) != 2 || err != nil {
		t.Errorf("Marshal: got %d keys, %v; want 2", len(set.Keys), err)
	}
	if key, err := storage.KeyRead(t.Context(), "k"); key.Key() == nil || err != nil {
		t.Errorf("KeyRead: got %v, %v; want a key", key.Key(), err)
	}
	if _, err := storage.KeyRead(t.Context(), "other"); !errors.Is(err, jwkset.ErrKeyNotFound) {
		t.Errorf("KeyRead of an ML-DSA key: got %v; want ErrKeyNotFound", err)
	}
}

func TestANewMLDSAKeyUnderTheSameKid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(document(akp(newMLDSA(mldsa.MLDSA44()), "k", nil)))
		cache := open(t, s, atOnce)
		warm(t, cache)
		next := newMLDSA(mldsa.MLDSA44())
		s.publish(document(akp(next, "k", nil)))
		time.Sleep(time.Minute) // the miss budget is full again
		_, generation, _ := cache.Keys(t.Context(), "k", "ML-DSA-44")
		keys, newer, err := cache.KeysAfter(t.Context(), "k", "ML-DSA-44", generation)
		if len(keys) != 1 || !jose.Contains(keys, next) || newer == generation || err != nil {
			t.Errorf("got %v, generation %d after %d, %v; want the new key", keys, newer, generation, err)
		}
	})
}
