// Package shape judges what a verified token looks like. It compiles what package
// dialect describes into the form that the Validator uses.
package shape

import (
	"encoding/json"
	"slices"
	"strings"
)

// A Spec is a dialect as data. The fields above IsProfile are those of
// dialect.Dialect.
type Spec struct {
	Name                        string
	Types                       []string
	Client                      []string
	Scope                       []string
	ScopeArray                  bool
	ID, Tenant                  string
	Groups, Roles, Entitlements string
	Optional                    []string
	IDTokens                    bool
	Kind, Machine               []Mark

	IsProfile     bool   // Name is that of a profile
	EmptyAudience bool   // an empty aud counts as absent
	BareIssuer    bool   // iss may leave out https://; String only prints it
	Lists         string // which lists of the issuer are demanded, in words; "" for the usual ones
}

// Rules are a compiled Spec. They are safe for concurrent use.
type Rules struct {
	spec Spec

	types        []string // accepted typ, in lower case; nil for at+jwt
	names        []string // of the members that are looked up in the payload
	client       []claim
	scope        []claim
	id           claim
	tenant       claim
	noType       bool
	noClient     bool
	noID         bool
	noSubject    bool
	noNonce      bool // refuse nonce
	noOthers     bool // refuse at_hash, c_hash, s_hash and events
	notClient    bool // refuse an aud that names the client
	beyondClient bool // refuse an aud that names only the client
	absent       []node
	kind         []node // what tells access tokens from other kinds
	content      []node // what claims must have in them
	machine      []node

	// NoAudience reports whether aud may be absent.
	NoAudience bool

	// NoIssuedAt reports whether iat may be absent.
	NoIssuedAt bool

	// HasTenant reports whether a claim names the tenant.
	HasTenant bool

	// IsEntra reports whether the tokens are those of Entra ID. If a header has a
	// nonce, the token is then for Microsoft Graph.
	IsEntra bool

	// IsMarked reports whether typ or a claim tells access tokens from all other kinds.
	IsMarked bool

	// MayBeIDTokens reports whether an ID token that names no client could pass. Then
	// lists of the issuer must keep ID tokens out.
	MayBeIDTokens bool

	// Groups, Roles and Entitlements are the paths to these claims, or nil for the
	// standard ones.
	Groups, Roles, Entitlements []string
}

// Compile makes the Rules of a Spec. If there are faults, no token must be judged by
// these Rules. Each fault begins with the name of the field.
func Compile(spec Spec) (*Rules, []string) {
	c := newCompiler(spec)
	c.types()
	c.places()
	c.optional()
	c.marks()
	c.defaults()
	c.contradictions("Kind", slices.Concat(c.rules.absent, c.rules.kind, c.rules.content))
	c.contradictions("Machine", c.rules.machine)
	c.rules.eachClaim(func(claim *claim) {
		if !slices.Contains(c.rules.names, claim.name) {
			c.rules.names = append(c.rules.names, claim.name)
		}
		claim.index = slices.Index(c.rules.names, claim.name)
	})
	return c.rules, c.faults
}

// eachClaim calls do for every claim for which the payload must be searched.
func (r *Rules) eachClaim(do func(*claim)) {
	if r.spec.ID != "" {
		do(&r.id)
	}
	if r.spec.Tenant != "" {
		do(&r.tenant)
	}
	for _, claims := range [][]claim{r.client, r.scope} {
		for i := range claims {
			do(&claims[i])
		}
	}
	for _, nodes := range [][]node{r.absent, r.kind, r.content, r.machine} {
		eachClaim(nodes, do)
	}
}

func eachClaim(nodes []node, do func(*claim)) {
	for i := range nodes {
		for j := range nodes[i].claims {
			do(&nodes[i].claims[j])
		}
		eachClaim(nodes[i].marks, do)
	}
}

// A compiler makes Rules and collects faults.
type compiler struct {
	rules  *Rules
	faults []string
}

func newCompiler(spec Spec) *compiler { return &compiler{rules: &Rules{spec: spec}} }

func (c *compiler) fault(texts ...string) { c.faults = append(c.faults, strings.Join(texts, "")) }

// claimOf reads a claim's name or a JSON Pointer. If it is neither, a fault is reported
// elsewhere.
func claimOf(given string) claim {
	path, err := pathOf(given)
	if err != nil {
		return claim{given: given, name: given}
	}
	return claim{given: given, name: path[0], path: path[1:]}
}

