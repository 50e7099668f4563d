//go:build go1.27

package jose_test

import (
	"bytes"
	"crypto"
	"crypto/mldsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A mldsaVector is an example of RFC 9964's appendix. The key is the one whose seed is
// all zeros, and the signature is deterministic, so that a digest stands for both.
var mldsaVectors = []struct {
	set                   mldsa.Parameters
	pub, signature        int // bytes
	thumbprint, ofThisJWS string
}{
	{mldsa.MLDSA44(), 1312, 2420, "T4xl70S7MT6Zeq6r9V9fPJGVn76wfnXJ21-gyo0Gu6o", "2ae7b395a71470a610a0d8b6443fd4784d93ba2b7d0a752da58264eb0fd338e8"},
	{mldsa.MLDSA65(), 1952, 3309, "Suiu29qbfuaBaR4Ats-c6XQBePB_OpAxAwcTR_0KXVM", "bb1a49c32f37f5f750e73fcc6fd7cbd8cf683e8b0270b1420c02e2e63e66bc01"},
	{mldsa.MLDSA87(), 2592, 4627, "tRn1JNIkgMsABVQBlXeDHxAIcclh-2IX0UdDEzPt5XU", "7102258ffe720c7430bf087b3283867b559d7479d1142162369fec672e1804aa"},
}

// A mldsaKey signs JWTs.
type mldsaKey struct {
	*mldsa.PrivateKey
	alg string
}

func zeroKey(set mldsa.Parameters) mldsaKey {
	return mldsaKey{must(mldsa.NewPrivateKey(set, make([]byte, mldsa.PrivateKeySize))), set.String()}
}

func (k mldsaKey) jwk() string {
	return fmt.Sprintf(`{"kty":"AKP","alg":"%s","pub":"%s"}`, k.alg, part(k.PublicKey().Bytes()))
}

// sign makes a token whose header has this alg.
func (k mldsaKey) sign(alg string, options *mldsa.Options) string {
	input := part(`{"alg":"`+alg+`"}`) + "." + part(`{}`)
	return input + "." + part(must(k.SignDeterministic([]byte(input), options)))
}

func TestRFC9964Vectors(t *testing.T) {
	for _, v := range mldsaVectors {
		t.Run(v.set.String(), func(t *testing.T) {
			key := zeroKey(v.set)
			input := part(fmt.Sprintf(`{"alg":"%s","kid":"%s"}`, key.alg, v.thumbprint)) + "." + part("It’s a dangerous business, Frodo, going out your door.")
			jws := input + "." + part(must(key.SignDeterministic([]byte(input), nil)))
			if digest := sha256.Sum256([]byte(jws)); hex.EncodeToString(digest[:]) != v.ofThisJWS {
				t.Fatalf("got a JWS with digest %x; want the one of the appendix", digest)
			}
			public, err := jose.ReadJWK(key.jwk())
			if err != nil {
				t.Fatal(err)
			}
			if got, err := jose.Thumbprint(public); got != v.thumbprint || err != nil {
				t.Errorf("got the thumbprint %s, %v; want %s", got, err, v.thumbprint)
			}
			checkRoundTrip(t, public)
			token := mustParse(t, jws)
			if len(token.Signature) != v.signature || len(key.PublicKey().Bytes()) != v.pub {
				t.Errorf("got %d bytes of signature, %d of pub; want %d and %d", len(token.Signature), len(key.PublicKey().Bytes()), v.signature, v.pub)
			}
			if err := token.Verify(public); err != nil {
				t.Errorf("got %v; want nil", err)
			}
			token.SigningInput += "A"
			if err := token.Verify(public); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("changed: got %v; want %v", err, jose.ErrSignature)
			}
		})
	}
}

func TestMLDSAIsSupportedAndNotADefault(t *testing.T) {
	want := []string{"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"}
	if got := jose.Algorithms(); !slices.Equal(got, append(jose.DefaultAlgorithms(), want...)) {
		t.Errorf("got %v; want the default algorithms, and %v", got, want)
	}
	for _, alg := range want {
		if !jose.Supported(alg) || slices.Contains(jose.DefaultAlgorithms(), alg) {
			t.Errorf("%s: got supported %t, default %t; want true, false", alg, jose.Supported(alg), slices.Contains(jose.DefaultAlgorithms(), alg))
		}
	}
}

