package shape

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// deepest is how many steps a JSON Pointer can have. Each one reads the value again.
const deepest = 8

// pathOf splits a JSON Pointer (RFC 6901), which begins with a slash. Anything else is
// the name of one claim.
func pathOf(claim string) ([]string, error) {
	if claim == "" {
		return nil, errors.New("a claim's name is empty; write the name, or a JSON Pointer")
	}
	pointer, isPointer := strings.CutPrefix(claim, "/")
	if !isPointer {
		return []string{claim}, nil
	}
	var path []string
	for step := range strings.SplitSeq(pointer, "/") {
		if step == "" || strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(step), "~") {
			return nil, fmt.Errorf("%q is not a JSON Pointer (RFC 6901); write names between slashes, ~1 for a slash and ~0 for a tilde", claim)
		}
		if len(path) == deepest {
			return nil, fmt.Errorf("%q has more than %d steps; have the issuer put the claim further out", claim, deepest)
		}
		path = append(path, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
	}
	return path, nil
}

// PathOf returns the way to a claim: its name, or the steps of a JSON Pointer.
func PathOf(claim string) ([]string, error) { return pathOf(claim) }

// types reads Types, which must not name another kind of JWT.
func (c *compiler) types() {
	r := c.rules
	if r.spec.Types != nil && len(r.spec.Types) == 0 {
		c.fault(`Types is set but empty; list the accepted typ, "" for none, or leave it nil for at+jwt`)
	}
	isPlain := func(b rune) bool { return b > ' ' && b < 0x7f && !strings.ContainsRune(`/;,"`, b) }
	for _, given := range r.spec.Types {
		typ := strings.ToLower(given)
		switch {
		case typ == "":
			r.noType = true
			continue
		case strings.HasPrefix(typ, "application/"):
			c.fault("Types has ", quoted(given), "; write it without application/")
		case strings.ContainsFunc(typ, func(b rune) bool { return !isPlain(b) }):
			c.fault("Types has ", quoted(given), ", which is not the subtype of a media type; write typ as the tokens have it, without application/")
		case otherTypes[typ] != "":
			c.fault("Types has ", quoted(given), ", the typ of ", otherTypes[typ], ", which is never an access token; list the typ of access tokens only")
		case jose.IsOtherUse(typ):
			c.fault("Types has ", quoted(given), ", the typ of an ID, refresh or logout token; list the typ of access tokens only")
		}
		r.types = append(r.types, typ)
	}
}

// otherTypes are the typ of JWTs that are not access tokens, with what they are.
var otherTypes = map[string]string{
	"dpop+jwt":                           "a DPoP proof (RFC 9449)",
	"logout+jwt":                         "a logout token (OpenID Connect Back-Channel Logout)",
	"secevent+jwt":                       "a security event (RFC 8417)",
	"token-introspection+jwt":            "an introspection answer (RFC 9701)",
	"logout_token":                       "a logout token",
	"global-token-revocation+jwt":        "a revocation request",
	"wimse-proof+jwt":                    "a workload proof",
	"client-authentication+jwt":          "a client assertion (RFC 7523)",
	"authorization-grant+jwt":            "an authorization grant (RFC 7523)",
	"oauth-authz-req+jwt":                "an authorization request (RFC 9101)",
	"oauth-id-jag+jwt":                   "an identity assertion grant",
	"oauth-client-attestation+jwt":       "a client attestation",
	"oauth-client-attestation-pop+jwt":   "a proof for a client attestation",
	"txn-authz-challenge+jwt":            "a transaction challenge",
	"txntoken+jwt":                       "a transaction token",
	"wit+jwt":                            "a workload identity token",
	"wpt+jwt":                            "a workload proof",
	"statuslist+jwt":                     "a status list",
	"kb+jwt":                             "a key binding of a credential (RFC 9901)",
	"sd-jwt":                             "a selective disclosure (RFC 9901)",
	"sd+jwt":                             "a selective disclosure (RFC 9901)",
	"dc+sd-jwt":                          "a verifiable credential",
	"vc+sd-jwt":                          "a verifiable credential",
	"vc+jwt":                             "a verifiable credential",
	"vp+jwt":                             "a verifiable presentation",
	"openid4vci-proof+jwt":               "a proof for a credential",
	"keyattestation+jwt":                 "a key attestation",
	"key-attestation+jwt":                "a key attestation",
	"entity-statement+jwt":               "a statement of OpenID Federation",
	"trust-mark+jwt":                     "a trust mark of OpenID Federation",
	"trust-mark-delegation+jwt":          "a trust mark of OpenID Federation",
	"explicit-registration-response+jwt": "an answer of OpenID Federation",
	"resolve-response+jwt":               "an answer of OpenID Federation",
	"jwk-set+jwt":                        "a signed key set",
	"provider-statement+jwt":             "signed metadata",
	"passport":                           "a caller's identity (RFC 8225)",
	"id+jwt":                             "an ID token",
	"id-token+jwt":                       "an ID token",
	"refresh+jwt":                        "a refresh token",
	"rt+jwt":                             "a refresh token",
}

