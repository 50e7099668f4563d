package jose_test

import (
	"math/big"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// A slowReader reads JSON by recursive descent, straight from the grammar of RFC
// 8259, with the strictness that this package promises. The fuzz targets compare the
// package with it, so it shares no code with the package.
type slowReader struct {
	text     string
	at       int
	depth    int
	commas   int
	tooMuch  bool
	failures int
}

// A slowMember is one member of an object, its name unquoted.
type slowMember struct{ name, value string }

// readObjectSlowly returns the members of a text that is exactly one object.
func readObjectSlowly(text string) (members []slowMember, ok bool) {
	r := &slowReader{text: text}
	r.space()
	members = r.object()
	r.space()
	ok = r.failures == 0 && !r.tooMuch && r.at == len(text) && r.commas <= 2048 && len(members) <= 256
	return members, ok
}

func (r *slowReader) peek() byte {
	if r.at == len(r.text) {
		return 0
	}
	return r.text[r.at]
}

func (r *slowReader) fail() { r.failures++; r.at = len(r.text) }

// take skips c, or fails.
func (r *slowReader) take(c byte) {
	if r.at == len(r.text) || r.text[r.at] != c {
		r.fail()
		return
	}
	r.at++
}

func (r *slowReader) space() {
	for r.at < len(r.text) && strings.IndexByte(" \t\r\n", r.text[r.at]) >= 0 {
		r.at++
	}
}

func (r *slowReader) open(c byte) {
	r.take(c)
	if r.depth++; r.depth > 16 {
		r.tooMuch = true
		r.fail()
	}
}

// list reads the elements between two brackets.
func (r *slowReader) list(first, last byte, element func()) {
	r.open(first)
	r.space()
	for r.failures == 0 && r.peek() != last {
		element()
		r.space()
		if r.peek() == last {
			break
		}
		r.commas++
		r.take(',')
		r.space()
		if r.peek() == last { // a comma too many
			r.fail()
		}
	}
	r.take(last)
	r.depth--
}

func (r *slowReader) object() (members []slowMember) {
	names := map[string]bool{}
	r.list('{', '}', func() {
		name := r.string()
		if names[name] {
			r.fail()
		}
		names[name] = true
		r.space()
		r.take(':')
		r.space()
		members = append(members, slowMember{name, r.value()})
	})
	return members
}

// value returns the JSON text of a value.
func (r *slowReader) value() string {
	from := r.at
	switch c := r.peek(); {
	case c == '{':
		r.object()
	case c == '[':
		r.list('[', ']', func() { r.value() })
	case c == '"':
		r.string()
	case c == '-' || c >= '0' && c <= '9':
		r.number()
	default:
		r.literal()
	}
	return r.text[from:r.at]
}

func (r *slowReader) literal() {
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(r.text[r.at:], word) {
			r.at += len(word)
			return
		}
	}
	r.fail()
}

func (r *slowReader) number() {
	if r.peek() == '-' {
		r.at++
	}
	if r.peek() == '0' {
		r.at++
	} else {
		r.digits()
	}
	if r.peek() == '.' {
		r.at++
		r.digits()
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.at++
		if c := r.peek(); c == '+' || c == '-' {
			r.at++
		}
		r.digits()
	}
}

func (r *slowReader) digits() {
	from := r.at
	for r.peek() >= '0' && r.peek() <= '9' {
		r.at++
	}
	if r.at == from {
		r.fail()
	}
}

func (r *slowReader) string() string {
	var text strings.Builder
	r.take('"')
	for r.failures == 0 && r.peek() != '"' {
		switch c := r.peek(); {
		case c == '\\':
			r.at++
			r.escape(&text)
		case c < ' ':
			r.fail()
		default:
			r.character(&text)
		}
	}
	r.take('"')
	return text.String()
}

func (r *slowReader) character(text *strings.Builder) {
	c, size := utf8.DecodeRuneInString(r.text[r.at:])
	if c == utf8.RuneError && size == 1 {
		r.fail()
		return
	}
	text.WriteRune(c)
	r.at += size
}

