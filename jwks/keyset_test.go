package jwks_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/jwks"
)

// modulus returns an RSA public key that has the form only: what counts here
// is its size.
func modulus(bits, exponent int) *rsa.PublicKey {
	n := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits))))
	return &rsa.PublicKey{N: n.SetBit(n.SetBit(n, bits-1, 1), 0, 1), E: exponent}
}

// lowECKey returns a P-256 key whose x begins with a zero byte, as one of 256
// does.
func lowECKey() (key *ecdsa.PublicKey, x []byte) {
	for {
		key := &newECKey().PublicKey
		if x := must(key.Bytes())[1:33]; x[0] == 0 {
			return key, x
		}
	}
}

func TestJWK01And02WhichKeysAreUsed(t *testing.T) {
	rsaPublic, ecPublic, edPublic := &rsaKey().PublicKey, &ecKey().PublicKey, edKey().Public()
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).Public()
	p521 := must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).Public()
	even := modulus(2048, 65537)
	even.N.SetBit(even.N, 0, 0)
	point := must(ecPublic.Bytes())[1:]
	low, lowX := lowECKey()
	for _, c := range []struct {
		name string
		key  members
		used bool
	}{
		{"RSA", jwk(rsaPublic, "k", nil), true},
		{"P-256", jwk(ecPublic, "k", nil), true},
		{"P-384", jwk(p384, "k", nil), true},
		{"P-521", jwk(p521, "k", nil), true},
		{"Ed25519", jwk(edPublic, "k", nil), true},
		{"no kid", jwk(ecPublic, "", nil), true},
		{"a kid of 256 bytes", jwk(ecPublic, strings.Repeat("k", 256), nil), true},
		{"a kid of 257 bytes", jwk(ecPublic, strings.Repeat("k", 257), nil), false},
		{"a kid that is a number", jwk(ecPublic, "", members{"kid": 1}), false},
		{"absent members written as null", jwk(ecPublic, "k", members{"use": json.RawMessage("null"), "d": json.RawMessage("null")}), true},

		{"use sig", jwk(ecPublic, "k", members{"use": "sig"}), true},
		{"use enc", jwk(ecPublic, "k", members{"use": "enc"}), false},
		{"use SIG", jwk(ecPublic, "k", members{"use": "SIG"}), false},
		{"use of another trade", jwk(ecPublic, "k", members{"use": "jwt-svid"}), false},
		{"Use is another member", jwk(ecPublic, "k", members{"Use": "enc"}), true},
		{"key_ops with verify", jwk(ecPublic, "k", members{"key_ops": []string{"own", "verify"}}), true},
		{"key_ops without", jwk(ecPublic, "k", members{"key_ops": []string{"encrypt"}}), false},
		{"key_ops empty", jwk(ecPublic, "k", members{"key_ops": []string{}}), false},
		{"key_ops a string", jwk(ecPublic, "k", members{"key_ops": "verify"}), false},
		{"key_ops null", jwk(ecPublic, "k", members{"key_ops": json.RawMessage("null")}), false},
		{"key_ops with verify twice", jwk(ecPublic, "k", members{"key_ops": []string{"verify", "verify"}}), false},
		{"key_ops with another twice", jwk(ecPublic, "k", members{"key_ops": []string{"sign", "verify", "sign"}}), false},
		{"key_ops with null among them", jwk(ecPublic, "k", members{"key_ops": []any{"verify", nil}}), false},

		{"alg that fits", jwk(rsaPublic, "k", members{"alg": "PS384"}), true},
		{"alg of another type", jwk(rsaPublic, "k", members{"alg": "ES256"}), false},
		{"alg of another curve", jwk(ecPublic, "k", members{"alg": "ES384"}), false},
		{"alg to encrypt with", jwk(rsaPublic, "k", members{"alg": "RSA-OAEP"}), false},
		{"alg HS256", jwk(rsaPublic, "k", members{"alg": "HS256"}), false},
		{"alg none", jwk(rsaPublic, "k", members{"alg": "none"}), false},
		{"alg Ed25519", jwk(edPublic, "k", members{"alg": "Ed25519"}), true},
		{"alg EdDSA", jwk(edPublic, "k", members{"alg": "EdDSA"}), true},

		{"symmetric", members{"kty": "oct", "kid": "k", "k": "c2VjcmV0", "alg": "HS256"}, false},
		{"a type of tomorrow", members{"kty": "XYZ", "kid": "k", "alg": "ML-DSA-44", "pub": "AA"}, false},
		{"ML-DSA of one byte", members{"kty": "AKP", "kid": "k", "alg": "ML-DSA-44", "pub": "AA"}, false},
		{"pub, which only AKP has, of any type", jwk(ecPublic, "k", members{"pub": 1}), true},
		{"no type", jwk(ecPublic, "k", members{"kty": nil}), false},
		{"kty in small letters", jwk(rsaPublic, "k", members{"kty": "rsa"}), false},
		{"secp256k1", jwk(ecPublic, "k", members{"crv": "secp256k1"}), false},
		{"X25519", jwk(edPublic, "k", members{"crv": "X25519"}), false},
		{"Ed448", jwk(edPublic, "k", members{"crv": "Ed448"}), false},

		{"RSA of 2047 bits", jwk(modulus(2047, 65537), "k", nil), false},
		{"RSA of 8192 bits", jwk(modulus(8192, 65537), "k", nil), true},
		{"RSA of 8193 bits", jwk(modulus(8193, 65537), "k", nil), false},
		{"RSA with an even modulus", jwk(even, "k", nil), false},
		{"RSA with exponent 3", jwk(modulus(2048, 3), "k", nil), true},
		{"RSA with exponent 1", jwk(modulus(2048, 1), "k", nil), false},
		{"RSA with an even exponent", jwk(modulus(2048, 65536), "k", nil), false},
		{"RSA with exponent 2^17-1", jwk(modulus(2048, 1<<17-1), "k", nil), true},
		{"RSA with exponent 2^17+1", jwk(modulus(2048, 1<<17+1), "k", nil), false},
		{"RSA with exponent 2^31-1", jwk(modulus(2048, 1<<31-1), "k", nil), false},
		{"RSA with exponent 2^31+1", jwk(rsaPublic, "k", members{"e": b64([]byte{0x80, 0, 0, 1})}), false},
		{"RSA with exponent 2^64+65537", jwk(rsaPublic, "k", members{"e": b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})}), false},
		{"RSA without modulus", jwk(rsaPublic, "k", members{"n": nil}), false},
		{"RSA, not base64", jwk(rsaPublic, "k", members{"n": "%"}), false},
		{"a point beside the curve", jwk(ecPublic, "k", members{"y": jwk(p384, "", nil)["y"]}), false},
		{"a point of another curve", jwk(p384, "k", members{"crv": "P-256"}), false},
		{"the point at infinity", jwk(ecPublic, "k", members{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), false},
		{"a coordinate of 31 bytes", jwk(ecPublic, "k", members{"y": b64(point[32:63])}), false},
		{"a coordinate of 31 bytes, whose first is zero", jwk(low, "k", members{"x": b64(lowX[1:])}), false},
		{"a coordinate of 32 bytes, whose first is zero", jwk(low, "k", nil), true},
		{"a coordinate of 33 bytes", jwk(ecPublic, "k", members{"x": b64(append([]byte{0}, point[:32]...))}), false},
		{"a coordinate with padding", jwk(ecPublic, "k", members{"x": b64(point[:32]) + "="}), false},
		{"a coordinate with a line break", jwk(ecPublic, "k", members{"y": b64(point[32:])[:20] + "\r\n" + b64(point[32:])[20:]}), false},
		{"a coordinate with a space", jwk(ecPublic, "k", members{"y": b64(point[32:]) + " "}), false},
		{"P-521 with a coordinate of 65 bytes", jwk(p521, "k", members{"x": b64(make([]byte, 65))}), false},
		{"RSA, its modulus with a line break", jwk(rsaPublic, "k", members{"n": b64(rsaPublic.N.Bytes())[:100] + "\n" + b64(rsaPublic.N.Bytes())[100:]}), false},
		{"RSA, its modulus with padding", jwk(rsaPublic, "k", members{"n": b64(rsaPublic.N.Bytes()) + "=="}), false},
		{"RSA, its modulus with a leading zero", jwk(rsaPublic, "k", members{"n": b64(append([]byte{0}, rsaPublic.N.Bytes()...))}), true},
		{"RSA, its exponent with padding", jwk(rsaPublic, "k", members{"e": "AQAB="}), false},
		{"Ed25519 with padding", jwk(edPublic, "k", members{"x": b64(edPublic.(ed25519.PublicKey)) + "="}), false},
		{"Ed25519 of 31 bytes", jwk(edPublic, "k", members{"x": b64(make([]byte, 31))}), false},
		{"Ed25519 of 33 bytes", jwk(edPublic, "k", members{"x": b64(append([]byte{9}, make([]byte, 32)...))}), false},
		{"Ed25519, the identity", jwk(edPublic, "k", members{"x": b64(append([]byte{1}, make([]byte, 31)...))}), false},

		{"a certificate that nobody can read", jwk(ecPublic, "k", members{"x5c": []string{"?"}, "x5t": 1, "x5u": "http://x/"}), true},
		{"no object", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys, _, err := jwks.ReadSet([]byte(document(c.key)))
			if used := err == nil; used != c.used || used != (len(keys) > 0) {
				t.Errorf("alone: got %d keys, %v; want used %t", len(keys), err, c.used)
			}
			_, _, err = jwks.ReadSet([]byte(document(c.key, jwk(rsaPublic, "good", nil))))
			if err != nil {
				t.Errorf("beside a good key: got %v; want nil", err)
			}
		})
	}
	for _, private := range strings.Fields("d p q dp dq qi oth k priv") {
		t.Run("carrying "+private, func(t *testing.T) {
			for _, value := range []any{"c2VjcmV0", "", 1, []any{}} {
				if _, _, err := jwks.ReadSet([]byte(document(jwk(ecPublic, "k", members{private: value})))); err == nil {
					t.Errorf("%v: got nil; want an error", value)
				}
			}
		})
	}
}

