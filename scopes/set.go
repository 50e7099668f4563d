// Package scopes parses, matches and prints OAuth 2.0 scopes (RFC 6749 §3.3).
//
// A [Set] is what a token was granted. A [Requirement] is what a route
// demands:
//
//	scopes.All("orders:read", "orders:write") // both
//	scopes.Any("orders:read", "admin")        // one of them
//	scopes.None()                             // any valid token, said aloud
//
// Scopes are compared whole and with regard to case, as the RFC has it:
// "read" is not part of "read:all", and "Read" is another scope. Values of both
// types are immutable and safe for concurrent use.
package scopes

import (
	"iter"
	"strings"
)

// A Set is a parsed scope string. The zero Set is empty.
type Set struct {
	text string // words separated by one space
}

// Parse reads a scope string: scope-tokens separated by spaces (RFC 6749
// §3.3). Order is kept. Parse never fails: what stands between two spaces and
// is no scope-token is kept, and meets nothing, since no [Requirement] can
// name it.
func Parse(scope string) Set {
	if !strings.HasPrefix(scope, " ") && !strings.HasSuffix(scope, " ") && !strings.Contains(scope, "  ") {
		return Set{scope}
	}
	words := strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' })
	return Set{strings.Join(words, " ")}
}

// Has reports whether the scope is in the set.
//
// It searches the text, and allocates nothing: it runs on every request.
func (s Set) Has(scope string) bool {
	if scope == "" || strings.IndexByte(scope, ' ') >= 0 { // such a scope would be found between others
		return false
	}
	for from := 0; ; {
		at := strings.Index(s.text[from:], scope)
		if at < 0 {
			return false
		}
		from += at
		end := from + len(scope)
		if (from == 0 || s.text[from-1] == ' ') && (end == len(s.text) || s.text[end] == ' ') {
			return true
		}
		from++
	}
}

// All yields the scopes in their order.
func (s Set) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := s.text; rest != ""; {
			var word string
			if word, rest, _ = strings.Cut(rest, " "); !yield(word) {
				return
			}
		}
	}
}

// String returns the set as a scope string.
func (s Set) String() string { return s.text }