// shared are the claims that ID tokens have as well: those of OpenID Connect Core §2
// and §5.1 and of JWTs in general, and those that issuers often put into both. Their
// presence does not show that a token is an access token.
var shared = setOf(
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "auth_time", "nonce", "acr", "amr", "azp", // in every kind of JWT, or defined for ID tokens
	"at_hash", "c_hash", "s_hash", "sid", "events", "sub_jwk", // defined for ID, logout and self-issued tokens
	"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
	"email", "email_verified", "gender", "birthdate", "zoneinfo", "locale", "phone_number", "phone_number_verified", "address", "updated_at", // about the user
	"groups", "roles", "entitlements", // about the user, although RFC 9068 defines them for access tokens
	"_claim_names", "_claim_sources", // where claims of either kind are found
)

// often are further claims that issuers are known to put into ID tokens. The built-in
// profiles know of which issuer a token is, and may go by them.
var often = setOf("ver", "tid", "oid", "uti", "rh", "aio", "idp", "org_id", "org_name", "hd", "upn", "username", "unique_name",
	"session_state", "session_id", "client", "login", "scopes", "permissions")

// kinds are claims whose presence says nothing, and whose value tells kinds of token
// apart.
var kinds = setOf("typ", "token_use", "use", "token_type")

// chosen are claims that cannot name the client, each with the reason: a caller or a
// user chooses them, or all tokens of the issuer have the same.
var chosen = func() map[string]string {
	reasons := map[string]string{"iss": "which is the same in all tokens of the issuer", "aud": "which names resource servers, and Audience checks it"}
	for name := range setOf("nonce", "state", "scope", "scp", "acr", "amr", "login_hint", "authorization_details", "claims", "resource", "audience",
		"prompt", "display", "max_age", "ui_locales", "claims_locales", "id_token_hint", "redirect_uri", "response_type", "response_mode", "code_challenge") {
		reasons[name] = "which a caller chooses in its request"
	}
	for name := range setOf("name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "username", "unique_name", "upn",
		"profile", "picture", "website", "email", "email_verified", "gender", "birthdate", "zoneinfo", "locale", "phone_number",
		"phone_number_verified", "address", "updated_at", "user_metadata", "unsafe_metadata") {
		reasons[name] = "which a user chooses"
	}
	for name := range setOf("sub", "oid", "sid", "session_state", "session_id", "tid", "ver", "groups", "roles", "entitlements", "org_id") {
		reasons[name] = "which names the user, the session or the tenant"
	}
	for name := range setOf("exp", "iat", "nbf", "auth_time", "jti", "at_hash", "c_hash", "s_hash", "cnf") {
		reasons[name] = "which differs from token to token"
	}
	return reasons
}()

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// marks reads Kind and Machine.
func (c *compiler) marks() {
	r := c.rules
	for _, field := range []struct {
		name  string
		marks []Mark
	}{{"Kind", r.spec.Kind}, {"Machine", r.spec.Machine}} {
		if field.marks != nil && len(field.marks) == 0 {
			c.fault(field.name, " is set but empty; leave it nil for the default")
		}
		for _, m := range field.marks {
			n := nodeOf(m)
			c.check(field.name, &n)
			if field.name == "Machine" {
				r.machine = append(r.machine, n)
				continue
			}
			c.sort(n)
		}
	}
}

// sort puts a mark of Kind where it is judged.
func (c *compiler) sort(n node) {
	r := c.rules
	switch {
	case n.op == opBeyond:
		r.beyondClient = true
	case n.op == opWithout:
		if n = r.withoutMarksOfOthers(n); len(n.claims) > 0 {
			r.absent = append(r.absent, n)
		}
	case n.refusesClaim(r.scope):
		r.IsEntra = r.IsEntra || n.op == opGrant
		r.content = append(r.content, n)
	default:
		r.kind = append(r.kind, n)
	}
}

// withoutMarksOfOthers takes out the claims that are noted whenever a payload is read.
func (r *Rules) withoutMarksOfOthers(n node) node {
	others := []string{"at_hash", "c_hash", "s_hash", "events"}
	has := func(name string) bool {
		return slices.ContainsFunc(n.claims, func(c claim) bool { return c.given == name })
	}
	all := !slices.ContainsFunc(others, func(name string) bool { return !has(name) })
	r.noNonce, r.noOthers = r.noNonce || has("nonce"), r.noOthers || all
	n.claims = slices.DeleteFunc(n.claims, func(c claim) bool {
		return c.given == "nonce" || all && slices.Contains(others, c.given)
	})
	return n
}