func FuzzReadSet(f *testing.F) {
	f.Add([]byte(document(jwk(&rsaKey().PublicKey, "a", nil), jwk(&ecKey().PublicKey, "b", members{"use": "enc"}))))
	f.Add([]byte(document(jwk(edKey().Public(), "c", members{"alg": "EdDSA"}), members{"kty": "oct", "k": "AA"})))
	f.Add([]byte(`{"keys":[{}, null, {"kty":"RSA","n":"AQ","e":"Aw"}], "keys2":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, answers, err := jwks.ReadSet(body)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("got %d keys, %v; want keys or an error", len(keys), err)
		}
		for _, key := range keys {
			checkSane(t, key)
		}
		for _, answer := range answers {
			if len(answer) == 0 || len(answer) > 4 {
				t.Errorf("got an answer of %d keys; want 1 to 4", len(answer))
			}
		}
		if err != nil {
			return
		}
		if text, equal, err := jwks.Rewrite(body); !equal || err != nil {
			t.Errorf("written and read again: got %.500s, %v; want the same keys", text, err)
		}
	})
}

func checkSane(t *testing.T, key crypto.PublicKey) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 || key.E < 3 || key.E%2 == 0 {
			t.Errorf("got RSA of %d bits, exponent %d; want a sane one", key.N.BitLen(), key.E)
		}
	case *ecdsa.PublicKey:
		if _, err := key.Bytes(); err != nil {
			t.Errorf("got a point that is not on its curve: %v", err)
		}
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			t.Errorf("got %d bytes; want 32", len(key))
		}
	default:
		if !slices.ContainsFunc(jose.Algorithms(), func(alg string) bool { return jose.Fits(alg, key) }) {
			t.Errorf("got a %T; want RSA, EC, Ed25519 or ML-DSA", key)
		}
	}
}