// places finds out where the dialect has what RFC 9068 has elsewhere.
func (c *compiler) places() {
	spec, r := c.rules.spec, c.rules
	c.list("Client", spec.Client)
	c.list("Scope", spec.Scope)
	for _, given := range spec.Client {
		r.client = append(r.client, claimOf(given))
		isClient := given == "aud" && spec.IDTokens // OpenID Connect Core §2
		if path, err := pathOf(given); err == nil && chosen[path[0]] != "" && !isClient {
			c.fault("Client has ", quoted(given), ", ", chosen[path[0]], "; name a claim that the issuer sets, such as azp")
		}
	}
	for _, given := range spec.Scope {
		r.scope = append(r.scope, claimOf(given))
		if strings.HasPrefix(given, "/") {
			c.fault("Scope has the JSON Pointer ", quoted(given), "; name a claim, or use Roles")
		}
	}
	if spec.ID != "" {
		r.id = claimOf(spec.ID)
	}
	if spec.Tenant != "" {
		r.tenant, r.HasTenant = claimOf(spec.Tenant), true
	}
	for _, field := range []struct {
		name, given string
		path        *[]string
	}{{"ID", spec.ID, nil}, {"Tenant", spec.Tenant, nil}, {"Groups", spec.Groups, &r.Groups}, {"Roles", spec.Roles, &r.Roles}, {"Entitlements", spec.Entitlements, &r.Entitlements}} {
		if field.given == "" {
			continue
		}
		path := c.path(field.name, field.given)
		if field.path != nil {
			*field.path = path
		}
	}
}

// list reports a list that is set but empty, and elements that are not a claim.
func (c *compiler) list(field string, claims []string) {
	if claims != nil && len(claims) == 0 {
		c.fault(field, " is set but empty; leave it nil for the default")
	}
	for _, given := range claims {
		c.path(field, given)
	}
}

// path reports what is neither a claim's name nor a JSON Pointer.
func (c *compiler) path(field, given string) []string {
	path, err := pathOf(given)
	if err != nil {
		c.fault(field, ": ", err.Error())
	}
	return path
}

// optional reads Optional.
func (c *compiler) optional() {
	r := c.rules
	if r.spec.Optional != nil && len(r.spec.Optional) == 0 {
		c.fault("Optional is set but empty; leave it nil for the default")
	}
	for _, given := range r.spec.Optional {
		switch given {
		case "client_id":
			r.noClient = true
		case "jti":
			r.noID = true
		case "sub":
			r.noSubject = true
		case "aud":
			r.NoAudience = true
		case "iat":
			r.NoIssuedAt = true
		case "iss", "exp":
			c.fault("Optional has ", quoted(given), ", which every token must have; remove it, and have the issuer put it into its tokens")
		default:
			c.fault("Optional has ", quoted(given), "; expected client_id, jti, sub, aud or iat, also where Client or ID name another claim")
		}
	}
}

// isRelaxed reports whether the dialect accepts access tokens that RFC 9068 does not, or
// has marks of its own.
func (s Spec) isRelaxed() bool {
	return s.Types != nil || s.Client != nil || s.Scope != nil || s.ScopeArray || s.ID != "" || s.Optional != nil || s.Kind != nil
}

// isTyped reports whether at+jwt is the only accepted typ.
func (r *Rules) isTyped() bool {
	return !r.noType && !slices.ContainsFunc(r.types, func(typ string) bool { return typ != "at+jwt" })
}

// defaults adds what is demanded unless Kind has a mark by which only access tokens
// are known.
func (c *compiler) defaults() {
	r := c.rules
	r.IsMarked = r.isTyped() || slices.ContainsFunc(r.kind, r.isPositive)
	if r.spec.IDTokens && r.NoAudience {
		c.fault(`Optional has "aud", and IDTokens is set; every ID token has aud, so remove it from Optional`)
	}
	switch {
	case r.spec.IDTokens && !r.spec.IsProfile && !r.noOthers: // a logout token is no ID token
		r.absent = append(r.absent, node{op: opWithout, claims: []claim{claimOf("events")}})
		return
	case r.spec.IDTokens, !r.spec.isRelaxed():
		return
	}
	r.noOthers = true
	if slices.ContainsFunc(slices.Concat(r.kind, r.content), r.isPositive) {
		return
	}
	r.noNonce = true
	if r.NoAudience && !r.isTyped() {
		c.fault(`Optional has "aud", and neither Types nor Kind tells access tokens from refresh tokens; add a mark to Kind on a claim that only access tokens have`)
	}
	// The ID tokens of OpenID Connect have azp if aud names more than the client.
	provable := r.beyondClient && slices.ContainsFunc(r.absent, func(n node) bool {
		return slices.ContainsFunc(n.claims, func(c claim) bool { return c.given == "azp" })
	})
	r.notClient = !r.isTyped() && !provable
	// What keeps ID tokens out here is that aud is compared with the client. If a token may
	// lack its client, there is nothing to compare with. The issuer of a profile that
	// demands an aud beyond the client, and no azp, is known to put azp into such ID tokens.
	r.MayBeIDTokens = r.noClient && !r.isTyped() && !(provable && r.spec.IsProfile)
}

func quoted(text string) string {
	quoted, _ := json.Marshal(text)
	return string(quoted)
}
