package shape

import (
	"encoding/json"
	"slices"
	"strings"
)

// TakesIDTokens reports whether ID tokens are the credentials.
func (r *Rules) TakesIDTokens() bool { return r.spec.IDTokens }

// String returns the name, what is relaxed of RFC 9068 and what is demanded in return.
func (r *Rules) String() string {
	name, relaxed, demanded := r.spec.Name, r.relaxed(), r.demanded()
	if name == "" {
		name = "the dialect"
	}
	text := name + " relaxes nothing"
	if relaxed != nil {
		text = name + " relaxes: " + strings.Join(relaxed, "; ")
	}
	if demanded != nil {
		text += ". It demands: " + strings.Join(demanded, "; ")
	}
	return text
}

// relaxed lists in words which rules of RFC 9068 are relaxed.
func (r *Rules) relaxed() (list []string) {
	say := func(so bool, what string) {
		if so {
			list = append(list, what)
		}
	}
	s := r.spec
	say(s.IDTokens, "ID tokens are accepted as credentials")
	say(r.types != nil, "typ is "+strings.Join(r.types, " or "))
	say(r.noType, "typ may be absent")
	say(s.Client != nil, "the client is in "+orOf(s.Client))
	say(r.noClient, "the client may be absent")
	say(s.ID != "", "the token's id is in "+dotted(s.ID))
	say(r.noID, "the token's id may be absent")
	say(s.Scope != nil, "the scopes are in "+orOf(s.Scope))
	say(s.ScopeArray, "the scopes may be an array")
	say(r.noSubject, "sub may be absent")
	say(r.NoAudience, "aud may be absent")
	say(r.NoIssuedAt, "iat may be absent")
	say(s.EmptyAudience, "aud may be empty where it may be absent")
	say(s.Groups != "", "the groups are in "+dotted(s.Groups))
	say(s.Roles != "", "the roles are in "+dotted(s.Roles))
	say(s.Entitlements != "", "the entitlements are in "+dotted(s.Entitlements))
	say(s.BareIssuer, "iss may leave out https://")
	return list
}

// demanded lists in words what is demanded in addition.
func (r *Rules) demanded() (list []string) {
	say := func(so bool, what string) {
		if so {
			list = append(list, what)
		}
	}
	say(r.noNonce, "no nonce")
	say(r.noOthers, "no at_hash, c_hash, s_hash or events")
	var own []string
	for _, n := range slices.Concat(r.absent, r.kind, r.content) {
		if n.op == opGrant || n.op == opAccount {
			own = append(own, n.phrase())
			continue
		}
		say(true, r.phrase(n))
	}
	say(r.beyondClient, "an aud that names more than the client")
	say(r.notClient, "an aud that does not name the client")
	say(r.spec.Tenant != "", dotted(r.spec.Tenant)+" of the issuer's tenant")
	list = append(list, own...)
	switch {
	case r.spec.Lists != "":
		say(true, r.spec.Lists)
	case r.NoAudience:
		say(true, "a client among Issuer.Clients")
	case r.spec.IDTokens:
		say(true, "a client among Issuer.Clients, or what Issuer.Demand says")
	}
	return list
}

// phrase describes a mark, in view of where the dialect has the scopes.
func (r *Rules) phrase(n node) string {
	if names := n.alternatives(); names != nil && slices.Equal(names, r.spec.Scope) {
		return "a claim with the scopes"
	}
	return n.phrase()
}

// phrase says what the mark demands.
func (n *node) phrase() string {
	switch n.op {
	case opHas:
		return join(n.names(), " and ")
	case opWithout:
		return "no " + join(n.names(), " or ")
	case opIs:
		return n.names()[0] + " " + n.listed() + n.place()
	case opPrefix:
		return n.names()[0] + " that begins with " + quote(n.text)
	case opAnyOf:
		if claim := n.verified(); claim != "" {
			return claim + verifiedSuffix + " beside " + claim
		}
		return strings.Join(n.each(func(m *node) string { return m.phrase() }), " or ")
	case opBeyond:
		return "an aud that names more than the client"
	case opGrant:
		return "scopes, or roles in a token for an application; no nonce in the header"
	case opAccount:
		return "sub system:serviceaccount:<namespace>:<name>"
	case opClient:
		return "sub that is the client"
	}
	return n.text
}

// complaint says what a token lacks that does not meet the mark.
func (n *node) complaint() string {
	switch n.op {
	case opHas:
		return strings.Join(n.names(), " or ") + " is missing"
	case opIs:
		return n.names()[0] + n.place() + " is not " + n.listed()
	case opPrefix:
		return n.names()[0] + " does not begin with " + quote(n.text)
	case opAnyOf:
		if claim := n.verified(); claim != "" {
			return claim + " is not verified"
		}
		if names := n.alternatives(); names != nil {
			return strings.Join(names, " or ") + " is missing"
		}
	case opGrant:
		return "the token has neither scp nor, for an application, roles"
	case opAccount:
		return "sub is not system:serviceaccount:<namespace>:<name>"
	}
	return "the token does not have " + n.phrase()
}

const verifiedSuffix = "_verified"

// verified returns the claim of a mark such as AnyOf(Without("email"),
// Is("email_verified", true)), or "" for other marks.
func (n *node) verified() string {
	if len(n.marks) != 2 || n.marks[0].op != opWithout || len(n.marks[0].claims) != 1 || n.marks[1].op != opIs {
		return ""
	}
	claim, verified := n.marks[0].claims[0].given, n.marks[1]
	if verified.claims[0].given != claim+verifiedSuffix || !slices.Equal(verified.values, []value{{text: "true"}}) {
		return ""
	}
	return claim
}

// alternatives returns the claims of which a token must have one, or nil for other
// marks.
func (n *node) alternatives() (names []string) {
	for _, m := range n.marks {
		if m.op != opHas || len(m.claims) != 1 {
			return nil
		}
		names = append(names, m.claims[0].given)
	}
	return names
}

func (n *node) each(describe func(*node) string) (texts []string) {
	for i := range n.marks {
		texts = append(texts, describe(&n.marks[i]))
	}
	return texts
}

func (n *node) names() (names []string) {
	for _, c := range n.claims {
		names = append(names, dotted(c.given))
	}
	return names
}

func (n *node) listed() string {
	var values []string
	for _, v := range n.values {
		text := v.text
		if v.isText {
			text = quote(text)
		}
		values = append(values, text)
	}
	return strings.Join(values, " or ")
}

// place tells typ in the payload from typ in the header.
func (n *node) place() string {
	if n.claims[0].given == "typ" {
		return " in the payload"
	}
	return ""
}

// quote puts a text into quotes if it would read as something else without them.
func quote(text string) string {
	isPlain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-.:/@", c)
	}
	if text == "" || json.Valid([]byte(text)) || strings.ContainsFunc(text, func(c rune) bool { return !isPlain(c) }) {
		quoted, _ := json.Marshal(text)
		return string(quoted)
	}
	return text
}

// join puts commas between words, and the last separator before the last of them.
func join(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + last + words[n]
}

func orOf(claims []string) string {
	var names []string
	for _, claim := range claims {
		names = append(names, dotted(claim))
	}
	return strings.Join(names, " or ")
}

// dotted prints a JSON Pointer as people write paths, for example realm_access.roles.
func dotted(claim string) string {
	if path, err := pathOf(claim); err == nil {
		return strings.Join(path, ".")
	}
	return claim
}
