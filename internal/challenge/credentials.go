// Package challenge reads the credentials of a request and writes the
// challenge of a refusal: the syntax of RFC 9110 §11 and RFC 6750 §2.1 and §3.
package challenge

import "strings"

// Credentials takes one Authorization field value apart: a scheme, one or more
// spaces, and the rest. ok is false for what does not have that shape. The rest
// is not looked at; [IsToken68] does that.
func Credentials(line string) (scheme, rest string, ok bool) {
	line = strings.Trim(line, " \t") // RFC 9110 §5.5: not part of the value
	scheme, rest, _ = strings.Cut(line, " ")
	return scheme, strings.TrimLeft(rest, " "), isToken(scheme)
}

// IsToken68 reports 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" )
// *"=" (RFC 9110 §11.2), the form of every bearer token (RFC 6750 §2.1).
func IsToken68(text string) bool {
	text = strings.TrimRight(text, "=")
	for i := range len(text) {
		if !isToken68[text[i]] {
			return false
		}
	}
	return text != ""
}

// isToken reports RFC 9110 §5.6.2: what a scheme is made of.
func isToken(text string) bool {
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
