package jose_test

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// members reads an object as "name=value" lines.
func members(data string) (lines []string, err error) {
	err = jose.Object(data, func(name, value string) error {
		lines = append(lines, string(name)+"="+string(value))
		return nil
	})
	return lines, err
}

func TestObject(t *testing.T) {
	for _, test := range []struct{ name, data, want string }{
		{"empty", `{}`, ""},
		{"white space around", " \t\r\n{ } \n", ""},
		{"every kind of value, in order", `{"b":"x","a":[1,{"c":null}],"t":true}`, `b="x" a=[1,{"c":null}] t=true`},
		{"names keep their case", `{"alg":"RS256","ALG":"none","Exp":1}`, `alg="RS256" ALG="none" Exp=1`},
		{"every form of a number", `{"a":[0,-0,10,1.5,-0.05,1e5,1E+5,1e-5,0e0,-1.20e-03]}`, `a=[0,-0,10,1.5,-0.05,1e5,1E+5,1e-5,0e0,-1.20e-03]`},
		{"an escaped name is the name", `{"is\u0073":"x"}`, `iss="x"`},
		{"long s is not s", `{"iſs":1}`, `iſs=1`},
		{"a name that ends in NUL is another one", `{"alg\u0000":1,"alg":2}`, "alg\x00=1 alg=2"},
		{"an empty name", `{"":1}`, `=1`},
		{"an empty name after another", `{"a":1,"":2}`, `a=1 =2`},
		{"a surrogate pair", `{"sub":"\ud83d\ude00"}`, `sub="\ud83d\ude00"`},
		{"U+FFFD as such", `{"sub":"` + "\uFFFD" + `"}`, `sub="` + "\uFFFD" + `"`},
		{"one name on several levels", `{"a":{"a":{"a":1}}}`, `a={"a":{"a":1}}`},
		{"one name in several objects of an array", `{"a":[{"b":1},{"b":1}]}`, `a=[{"b":1},{"b":1}]`},
		{"brackets in strings are no nesting", `{"a":"` + strings.Repeat("[", 100) + `\"[[[\\"}`, `a="` + strings.Repeat("[", 100) + `\"[[[\\"`},
		{"nesting of 16", `{"a":` + nested(15) + `}`, `a=` + nested(15)},
	} {
		lines, err := members(test.data)
		if got := strings.Join(lines, " "); err != nil || got != test.want {
			t.Errorf("%s: got %q, %v; want %q", test.name, got, err, test.want)
		}
	}
}

