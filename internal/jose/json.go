package jose

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds on the work for an object that is not verified yet.
const (
	maxDepth    = 16
	maxMembers  = 256  // of the object itself
	maxElements = 2048 // of the object and everything inside it, counted as commas
	maxOfShell  = 8192 // the same for [Shell]

	maxDepthOfBody = 1000 // of [Body]; each level takes stack
)

// Object reads text as exactly one JSON object and calls member for each of its
// members, in order. It is stricter than encoding/json: it rejects a duplicate name
// at any depth (RFC 7515 §4, RFC 7519 §4), invalid UTF-8 or a lone surrogate, a byte
// order mark, anything but white space after the object, nesting deeper than 16,
// more than 256 members, and more than about 2048 elements in total. member gets the
// name with its escapes decoded and its case unchanged, and the JSON text of the
// value. If member returns an error, Object stops and returns that error.
//
// The errors of Object itself never quote text.
func Object(text string, member func(name, value string) error) error {
	s := scanner{text: text, most: maxElements, unique: true}
	return s.document(member)
}

// Body is [Object] for a text whose size the caller has limited, and whose content
// belongs to an application. It is as strict, but the text may be nested 1000 deep, and have any
// number of members and elements.
func Body(text string, member func(name, value string) error) error {
	s := scanner{text: text, most: len(text), unique: true, wide: true, deep: true}
	return s.document(member)
}

// Shell is [Object] for a document whose values are read one by one, such as a key
// set. It accepts duplicate names, so that one bad value does not invalidate the
// others; the caller should reject them when it reads a value. The document may have
// about 8192 elements in total.
func Shell(text string, member func(name, value string) error) error {
	s := scanner{text: text, most: maxOfShell}
	return s.document(member)
}

// eachMember is [Object] for a value inside an object that Object has read: duplicate
// names and the number of elements have been checked before.
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

// Strings returns the elements of a JSON array whose elements are all strings; ok is
// false for any other value.
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

// Elements returns the JSON texts of the elements of an array. It accepts duplicate
// names in an element; the caller should reject these when it reads the element. The array
// may be nested 1000 deep.
func Elements(value string) (elements []string, ok bool) {
	s := scanner{text: value, most: len(value), deep: true}
	err := s.array(func(element string) error {
		elements = append(elements, element)
		return nil
	})
	return elements, err == nil
}

// longestDate is the maximum length of a date in characters. To read a number of
// 11,000 digits would take as long as to verify a signature.
const longestDate = 64

// latest is 9999-12-31T23:59:59Z, the last second that RFC 3339 can write. Later
// dates are rejected, because time.Unix near the ends of int64 returns times that
// compare as the past.
const latest = 253402300799

// NumericDate returns the time that a JSON number of seconds stands for. Fractions
// and JSON's exponents are allowed (RFC 7519 §2). Digits below a nanosecond are cut
// off and never rounded up, so that no token is valid for longer. ok is false if
// value is not a number, is negative, after the year 9999, or longer than 64
// characters, or has an exponent beyond 64.
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
// exponent applied. ok is false if the exponent is larger than longestDate, or
// smaller than -longestDate.
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
