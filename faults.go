package accesstoken

import (
	"fmt"
	"maps"
	"slices"

	"github.com/accesstoken/accesstoken/internal/shape"
	"github.com/accesstoken/accesstoken/scopes"
)

// faults collects the faults of a Config. Each text names the settings at fault.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// list reports a list that is set but empty, or has an empty element.
func (f *faults) list(field string, values []string) {
	if values != nil && len(values) == 0 {
		f.add("%s is set but empty; leave it nil for the default", field)
	}
	if slices.Contains(values, "") {
		f.add("%s has an empty element", field)
	}
}

// demand reports a Demand that is empty, lists no values, or has a claim that other
// settings are for.
func (f *faults) demand(demand map[string][]string) {
	if demand != nil && len(demand) == 0 {
		f.add("Demand is set but empty; leave it nil for none")
	}
	for _, claim := range slices.Sorted(maps.Keys(demand)) {
		values := demand[claim]
		path, err := shape.PathOf(claim)
		switch {
		case claim == "" || len(values) == 0 || slices.Contains(values, ""):
			f.add("Demand[%q] has no values, or an empty one; list the accepted values", claim)
		case err != nil:
			f.add("Demand: %w", err)
		case slices.Contains([]string{"iss", "aud", "exp", "nbf", "iat", "scope", "scp", "cnf"}, path[0]):
			f.add("Demand[%q] is not allowed; use URL, Audience, MaxAge or a route's Policy for this claim", claim)
		}
	}
}

// hierarchy reports texts that are not scope-tokens, and scopes with an empty list.
func (f *faults) hierarchy(implies map[string][]string) {
	for _, broad := range slices.Sorted(maps.Keys(implies)) {
		if err := scopes.All(append([]string{broad}, implies[broad]...)...).Err(); err != nil || len(implies[broad]) == 0 {
			f.add("ScopeImplies[%q] has no scopes, or an invalid one; list scope-tokens (RFC 6749 §3.3)", broad)
		}
	}
}
