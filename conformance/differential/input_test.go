package differential_test

import (
	"math/big"
	"strings"
)

// An input is a token as the properties see it.
type input struct {
	token   string
	parts   []part
	header  *document // never nil
	payload *document
	strict  bool // checked by the unrelaxed profile RFC9068
}

// A part is the text between two dots, decoded at least as leniently as any library
// does.
type part struct {
	text    string
	raw     []byte
	foreign string // bytes that are not of the base64url alphabet (RFC 4648 §5)
	spare   bool   // the bits that fill up the last character are not zero
	odd     bool   // a length that no bytes encode to
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func newInput(token string) *input {
	in := &input{token: token, header: &document{}, payload: &document{}}
	for text := range strings.SplitSeq(token, ".") {
		in.parts = append(in.parts, readPart(text))
	}
	if len(in.parts) == 3 {
		in.header = readDocument(string(in.parts[0].raw))
		in.payload = readDocument(string(in.parts[1].raw))
	}
	return in
}

func readPart(text string) part {
	p := part{text: text}
	bits, count, read := 0, 0, 0
	for i := range len(text) {
		c := text[i]
		value := strings.IndexByte(alphabet, c)
		switch c {
		case '+':
			value = 62
		case '/':
			value = 63
		}
		if strings.IndexByte(alphabet, c) < 0 {
			p.foreign += string(rune(c))
		}
		if value < 0 {
			continue
		}
		read++
		bits, count = bits<<6|value, count+6
		if count >= 8 {
			count -= 8
			p.raw = append(p.raw, byte(bits>>count))
			bits &= 1<<count - 1
		}
	}
	p.odd = read%4 == 1
	p.spare = bits != 0
	return p
}

// compact reports three parts.
func (in *input) compact() bool { return len(in.parts) == 3 }

// claim returns a member of the payload, or nil.
func (in *input) claim(name string) *node { return in.payload.get(name) }

// text returns a claim that is a string, or "".
func (in *input) text(name string) string { return textOf(in.claim(name)) }

func (in *input) alg() string { return textOf(in.header.get("alg")) }

func (in *input) kid() string { return textOf(in.header.get("kid")) }

func textOf(n *node) string {
	if n == nil {
		return ""
	}
	return n.text
}

// A date is a claim's number, exactly.
type date struct{ *big.Rat }

// dateOf returns false if the value is not a number, or is written too long.
func dateOf(n *node) (date, bool) {
	if n == nil || n.kind != '0' || writtenLong(n) {
		return date{}, false
	}
	rat, ok := new(big.Rat).SetString(n.raw)
	return date{rat}, ok
}

// writtenLong reports a number that is longer than the documented maximum for a date of
// 64 characters, or whose exponent is outside of -64 to 64.
func writtenLong(n *node) bool {
	_, exponent, _ := strings.Cut(strings.ToLower(n.raw), "e")
	digits := strings.TrimLeft(strings.TrimLeft(exponent, "+-"), "0")
	return n.kind == '0' && (len(n.raw) > 64 || len(digits) > 2 || len(digits) == 2 && digits > "64")
}

// floor returns the whole second.
func (d date) floor() *big.Rat {
	return new(big.Rat).SetInt(new(big.Int).Div(d.Num(), d.Denom()))
}

func seconds(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

// inFloat returns the nearest float64.
func (d date) inFloat() date {
	nearest, _ := d.Float64()
	return date{new(big.Rat).SetFloat64(nearest)}
}

// cut returns the date as the library's documentation describes it: in whole
// nanoseconds, not rounded up.
func (d date) cut() *big.Rat {
	scale := seconds(1_000_000_000)
	scaled := date{new(big.Rat).Mul(d.Rat, scale)}
	return new(big.Rat).Quo(scaled.floor(), scale)
}
