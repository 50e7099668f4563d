//go:build interop

package interop_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// required are the claims that RFC 9068 §2.2 makes REQUIRED.
var required = []string{"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}

// dates are the claims that hold a NumericDate (RFC 7519 §2).
var dates = []string{"exp", "nbf", "iat"}

// claimTypeMutations give each claim values of every JSON type.
func claimTypeMutations() (list []mutation) {
	for _, name := range append(slices.Clone(required), "nbf", "scope") {
		if name != "nbf" {
			list = append(list, inClaims(name+" absent", func(b *base) object { return b.claims.without(name) }))
		}
		for _, value := range []string{`null`, `true`, `false`, `0`, `1`, `-1`, `""`, `" "`, `"x"`, `[]`, `[""]`, `["x"]`, `[1]`, `[null]`, `{}`, `{"x":1}`} {
			list = append(list, claim(name, value))
		}
	}
	return list
}

// moment is a number of seconds from now.
func moment(from int) string { return strconv.FormatInt(time.Now().Unix()+int64(from), 10) }

// timeMutations keep away from the leeways that the servers have (0, 5, 30 and
// 60 s), by 10 s at least.
func timeMutations() (list []mutation) {
	dated := func(name, said string, value func() string) {
		list = append(list, claimFrom(name, said, func(*base) string { return value() }))
	}
	for _, d := range []struct {
		said string
		from int
	}{
		{"15 s ago", -15}, {"45 s ago", -45}, {"an hour ago", -3600}, {"a year ago", -365 * 86400},
		{"15 s ahead", 15}, {"45 s ahead", 45}, {"an hour ahead", 3600}, {"ten years ahead", 3652 * 86400},
	} {
		list = append(list, inClaims("exp "+d.said, func(b *base) object {
			return b.claims.with("exp", moment(d.from)).with("iat", moment(min(d.from, 0)-100)) // issued before it ends
		}))
		dated("nbf", d.said, func() string { return moment(d.from) })
		if d.from > 0 || d.from < -60 { // a moment ago is when the token was issued
			dated("iat", d.said, func() string { return moment(d.from) })
		}
	}
	for _, name := range dates {
		in := map[string]int{"exp": 300, "nbf": -300, "iat": -100}[name]
		list = append(list, claimFrom(name, "as a string", func(*base) string { return quote(moment(in)) }))
		dated(name, "with .0 behind", func() string { return moment(in) + ".0" })
		dated(name, "with a fraction", func() string { return moment(in) + ".5" })
		dated(name, "with thirty decimals", func() string { return moment(in) + "." + strings.Repeat("1", 30) })
		dated(name, "with a hundred decimals", func() string { return moment(in) + "." + strings.Repeat("1", 100) })
		dated(name, "with the exponent 0", func() string { return moment(in) + "e0" })
		dated(name, "with an exponent", func() string { return moment(in)[:1] + "." + moment(in)[1:] + "E+9" })
		dated(name, "with a negative exponent", func() string { return moment(in) + "00e-2" })
		dated(name, "with zeros in front", func() string { return "00" + moment(in) })
		dated(name, "with a plus in front", func() string { return "+" + moment(in) })
		dated(name, "negated", func() string { return "-" + moment(in) })
		dated(name, "in milliseconds", func() string { return moment(in) + "000" })
		dated(name, "as a date in words", func() string {
			return quote(time.Now().Add(time.Duration(in) * time.Second).UTC().Format(time.RFC3339))
		})
		dated(name, "in an array", func() string { return "[" + moment(in) + "]" })
		for _, value := range []string{
			"-0", "-0.5", "1e3", "1e400", "-1e400", "1e-400", "253402300799", "253402300800", "9007199254740991", "9007199254740993",
			"9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e10", "1e15", "1e18", "1e19",
			"NaN", "Infinity", "0x7fffffff",
		} {
			list = append(list, claim(name, value))
		}
	}
	return append(list,
		claimFrom("nbf", "after exp", func(b *base) string { return b.claims.get("exp") + "0" }),
		claimFrom("iat", "after exp, which is an hour ahead", func(*base) string { return moment(7200) }))
}

// twice adds a second member to the payload. A reader that takes the first one
// and a reader that takes the last one see two tokens.
func twice(name, bad string) []mutation {
	return []mutation{
		inClaims(name+" twice, the same", func(b *base) object { return b.claims.and(name, b.claims.get(name)) }),
		inClaims(name+" twice, a bad one first", func(b *base) object { return b.claims.after(name, bad) }),
		inClaims(name+" twice, a bad one last", func(b *base) object { return b.claims.and(name, bad) }),
		inClaims(name+" twice, a bad one last and escaped", func(b *base) object {
			return append(slices.Clone(b.claims), member{escapedName(name), bad})
		}),
	}
}

// escapedName writes a name with an escape.
func escapedName(name string) string { return fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:]) }

