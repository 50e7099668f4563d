// Package scopes parses, matches and prints OAuth 2.0 scopes (RFC 6749 §3.3).
//
// A [Set] holds the scopes that a token was granted. A [Requirement] says which scopes a
// route demands:
//
//	scopes.All("orders:read", "orders:write") // both
//	scopes.Any("orders:read", "admin")        // one of them
//	scopes.None()                             // any valid token, stated explicitly
//
// Scopes are compared whole and case-sensitively, as RFC 6749 requires. For example, if a
// token has the scope "read:all", it has neither "read" nor "Read:all". Values of both
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

// Parse reads a scope string: scope-tokens separated by spaces (RFC 6749 §3.3). Order is
// kept. Parse never fails. If a word is not a scope-token, it is kept, but it satisfies
// nothing because no [Requirement] can contain it.
func Parse(scope string) Set {
	if !strings.HasPrefix(scope, " ") && !strings.HasSuffix(scope, " ") && !strings.Contains(scope, "  ") {
		return Set{scope}
	}
	words := strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' })
	return Set{strings.Join(words, " ")}
}

// Has reports whether the scope is in the set.
//
// Has allocates nothing, because it runs on every request.
func (s Set) Has(scope string) bool {
	if scope == "" || strings.IndexByte(scope, ' ') >= 0 { // for example, "a b" would be found in "a b c"
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

// All yields the scopes in the order of the scope string.
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