func (r *slowReader) escape(text *strings.Builder) {
	c := r.peek()
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && c != 0 {
		text.WriteByte("\"\\/\b\f\n\r\t"[i])
		r.at++
		return
	}
	unit := r.hexadecimal()
	if !utf16.IsSurrogate(unit) {
		text.WriteRune(unit)
		return
	}
	r.take('\\')
	pair := utf16.DecodeRune(unit, r.hexadecimal())
	if pair == utf8.RuneError { // a lone surrogate is not a character
		r.fail()
	}
	text.WriteRune(pair)
}

func (r *slowReader) hexadecimal() (unit rune) {
	r.take('u')
	for range 4 {
		digit := strings.IndexByte("0123456789abcdef", r.peek()|0x20)
		if r.failures > 0 || digit < 0 || r.peek() < '0' {
			r.fail()
			return 0
		}
		unit = unit<<4 | rune(digit)
		r.at++
	}
	return unit
}

// readStringSlowly and readStringsSlowly expect values that have been read before.
func readStringSlowly(value string) (text string, ok bool) {
	if !strings.HasPrefix(value, `"`) {
		return "", false
	}
	return (&slowReader{text: value}).string(), true
}

func readStringsSlowly(value string) (elements []string, ok bool) {
	if !strings.HasPrefix(value, "[") {
		return nil, false
	}
	elements, ok = []string{}, true
	r := &slowReader{text: value}
	r.list('[', ']', func() {
		text, isString := readStringSlowly(r.value())
		elements, ok = append(elements, text), ok && isString
	})
	return elements, ok
}

// readDateSlowly lets big.Rat read a JSON number.
func readDateSlowly(value string) (moment time.Time, ok bool) {
	if value == "" || value[0] < '0' || value[0] > '9' || len(value) > 64 {
		return time.Time{}, false
	}
	if _, exponent, found := strings.Cut(strings.ToLower(value), "e"); found {
		shift, ok := new(big.Int).SetString(exponent, 10)
		if !ok || shift.CmpAbs(big.NewInt(64)) > 0 {
			return time.Time{}, false
		}
	}
	seconds, ok := new(big.Rat).SetString(value)
	if !ok || seconds.Cmp(new(big.Rat).SetInt64(253402300799)) > 0 && new(big.Rat).Sub(seconds, new(big.Rat).SetInt64(253402300799)).Cmp(big.NewRat(1, 1e9)) >= 0 {
		return time.Time{}, false
	}
	nanos := new(big.Rat).Mul(seconds, big.NewRat(1e9, 1))
	whole := new(big.Int).Quo(nanos.Num(), nanos.Denom())
	count, rest := new(big.Int).QuoRem(whole, big.NewInt(1e9), new(big.Int))
	return time.Unix(count.Int64(), rest.Int64()), true
}

// readTokenSlowly reads a compact serialization with a decoder that goes bit by
// bit (RFC 4648 §5), and the header that it may have here.
func readTokenSlowly(text string) (token slowToken, ok bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return token, false
	}
	var raw [3]string
	for i, part := range parts {
		if raw[i], ok = decodeSlowly(part); !ok {
			return token, false
		}
	}
	members, ok := readObjectSlowly(raw[0])
	if !ok || len(raw[0]) > 4096 {
		return token, false
	}
	token.payload, token.signature = raw[1], raw[2]
	for _, m := range members {
		if !token.header(m) {
			return token, false
		}
	}
	return token, true
}

// A slowToken is the result that Parse should return.
type slowToken struct {
	alg, kid, typ      string
	hasType            bool
	payload, signature string
}

func (t *slowToken) header(m slowMember) (ok bool) {
	text, isString := readStringSlowly(m.value)
	switch m.name {
	case "alg":
		t.alg = text
	case "kid":
		t.kid = text
		return isString && len(text) <= 256
	case "typ":
		t.typ, t.hasType = text, isString
		return isString
	case "cty":
		return isString && !strings.EqualFold(text, "jwt") && !strings.EqualFold(text, "application/jwt")
	case "crit", "b64", "zip", "enc":
		return false
	}
	return true
}

func decodeSlowly(part string) (raw string, ok bool) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var text []byte
	bits, held := 0, 0
	for i := range len(part) {
		digit := strings.IndexByte(alphabet, part[i])
		if digit < 0 {
			return "", false
		}
		bits, held = bits<<6|digit, held+6
		if held >= 8 {
			held -= 8
			text = append(text, byte(bits>>held))
			bits &= 1<<held - 1
		}
	}
	return string(text), held < 6 && bits == 0
}