// claimsTextMutations change the JSON text of the payload.
func claimsTextMutations() (list []mutation) {
	bad := map[string]string{
		"iss": `"https://login.example.net"`, "aud": quote(otherResource), "exp": `1`, "sub": `"admin"`,
		"client_id": `"admin"`, "iat": `99999999999`, "jti": `"another"`, "scope": `"admin"`,
	}
	for _, name := range append(slices.Clone(required), "scope") {
		list = append(list, twice(name, bad[name])...)
		list = append(list,
			inClaims(name+" with its name in upper case", func(b *base) object { return b.claims.named(name, quote(strings.ToUpper(name))) }),
			inClaims(name+" with its name escaped", func(b *base) object { return b.claims.named(name, escapedName(name)) }),
			inClaims(name+" with a space in its name", func(b *base) object { return b.claims.named(name, quote(name+" ")) }),
			inClaims(name+" beside a bad one in upper case", func(b *base) object { return b.claims.and(strings.ToUpper(name), bad[name]) }),
			inClaims(name+" one level down", func(b *base) object {
				return b.claims.without(name).and("claims", "{"+quote(name)+":"+b.claims.get(name)+"}")
			}))
	}
	inText := func(name string, change func(text string) string) {
		list = append(list, sends("payload "+name, func(b *base) string { return b.sign(b.header.String(), change(b.claims.String())) }))
	}
	for _, change := range textChanges() {
		inText(change.name, change.change)
	}
	for _, m := range []member{
		{"with __proto__", `{"__proto__":{"admin":true}}`}, {"with a null member", `{"x":null}`}, {"with an empty name", `{"":1}`},
		{"with 1e400 in an unread claim", `{"x":1e400}`}, {"with 2^53+1 in an unread claim", `{"x":9007199254740993}`},
		{"with forty digits in an unread claim", `{"x":1234567890123456789012345678901234567890}`},
		{"with constructor", `{"constructor":{"prototype":{"x":1}}}`}, {"with a name in Cyrillic", `{"іss":"x"}`},
		{"with NUL in a name", `{"iss\u0000":"x"}`}, {"with an emoji", `{"x":"😀"}`}, {"with an escaped emoji", `{"x":"\ud83d\ude00"}`},
		{"with an @type", `{"@type":"java.lang.Object"}`},
	} {
		inText(m.name, func(text string) string { return strings.TrimSuffix(text, "}") + "," + m.value[1:] })
	}
	for _, size := range []int{3000, 9000, 20000} {
		inText(fmt.Sprintf("with a claim of %d characters", size), func(text string) string {
			return strings.TrimSuffix(text, "}") + `,"x":` + quote(strings.Repeat("x", size)) + "}"
		})
	}
	return list
}

// A textChange changes the JSON text of an object.
type textChange struct {
	name   string
	change func(text string) string
}

