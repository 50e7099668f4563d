package jwks_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/jwks"
)

// The error names what is wrong with the first key: a set that is refused for
// another reason than its own sends the operator the wrong way.
func TestTheErrorOfADocumentSaysWhatIsWrong(t *testing.T) {
	rsaPublic, ecPublic, edPublic := &rsaKey().PublicKey, &ecKey().PublicKey, edKey().Public()
	one := func(key members) string { return document(key) }
	for _, test := range []struct{ name, document, want string }{
		{"no keys", `{}`, `the member "keys" is missing`},
		{"keys twice", `{"keys":[],"keys":[]}`, `duplicate member "keys"`},
		{"no array", `{"keys":{}}`, `expected an array in "keys"`},
		{"a string", `{"keys":"x"}`, `expected an array in "keys"`},
		{"501 keys", `{"keys":[` + strings.Repeat("1,", 500) + `1]}`, "got 501 keys; expected at most 500"},
		{"500 keys", `{"keys":[` + strings.Repeat("1,", 499) + `1]}`, "key 0: it is not a JSON object"},
		{"no JSON", `{"keys":[`, "not a key set: "},
		{"symmetric, without its secret", one(members{"kty": "oct", "kid": "k"}), "key 0: it is symmetric"},
		{"a type of tomorrow", one(members{"kty": "XYZ", "alg": "ML-DSA-44", "pub": "AA"}), "key 0: it is not RSA, EC on"},
		{"another curve", one(jwk(ecPublic, "k", members{"crv": "P-224"})), "key 0: it is not RSA, EC on"},
		{"X25519", one(jwk(edPublic, "k", members{"crv": "X25519"})), "key 0: it is not RSA, EC on"},
		{"Ed448", one(jwk(edPublic, "k", members{"crv": "Ed448"})), "key 0: it is not RSA, EC on"},
		{"an alg of another type", one(jwk(rsaPublic, "k", members{"alg": "ES256"})), "key 0: its alg is not"},
		{"key_ops that are no list", one(jwk(ecPublic, "k", members{"key_ops": "verify"})), "key 0: it is not a JSON object"},
		{"no modulus", one(jwk(rsaPublic, "k", members{"n": nil})), "key 0: its key values are"},
		{"a point beside the curve", one(jwk(ecPublic, "k", members{"y": b64(make([]byte, 32))})), "key 0: its key values are"},
		{"an even exponent", one(jwk(modulus(2048, 65536), "k", nil)), "key 0: its RSA exponent"},
		{"2047 bits", one(jwk(modulus(2047, 65537), "k", nil)), "key 0: its RSA modulus"},
		{"8193 bits", one(jwk(modulus(8193, 65537), "k", nil)), "key 0: its RSA modulus"},
	} {
		if _, _, err := jwks.ReadSet([]byte(test.document)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %q in it", test.name, err, test.want)
		}
	}
}

// What was read before the fault must not be taken for the whole key.
func TestAKeyIsRefusedForItsLastMember(t *testing.T) {
	point := jwk(&ecKey().PublicKey, "", nil)
	whole := `"kty":"EC","crv":"P-256","x":"` + point["x"].(string) + `","y":"` + point["y"].(string) + `"`
	for _, last := range []string{`"kid":1`, `"use":1`, `"alg":[]`, `"key_ops":"verify"`, `"key_ops":[1]`, `"y":"AA"`, `"d":"AA"`, `"kid":"a","kid":"b"`, `"a":1,"a":2`} {
		if _, _, err := jwks.ReadSet([]byte(`{"keys":[{` + whole + `,` + last + `}]}`)); err == nil {
			t.Errorf("%s: got nil; want an error", last)
		}
	}
	if _, _, err := jwks.ReadSet([]byte(`{"keys":[{` + whole + `}]}`)); err != nil {
		t.Errorf("without any of them: got %v; want nil", err)
	}
}
