package shape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A node is a mark, ready to be judged.
type node struct {
	op     string
	claims []claim
	values []value // of opIs
	text   string  // the prefix, the suffix, or the fault
	marks  []node  // of opAnyOf
}

// A claim is a member of the payload, or what a JSON Pointer (RFC 6901) finds there.
type claim struct {
	given string   // as the dialect has it
	name  string   // of the member
	path  []string // the way from the member's value on
	index int      // in Rules.names
}

// A value is a string, a bool or an integer in a mark.
type value struct {
	text   string
	isText bool
}

// in returns the claim's JSON value, or "" if it is absent.
func (c claim) in(values []string) string { return jose.At(values[c.index], c.path) }

// textIn returns the claim if it is a string.
func (c claim) textIn(values []string) (text string, isText bool) { return jose.String(c.in(values)) }

// holds reports whether a token meets the mark. values are those of Rules.names.
func (n *node) holds(t *Reading, values []string) bool {
	switch n.op {
	case opHas:
		return !slices.ContainsFunc(n.claims, func(c claim) bool { return isAbsentOrNull(c.in(values)) })
	case opWithout:
		return !slices.ContainsFunc(n.claims, func(c claim) bool { return c.in(values) != "" })
	case opIs:
		found := n.claims[0].in(values)
		return slices.ContainsFunc(n.values, func(v value) bool { return v.equals(found) })
	case opPrefix:
		text, _ := n.claims[0].textIn(values)
		return strings.HasPrefix(text, n.text)
	case opAnyOf:
		return slices.ContainsFunc(n.marks, func(m node) bool { return m.holds(t, values) })
	case opBeyond:
		return !t.isForClientOnly()
	case opGrant:
		return t.isGrant(n.claims[0].in(values), n.claims[1].in(values))
	case opAccount:
		return isServiceAccount(t.Subject)
	case opClient:
		user := ""
		if len(n.claims) > 0 {
			user, _ = n.claims[0].textIn(values)
		}
		return user == "" && t.ClientID != "" && strings.TrimSuffix(t.Subject, n.text) == t.ClientID
	}
	return false
}

func isAbsentOrNull(value string) bool { return value == "" || value == "null" }

// equals compares by type, and numbers by value: 2.0 is 2, and "2" is not.
func (v value) equals(found string) bool {
	if v.isText {
		text, isText := jose.String(found)
		return isText && text == v.text
	}
	if v.text == "true" || v.text == "false" {
		return found == v.text
	}
	digits, _ := jose.Integer(found)
	return digits == v.text
}

// isGrant reports whether a token of Entra ID has a grant: scopes if a client acts
// for a user, roles if an application acts for itself. A user's ID token may also
// have roles, but it does not name a client (azp, appid), and the dialects of
// Entra ID require a client too.
func (t *Reading) isGrant(roles, kind string) bool {
	list, isList := strings.CutPrefix(roles, "[")
	hasRoles := isList && strings.HasPrefix(strings.TrimLeft(list, " \t\r\n"), `"`)
	of, _ := jose.String(kind)
	return t.Scope.Text != "" || hasRoles && (of == "" || of == "app")
}

// isServiceAccount reports whether sub names a service account of Kubernetes.
func isServiceAccount(subject string) bool {
	rest, ok := strings.CutPrefix(subject, "system:serviceaccount:")
	namespace, name, _ := strings.Cut(rest, ":")
	return ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// isPositive reports whether only tokens with a claim that ID tokens do not share can
// meet the mark. A claim that the dialect reads itself shows nothing, because it is
// demanded anyway.
func (r *Rules) isPositive(n node) bool {
	isOwn := func(c claim) bool {
		return !shared[c.name] && (r.spec.IsProfile || !often[c.name] && !r.reads(c.name) && (n.op != opHas || !kinds[c.name]))
	}
	switch n.op {
	case opHas, opIs, opPrefix:
		return slices.ContainsFunc(n.claims, isOwn)
	case opAnyOf:
		return !slices.ContainsFunc(n.marks, func(m node) bool { return !r.isPositive(m) })
	}
	return n.op == opGrant || n.op == opAccount
}

// reads reports whether the dialect reads the claim for the client, the token's id, the
// tenant or the scopes.
func (r *Rules) reads(name string) bool {
	if name == "client_id" || name == "scope" || name == "scp" {
		return true
	}
	given := slices.Concat(r.spec.Client, r.spec.Scope, []string{r.spec.ID, r.spec.Tenant})
	return slices.ContainsFunc(given, func(given string) bool { return claimOf(given).name == name })
}

// refusesClaim reports whether the mark demands what is in a claim, rather than what
// tells kinds of token apart. Such a claim is one that ID tokens share, or holds the
// scopes.
func (n *node) refusesClaim(scope []claim) bool {
	isShared := func(c claim) bool {
		return shared[c.name] || slices.ContainsFunc(scope, func(s claim) bool { return s.given == c.given })
	}
	switch n.op {
	case opHas, opIs, opPrefix:
		return !slices.ContainsFunc(n.claims, func(c claim) bool { return !isShared(c) })
	case opAnyOf:
		return !slices.ContainsFunc(n.marks, func(m node) bool { return m.op != opWithout && !m.refusesClaim(scope) })
	}
	return n.op == opGrant || n.op == opAccount
}

// forbids reports whether the mark, or one inside it, can be met by the absence of a
// claim.
func (n *node) forbids() bool {
	return n.op == opWithout || slices.ContainsFunc(n.marks, func(m node) bool { return m.forbids() })
}

// nodeOf reads the text of a mark.
func nodeOf(m Mark) node {
	elements := m.elements()
	if len(elements) == 0 {
		return node{op: opFault, text: "a Mark is empty; make it with a function of package dialect"}
	}
	n := node{}
	n.op, _ = elements[0].(string)
	rest := elements[1:]
	at := func(i int) string { text, _ := rest[i].(string); return text }
	switch n.op {
	case opHas, opWithout:
		for i := range rest {
			n.claims = append(n.claims, claimOf(at(i)))
		}
	case opIs:
		n.claims = []claim{claimOf(at(0))}
		for _, element := range rest[1:] {
			n.values = append(n.values, valueOf(element))
		}
	case opPrefix:
		n.claims, n.text = []claim{claimOf(at(0))}, at(1)
	case opAnyOf:
		for _, element := range rest {
			text, _ := json.Marshal(element)
			n.marks = append(n.marks, nodeOf(Mark{string(text)}))
		}
	case opGrant:
		n.claims = []claim{claimOf("roles"), claimOf("idtyp")}
	case opClient:
		n.text = at(0)
		if user := at(1); user != "" {
			n.claims = []claim{claimOf(user)}
		}
	case opFault:
		n.text = at(0)
	}
	return n
}

func valueOf(element any) value {
	text, isText := element.(string)
	if !isText {
		text = fmt.Sprint(element) // a bool or a json.Number
	}
	return value{text, isText}
}

// elements reads the text of a mark.
func (m Mark) elements() (elements []any) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(m.text)))
	decoder.UseNumber()
	_ = decoder.Decode(&elements) // never fails: mark wrote it
	return elements
}
