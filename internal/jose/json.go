package jose

import (
	"strconv"
	"strings"
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

// Object reads text as exactly one JSON object and calls member for each of
// its members, in order. It is strict where encoding/json is not: a duplicate
// name at any depth (RFC 7515 §4, RFC 7519 §4), invalid UTF-8 or a lone
// surrogate, a byte order mark, anything after the object, nesting deeper than
// 16, more than 256 members, and more than 2048 of everything inside are errors.
// Names come unquoted and are never folded in case, and values as they stand.
//
// The errors never quote text.
func Object(text string, member func(name, value string) error) error {
	s := scanner{text: text, most: maxElements, unique: true}
	return s.document(member)
}

// Shell is [Object] for a document whose values are read one by one: duplicate
// names are left to whoever reads them, so that one bad value does not spoil its
// neighbours, and there may be 8192 of everything inside.
func Shell(text string, member func(name, value string) error) error {
	s := scanner{text: text, most: maxOfShell}
	return s.document(member)
}

// eachMember is [Object] for a value of one, which was held against all of this: it
// only hands the members out.
func eachMember(value string, member func(name, value string) error) error {
	s := scanner{text: value, most: len(value)}
	return s.document(member)
}

// String returns the text of a JSON string; ok is false for any other value.
func String(value string) (text string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if inner := value[1 : len(value)-1]; strings.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	unquoted, err := jsontext.AppendUnquote(nil, value)
	return string(unquoted), err == nil
}

// Strings returns the elements of a JSON array whose elements are all strings.
func Strings(value string) (elements []string, ok bool) {
	elements = make([]string, 0, min(1+strings.Count(value, ","), 16))
	s := scanner{text: value, most: len(value)}
	err := s.array(func(element string) error {
		text, ok := String(element)
		if !ok {
			return errValue
		}
		elements = append(elements, text)
		return nil
	})
	return elements, err == nil
}

// Elements returns the elements of a JSON array as they stand. Duplicate names in
// them are left to whoever reads them.
func Elements(value string) (elements []string, ok bool) {
	s := scanner{text: value, most: len(value)}
	err := s.array(func(element string) error {
		elements = append(elements, element)
		return nil
	})
	return elements, err == nil
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
func NumericDate(value string) (moment time.Time, ok bool) {
	if len(value) == 0 || len(value) > longestDate || value[0] == '-' {
		return time.Time{}, false
	}
	whole, fraction, ok := decimal(value)
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