func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// many returns an object with this many members.
func many(count int) string {
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestObjectRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":                              ``,
		"white space only":                     ` `,
		"null":                                 `null`,
		"an array":                             `[]`,
		"a string":                             `"{}"`,
		"a number":                             `1`,
		"a byte order mark":                    "\xef\xbb\xbf{}",
		"UTF-16":                               "{\x00}\x00",
		"a second object":                      `{}{}`,
		"a comma after it":                     `{},`,
		"text after it":                        `{} x`,
		"NUL after it":                         "{}\x00",
		"a closing brace more":                 `{}}`,
		"a comment":                            `{/**/}`,
		"a trailing comma":                     `{"a":1,}`,
		"an open object":                       `{"a":1`,
		"an open string":                       `{"a":"`,
		"a name without value":                 `{"a"}`,
		"a name without quotes":                `{a:1}`,
		"single quotes":                        `{'a':1}`,
		"a number as name":                     `{1:1}`,
		"a raw control character":              "{\"a\":\"\n\"}",
		"an unknown escape":                    `{"a":"\x41"}`,
		"a leading zero":                       `{"a":01}`,
		"a plus sign":                          `{"a":+1}`,
		"NaN":                                  `{"a":NaN}`,
		"Infinity":                             `{"a":Infinity}`,
		"a bare point":                         `{"a":1.}`,
		"a point without a digit before it":    `{"a":.5}`,
		"an exponent without digits":           `{"a":1e}`,
		"an exponent with a sign alone":        `{"a":1e-}`,
		"an exponent of nothing":               `{"a":e5}`,
		"an exponent after a bare point":       `{"a":1.e5}`,
		"a minus sign alone":                   `{"a":-}`,
		"nearly true":                          `{"a":trux}`,
		"nearly false":                         `{"a":falsy}`,
		"nearly null":                          `{"a":nul }`,
		"true in capitals":                     `{"a":True}`,
		"a literal that goes on":               `{"a":nulls}`,
		"a literal without end":                `{"a":nul`,
		"vertical tab as white space":          "{\v}",
		"no-break space":                       "{\u00a0}",
		"a duplicate name":                     `{"aud":1,"aud":1}`,
		"a duplicate name in another spelling": `{"iss":1,"is\u0073":2}`,
		"a duplicate name in two escaped spellings":    `{"\u0061":1,"\u0061":2}`,
		"a duplicate name in another case of hex":      `{"\u00e9":1,"\u00E9":2}`,
		"a duplicate empty name":                       `{"":1,"":2}`,
		"a duplicate name, nested":                     `{"cnf":{"jkt":"a","jkt":"b"}}`,
		"a duplicate name, nested in another spelling": `{"cnf":{"jkt":"a","jk\u0074":"b"}}`,
		"a duplicate name in an array":                 `{"a":[{"b":1,"b":2}]}`,
		"a duplicate name after many others":           `{"m":0,` + strings.TrimPrefix(strings.TrimSuffix(many(200), "}"), "{") + `,"m":0}`,
		"invalid UTF-8 in a value":                     "{\"sub\":\"\xff\"}",
		"invalid UTF-8 in a name":                      "{\"su\xffb\":1}",
		"invalid UTF-8, nested":                        "{\"a\":[\"\xff\"]}",
		"the first byte that is not ASCII":             "{\"sub\":\"\x80\"}",
		"an overlong encoding":                         "{\"sub\":\"\xc0\x80\"}",
		"a surrogate in UTF-8":                         "{\"sub\":\"\xed\xa0\x80\"}",
		"a lone high surrogate":                        `{"sub":"\ud800"}`,
		"a lone low surrogate":                         `{"sub":"\udc00"}`,
		"two high surrogates":                          `{"sub":"\ud800\ud800"}`,
		"surrogates the wrong way round":               `{"sub":"\udc00\ud800"}`,
		"a lone surrogate in a name":                   `{"\ud800":1}`,
		"a lone surrogate, nested":                     `{"a":{"b":["\udfff"]}}`,
		"nesting of 17":                                `{"a":` + nested(16) + `}`,
		"nesting of 10,000":                            `{"a":` + nested(10_000) + `}`,
		"objects nested 17 deep":                       strings.Repeat(`{"a":`, 16) + `{}` + strings.Repeat(`}`, 16),
		"an opening without end":                       `{"a":` + strings.Repeat("[", 10_000),
		"257 members":                                  many(257),
	} {
		if lines, err := members(data); err == nil {
			t.Errorf("%s: got %q; want an error", name, lines)
		}
	}
	if _, err := members(many(256)); err != nil {
		t.Errorf("256 members: got %v; want none", err)
	}
}

