package jwks_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

// jwkOf returns a P-256 key as a JWK with further members, which begin with a comma.
func jwkOf(members string) string {
	return `{"kty":"EC","crv":"P-256",` +
		`"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"` + members + `}`
}

const goodSVIDKey = `,"use":"jwt-svid","kid":"a"`

func bundleOf(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// A bundle has keys for other kinds of documents too, and none of them verifies a
// JWT-SVID.
func TestABundleYieldsItsJWTKeysOnly(t *testing.T) {
	for name, test := range map[string]struct {
		key                 string
		inBundle, inWorkAPI bool
	}{
		"a key for JWT-SVIDs":           {jwkOf(goodSVIDKey), true, true},
		"with alg":                      {jwkOf(goodSVIDKey + `,"alg":"ES256"`), true, true},
		"without use, as SPIRE sends":   {jwkOf(`,"kid":"a"`), false, true},
		"a key for X509-SVIDs":          {jwkOf(`,"use":"x509-svid","kid":"a"`), false, false},
		"a key for WIT-SVIDs":           {jwkOf(`,"use":"wit-svid","kid":"a"`), false, false},
		"use in upper case":             {jwkOf(`,"use":"JWT-SVID","kid":"a"`), false, false},
		"use sig":                       {jwkOf(`,"use":"sig","kid":"a"`), false, false},
		"without kid":                   {jwkOf(`,"use":"jwt-svid"`), false, false},
		"a kid that is empty":           {jwkOf(`,"use":"jwt-svid","kid":""`), false, false},
		"a private key":                 {jwkOf(goodSVIDKey + `,"d":"AA"`), false, false},
		"a symmetric key":               {`{"kty":"oct","k":"AAAA"` + goodSVIDKey + `}`, false, false},
		"of an unknown type":            {`{"kty":"XYZ"` + goodSVIDKey + `}`, false, false},
		"for encryption, by key_ops":    {jwkOf(goodSVIDKey + `,"key_ops":["encrypt"]`), false, false},
		"with alg of another key's":     {jwkOf(goodSVIDKey + `,"alg":"RS256"`), false, false},
		"with a kid that is not a text": {jwkOf(`,"use":"jwt-svid","kid":1`), false, false},
	} {
		for reader, want := range map[string]bool{"ReadBundle": test.inBundle, "ReadWorkloadBundle": test.inWorkAPI} {
			read := map[string]func([]byte) (*jwks.Bundle, error){"ReadBundle": jwks.ReadBundle, "ReadWorkloadBundle": jwks.ReadWorkloadBundle}[reader]
			b, err := read([]byte(bundleOf(test.key)))
			if err != nil {
				t.Errorf("%s, %s: got %v; want a bundle", name, reader, err)
				continue
			}
			keys, generation, err := b.Keys(t.Context(), "a", "ES256")
			if got := len(keys) == 1; got != want || err != nil || generation != 1 || b.Len() != len(keys) || (b.Err() == nil) != want {
				t.Errorf("%s, %s: got %d keys, generation %d, %v, Err %v; want a key: %v", name, reader, len(keys), generation, err, b.Err(), want)
			}
		}
	}
}

// The keys that were left out against the sender's intention are named, and the others
// are not.
func TestABundleNamesWhatItLeavesOut(t *testing.T) {
	b, err := jwks.ReadBundle([]byte(bundleOf(jwkOf(goodSVIDKey), jwkOf(`,"use":"x509-svid"`), jwkOf(`,"use":"jwt-svid"`))))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(b.Omitted()); got != "jwks: key 2: it has no kid" {
		t.Errorf("got %s; want the key without kid alone", got)
	}
	if whole, _ := jwks.ReadBundle([]byte(bundleOf(jwkOf(goodSVIDKey)))); whole.Omitted() != nil {
		t.Errorf("got %v; want nothing", whole.Omitted())
	}
}

// Without a kid in the token, all keys that fit are tried; a kid finds its own.
func TestABundleFindsKeysByKid(t *testing.T) {
	b, err := jwks.ReadBundle([]byte(bundleOf(jwkOf(goodSVIDKey), jwkOf(`,"use":"jwt-svid","kid":"b"`))))
	if err != nil {
		t.Fatal(err)
	}
	for kid, want := range map[string]int{"a": 1, "b": 1, "": 1, "c": 0} { // both keys are the same
		if keys, _, err := b.Keys(t.Context(), kid, "ES256"); len(keys) != want || err != nil {
			t.Errorf("the kid %q: got %d keys, %v; want %d", kid, len(keys), err, want)
		}
	}
	if keys, _, err := b.Keys(t.Context(), "a", "RS256"); len(keys) != 0 || err == nil {
		t.Errorf("another alg: got %d keys, %v; want an error", len(keys), err)
	}
	if keys, _, err := b.Keys(t.Context(), "a", "HS256"); len(keys) != 0 || err == nil {
		t.Errorf("HS256: got %d keys, %v; want an error", len(keys), err)
	}
}

// A bundle without keys says that nothing is trusted, and a document that is no bundle
// says nothing.
func TestWhatIsABundle(t *testing.T) {
	for name, document := range map[string]string{
		"no keys": `{"keys":[]}`, "a JWT": "eyJ", "an array": `[]`, "keys that is no array": `{"keys":{}}`, "no member keys": `{}`, "keys twice": `{"keys":[],"keys":[]}`,
		"too large": `{"keys":[]` + strings.Repeat(" ", 1<<20) + `}`, "a sequence that is a text": `{"keys":[],"spiffe_sequence":"1"}`,
		"a sequence below 0": `{"keys":[],"spiffe_sequence":-1}`, "a sequence beyond 64 bits": `{"keys":[],"spiffe_sequence":18446744073709551616}`,
		"a hint that is a text": `{"keys":[],"spiffe_refresh_hint":"1"}`, "a hint below 0": `{"keys":[],"spiffe_refresh_hint":-1}`,
	} {
		b, err := jwks.ReadBundle([]byte(document))
		if isBundle := name == "no keys"; (err == nil) != isBundle || (b != nil) != isBundle {
			t.Errorf("%s: got %v, %v; want a bundle: %v", name, b, err, isBundle)
		}
	}
	var unread jwks.Bundle
	if _, _, err := unread.Keys(t.Context(), "a", "ES256"); err == nil || unread.Err() == nil || unread.Len() != 0 {
		t.Errorf("the zero Bundle: got %v, %v, %d keys; want errors", err, unread.Err(), unread.Len())
	}
}

func TestTheMembersOfABundle(t *testing.T) {
	read := func(members string) *jwks.Bundle {
		b, err := jwks.ReadBundle([]byte(`{"keys":[` + jwkOf(goodSVIDKey) + `]` + members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first, second, unnumbered := read(`,"spiffe_sequence":9007199254740992`), read(`,"spiffe_sequence":9007199254740993,"spiffe_refresh_hint":300`), read("")
	for bundle, want := range map[*jwks.Bundle]uint64{first: 9007199254740992, second: 9007199254740993, unnumbered: 0} {
		if got, ok := bundle.Sequence(); got != want || ok != (want > 0) {
			t.Errorf("got the sequence %d, %v; want %d", got, ok, want)
		}
	}
	if number, ok := read(`,"spiffe_sequence":0`).Sequence(); number != 0 || !ok {
		t.Errorf("got the sequence %d, %v; want 0", number, ok)
	}
	if second.RefreshHint() != 5*time.Minute || first.RefreshHint() != 0 {
		t.Errorf("got the hints %v and %v; want 5m and 0", second.RefreshHint(), first.RefreshHint())
	}
	empty, _ := jwks.ReadBundle([]byte(`{"keys":[]}`))
	if !first.Equal(second) || first.Equal(empty) || first.Equal(&jwks.Bundle{}) {
		t.Error("got bundles compared by more or less than their keys")
	}
}
