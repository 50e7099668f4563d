package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func nothing(string, string) error { return nil }

// elements returns an object with this many commas, none of them between members.
func elements(commas int) string { return `{"a":[` + strings.Repeat("0,", commas) + `0]}` }

func TestObjectAndShellBoundTheElements(t *testing.T) {
	for _, test := range []struct {
		name string
		read func(string, func(name, value string) error) error
		most int
	}{
		{"Object", jose.Object, 2048},
		{"Shell", jose.Shell, 8192},
	} {
		if err := test.read(elements(test.most), nothing); err != nil {
			t.Errorf("%s, %d elements: got %v; want nil", test.name, test.most, err)
		}
		if test.read(elements(test.most+1), nothing) == nil {
			t.Errorf("%s, %d elements: got nil; want an error", test.name, test.most+1)
		}
	}
}

func TestWhatStandsInAStringCountsForNothing(t *testing.T) {
	for name, data := range map[string]string{
		"commas":                         `{"a":"` + strings.Repeat(",", 3000) + `"}`,
		"commas after a quoted quote":    `{"a":"\"` + strings.Repeat(",", 3000) + `"}`,
		"commas after a quoted solidus":  `{"a":"\\","b":"` + strings.Repeat(",", 3000) + `"}`,
		"brackets":                       `{"a":"` + strings.Repeat("[{", 30) + `"}`,
		"brackets after a quoted quote":  `{"a":"\"` + strings.Repeat("[{", 30) + `"}`,
		"closing brackets, then nesting": `{"a":"` + strings.Repeat("]}", 30) + `","b":` + nested(15) + `}`,
	} {
		if err := jose.Object(data, nothing); err != nil {
			t.Errorf("%s: got %v; want nil", name, err)
		}
	}
	if hidden := `{"a":"` + strings.Repeat("]", 30) + `","b":` + nested(16) + `}`; jose.Object(hidden, nothing) == nil {
		t.Error("brackets in a string make room for deeper nesting: got nil; want an error")
	}
}

func TestNeighboursAreNoNesting(t *testing.T) {
	for name, data := range map[string]string{
		"arrays":  `{"a":[` + strings.Repeat("[],", 40) + `[]]}`,
		"objects": `{"a":[` + strings.Repeat("{},", 40) + `{}]}`,
	} {
		if err := jose.Object(data, nothing); err != nil {
			t.Errorf("%s: got %v; want nil", name, err)
		}
	}
}

func TestStringAndStringsRefuseWhatIsNoJSON(t *testing.T) {
	for _, value := range []string{"", `"`, `"\x"`, `"\ud800"`, "a"} {
		if text, ok := jose.String(value); ok {
			t.Errorf("String(%s): got %q, true; want false", value, text)
		}
	}
	for _, value := range []string{"", "[", "[1.]", "[1,]", "[nul]", "[1", "[[1]", `{"a":1}`, "1"} {
		if values, ok := jose.Elements(value); ok {
			t.Errorf("Elements(%s): got %q, true; want false", value, values)
		}
	}
	for _, value := range []string{"", "[", `["a"`, `["a",`, `["\x"]`, `{"a":"b"]`, `"a"`} {
		if texts, ok := jose.Strings(value); ok {
			t.Errorf("Strings(%s): got %q, true; want false", value, texts)
		}
	}
}

func TestNoMomentIsLaterThanTheLastSecond(t *testing.T) {
	for _, value := range []string{"253402300799.000000001", "253402300799.5", "253402300800", "2.534023008e11"} {
		if got, ok := jose.NumericDate(value); ok {
			t.Errorf("NumericDate(%s): got %v, true; want false", value, got)
		}
	}
	for _, value := range []string{"253402300799", "253402300799.0", "253402300798.999999999", "2.53402300799e11", "0", "9", "946684800"} {
		if _, ok := jose.NumericDate(value); !ok {
			t.Errorf("NumericDate(%s): got false; want true", value)
		}
	}
}

func TestNumericDateRefusesWhatIsNoJSON(t *testing.T) {
	for _, value := range []string{"1x", "0x10", "1_000", "1e", "1.5e1.5", ":1", "/1"} {
		if got, ok := jose.NumericDate(value); ok {
			t.Errorf("NumericDate(%s): got %v, true; want false", value, got)
		}
	}
}

func TestTokensThatSayWhatElseTheyAre(t *testing.T) {
	for kind, want := range map[string]bool{
		"id": true, "ID": true, "id_token": true, "refresh": true, "Refresh": true, "refresh_token": true,
		"offline": true, "Offline": true, "logout": true, "Logout": true,
		"access": false, "Bearer": false, "access_token": false, "": false,
	} {
		for _, member := range []string{"token_use", "typ"} {
			if listed, err := jose.ReadClaims(`{"` + member + `":["access","` + kind + `"]}`); err != nil || listed.OtherUse != want || listed.Fault != "" {
				t.Errorf("%s [access, %q]: got use %v, fault %q, %v; want %v", member, kind, listed.OtherUse, listed.Fault, err, want)
			}
			claims, err := jose.ReadClaims(`{"` + member + `":"` + kind + `"}`)
			if err != nil || claims.OtherUse != want || claims.OtherKind || claims.Fault != "" {
				t.Errorf("%s %q: got use %v, fault %q, %v; want %v", member, kind, claims.OtherUse, claims.Fault, err, want)
			}
		}
	}
}