// A body is as strict, but may be deep and long.
func TestBody(t *testing.T) {
	nested := func(depth int, inner string) string {
		return `{"a":` + strings.Repeat(`[`, depth-1) + inner + strings.Repeat(`]`, depth-1) + `}`
	}
	body := func(text string) error { return jose.Body(text, func(string, string) error { return nil }) }
	members := make([]string, 1000)
	for n := range members {
		members[n] = fmt.Sprintf(`"m%d":%d`, n, n)
	}
	many := strings.Join(members, ",")
	for name, text := range map[string]string{
		"1000 deep": nested(1000, ""), "1000 members": "{" + many + "}", "1000 members, nested": nested(20, "{"+many+"}"),
		"100,000 elements": `{"a":[1` + strings.Repeat(",1", 99_999) + `]}`,
	} {
		if err := body(text); err != nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"1001 deep": nested(1001, ""), "a duplicate among 1000": "{" + many + `,"m7":1}`, "a duplicate, nested": nested(20, "{"+many+`,"\u006d7":1}`),
		"data behind it": "{} {}", "a byte order mark": "\ufeff{}", "an array": "[]", "invalid UTF-8": nested(20, "\"\xff\""), "100,000 deep": nested(100_000, ""),
	} {
		if err := body(text); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if elements, ok := jose.Elements(strings.Repeat("[", 1000) + strings.Repeat("]", 1000)); !ok || len(elements) != 1 {
		t.Errorf("elements 1000 deep: got %v", ok)
	}
	if _, ok := jose.Elements(strings.Repeat("[", 1001) + strings.Repeat("]", 1001)); ok {
		t.Error("elements 1001 deep: got them accepted")
	}
}

func TestObjectErrorsQuoteNothing(t *testing.T) {
	const canary = "canary"
	for _, data := range []string{
		`{"canary":1,"canary":2}`, `{"a":"canary\ud800"}`, `{"a":canary}`, `canary`, `{} canary`, `{"canary"}`, `["canary"]`,
		"{\"canary\xff\":1}", `{"a":"canary`,
	} {
		if _, err := members(data); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%q: got %v; want an error without the data", data, err)
		}
	}
}

func TestObjectStopsAtTheMembersError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	err := jose.Object(`{"a":1,"b":2}`, func(_, _ string) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("got %v after %d calls; want %v after 1", err, calls, stop)
	}
}

func TestObjectInsideObject(t *testing.T) {
	var inner []string
	lines, err := members(`{"a":1}`)
	err = errors.Join(err, jose.Object(`{"x":{"y":{"z":1}},"after":2}`, func(name, value string) error {
		if string(name) == "x" {
			err := jose.Object(value, func(name, value string) error {
				inner = append(inner, string(name)+string(value))
				return nil
			})
			if string(name) != "x" {
				t.Errorf("the outer name became %q; want x", name)
			}
			return err
		}
		lines = append(lines, string(name)+"="+string(value))
		return nil
	}))
	if got := strings.Join(append(lines, inner...), " "); err != nil || got != `a=1 after=2 y{"z":1}` {
		t.Errorf("got %s, %v; want a=1 after=2 y{\"z\":1}", got, err)
	}
}

// If member panics, the reader must still work for the next caller.
func TestObjectAfterPanic(t *testing.T) {
	for range 10 {
		func() {
			defer func() { _ = recover() }()
			_ = jose.Object(`{"a":[1,2,3],"b":2}`, func(_, _ string) error { panic("a test") })
		}()
		if lines, err := members(`{"c":3}`); err != nil || strings.Join(lines, " ") != "c=3" {
			t.Fatalf("got %q, %v; want c=3", lines, err)
		}
	}
}

