package scopes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Requirement is what a route demands of a token's scopes. Make one with [All], [Any]
// or [None]. The zero Requirement demands nothing, but configuring a route with it fails,
// because it looks like a mistake. If you want to accept any valid token, you should use
// None.
type Requirement struct {
	clauses []clause // all of them must be satisfied
	none    bool     // made by None: any valid token will do
	fault   string   // why the Requirement is invalid
}

// A clause is satisfied by any one of its scopes.
type clause []string

// All demands every one of the scopes. If there are no scopes, or one of them is not a
// scope-token, the Requirement is invalid; see [Requirement.Err]. So a list that is empty
// by accident, for example a list from a file, never accepts every token.
func All(scopes ...string) Requirement {
	r := Requirement{fault: fault("All", scopes)}
	for _, scope := range scopes {
		r.clauses = append(r.clauses, clause{scope})
	}
	return r
}

// Any demands at least one of the scopes. The first should be the preferred scope, because
// a challenge asks for it. If there are no scopes, or one of them is not a scope-token,
// the Requirement is invalid; see [Requirement.Err].
func Any(scopes ...string) Requirement {
	return Requirement{clauses: []clause{slices.Clone(scopes)}, fault: fault("Any", scopes)}
}

// None demands nothing but a valid token.
func None() Requirement { return Requirement{none: true} }

func fault(name string, scopes []string) string {
	if len(scopes) == 0 {
		return name + "() has no scopes; to accept any valid token, use None()"
	}
	for _, scope := range scopes {
		if !isScopeToken(scope) {
			return fmt.Sprintf("%s: %q is not a scope-token (RFC 6749 §3.3)", name, scope)
		}
	}
	return ""
}

// isScopeToken reports whether scope matches 1*( %x21 / %x23-5B / %x5D-7E ), the
// scope-token of RFC 6749 §3.3.
func isScopeToken(scope string) bool {
	for i := range len(scope) {
		if c := scope[i]; c <= ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return scope != ""
}

// Err returns nil if the Requirement is valid, and otherwise says what is wrong with it.
func (r Requirement) Err() error {
	if r.fault == "" {
		return nil
	}
	return errors.New("scopes: " + r.fault)
}

// IsZero reports whether this is the zero Requirement, so that a missing Requirement can
// be detected.
func (r Requirement) IsZero() bool { return r.clauses == nil && !r.none && r.fault == "" }

// MetBy reports whether the granted scopes satisfy the Requirement. If the Requirement is
// invalid, nothing satisfies it.
func (r Requirement) MetBy(granted Set) bool {
	for _, c := range r.clauses {
		if !slices.ContainsFunc(c, granted.Has) {
			return false
		}
	}
	return r.fault == ""
}

// And returns a Requirement that demands what r and other demand.
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

// Scopes returns scopes that suffice to satisfy the Requirement: every scope of [All], and
// the first scope of [Any]. A challenge asks for these scopes (RFC 6750 §3.1).
func (r Requirement) Scopes() Set {
	var needed []string
	for _, c := range r.clauses {
		if len(c) > 0 && !slices.Contains(needed, c[0]) {
			needed = append(needed, c[0])
		}
	}
	return Parse(strings.Join(needed, " "))
}

// String returns the Requirement as Go code, for people to read.
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