func TestTheMarksOfOtherTokens(t *testing.T) {
	for _, member := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		for _, value := range []string{`"x"`, `null`, `{}`} {
			claims, err := jose.ReadClaims(`{"` + member + `":` + value + `}`)
			if err != nil || claims.OtherKind == claims.Nonce || claims.Nonce != (member == "nonce") || claims.OtherUse {
				t.Errorf("%s %s: got kind %v, nonce %v, use %v, %v; want the one mark", member, value, claims.OtherKind, claims.Nonce, claims.OtherUse, err)
			}
		}
	}
}

func TestAConfirmationThatCannotBeReadIsAFault(t *testing.T) {
	for _, value := range []string{many(257), `{}`, `null`, `[]`} {
		claims, err := jose.ReadClaims(`{"cnf":` + value + `}`)
		if err != nil || claims.Fault != "cnf has the wrong type" || !claims.Confirmation.Present {
			t.Errorf("cnf %.20s: got fault %q, present %v, %v; want a fault of cnf, present", value, claims.Fault, claims.Confirmation.Present, err)
		}
	}
}

func TestFitsRefusesKeysThatAreNotWhole(t *testing.T) {
	good, one := p256().PublicKey, big.NewInt(1)
	ec := func(curve elliptic.Curve, x, y *big.Int) *ecdsa.PublicKey {
		//lint:ignore SA1019 the constructors of crypto/ecdsa refuse to make what is tested here
		return &ecdsa.PublicKey{Curve: curve, X: x, Y: y}
	}
	for name, key := range map[string]struct {
		alg string
		key crypto.PublicKey
	}{
		"EC without a curve":     {"ES256", ec(nil, one, one)},
		"EC without x":           {"ES256", ec(good.Curve, nil, one)},
		"EC without y":           {"ES256", ec(good.Curve, one, nil)},
		"EC, nil":                {"ES256", (*ecdsa.PublicKey)(nil)},
		"RSA, nil":               {"RS256", (*rsa.PublicKey)(nil)},
		"RSA without a modulus":  {"RS256", &rsa.PublicKey{E: 65537}},
		"Ed25519 of 31 bytes":    {"Ed25519", ed25519.PublicKey(make([]byte, 31))},
		"Ed25519 of 33 bytes":    {"Ed25519", ed25519.PublicKey(make([]byte, 33))},
		"no key":                 {"ES256", nil},
		"an unknown algorithm":   {"ES256K", &good},
		"the algorithm none":     {"none", &good},
		"HMAC with a public key": {"HS256", &good},
	} {
		if jose.Fits(key.alg, key.key) {
			t.Errorf("%s: got true; want false", name)
		}
	}
}

func TestAnRSASignatureHasTheLengthOfSomePossibleModulus(t *testing.T) {
	for length, want := range map[int]bool{0: false, 255: false, 256: true, 257: true, 1023: true, 1024: true, 1025: false} {
		token := mustParse(t, part(`{"alg":"RS256"}`)+"."+part(`{}`)+"."+part(slices.Repeat([]byte{1}, length)))
		if got := token.HasPossibleSignature(); got != want {
			t.Errorf("%d bytes: got %v; want %v", length, got, want)
		}
	}
}

func TestOtherSignaturesHaveTheLengthOfTheirAlgorithm(t *testing.T) {
	for alg, want := range map[string]int{"ES256": 64, "ES384": 96, "ES512": 132, "Ed25519": 64, "EdDSA": 64} {
		for _, length := range []int{0, 1, want - 1, want, want + 1, 256, 1024} {
			token := mustParse(t, part(`{"alg":"`+alg+`"}`)+"."+part(`{}`)+"."+part(slices.Repeat([]byte{1}, length)))
			if got := token.HasPossibleSignature(); got != (length == want) {
				t.Errorf("%s, %d bytes: got %v; want %v", alg, length, got, length == want)
			}
		}
	}
}

func TestContainsComparesKeysByValue(t *testing.T) {
	key, copied, other := &p256().PublicKey, p256().PublicKey, &p384().PublicKey
	for name, test := range map[string]struct {
		keys []crypto.PublicKey
		key  crypto.PublicKey
		want bool
	}{
		"the same":                    {[]crypto.PublicKey{other, key}, key, true},
		"a copy":                      {[]crypto.PublicKey{other, &copied}, key, true},
		"another":                     {[]crypto.PublicKey{other}, key, false},
		"none":                        {nil, key, false},
		"one that cannot be compared": {[]crypto.PublicKey{[]byte("key")}, key, false},
	} {
		if got := jose.Contains(test.keys, test.key); got != test.want {
			t.Errorf("%s: got %v; want %v", name, got, test.want)
		}
	}
}