// Each algorithm verifies with the keys of its own parameter set, and with no key of any
// other algorithm; and the key of another type verifies no token of ML-DSA.
func TestMLDSACrossTable(t *testing.T) {
	for _, v := range mldsaVectors {
		key := zeroKey(v.set)
		for _, other := range mldsaVectors {
			var want error
			if other.set != v.set {
				want = jose.ErrAlgorithm
			}
			token := mustParse(t, key.sign(other.set.String(), nil))
			if got := token.Verify(key.Public()); !errors.Is(got, want) {
				t.Errorf("%s under the name of %s: got %v; want %v", key.alg, other.set, got, want)
			}
			if got := mustParse(t, key.sign(key.alg, nil)).Verify(zeroKey(other.set).Public()); !errors.Is(got, want) {
				t.Errorf("%s under the key of %s: got %v; want %v", key.alg, other.set, got, want)
			}
		}
		for _, a := range algorithms() {
			if got := mustParse(t, key.sign(key.alg, nil)).Verify(a.key.Public()); !errors.Is(got, jose.ErrAlgorithm) {
				t.Errorf("%s under the key of %s: got %v; want %v", key.alg, a.name, got, jose.ErrAlgorithm)
			}
			for _, token := range []string{key.sign(a.name, nil), sign(t, a.method, a.key, `{"alg":"`+a.name+`"}`, `{}`)} {
				if got := mustParse(t, token).Verify(key.Public()); !errors.Is(got, jose.ErrAlgorithm) {
					t.Errorf("a token of %s under the key of %s: got %v; want %v", a.name, key.alg, got, jose.ErrAlgorithm)
				}
			}
		}
	}
}

func TestMLDSAChangedSignature(t *testing.T) {
	for _, v := range mldsaVectors {
		key := zeroKey(v.set)
		good := mustParse(t, key.sign(key.alg, nil))
		if err := good.Verify(key.Public()); err != nil || !good.HasPossibleSignature() {
			t.Fatalf("%s: got %v, possible %t; want nil, true", key.alg, err, good.HasPossibleSignature())
		}
		changed := map[string][]byte{
			"empty": {}, "nil": nil, "all zero": make([]byte, v.signature), "all ones": slices.Repeat([]byte{0xff}, v.signature),
			"a byte short": good.Signature[:v.signature-1], "a byte long": append(slices.Clone(good.Signature), 0),
			"another key's":                          mustParse(t, mldsaKey{must(mldsa.GenerateKey(v.set)), key.alg}.sign(key.alg, nil)).Signature,
			"over a hash":                            must(key.Sign(nil, hashOf(good.SigningInput), nil)),
			"with a context string":                  mustParse(t, key.sign(key.alg, &mldsa.Options{Context: "JWT"})).Signature,
			"with a context string of one zero byte": mustParse(t, key.sign(key.alg, &mldsa.Options{Context: "\x00"})).Signature,
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 300 { // c~, z and the hints with their padding
			bit := random.IntN(8 * v.signature)
			signature := slices.Clone(good.Signature)
			signature[bit/8] ^= 1 << (bit % 8)
			changed[fmt.Sprint("bit ", bit)] = signature
		}
		for name, signature := range changed {
			token := good
			token.Signature = signature
			if err := token.Verify(key.Public()); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("%s, %s: got %v; want %v", key.alg, name, err, jose.ErrSignature)
			}
			if got, want := token.HasPossibleSignature(), len(signature) == v.signature; got != want {
				t.Errorf("%s, %s: got possible %t; want %t", key.alg, name, got, want)
			}
		}
	}
}

func hashOf(text string) []byte {
	digest := sha256.Sum256([]byte(text))
	return digest[:]
}

