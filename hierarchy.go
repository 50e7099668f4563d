package accesstoken

import (
	"maps"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/scopes"
)

// A hierarchy lists for each scope all scopes that it implies, directly or through
// other scopes. It is made once, and read for every new token.
type hierarchy map[string][]string

func newHierarchy(implies map[string][]string) hierarchy {
	h := hierarchy{}
	for broad := range implies {
		reached := map[string]bool{}
		reach(implies, broad, reached)
		delete(reached, broad)
		h[broad] = slices.Sorted(maps.Keys(reached))
	}
	return h
}

// reach collects what a scope implies. It ends at a cycle.
func reach(implies map[string][]string, broad string, reached map[string]bool) {
	for _, narrow := range implies[broad] {
		if !reached[narrow] {
			reached[narrow] = true
			reach(implies, narrow, reached)
		}
	}
}

// widen adds the implied scopes, each only once because a token may have thousands.
func (h hierarchy) widen(granted scopes.Set) scopes.Set {
	if len(h) == 0 {
		return granted
	}
	seen, added := map[string]bool{}, map[string]bool{}
	for scope := range granted.All() {
		if h[scope] == nil || seen[scope] {
			continue
		}
		seen[scope] = true
		for _, implied := range h[scope] {
			added[implied] = true
		}
	}
	if len(added) == 0 {
		return granted
	}
	return scopes.Parse(granted.String() + " " + strings.Join(slices.Sorted(maps.Keys(added)), " "))
}
