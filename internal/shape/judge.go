package shape

import (
	"cmp"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A Reading is a token, or an introspection answer, in the terms of RFC 9068.
type Reading struct {
	jose.Claims

	// Tenant is the tenant, or "" if the dialect names no claim for it.
	Tenant string

	plainClient string     // client_id, wherever else the dialect finds the client
	values      []string   // of Rules.names
	others      [][]string // of a joined reading: the values by which the marks must hold as well
	parts       [][]string // of a joined reading: the values of each part
}

// A Fault is what is wrong with a token.
type Fault struct {
	// IsOtherKind reports whether the token is of another kind than an access token. If
	// not, a claim is wrong.
	IsOtherKind bool

	// Text says what is wrong. It has no part of the token.
	Text string

	// MayDepart reports whether a token of an issuer that departs from RFC 9068 can have
	// this fault.
	MayDepart bool

	// Relax is the field of accesstoken.Relax that drops the demand, or "".
	Relax string
}

// Read puts what an issuer has in claims of its own to where RFC 9068 has it. payload
// is what the claims were read from. If it is an answer, null counts as absent.
func (r *Rules) Read(own *jose.Claims, payload string, isAnswer bool) Reading {
	t := Reading{Claims: *own, plainClient: own.ClientID}
	if len(r.names) > 0 {
		t.values = make([]string, len(r.names))
		jose.Find(payload, r.names, t.values)
	}
	if isAnswer {
		for i := range t.values {
			if t.values[i] == "null" {
				t.values[i] = ""
			}
		}
	}
	if r.client != nil {
		t.readClient(r)
	}
	if r.spec.ID != "" {
		t.ID = t.text(r.id)
	}
	if r.spec.Tenant != "" {
		t.Tenant = t.text(r.tenant)
	}
	if r.scope != nil {
		t.readScope(r)
	}
	if isAnswer {
		t.forget(r)
	}
	return t
}

// forget clears claims that mean something else in an introspection answer than in a JWT.
// An answer has its scopes in scope alone (RFC 7662 §2.2). It may name the client of any
// token in azp, so a Kind that demands the absence of azp cannot be judged by it.
func (t *Reading) forget(r *Rules) {
	for _, c := range r.scope {
		if c.given != "scope" {
			t.values[c.index] = ""
		}
	}
	for _, n := range r.absent {
		for _, c := range n.claims {
			if c.given == "azp" {
				t.values[c.index] = ""
			}
		}
	}
}

// text returns a claim that must be a string if it is there.
func (t *Reading) text(c claim) string {
	found := c.in(t.values)
	text, isText := jose.String(found)
	if found != "" && !isText {
		t.Fault = cmp.Or(t.Fault, c.given+" has the wrong type")
	}
	return text
}

// readClient finds the client. If several claims name different clients, it sets a
// Fault.
func (t *Reading) readClient(r *Rules) {
	t.ClientID = ""
	for _, c := range r.client {
		named := t.text(c)
		if named != "" && t.ClientID != "" && named != t.ClientID {
			t.ClientID, t.Fault = "", cmp.Or(t.Fault, strings.Join(r.spec.Client, " and ")+" name different clients")
			return
		}
		t.ClientID = cmp.Or(t.ClientID, named)
	}
}

// readScope finds the first claim with scopes that is present, empty or not.
func (t *Reading) readScope(r *Rules) {
	t.Scope = jose.Scope{}
	for _, c := range r.scope {
		found := c.in(t.values)
		if found == "" {
			continue
		}
		if t.Scope = jose.ReadScope(found); t.Scope.Fault {
			t.Fault = cmp.Or(t.Fault, c.given+" has the wrong type")
		}
		return
	}
}

// Join makes the reading of a JWT and of the answer about it. claims are those that
// both together have. The marks must hold, whichever of the two has a claim.
func (r *Rules) Join(claims jose.Claims, jwt, answer *Reading) Reading {
	t := Reading{
		Claims:      claims,
		Tenant:      cmp.Or(jwt.Tenant, answer.Tenant),
		plainClient: cmp.Or(jwt.plainClient, answer.plainClient),
		values:      eitherOf(jwt.values, answer.values),
		others:      [][]string{eitherOf(answer.values, jwt.values)},
		parts:       [][]string{jwt.values, answer.values},
	}
	return t
}

// eitherOf returns the first values, and the second ones where those are absent or
// null.
func eitherOf(first, second []string) []string {
	values := slices.Clone(first)
	for i := range values {
		if isAbsentOrNull(values[i]) {
			values[i] = second[i]
		}
	}
	return values
}

// holds reports whether a mark holds. If absence can meet it, it must hold for each
// part of a joined reading.
func (t *Reading) holds(n *node) bool {
	if !n.holds(t, t.values) {
		return false
	}
	more := t.others
	if n.forbids() {
		more = slices.Concat(more, t.parts)
	}
	return !slices.ContainsFunc(more, func(values []string) bool { return !n.holds(t, values) })
}

// Check checks a verified token, first its kind and then its claims.
func (r *Rules) Check(header *jose.Header, t *Reading) *Fault {
	if fault := r.CheckKind(header, t); fault != nil {
		return fault
	}
	if fault := r.CheckClaims(t); fault != nil {
		return fault
	}
	return r.CheckScope(t)
}

// CheckKind refuses tokens that are not access tokens (RFC 8725 §3.11, §3.12).
func (r *Rules) CheckKind(header *jose.Header, t *Reading) *Fault {
	if fault := r.CheckType(header); fault != nil {
		return fault
	}
	return r.CheckMarks(t)
}

// CheckMarks refuses tokens with the marks of other kinds, tokens without the marks by
// which access tokens are known, and an aud that names the client. Of a joined reading,
// neither the JWT nor the answer may have what must be absent, or contradict a mark.
func (r *Rules) CheckMarks(t *Reading) *Fault {
	if r.noNonce && t.Nonce || r.noOthers && t.OtherKind {
		return &Fault{IsOtherKind: true, Text: "the token has claims that ID or logout tokens have"}
	}
	for i := range r.absent {
		if n := &r.absent[i]; !t.holds(n) {
			return &Fault{IsOtherKind: true, Text: n.presence()}
		}
	}
	if t.OtherUse {
		return &Fault{IsOtherKind: true, Text: "typ or token_use is that of an ID, refresh or logout token"}
	}
	for i := range r.kind {
		if n := &r.kind[i]; !t.holds(n) {
			return &Fault{IsOtherKind: true, Text: n.complaint()}
		}
	}
	return r.checkAddressee(t)
}

// CheckType refuses a typ that the dialect does not list.
func (r *Rules) CheckType(header *jose.Header) *Fault {
	if r.isAccepted(header) {
		return nil
	}
	return &Fault{IsOtherKind: true, Text: "the typ is not that of an access token in " + r.title(), MayDepart: true, Relax: "Typ"}
}

// presence says what is there that Without forbids.
func (n *node) presence() string {
	if !slices.ContainsFunc(n.claims, func(c claim) bool { return !shared[c.name] }) {
		return "the token has claims that ID or logout tokens have"
	}
	return "the token has " + strings.Join(n.names(), " or ")
}

// checkAddressee refuses an aud that names the client, as an ID token's aud does.
func (r *Rules) checkAddressee(t *Reading) *Fault {
	switch {
	case r.beyondClient && t.isForClientOnly():
		return &Fault{IsOtherKind: true, Text: "the audience names only the client, as an ID token's does"}
	case r.notClient && slices.ContainsFunc(t.Audience, t.isClient):
		return &Fault{IsOtherKind: true, Text: "the audience names the client, as an ID token's does"}
	}
	return nil
}

// CheckScope checks the form of the scopes.
func (r *Rules) CheckScope(t *Reading) *Fault {
	switch {
	case t.Scope.List != nil && !r.spec.ScopeArray:
		return &Fault{Text: "scope is an array", MayDepart: true, Relax: "ScopeArray"}
	case slices.ContainsFunc(t.Scope.List, isNoScope):
		return &Fault{Text: "scope has an element that is empty or has a space"}
	}
	return nil
}

// isNoScope reports elements of a scope array that are empty or would split into
// several scopes.
func isNoScope(scope string) bool { return scope == "" || strings.Contains(scope, " ") }

// title returns what the rules are called in errors.
func (r *Rules) title() string {
	switch {
	case r.spec.IsProfile:
		return "the profile " + r.spec.Name
	case r.spec.Name == "":
		return "the Dialect"
	}
	return "the Dialect " + r.spec.Name
}

func (r *Rules) isAccepted(header *jose.Header) bool {
	switch {
	case !header.HasType:
		return r.noType
	case r.spec.Types == nil:
		return header.HasMediaType("at+jwt")
	}
	return slices.ContainsFunc(r.types, header.HasMediaType)
}

// CheckClaims requires what RFC 9068 §2.2 makes REQUIRED, or what the dialect demands
// in its place. A token without exp is refused, because it would never expire. aud is
// checked on every request.
func (r *Rules) CheckClaims(t *Reading) *Fault {
	fault := func(text string) *Fault { return &Fault{Text: text} }
	switch {
	case t.Fault != "":
		return fault(t.Fault)
	case t.Audience != nil && len(t.Audience) == 0 && !r.spec.EmptyAudience:
		return fault("aud is empty")
	case t.Subject == "" && !r.noSubject:
		return &Fault{Text: "sub is missing", MayDepart: true}
	case t.Expiry.IsZero():
		return fault("exp is missing")
	case t.IssuedAt.IsZero() && !r.NoIssuedAt:
		return fault("iat is missing")
	case t.ClientID == "" && !r.noClient:
		return &Fault{Text: r.ClientClaims(" or ") + " is missing", MayDepart: true, Relax: "ClientID"}
	case t.ClientID == "" && t.Subject == "":
		return fault("sub and " + r.ClientClaims(" and ") + " are missing, so the token names neither a user nor a client")
	case t.ID == "" && !r.noID:
		return &Fault{Text: cmp.Or(r.spec.ID, "jti") + " is missing", MayDepart: true, Relax: "JTI"}
	}
	for i := range r.content {
		if n := &r.content[i]; !t.holds(n) {
			return fault(n.complaint())
		}
	}
	return nil
}

// ClientClaims returns the claims that name the client, with a separator between them.
func (r *Rules) ClientClaims(separator string) string {
	if r.spec.Client == nil {
		return "client_id"
	}
	return strings.Join(r.spec.Client, separator)
}

// IsScope reports whether a claim holds scopes.
func (r *Rules) IsScope(name string) bool {
	return name == "scope" || slices.Contains(r.spec.Scope, name)
}

// CountsEmptyAudience reports whether an empty aud counts as absent.
func (r *Rules) CountsEmptyAudience() bool { return r.spec.EmptyAudience }

// isClient reports whether an audience is the client itself, as in every ID token
// (OpenID Connect Core §2).
func (t *Reading) isClient(audience string) bool {
	return audience != "" && (audience == t.ClientID || audience == t.AuthorizedParty || audience == t.plainClient)
}

// isForClientOnly reports whether every audience is the client itself. An empty audience
// is ignored.
func (t *Reading) isForClientOnly() bool {
	for _, audience := range t.Audience {
		if audience != "" && !t.isClient(audience) {
			return false
		}
	}
	return len(t.Audience) > 0
}

// IsClientItself reports whether the client acts for itself. If it does, RFC 9068 §2.2
// says that sub names the client; some issuers show it in other ways.
func (r *Rules) IsClientItself(t *Reading) bool {
	switch {
	case t.Subject == "": // then the token names a client, see CheckClaims
		return true
	case r.machine == nil:
		return t.Subject == t.ClientID
	}
	return !slices.ContainsFunc(r.machine, func(n node) bool { return !n.holds(t, t.values) })
}

// IsAnswerOfClient is [Rules.IsClientItself] for an introspection answer alone, which
// has the claims of RFC 7662.
func (r *Rules) IsAnswerOfClient(claims *jose.Claims) bool {
	subject := claims.Subject
	for _, n := range r.machine {
		if n.op == opClient {
			subject = strings.TrimSuffix(subject, n.text)
		}
	}
	return claims.ClientID != "" && subject == claims.ClientID
}