func TestWhichAKPKeysAreRead(t *testing.T) {
	key := zeroKey(mldsa.MLDSA44())
	good, pub := key.jwk(), key.PublicKey().Bytes()
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, c := range []struct {
		name, jwk string
		read      bool
	}{
		{"good", good, true},
		{"other members of any type", with("}", `,"kid":1,"use":["enc"],"x5c":["?"]}`), true},
		{"no alg", with(`"alg":"ML-DSA-44",`, ""), false},
		{"alg null", with(`"ML-DSA-44"`, "null"), false},
		{"alg a number", with(`"ML-DSA-44"`, "44"), false},
		{"alg of another set", with("ML-DSA-44", "ML-DSA-65"), false},
		{"alg of another type", with("ML-DSA-44", "RS256"), false},
		{"alg of a composite", with("ML-DSA-44", "ML-DSA-44-ES256"), false},
		{"alg in small letters", with("ML-DSA-44", "ml-dsa-44"), false},
		{"no pub", fmt.Sprintf(`{"kty":"AKP","alg":"%s"}`, key.alg), false},
		{"pub a number", with(`"`+part(pub)+`"`, "1"), false},
		{"pub empty", with(part(pub), ""), false},
		{"pub a byte short", with(part(pub), part(pub[:1311])), false},
		{"pub a byte long", with(part(pub), part(append(bytes.Clone(pub), 0))), false},
		{"pub with padding", with(part(pub), part(pub)+"=="), false},
		{"pub in another spelling", with(part(pub), part(pub)[:1749]+"R"), false},
		{"pub with a line break", with(part(pub), part(pub)+`\n`), false},
		{"priv", with("}", `,"priv":"`+part(make([]byte, 32))+`"}`), false},
		{"priv empty", with("}", `,"priv":""}`), false},
		{"kty in small letters", with("AKP", "akp"), false},
		{"kty RSA", with("AKP", "RSA"), false},
		{"kty OKP", with("AKP", "OKP"), false},
	} {
		_, err := jose.ReadJWK(c.jwk)
		if (err == nil) != c.read {
			t.Errorf("%s: got %v; want it read: %t", c.name, err, c.read)
		}
		if err != nil && strings.Contains(err.Error(), part(pub)[:20]) {
			t.Errorf("%s: got %v; want no value of the key in it", c.name, err)
		}
	}
	if part(pub)[1749:] != "Q" { // the spelling with spare bits is its neighbour
		t.Fatalf("got %q as the last character of pub; want Q", part(pub)[1749:])
	}
}

func TestMLDSAKeysThatAreOfNoUse(t *testing.T) {
	token := mustParse(t, zeroKey(mldsa.MLDSA44()).sign("ML-DSA-44", nil))
	for name, key := range map[string]crypto.PublicKey{
		"nil": (*mldsa.PublicKey)(nil), "zero": new(mldsa.PublicKey), "private": zeroKey(mldsa.MLDSA44()).PrivateKey, "a value": *zeroKey(mldsa.MLDSA44()).PublicKey(),
	} {
		if err := token.Verify(key); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%s: got %v; want %v", name, err, jose.ErrAlgorithm)
		}
		if got, err := jose.Thumbprint(key); got != "" || err == nil {
			t.Errorf("%s: got the thumbprint %q, %v; want an error", name, got, err)
		}
	}
}

func TestMLDSASign(t *testing.T) {
	for _, v := range mldsaVectors {
		key := zeroKey(v.set)
		signature, err := jose.Sign(key.PrivateKey, key.alg, "header.payload")
		token := jose.Token{Header: &jose.Header{Algorithm: key.alg}, SigningInput: "header.payload", Signature: signature}
		if err != nil || token.Verify(key.Public()) != nil {
			t.Errorf("%s: got %v, and %v from Verify; want a good signature", key.alg, err, token.Verify(key.Public()))
		}
	}
}

// BenchmarkVerifySignature sets ML-DSA beside what it replaces.
func BenchmarkVerifySignature(b *testing.B) {
	run := func(alg, jws string, key crypto.PublicKey) {
		token := mustParse(b, jws)
		b.Run("alg="+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := token.Verify(key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, a := range algorithms() {
		if a.name == "RS256" || a.name == "ES256" || a.name == "Ed25519" {
			run(a.name, sign(b, a.method, a.key, `{"alg":"`+a.name+`"}`, `{}`), a.key.Public())
		}
	}
	for _, v := range mldsaVectors {
		run(v.set.String(), zeroKey(v.set).sign(v.set.String(), nil), zeroKey(v.set).Public())
	}
}