func TestString(t *testing.T) {
	for _, test := range []struct {
		value, want string
		ok          bool
	}{
		{`"x"`, "x", true},
		{`""`, "", true},
		{`"\u0061\n\"\\"`, "a\n\"\\", true},
		{`"\ud83d\ude00"`, "😀", true},
		{`"a\u0000b"`, "a\x00b", true},
		{`null`, "", false},
		{`1`, "", false},
		{`true`, "", false},
		{`["x"]`, "", false},
		{`{}`, "", false},
		{``, "", false},
		{`"`, "", false},
	} {
		if got, ok := jose.String(test.value); got != test.want || ok != test.ok {
			t.Errorf("String(%s): got %q, %v; want %q, %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestStrings(t *testing.T) {
	for _, test := range []struct {
		value string
		want  []string
		ok    bool
	}{
		{`[]`, []string{}, true},
		{`["a"]`, []string{"a"}, true},
		{` ["a", "\u0062"]`[1:], []string{"a", "b"}, true},
		{`["a","a",""]`, []string{"a", "a", ""}, true},
		{`["a",1]`, nil, false},
		{`[1]`, nil, false},
		{`[null]`, nil, false},
		{`[["a"]]`, nil, false},
		{`["a",["b"]]`, nil, false},
		{`[{}]`, nil, false},
		{`"a"`, nil, false},
		{`{"a":"b"}`, nil, false},
		{`null`, nil, false},
		{``, nil, false},
	} {
		got, ok := jose.Strings(test.value)
		if ok != test.ok || ok && fmt.Sprintf("%q", got) != fmt.Sprintf("%q", test.want) {
			t.Errorf("Strings(%s): got %q, %v; want %q, %v", test.value, got, ok, test.want, test.ok)
		}
	}
}

func TestNumericDate(t *testing.T) {
	for _, test := range []struct {
		value   string
		seconds int64
		nanos   int
	}{
		{"0", 0, 0},
		{"1", 1, 0},
		{"1700000000", 1700000000, 0},
		{"1700000000.5", 1700000000, 500_000_000},
		{"1700000000.000000001", 1700000000, 1},
		{"1700000000.9999999999", 1700000000, 999_999_999}, // cut off, not rounded up
		{"1699999999." + strings.Repeat("9", 53), 1699999999, 999_999_999},
		{"1700000000.5e0", 1700000000, 500_000_000},
		{"1.7000000005E9", 1700000000, 500_000_000},
		{"0.17e10", 1700000000, 0},
		{"17e-1", 1, 700_000_000},
		{"1e-10", 0, 0},
		{"1e-64", 0, 0},
		{"1.7e9", 1700000000, 0},
		{"1.7E9", 1700000000, 0},
		{"1.7e+9", 1700000000, 0},
		{"17e8", 1700000000, 0},
		{"1700000000e0", 1700000000, 0},
		{"17000000000e-1", 1700000000, 0},
		{"0e64", 0, 0},
		{"0.0", 0, 0},
		{"253402300799", 253402300799, 0},
	} {
		got, ok := jose.NumericDate(test.value)
		if want := time.Unix(test.seconds, int64(test.nanos)); !ok || !got.Equal(want) {
			t.Errorf("NumericDate(%s): got %v, %v; want %v", test.value, got, ok, want)
		}
	}
}

func TestNumericDateRefuses(t *testing.T) {
	for _, value := range []string{
		``, `"1700000000"`, `""`, `null`, `true`, `false`, `[1700000000]`, `{}`,
		`-1`, `-0.5`, `-1e9`, `-1e-9`,
		`253402300800`, `253402300800.0`, `2.534023008e11`, `1e12`, `1e18`,
		`9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `1e19`, `9.3e18`,
		`1e308`, `1e309`, `1e999`, `1e99999999999999999999`, strings.Repeat("9", 400),
		`1e-65`, `0e65`, `1e-99999999999999999999`, "1699999999." + strings.Repeat("9", 54), // no clock writes them
	} {
		if got, ok := jose.NumericDate(value); ok || !got.IsZero() {
			t.Errorf("NumericDate(%s): got %v, %v; want a refusal", value, got, ok)
		}
	}
}

// A fraction is cut off: a float64 would round the first of these up to a whole
// second.
func TestNumericDateIsNeverRoundedUp(t *testing.T) {
	for _, value := range []string{
		"1699999999.99999999999e0", "1.69999999999999999999e9", "16999999999999999999999999e-16",
		"1700000000.9999999999", "1699999999.9e0", "1e-400", "253402300798.99999999999e0",
	} {
		wantNotAfter(t, value)
	}
}

// wantNotAfter checks that a date from NumericDate is not after the number.
func wantNotAfter(t *testing.T, value string) {
	t.Helper()
	got, ok := jose.NumericDate(value)
	if !ok {
		return
	}
	exact, readable := new(big.Rat).SetString(value)
	if !readable {
		t.Fatalf("NumericDate(%s): got %v; want a refusal, since it is no number", value, got)
	}
	nanos := new(big.Int).Add(new(big.Int).Mul(big.NewInt(got.Unix()), big.NewInt(1e9)), big.NewInt(int64(got.Nanosecond())))
	less := new(big.Rat).Sub(exact, new(big.Rat).SetFrac(nanos, big.NewInt(1e9)))
	if less.Sign() < 0 || less.Cmp(big.NewRat(1, 1e9)) >= 0 {
		t.Errorf("NumericDate(%s): got %d.%09d; want the same or less, by less than a nanosecond", value, got.Unix(), got.Nanosecond())
	}
}
