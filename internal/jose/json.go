package jose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on what one object may cost before anything in it is believed.
const (
	maxDepth   = 16
	maxMembers = 256
)

// Object reads data as exactly one JSON object and calls member for each of
// its members, in order. It is strict where encoding/json is not: a duplicate
// name at any depth (RFC 7515 §4, RFC 7519 §4), invalid UTF-8 or a lone
// surrogate, a byte order mark, anything after the object, nesting deeper than
// 16 and more than 256 members are errors. Names come unquoted and are never
// folded in case. name and value are valid during the call only.
//
// The errors never quote data.
func Object(data []byte, member func(name, value []byte) error) error {
	r := readers.Get().(*reader)
	defer r.release()
	r.input = *bytes.NewBuffer(data)
	r.decoder.Reset(&r.input)
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
	if depth(value) >= maxDepth {
		return fmt.Errorf("expected nesting of at most %d", maxDepth)
	}
	return member(r.name, value)
}

// depth counts how deep a valid JSON value nests.
func depth(value []byte) int {
	if len(value) == 0 || (value[0] != '{' && value[0] != '[') {
		return 0
	}
	deepest, now, quoted := 0, 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
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
	decoder := jsontext.NewDecoder(bytes.NewBuffer(value))
	if _, err := decoder.ReadToken(); err != nil {
		return nil, false
	}
	elements = []string{}
	for decoder.PeekKind() == '"' {
		element, err := decoder.ReadToken()
		if err != nil {
			return nil, false
		}
		elements = append(elements, element.String())
	}
	return elements, decoder.PeekKind() == ']'
}

// latest is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write. A
// later one is no date: time.Unix near the ends of int64 compares as the past.
const latest = 253402300799

// NumericDate returns the moment that a JSON number of seconds names (RFC 7519
// §2: fractions are allowed, and so are JSON's exponents). What does not fit a
// nanosecond is cut off, never rounded up, so that no token gains life by it.
// Negative numbers and those after the year 9999 are refused.
func NumericDate(value []byte) (moment time.Time, ok bool) {
	if len(value) == 0 || value[0] < '0' || value[0] > '9' {
		return time.Time{}, false
	}
	text := string(value)
	if strings.ContainsAny(text, "eE") {
		return exponentDate(text)
	}
	whole, fraction, _ := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > latest {
		return time.Time{}, false
	}
	return time.Unix(seconds, nanoseconds(fraction)), true
}

// exponentDate reads the exponent form in whole seconds.
func exponentDate(text string) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds > latest {
		return time.Time{}, false
	}
	return time.Unix(int64(math.Floor(seconds)), 0), true
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
