package jose_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func nothing([]byte, []byte) error { return nil }

// elements returns an object with this many commas, none of them between members.
func elements(commas int) string { return `{"a":[` + strings.Repeat("0,", commas) + `0]}` }

func TestObjectAndShellBoundTheElements(t *testing.T) {
	for _, test := range []struct {
		name string
		read func([]byte, func(name, value []byte) error) error
		most int
	}{
		{"Object", jose.Object, 2048},
		{"Shell", jose.Shell, 8192},
	} {
		if err := test.read([]byte(elements(test.most)), nothing); err != nil {
			t.Errorf("%s, %d elements: got %v; want nil", test.name, test.most, err)
		}
		if test.read([]byte(elements(test.most+1)), nothing) == nil {
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
		if err := jose.Object([]byte(data), nothing); err != nil {
			t.Errorf("%s: got %v; want nil", name, err)
		}
	}
	if hidden := `{"a":"` + strings.Repeat("]", 30) + `","b":` + nested(16) + `}`; jose.Object([]byte(hidden), nothing) == nil {
		t.Error("brackets in a string make room for deeper nesting: got nil; want an error")
	}
}

func TestNeighboursAreNoNesting(t *testing.T) {
	for name, data := range map[string]string{
		"arrays":  `{"a":[` + strings.Repeat("[],", 40) + `[]]}`,
		"objects": `{"a":[` + strings.Repeat("{},", 40) + `{}]}`,
	} {
		if err := jose.Object([]byte(data), nothing); err != nil {
			t.Errorf("%s: got %v; want nil", name, err)
		}
	}
}

func TestStringAndStringsRefuseWhatIsNoJSON(t *testing.T) {
	for _, value := range []string{"", `"`, `"\x"`, `"\ud800"`, "a"} {
		if text, ok := jose.String([]byte(value)); ok {
			t.Errorf("String(%s): got %q, true; want false", value, text)
		}
	}
	for _, value := range []string{"", "[", `["a"`, `["a",`, `["\x"]`, `{"a":"b"]`, `"a"`} {
		if texts, ok := jose.Strings([]byte(value)); ok {
			t.Errorf("Strings(%s): got %q, true; want false", value, texts)
		}
	}
}

func TestNoMomentIsLaterThanTheLastSecond(t *testing.T) {
	for _, value := range []string{"253402300799.000000001", "253402300799.5", "253402300800", "2.534023008e11"} {
		if got, ok := jose.NumericDate([]byte(value)); ok {
			t.Errorf("NumericDate(%s): got %v, true; want false", value, got)
		}
	}
	for _, value := range []string{"253402300799", "253402300799.0", "253402300798.999999999", "2.53402300799e11"} {
		if _, ok := jose.NumericDate([]byte(value)); !ok {
			t.Errorf("NumericDate(%s): got false; want true", value)
		}
	}
}

func TestNumericDateRefusesWhatIsNoJSON(t *testing.T) {
	for _, value := range []string{"1x", "0x10", "1_000", "1e", "1.5e1.5", ":1", "/1"} {
		if got, ok := jose.NumericDate([]byte(value)); ok {
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
			claims, err := jose.ReadClaims([]byte(`{"` + member + `":"` + kind + `"}`))
			if err != nil || claims.OtherKind != want || claims.OtherUse != want || claims.Fault != "" {
				t.Errorf("%s %q: got kind %v, use %v, fault %q, %v; want %v", member, kind, claims.OtherKind, claims.OtherUse, claims.Fault, err, want)
			}
		}
	}
	for _, member := range []string{"token_use", "typ"} {
		if claims, err := jose.ReadClaims([]byte(`{"` + member + `":1}`)); err != nil || claims.Fault != member {
			t.Errorf("%s 1: got fault %q, %v; want %q", member, claims.Fault, err, member)
		}
	}
}

func TestTheMarksOfOtherTokens(t *testing.T) {
	for _, member := range []string{"nonce", "at_hash", "c_hash", "s_hash", "events"} {
		for _, value := range []string{`"x"`, `null`, `{}`} {
			claims, err := jose.ReadClaims([]byte(`{"` + member + `":` + value + `}`))
			if err != nil || !claims.OtherKind || claims.OtherUse {
				t.Errorf("%s %s: got kind %v, use %v, %v; want it marked, though not by itself", member, value, claims.OtherKind, claims.OtherUse, err)
			}
		}
	}
}
