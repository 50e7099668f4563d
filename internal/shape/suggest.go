package shape

import (
	"strconv"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// Suggest describes a token as a Spec: where it has the client, the scopes, its id and
// its roles, and which claims it lacks. It leaves Kind out, because one token does not
// show which claims the issuer's ID tokens have. claims are those of payload. Apart from
// typ, the Spec has names of a closed list and no values.
func Suggest(header *jose.Header, claims *jose.Claims, payload string) (s Spec) {
	switch {
	case !header.HasType:
		s.Types = []string{""}
	case !header.HasMediaType("at+jwt"):
		s.Types = []string{strings.TrimPrefix(strings.ToLower(header.Type), "application/")}
	}
	if claim := firstIn(payload, isFilled, "azp", "cid", "appid", "clientId"); claims.ClientID == "" && claim != "" {
		s.Client = []string{claim}
	}
	s.ScopeArray = claims.Scope.List != nil
	if claim := firstIn(payload, isScope, "scp", "scopes", "permissions"); !claims.Scope.Present && claim != "" {
		s.Scope = []string{claim}
		s.ScopeArray = jose.ReadScope(memberIn(payload, claim)).List != nil
	}
	if claims.ID == "" {
		s.ID = firstIn(payload, isFilled, "uti")
	}
	s.Groups = firstIn(payload, isScope, "cognito:groups")
	if jose.At(memberIn(payload, "realm_access"), []string{"roles"}) != "" {
		s.Roles = "/realm_access/roles"
	}
	for _, claim := range []struct {
		name string
		has  bool
	}{
		{"client_id", claims.ClientID != "" || s.Client != nil}, {"jti", claims.ID != "" || s.ID != ""}, {"sub", claims.Subject != ""},
		{"aud", claims.Audience != nil}, {"iat", !claims.IssuedAt.IsZero()},
	} {
		if !claim.has {
			s.Optional = append(s.Optional, claim.name)
		}
	}
	return s
}

// memberIn returns the JSON value of a member of an object that was read before, or "".
func memberIn(object, name string) string {
	found := [1]string{}
	jose.Find(object, []string{name}, found[:])
	return found[0]
}

// firstIn returns the first of the claims that is in a payload with a value that fits,
// or "".
func firstIn(payload string, fits func(value string) bool, claims ...string) string {
	for _, claim := range claims {
		if value := memberIn(payload, claim); value != "" && fits(value) {
			return claim
		}
	}
	return ""
}

func isFilled(value string) bool {
	text, _ := jose.String(value)
	return text != ""
}

func isScope(value string) bool { return !jose.ReadScope(value).Fault }

// Fields returns the fields of a dialect.Dialect that the Spec sets, as Go writes them.
// Marks are left out.
func (s Spec) Fields() (fields []string) {
	text := func(field, value string) {
		if value != "" {
			fields = append(fields, field+": "+strconv.Quote(value))
		}
	}
	list := func(field string, values []string) {
		if values == nil {
			return
		}
		var words []string
		for _, value := range values {
			words = append(words, strconv.Quote(value))
		}
		fields = append(fields, field+": []string{"+strings.Join(words, ", ")+"}")
	}
	is := func(field string, so bool) {
		if so {
			fields = append(fields, field+": true")
		}
	}
	text("Name", s.Name)
	list("Types", s.Types)
	list("Client", s.Client)
	list("Scope", s.Scope)
	is("ScopeArray", s.ScopeArray)
	text("ID", s.ID)
	text("Tenant", s.Tenant)
	text("Groups", s.Groups)
	text("Roles", s.Roles)
	text("Entitlements", s.Entitlements)
	list("Optional", s.Optional)
	is("IDTokens", s.IDTokens)
	return fields
}

// Own returns the names of at most eight claims of a payload, in their order, on which a
// mark of Kind would tell access tokens from ID tokens. If a name is longer than 64 bytes
// or begins with a slash, it is left out.
func (r *Rules) Own(payload string) (names []string) {
	_ = jose.Object(payload, func(name, value string) error { // no error: it was read before
		isName := name != "" && name[0] != '/' && len(name) <= 64 && value != "null"
		if isName && len(names) < 8 && !registered[name] && r.isPositive(node{op: opHas, claims: []claim{claimOf(name)}}) {
			names = append(names, name)
		}
		return nil
	})
	return names
}

// registered are claims that tokens of several kinds have, or that decide something else.
var registered = setOf("scope", "scopes", "client_id", "cnf", "act", "realm_access", "authorization_details")
