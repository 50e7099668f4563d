package shape

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
)

// TestTenant is the tenant of a specimen.
const TestTenant = "11111111-2222-3333-4444-555555555555"

// Specimen returns the typ and the claims of a token for tests, as the Spec describes
// them. defaults and given are in the terms of RFC 9068; given wins, and its nil removes a
// claim. What the Spec makes optional is left out unless it is given, except sub. A claim
// that is given under the name that the issuer uses stays as it is, even if no such token
// is accepted. typ is "" if the header has none. If the Spec has faults, an error lists
// them.
func (s Spec) Specimen(defaults, given map[string]any) (typ string, claims map[string]any, err error) {
	s.IsProfile = true // what an issuer lacks is reported elsewhere
	if _, faults := Compile(s); faults != nil {
		return "", nil, errors.New(strings.Join(faults, "; "))
	}
	m := maker{spec: s, given: given, claims: maps.Clone(defaults), client: defaults["client_id"]}
	for _, name := range s.Optional {
		if name != "sub" {
			delete(m.claims, name)
		}
	}
	maps.Copy(m.claims, given)
	maps.DeleteFunc(m.claims, func(_ string, value any) bool { return value == nil })
	m.place()
	for _, mark := range s.Kind {
		n := nodeOf(mark)
		m.meet(&n)
	}
	switch {
	case s.Types == nil:
		return "at+jwt", m.claims, nil
	case strings.EqualFold(s.Types[0], "jwt"):
		return "JWT", m.claims, nil // as most issuers write it
	}
	return s.Types[0], m.claims, nil
}

// A maker makes a specimen.
type maker struct {
	spec          Spec
	given, claims map[string]any
	client        any // what names the client
}

// place moves claims from their names in RFC 9068 to where the issuer has them.
func (m *maker) place() {
	s := m.spec
	if scope, isText := m.claims["scope"].(string); isText && s.ScopeArray {
		m.claims["scope"] = strings.Fields(scope)
	}
	if s.Client != nil {
		m.move("client_id", s.Client[0])
	}
	if s.Scope != nil {
		m.move("scope", s.Scope[0])
	}
	m.move("jti", s.ID)
	m.move("groups", s.Groups)
	m.move("roles", s.Roles)
	m.move("entitlements", s.Entitlements)
	if s.Tenant != "" {
		m.set(claimOf(s.Tenant), TestTenant)
	}
}

// move gives a claim another name. If to is "", the claim keeps its own.
func (m *maker) move(from, to string) {
	value, found := m.claims[from]
	if !found || to == "" || to == from {
		return
	}
	delete(m.claims, from)
	m.set(claimOf(to), value)
}

// set sets a claim, unless it is given or is there.
func (m *maker) set(c claim, value any) {
	if m.isGiven(c) {
		return
	}
	if len(c.path) == 0 {
		if _, found := m.claims[c.name]; !found {
			m.claims[c.name] = value
		}
		return
	}
	object, _ := m.claims[c.name].(map[string]any)
	if object == nil {
		object = map[string]any{}
		m.claims[c.name] = object
	}
	for _, step := range c.path[:len(c.path)-1] {
		inner, _ := object[step].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
			object[step] = inner
		}
		object = inner
	}
	if last := c.path[len(c.path)-1]; object[last] == nil {
		object[last] = value
	}
}

func (m *maker) isGiven(c claim) bool {
	_, given := m.given[c.name]
	return given
}

// meet adds what a mark demands. It returns false if what is given prevents that.
func (m *maker) meet(n *node) bool {
	switch n.op {
	case opHas:
		for _, c := range n.claims {
			if c.name == "scope" || slices.Contains(m.spec.Scope, c.name) {
				m.set(c, "") // there are no scopes unless they are given
			}
			if slices.Contains(m.spec.Client, c.given) {
				m.set(c, m.client)
			}
			m.set(c, "test")
		}
	case opWithout:
		for _, c := range n.claims {
			if !m.isGiven(c) && len(c.path) == 0 {
				delete(m.claims, c.name)
			}
		}
		return !slices.ContainsFunc(n.claims, m.isGiven)
	case opIs:
		m.set(n.claims[0], n.values[0].any())
		return !m.isGiven(n.claims[0])
	case opPrefix:
		m.set(n.claims[0], n.text+"test")
		return !m.isGiven(n.claims[0])
	case opAnyOf:
		return slices.ContainsFunc(n.marks, func(one node) bool { return m.meet(&one) })
	case opGrant:
		if scope := m.claims[append(m.spec.Scope, "scope")[0]]; scope == nil || scope == "" {
			m.set(claimOf("roles"), []string{"test"})
		}
	case opAccount:
		if _, given := m.given["sub"]; !given {
			m.claims["sub"] = "system:serviceaccount:test:alice"
		}
	}
	return true
}

// any returns the value for encoding/json.
func (v value) any() any {
	switch {
	case v.isText:
		return v.text
	case v.text == "true", v.text == "false":
		return v.text == "true"
	}
	return json.Number(v.text)
}
