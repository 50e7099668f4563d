package jwks_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/jwks"
)

func setKey(key any, options jwkset.JWKMetadataOptions) jwkset.JWK {
	return must(jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: options, Marshal: jwkset.JWKMarshalOptions{Private: true}}))
}

func TestStatic(t *testing.T) {
	set := jwks.Static(
		setKey(&rsaKey().PublicKey, jwkset.JWKMetadataOptions{KID: "rsa"}),
		setKey(&ecKey().PublicKey, jwkset.JWKMetadataOptions{KID: "ec", ALG: "ES256", USE: "sig"}),
		setKey(edKey().Public(), jwkset.JWKMetadataOptions{KID: "ed"}),
	)
	if err := set.Err(); err != nil {
		t.Fatalf("Err: got %v; want nil", err)
	}
	for _, c := range []struct {
		kid, alg string
		want     crypto.PublicKey
		err      error
	}{
		{"rsa", "PS512", &rsaKey().PublicKey, nil},
		{"ec", "ES256", &ecKey().PublicKey, nil},
		{"", "ES256", &ecKey().PublicKey, nil},
		{"ed", "EdDSA", edKey().Public(), nil},
		{"ed", "Ed25519", nil, jose.ErrAlgorithm}, // jwkset declares EdDSA
		{"ec", "RS256", nil, jose.ErrAlgorithm},
		{"rsa", "HS256", nil, jose.ErrAlgorithm},
		{"other", "RS256", nil, nil},
		{"", "ES384", nil, nil},
	} {
		keys, generation, err := set.Keys(t.Context(), c.kid, c.alg)
		if !errors.Is(err, c.err) || (len(keys) == 1) != (c.want != nil) {
			t.Errorf("%q with %s: got %v, %v; want %v, %v", c.kid, c.alg, keys, err, c.want, c.err)
		}
		if err == nil && generation != 1 {
			t.Errorf("%q with %s: got generation %d; want 1", c.kid, c.alg, generation)
		}
		if len(keys) == 1 && !keys[0].(interface{ Equal(crypto.PublicKey) bool }).Equal(c.want) {
			t.Errorf("%q with %s: got another key", c.kid, c.alg)
		}
	}
}

func TestStaticReportsWhatItCannotUse(t *testing.T) {
	short := must(rsa.GenerateKey(rand.Reader, 1024))
	good := setKey(&ecKey().PublicKey, jwkset.JWKMetadataOptions{KID: "good"})
	for _, c := range []struct {
		name string
		keys []jwkset.JWK
		want string
	}{
		{"none", nil, "needs a key"},
		{"the zero JWK", []jwkset.JWK{{}}, "key 0: it is not RSA"},
		{"private RSA", []jwkset.JWK{setKey(rsaKey(), jwkset.JWKMetadataOptions{})}, "key 0: it carries private"},
		{"private EC", []jwkset.JWK{good, setKey(ecKey(), jwkset.JWKMetadataOptions{})}, "key 1: it carries private"},
		{"private Ed25519", []jwkset.JWK{setKey(edKey(), jwkset.JWKMetadataOptions{})}, "key 0: it carries private"},
		{"symmetric", []jwkset.JWK{setKey([]byte("secret"), jwkset.JWKMetadataOptions{})}, "key 0: it is symmetric"},
		{"short RSA", []jwkset.JWK{setKey(&short.PublicKey, jwkset.JWKMetadataOptions{})}, "2048"},
		{"to encrypt with", []jwkset.JWK{setKey(&rsaKey().PublicKey, jwkset.JWKMetadataOptions{USE: "enc"})}, "use"},
		{"for another algorithm", []jwkset.JWK{setKey(&rsaKey().PublicKey, jwkset.JWKMetadataOptions{ALG: "RSA-OAEP"})}, "alg"},
		{"two at once", []jwkset.JWK{{}, {}}, "key 1: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := jwks.Static(c.keys...)
			if err := set.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Err: got %v; want %q", err, c.want)
			}
			keys, _, _ := set.Keys(t.Context(), "", "RS256")
			if keys != nil {
				t.Errorf("Keys: got %v; want none", keys)
			}
		})
	}
}

// A source that fails, or hands out whatever it is told to.
type odd struct {
	key any
	err error
}

func (o odd) Keyfunc(token *jwt.Token) (any, error) { return o.key, o.err }

