package scopes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Requirement is what a route demands of a token's scopes. Make one with
// [All], [Any] or [None]. The zero Requirement asks nothing; where routes are
// set up it is refused, because it looks like a slip: write None instead.
type Requirement struct {
	clauses []clause // every one has to be met
	none    bool     // said aloud: any valid token
	fault   string   // why the Requirement is invalid
}

// A clause is met by any one of its scopes.
type clause []string

// All demands every one of the scopes. Without any, or with one that is not a
// scope-token, it makes an invalid Requirement, see [Requirement.Err]: a list
// that is empty by accident never means "anyone".
func All(scopes ...string) Requirement {
	r := Requirement{fault: fault("All", scopes)}
	for _, scope := range scopes {
		r.clauses = append(r.clauses, clause{scope})
	}
	return r
}

// Any demands one of the scopes, the preferred one first: that is the one a
// challenge asks for. Without any, or with one that is not a scope-token, it
// makes an invalid Requirement, see [Requirement.Err].
func Any(scopes ...string) Requirement {
	return Requirement{clauses: []clause{slices.Clone(scopes)}, fault: fault("Any", scopes)}
}

// None demands nothing but a valid token.
func None() Requirement { return Requirement{none: true} }

func fault(name string, scopes []string) string {
	if len(scopes) == 0 {
		return name + "() names no scope; for any valid token write None()"
	}
	for _, scope := range scopes {
		if !isScopeToken(scope) {
			return fmt.Sprintf("%s: %q is not a scope-token (RFC 6749 §3.3)", name, scope)
		}
	}
	return ""
}

// isScopeToken reports 1*( %x21 / %x23-5B / %x5D-7E ), RFC 6749 §3.3.
func isScopeToken(scope string) bool {
	for i := range len(scope) {
		if c := scope[i]; c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return scope != ""
}

// Err returns nil for a Requirement that can be enforced, and otherwise what is
// wrong with it.
func (r Requirement) Err() error {
	if r.fault == "" {
		return nil
	}
	return errors.New("scopes: " + r.fault)
}

// IsZero reports whether this is the zero Requirement, which nobody has set.
func (r Requirement) IsZero() bool { return r.clauses == nil && !r.none && r.fault == "" }

// MetBy reports whether the granted scopes satisfy the Requirement. An invalid
// Requirement is met by nothing.
func (r Requirement) MetBy(granted Set) bool {
	for _, c := range r.clauses {
		if !slices.ContainsFunc(c, granted.Has) {
			return false
		}
	}
	return r.fault == ""
}

// And demands both Requirements.
func (r Requirement) And(other Requirement) Requirement {
	both := Requirement{
		clauses: slices.Concat(r.clauses, other.clauses),
		none:    r.none || other.none,
		fault:   r.fault,
	}
	if both.fault == "" {
		both.fault = other.fault
	}
	return both
}

// Scopes returns the scopes that a token needs in order to satisfy the
// Requirement: every scope of [All], and the first of [Any], which suffices.
// This is what a challenge asks for (RFC 6750 §3.1).
func (r Requirement) Scopes() Set {
	var needed []string
	for _, c := range r.clauses {
		if len(c) > 0 && !slices.Contains(needed, c[0]) {
			needed = append(needed, c[0])
		}
	}
	return Parse(strings.Join(needed, " "))
}

// String prints the Requirement for people, as it would be written in Go.
func (r Requirement) String() string {
	if len(r.clauses) == 0 {
		return "None()"
	}
	var parts []string
	var all clause
	for _, c := range r.clauses {
		if len(c) == 1 {
			all = append(all, c[0])
		} else {
			parts = append(parts, "Any("+c.quoted()+")")
		}
	}
	if len(all) > 0 {
		parts = append([]string{"All(" + all.quoted() + ")"}, parts...)
	}
	return strings.Join(parts, " and ")
}

func (c clause) quoted() string {
	quoted := make([]string, len(c))
	for i, scope := range c {
		quoted[i] = strconv.Quote(scope)
	}
	return strings.Join(quoted, ", ")
}
