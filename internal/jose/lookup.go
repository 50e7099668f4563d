package jose

import (
	"errors"
	"strconv"
	"strings"
)

// Find puts the JSON values of the named members of an object into values, in the
// order of the names. The value of an absent member stays as it was. The object must
// have been read by [Object] before, and values must be as long as names.
func Find(object string, names, values []string) {
	missing := len(names)
	s := scanner{text: object, most: len(object), wide: true}
	_ = s.document(func(name, value string) error { // never fails: it was read before
		for i := range names {
			if names[i] == name {
				values[i] = value
				missing--
			}
		}
		if missing == 0 {
			return errFound
		}
		return nil
	})
}

var errFound = errors.New("all members were found")

// At returns the JSON value at the end of a path of members and indexes inside a value,
// or "" if it is absent (RFC 6901 §4). The value must be part of an object that
// [Object] has read.
func At(value string, path []string) string {
	for _, step := range path {
		if value == "" {
			return ""
		}
		switch value[0] {
		case '{':
			found := [1]string{}
			Find(value, []string{step}, found[:])
			value = found[0]
		case '[':
			value = element(value, step)
		default:
			return ""
		}
	}
	return value
}

// element returns an element of an array. Its index has no sign and no leading zero.
func element(array, index string) string {
	elements, _ := Elements(array)
	n, _ := strconv.Atoi(index)
	if strconv.Itoa(n) != index || n < 0 || n >= len(elements) {
		return ""
	}
	return elements[n]
}

// Integer returns the digits of a JSON number that is a whole number, without leading
// zeros. For example, 2, 2.0 and 20e-1 are all "2". ok is false for a fraction, for
// another value, and for a number of more than 64 characters.
func Integer(value string) (digits string, ok bool) {
	unsigned := strings.TrimPrefix(value, "-")
	if len(value) > longestDate || unsigned == "" || unsigned[0] < '0' || unsigned[0] > '9' {
		return "", false
	}
	if mantissa, _, _ := strings.Cut(strings.ToLower(unsigned), "e"); strings.Trim(mantissa, "0.") == "" {
		return "0", true // whatever the exponent
	}
	whole, fraction, ok := decimal(unsigned)
	if !ok || strings.Trim(fraction, "0") != "" {
		return "", false
	}
	whole = strings.TrimLeft(whole, "0")
	switch {
	case whole == "":
		return "0", true
	case unsigned != value:
		return "-" + whole, true
	}
	return whole, true
}