func (o odd) KeyfuncCtx(context.Context) jwt.Keyfunc {
	return func(*jwt.Token) (any, error) { return o.key, o.err }
}

func (o odd) Storage() jwkset.Storage { return nil }

func (o odd) VerificationKeySet(context.Context) (jwt.VerificationKeySet, error) {
	return jwt.VerificationKeySet{}, o.err
}

func TestFromKeyfunc(t *testing.T) {
	storage := jwkset.NewMemoryStorage()
	for _, key := range []jwkset.JWK{
		setKey(&rsaKey().PublicKey, jwkset.JWKMetadataOptions{KID: "rsa"}),
		setKey(&rsaKey().PublicKey, jwkset.JWKMetadataOptions{KID: "rs256", ALG: "RS256"}),
		setKey(ecKey(), jwkset.JWKMetadataOptions{KID: "ec"}), // keyfunc hands out the public part
		setKey(edKey().Public(), jwkset.JWKMetadataOptions{KID: "ed"}),
		setKey([]byte("secret"), jwkset.JWKMetadataOptions{KID: "secret"}),
	} {
		if err := storage.KeyWrite(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	real := must(keyfunc.New(keyfunc.Options{Storage: storage}))
	down := errors.New("storage down")
	short := &must(rsa.GenerateKey(rand.Reader, 1024)).PublicKey
	for _, c := range []struct {
		name     string
		keyfunc  keyfunc.Keyfunc
		kid, alg string
		want     int
		err      error
	}{
		{"a kid", real, "rsa", "RS256", 1, nil},
		{"a private key's kid", real, "ec", "ES256", 1, nil},
		{"an Ed25519 key", real, "ed", "EdDSA", 1, nil},
		{"no kid, one type fits", real, "", "ES256", 1, nil},
		{"no kid, two keys fit", real, "", "RS256", 2, nil},
		{"no kid, none fits", real, "", "ES512", 0, nil},
		{"an unknown kid", real, "other", "RS256", 0, nil},
		{"a kid too long", odd{err: down}, strings.Repeat("k", 257), "RS256", 0, nil},
		{"a key of another type", real, "rsa", "ES256", 0, jose.ErrAlgorithm},
		{"a key that declares another alg", real, "rs256", "PS256", 0, jose.ErrAlgorithm},
		{"HMAC", real, "secret", "HS256", 0, jose.ErrAlgorithm},
		{"ML-DSA, which golang-jwt lacks", odd{err: down}, "rsa", "ML-DSA-44", 0, jose.ErrAlgorithm},
		{"a symmetric key", real, "secret", "RS256", 0, nil},
		{"a failure", odd{err: down}, "rsa", "RS256", 0, down},
		{"a failure, no kid", odd{err: down}, "", "RS256", 0, down},
		{"a short key", odd{key: short}, "", "RS256", 0, nil},
		{"an RSA key with exponent 1", odd{key: modulus(2048, 1)}, "", "RS256", 0, nil},
		{"a nil key", odd{key: (*rsa.PublicKey)(nil)}, "", "RS256", 0, nil},
		{"an EC key without curve", odd{key: &ecdsa.PublicKey{}}, "", "ES256", 0, nil},
		{"an Ed25519 key cut off", odd{key: ed25519.PublicKey("short")}, "", "Ed25519", 0, nil},
		{"nothing", odd{}, "", "RS256", 0, nil},
		{"too many", odd{key: jwt.VerificationKeySet{Keys: []jwt.VerificationKey{
			edKey().Public(), edKey().Public(), edKey().Public(), edKey().Public(), edKey().Public(),
		}}}, "", "Ed25519", 4, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := jwks.FromKeyfunc(c.keyfunc)
			if err := source.Err(); err != nil {
				t.Fatalf("Err: got %v; want nil", err)
			}
			keys, generation, err := source.Keys(t.Context(), c.kid, c.alg)
			if len(keys) != c.want || !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Errorf("got %d keys, %v; want %d, %v", len(keys), err, c.want, c.err)
			}
			if generation != 0 {
				t.Errorf("got generation %d; want 0", generation)
			}
		})
	}
	t.Run("nil is reported", func(t *testing.T) {
		source := jwks.FromKeyfunc(nil)
		if _, _, err := source.Keys(t.Context(), "a", "RS256"); source.Err() == nil || err == nil {
			t.Errorf("got %v and %v; want errors", source.Err(), err)
		}
	})
}