// textChanges are those that do not depend on the members.
func textChanges() []textChange {
	and := func(members string) func(string) string {
		return func(text string) string { return strings.TrimSuffix(text, "}") + "," + members + "}" }
	}
	always := func(text string) func(string) string { return func(string) string { return text } }
	around := func(before, after string) func(string) string {
		return func(text string) string { return before + text + after }
	}
	return []textChange{
		{"with a byte order mark", around("\ufeff", "")},
		{"in UTF-16", func(text string) string { return "\xff\xfe" + strings.Join(strings.Split(text, ""), "\x00") + "\x00" }},
		{"in UTF-16 without a mark", func(text string) string { return strings.Join(strings.Split(text, ""), "\x00") + "\x00" }},
		{"with a space in front", around(" ", "")},
		{"with a space behind", around("", " ")},
		{"with line feeds around", around("\r\n\t", "\r\n")},
		{"with a form feed in front", around("\f", "")},
		{"with a no-break space in front", around("\u00a0", "")},
		{"with spaces inside", func(text string) string { return strings.Replace(text, ":", " : ", 1) }},
		{"indented", func(text string) string {
			var value json.RawMessage = []byte(text)
			return string(must(json.MarshalIndent(value, "", "  ")))
		}},
		{"with NUL behind", around("", "\x00")},
		{"with a letter behind", around("", "x")},
		{"with a second object behind", around("", "{}")},
		{"with a comma behind", around("", ",")},
		{"with a bracket behind", around("", "}")},
		{"in an array", around("[", "]")},
		{"as a string", quote},
		{"in a function call", around("callback(", ")")},
		{"with a comma before the end", func(text string) string { return strings.TrimSuffix(text, "}") + ",}" }},
		{"with a comma at the beginning", func(text string) string { return "{," + text[1:] }},
		{"with two commas", func(text string) string { return strings.Replace(text, `,"`, `,,"`, 1) }},
		{"with a comment", func(text string) string { return "{/* x */" + text[1:] }},
		{"with a line comment", func(text string) string { return "{// x\n" + text[1:] }},
		{"with single quotes", func(text string) string { return strings.ReplaceAll(text, `"`, `'`) }},
		{"with an unquoted name", and("x:1")},
		{"with a raw line feed in a string", and("\"x\":\"a\nb\"")},
		{"with a raw tab in a string", and("\"x\":\"a\tb\"")},
		{"with an unknown escape", and(`"x":"\x41"`)},
		{"with a bad Unicode escape", and(`"x":"\u12g4"`)},
		{"with an unknown word", and(`"x":undefined`)},
		{"with True", and(`"x":True`)},
		{"with NaN", and(`"x":NaN`)},
		{"with a number that begins with 0", and(`"x":01`)},
		{"with a number that ends in a point", and(`"x":1.`)},
		{"with a number that begins with a point", and(`"x":.5`)},
		{"with a hexadecimal number", and(`"x":0x10`)},
		{"with a member without a value", and(`"x"`)},
		{"with invalid UTF-8", and("\"x\":\"\xff\"")},
		{"with an overlong slash", and("\"x\":\"\xc0\xaf\"")},
		{"with a surrogate in UTF-8", and("\"x\":\"\xed\xa0\x80\"")},
		{"with a lone surrogate", and(`"x":"\ud800"`)},
		{"with two surrogates the wrong way round", and(`"x":"\udc00\ud800"`)},
		{"with an unknown member twice", and(`"x":1,"x":2`)},
		{"with a duplicate in an object", and(`"x":{"y":1,"y":2}`)},
		{"with a duplicate in an object in an array", and(`"x":[{"y":1,"y":2}]`)},
		{"of depth 10", and(`"x":` + strings.Repeat("[", 9) + strings.Repeat("]", 9))},
		{"of depth 40", and(`"x":` + strings.Repeat("[", 39) + strings.Repeat("]", 39))},
		{"of depth 1000", and(`"x":` + strings.Repeat("[", 999) + strings.Repeat("]", 999))},
		{"with 100 further members", and(numbered(100))},
		{"with 300 further members", and(numbered(300))},
		{"cut short", func(text string) string { return text[:len(text)-1] }},
		{"cut in half", func(text string) string { return text[:len(text)/2] }},
		{"empty", always("")},
		{"{}", always("{}")},
		{"[]", always("[]")},
		{"null", always("null")},
		{"true", always("true")},
		{"1", always("1")},
		{`"x"`, always(`"x"`)},
		{"a space", always(" ")},
		{"NUL", always("\x00")},
		{"no JSON", always("x")},
		{"a form", always("iss=x&aud=y")},
		{"XML", always("<iss>x</iss>")},
	}
}

// numbered writes so many members.
func numbered(n int) string {
	var members []string
	for i := range n {
		members = append(members, fmt.Sprintf(`"x%d":%d`, i, i))
	}
	return strings.Join(members, ",")
}
