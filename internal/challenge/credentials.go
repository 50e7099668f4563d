// Package challenge reads the credentials of a request and writes the challenge of a
// refusal. It has the syntax of RFC 9110 §11 and RFC 6750 §2.1 and §3.
package challenge

import "strings"

// Credentials splits the value of an Authorization field into the scheme and, after
// one or more spaces, the rest. If the scheme is not a token, ok is false. The rest
// is not checked; [IsToken68] does that.
func Credentials(line string) (scheme, rest string, ok bool) {
	line = strings.Trim(line, " \t") // not part of the value (RFC 9110 §5.5)
	scheme, rest, _ = strings.Cut(line, " ")
	return scheme, strings.TrimLeft(rest, " "), IsToken(scheme)
}

// IsToken68 reports whether text is 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+"
// / "/" ) *"=" (RFC 9110 §11.2), the form of every bearer token (RFC 6750 §2.1).
func IsToken68(text string) bool {
	text = strings.TrimRight(text, "=")
	for i := range len(text) {
		if !isToken68[text[i]] {
			return false
		}
	}
	return text != ""
}

// IsToken reports whether text is a token (RFC 9110 §5.6.2), as a scheme must be.
func IsToken(text string) bool {
	for i := range len(text) {
		if !isTchar[text[i]] {
			return false
		}
	}
	return text != ""
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

var (
	isToken68 = table(alphanumeric + "-._~+/")
	isTchar   = table(alphanumeric + "!#$%&'*+-.^_`|~")
)

func table(chars string) (set [256]bool) {
	for i := range len(chars) {
		set[chars[i]] = true
	}
	return set
}