// check reports a mark that demands nothing, or that cannot be read.
func (c *compiler) check(field string, n *node) {
	for _, claim := range n.claims {
		c.path(field, claim.given)
	}
	switch {
	case n.op == opFault:
		c.fault(field, ": ", n.text)
	case (n.op == opHas || n.op == opWithout) && len(n.claims) == 0:
		c.fault(field, " has a mark without claims; name them in Has or Without")
	case n.op == opIs && len(n.values) == 0:
		c.fault(field, ": Is(", quoted(n.claims[0].given), ") has no values; list the accepted ones, or use Has")
	case n.op == opPrefix && n.text == "":
		c.fault(field, ": HasPrefix(", quoted(n.claims[0].given), ") has an empty prefix; write it, or use Has")
	case n.op == opAnyOf && len(n.marks) == 0:
		c.fault(field, " has an AnyOf without marks; list the alternatives")
	}
	for i := range n.marks {
		c.check(field, &n.marks[i])
	}
}

// contradictions reports marks that no token can meet together, or beside what the
// dialect demands.
func (c *compiler) contradictions(field string, marks []node) {
	r := c.rules
	for i := range marks {
		n := &marks[i]
		for _, claim := range n.claims {
			switch {
			case n.op == opWithout:
				c.forbidden(field, claim, marks)
			case n.op != opHas && n.op != opIs && n.op != opPrefix:
			case r.noNonce && claim.given == "nonce", r.noOthers && slices.Contains([]string{"at_hash", "c_hash", "s_hash", "events"}, claim.given):
				c.fault(field, " demands ", quoted(claim.given), ", with which a token is refused; to keep nonce, add a mark on a claim that ID tokens do not have, or set IDTokens")
			}
		}
		if n.op == opIs || n.op == opPrefix {
			c.impossible(field, n, marks[:i])
		}
	}
}

// forbidden reports a claim that Without forbids, and that is demanded.
func (c *compiler) forbidden(field string, forbidden claim, marks []node) {
	r, name := c.rules, forbidden.given
	demanded := slices.ContainsFunc(marks, func(n node) bool {
		return n.op != opWithout && slices.ContainsFunc(n.claims, func(c claim) bool { return c.given == name && n.op != opClient && n.op != opGrant })
	})
	isClient := r.spec.Client == nil && name == "client_id" || len(r.spec.Client) == 1 && r.spec.Client[0] == name
	isID := r.spec.ID == "" && name == "jti" || r.spec.ID == name
	switch {
	case name == "": // reported before
	case demanded:
		c.fault(field, " both demands and forbids ", quoted(name), "; remove one of the two marks")
	case field == "Machine":
	case name == "iss", name == "exp", name == "sub" && !r.noSubject, name == "iat" && !r.NoIssuedAt, name == "aud" && !r.NoAudience,
		isClient && !r.noClient, isID && !r.noID:
		c.fault(field, " forbids ", quoted(name), ", which every token must have; remove the mark, or add the claim to Optional if it can be there")
	}
}

// impossible reports a mark with values that no token can have.
func (c *compiler) impossible(field string, n *node, before []node) {
	name := n.claims[0].given
	if other := slices.IndexFunc(n.values, func(v value) bool {
		return (name == "typ" || name == "token_use") && jose.IsOtherUse(v.text)
	}); other >= 0 {
		c.fault(field, " demands ", name, " ", quoted(n.values[other].text), ", with which every token is refused as an ID, refresh or logout token; name the value of access tokens")
	}
	for i := range before {
		if before[i].claims != nil && before[i].claims[0].given == name && !n.agrees(&before[i]) {
			c.fault(field, " has two marks on ", quoted(name), " that no token meets; list all accepted values in one Is")
		}
	}
}

// agrees reports whether a value can meet both of two marks on one claim.
func (n *node) agrees(other *node) bool {
	starts := func(prefix string) func(value) bool {
		return func(v value) bool { return v.isText && strings.HasPrefix(v.text, prefix) }
	}
	switch {
	case n.op == opIs && other.op == opIs:
		return slices.ContainsFunc(n.values, func(v value) bool { return slices.Contains(other.values, v) })
	case n.op == opIs && other.op == opPrefix:
		return slices.ContainsFunc(n.values, starts(other.text))
	case n.op == opPrefix && other.op == opIs:
		return slices.ContainsFunc(other.values, starts(n.text))
	case n.op == opPrefix && other.op == opPrefix:
		return strings.HasPrefix(n.text, other.text) || strings.HasPrefix(other.text, n.text)
	}
	return true
}
