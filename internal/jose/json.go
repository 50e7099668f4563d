package jose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what one object may cost before anything in it is believed.
const (
	maxDepth    = 16
	maxMembers  = 256  // of the object itself
	maxElements = 2048 // of it and everything inside, roughly: its commas
	maxOfShell  = 8192 // the same, of a document of many values
)

// Object reads data as exactly one JSON object and calls member for each of
// its members, in order. It is strict where encoding/json is not: a duplicate
// name at any depth (RFC 7515 §4, RFC 7519 §4), invalid UTF-8 or a lone
// surrogate, a byte order mark, anything after the object, nesting deeper than
// 16, more than 256 members, and more than 2048 of everything inside are errors.
// Names come unquoted and are never folded in case. name and value are valid
// during the call only.
//
// The errors never quote data.
func Object(data []byte, member func(name, value []byte) error) error {
	return object(data, member, maxElements, jsontext.AllowDuplicateNames(false))
}

// Shell is [Object] for a document whose values are read one by one: duplicate
// names are left to whoever reads them, so that one bad value does not spoil its
// neighbours, and there may be 8192 of everything inside.
func Shell(data []byte, member func(name, value []byte) error) error {
	return object(data, member, maxOfShell, jsontext.AllowDuplicateNames(true))
}

func object(data []byte, member func(name, value []byte) error, most int, duplicates jsontext.Options) error {
	if err := bounded(data, most); err != nil {
		return err
	}
	r := readers.Get().(*reader)
	defer r.release()
	r.input = *bytes.NewBuffer(data)
	r.decoder.Reset(&r.input, duplicates)
	return r.object(member)
}

var readers = sync.Pool{New: func() any { return new(reader) }}

type reader struct {
	input   bytes.Buffer
	decoder jsontext.Decoder
	name    []byte
}

// release lets go of the caller's bytes before the reader is pooled.
func (r *reader) release() {
	r.input = bytes.Buffer{}
	r.decoder.Reset(&r.input)
	readers.Put(r)
}

func (r *reader) object(member func(name, value []byte) error) error {
	if open, err := r.decoder.ReadToken(); err != nil || open.Kind() != '{' {
		return errors.New("expected a JSON object")
	}
	for count := 0; r.decoder.PeekKind() != '}'; count++ {
		if count == maxMembers {
			return fmt.Errorf("expected at most %d members", maxMembers)
		}
		if err := r.member(member); err != nil {
			return err
		}
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return errors.New("expected the end of the JSON object")
	}
	if _, err := r.decoder.ReadToken(); err != io.EOF {
		return errors.New("expected nothing after the JSON object")
	}
	return nil
}

func (r *reader) member(member func(name, value []byte) error) error {
	quoted, err := r.decoder.ReadValue()
	if err != nil || quoted.Kind() != '"' {
		return errors.New("expected a unique member name in valid JSON")
	}
	// "is\u0073" is iss: a comparison of raw bytes would step over it.
	if r.name, err = jsontext.AppendUnquote(r.name[:0], quoted); err != nil {
		return errors.New("expected a member name in valid UTF-8")
	}
	value, err := r.decoder.ReadValue()
	if err != nil {
		return errors.New("expected a member value in valid JSON")
	}
	return member(r.name, value)
}

// bounded looks at the bytes once, before anything that costs more. Who has few
// commas and brackets, wherever they stand, cannot have many that count.
func bounded(data []byte, most int) error {
	if bytes.Count(data, []byte{','}) <= most && bytes.Count(data, []byte{'{'})+bytes.Count(data, []byte{'['}) <= maxDepth {
		return nil
	}
	return walked(data, most)
}

// walked counts those outside of strings. It need not know JSON beyond that: what
// it lets pass is parsed afterwards.
func walked(data []byte, most int) error {
	depth, commas, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',':
			commas++
		}
		if depth > maxDepth || commas > most {
			return fmt.Errorf("expected nesting of at most %d, and at most %d elements", maxDepth, most)
		}
	}
	return nil
}

// String returns the text of a JSON string; ok is false for any other value.
func String(value []byte) (text string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	unquoted, err := jsontext.AppendUnquote(nil, value)
	return string(unquoted), err == nil
}

// Strings returns the elements of a JSON array whose elements are all strings.
func Strings(value []byte) (elements []string, ok bool) {
	if len(value) == 0 || value[0] != '[' {
		return nil, false
	}
	r := readers.Get().(*reader)
	defer r.release()
	r.input = *bytes.NewBuffer(value)
	r.decoder.Reset(&r.input)
	if _, err := r.decoder.ReadToken(); err != nil {
		return nil, false
	}
	elements = make([]string, 0, min(1+bytes.Count(value, []byte{','}), 16))
	for r.decoder.PeekKind() == '"' {
		element, err := r.decoder.ReadToken()
		if err != nil {
			return nil, false
		}
		elements = append(elements, element.String())
	}
	return elements, r.decoder.PeekKind() == ']'
}

// Elements returns the elements of a JSON array as they stand.
func Elements(value []byte) (elements [][]byte, ok bool) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(value))
	if open, err := decoder.ReadToken(); err != nil || open.Kind() != '[' {
		return nil, false
	}
	for decoder.PeekKind() != ']' {
		element, err := decoder.ReadValue()
		if err != nil {
			return nil, false
		}
		elements = append(elements, bytes.Clone(element))
	}
	return elements, true
}

// longestDate is the most digits, points and signs in which a date is written: a
// number of 11,000 digits would cost as much as a signature.
const longestDate = 64

// latest is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write. A
// later one is no date: time.Unix near the ends of int64 compares as the past.
const latest = 253402300799

// NumericDate returns the moment that a JSON number of seconds names (RFC 7519
// §2: fractions are allowed, and so are JSON's exponents). What does not fit a
// nanosecond is cut off, never rounded up, so that no token gains life by it.
// Negative numbers, those after the year 9999, and those of more than 64
// characters are refused.
func NumericDate(value []byte) (moment time.Time, ok bool) {
	if len(value) == 0 || len(value) > longestDate || value[0] == '-' {
		return time.Time{}, false
	}
	whole, fraction, ok := decimal(string(value))
	if !ok {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	nanos := nanoseconds(fraction)
	if err != nil || seconds > latest || seconds == latest && nanos > 0 {
		return time.Time{}, false
	}
	return time.Unix(seconds, nanos), true
}

// decimal returns the digits of a number before and after its point, with the
// exponent worked in. One beyond what longestDate could write out is refused.
func decimal(number string) (whole, fraction string, ok bool) {
	e := strings.IndexAny(number, "eE")
	if e < 0 {
		whole, fraction, _ = strings.Cut(number, ".")
		return whole, fraction, true
	}
	whole, fraction, _ = strings.Cut(number[:e], ".")
	shift, err := strconv.Atoi(number[e+1:])
	if err != nil || shift > longestDate || shift < -longestDate {
		return "", "", false
	}
	digits, point := whole+fraction, len(whole)+shift
	digits = strings.Repeat("0", max(0, -point)) + digits
	point = max(0, point)
	digits += strings.Repeat("0", max(0, point-len(digits)))
	return "0" + digits[:point], digits[point:], true
}

// nanoseconds reads the first nine digits of a decimal fraction.
func nanoseconds(fraction string) int64 {
	var nanos int64
	for i := range 9 {
		nanos *= 10
		if i < len(fraction) {
			nanos += int64(fraction[i] - '0')
		}
	}
	return nanos
}
