// Package dialect describes what an issuer's JWT access tokens look like, where they
// depart from RFC 9068. A [Dialect] is the value of accesstoken.Issuer.Dialect, for an
// issuer that has no Profile. You can also print the Dialect of a Profile, or start from
// it.
//
// An access token must be told from the ID tokens of the same issuer, because every
// client can send those too. If typ does not do that, Kind should: it lists what only
// the access tokens have.
package dialect

import "github.com/accesstoken/accesstoken/internal/shape"

// A Dialect says where an issuer's JWT access tokens depart from RFC 9068. If a field is
// unset, the rule of the RFC holds; the zero Dialect is the RFC itself.
//
// No Dialect accepts a token with a wrong signature or iss, without exp, or whose typ or
// token_use says that it is an ID, refresh or logout token. What would let in other
// tokens is a fault of the configuration, which accesstoken.NewValidator reports.
//
// Where a field names a claim, a text that begins with a slash is a JSON Pointer (RFC
// 6901). For example, "/realm_access/roles" is the member roles of the claim
// realm_access.
type Dialect struct {
	_ [0]func()

	// Name is the issuer's or its software's name in errors, for example "Clerk".
	Name string

	// Types lists the accepted typ of the header, in any case and without
	// "application/". An empty text accepts tokens that have no typ. If nil, typ must be
	// at+jwt. The typ of another kind of JWT, such as "logout+jwt", is a fault.
	Types []string

	// Client lists the claims that name the client, in place of client_id. If two of
	// them name different clients, the token is refused. A claim that callers or users
	// choose, such as nonce or email, is a fault.
	Client []string

	// Scope lists the claims that hold the scopes, in place of scope. The first that is
	// present counts, even if it is empty. Pointers are not allowed here.
	Scope []string

	// ScopeArray also accepts an array of strings in place of a string with spaces.
	ScopeArray bool

	// ID is the claim that identifies the token, in place of jti. Tenant is the claim
	// that Issuer.Tenants lists the values of, such as "tid".
	ID, Tenant string

	// Groups, Roles and Entitlements are the claims that the methods of the same name
	// read, in place of the standard ones.
	Groups, Roles, Entitlements string

	// Optional lists which of client_id, jti, sub, aud and iat may be absent. These are
	// RFC 9068's names, even if Client or ID name other claims. If aud may be absent,
	// Issuer.Clients must be set, and Types or Kind must tell access tokens from refresh
	// tokens. If client_id may be absent, Types or Kind must tell access tokens from ID
	// tokens, or Issuer.Clients, Demand or Accept must be set. A token needs a sub or a
	// client. If iat may be absent, Issuer.MaxAge must not be set, and MaxLifetime counts
	// from now.
	Optional []string

	// IDTokens accepts ID tokens as credentials. Any client of the issuer can get one,
	// so Issuer.Clients or Issuer.Demand must be set. Client can then be aud, because the
	// aud of an ID token is its client. A token with events is refused, because it is a
	// logout token.
	IDTokens bool

	// Kind lists what only this issuer's access tokens have. All marks must hold, and an
	// introspection answer must not contradict them. A mark on a claim that ID tokens often
	// have, such as tid or ver, or that this Dialect reads anyway, such as the client,
	// shows nothing. Unless
	// IDTokens is set, a dialect that relaxes anything refuses at_hash, c_hash, s_hash
	// and events as well. It also refuses nonce unless a mark of Kind demands a claim
	// that ID tokens do not have. If Types accepts more than at+jwt, and there is no such
	// mark, an aud that names the client is refused as well, because every ID token has
	// one.
	Kind []Mark

	// Machine lists the marks of a token with which a client acts for itself. All must
	// hold. If nil, sub must be the client. If there is no sub, the client always acts
	// for itself. Machine refuses no token; it decides what Claims.ClientItself returns.
	Machine []Mark
}

// String returns the name, what the dialect relaxes of RFC 9068 and what it demands in
// return.
func (d *Dialect) String() string {
	rules, _ := shape.Compile(d.Spec())
	return rules.String()
}

// Spec is for package accesstoken only. It returns the Dialect in the form in which
// tokens are judged.
func (d *Dialect) Spec() shape.Spec {
	return shape.Spec{
		Name: d.Name, Types: d.Types, Client: d.Client, Scope: d.Scope, ScopeArray: d.ScopeArray, ID: d.ID, Tenant: d.Tenant,
		Groups: d.Groups, Roles: d.Roles, Entitlements: d.Entitlements, Optional: d.Optional, IDTokens: d.IDTokens,
		Kind: bare(d.Kind), Machine: bare(d.Machine),
	}
}

func bare(marks []Mark) (list []shape.Mark) {
	if marks != nil {
		list = []shape.Mark{}
	}
	for _, m := range marks {
		list = append(list, m.Mark)
	}
	return list
}
