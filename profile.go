package accesstoken

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A Profile is what an issuer's JWT access tokens look like. Every one demands
// a good signature, iss, aud, sub, exp and iat; a profile that relaxes RFC 9068
// demands something else in return. The zero Profile is RFC9068.
type Profile int

// The profiles.
const (
	// RFC9068 is the JWT profile for access tokens, to the letter: typ at+jwt,
	// and client_id and jti are there.
	RFC9068 Profile = iota

	// Zitadel is for ZITADEL and for servers made with its library
	// github.com/zitadel/oidc. It accepts typ JWT, and a token without
	// client_id or jti. In return it refuses what has the marks of another kind of
	// token (nonce, at_hash, c_hash, s_hash, events, a token_use or typ that says
	// so), and an aud that names only the client.
	Zitadel
)

// String returns the profile's name.
func (p Profile) String() string {
	if rules, ok := profiles[p]; ok {
		return rules.name
	}
	return fmt.Sprintf("Profile(%d)", int(p))
}

// Relax departs from the profile RFC9068, for an issuer that has no [Profile]
// of its own. Each field drops one demand. With any of them set, tokens that
// have the marks of another kind (nonce, at_hash, c_hash, s_hash, events, a
// token_use or typ in the payload that says so) are refused in return; and with
// Typ, those whose aud names only the client.
type Relax struct {
	Typ        bool // accept typ JWT and an absent typ beside at+jwt; other kinds of JWT stay refused
	JTI        bool // accept a token without jti
	ClientID   bool // accept a token without client_id
	ScopeArray bool // accept scope as an array of strings
}

// rules are what a profile comes down to.
type rules struct {
	name              string
	types             []string // accepted header typ, in lower case, without application/
	noType            bool     // accept an absent typ
	clientID, id      bool     // demand client_id, jti
	scopeArray        bool     // accept scope as an array
	refuseOthers      bool     // refuse the marks of other kinds of token
	audienceNotClient bool     // refuse an aud that names only the client
}

var profiles = map[Profile]rules{
	RFC9068: {name: "RFC9068", types: []string{"at+jwt"}, clientID: true, id: true},
	Zitadel: {name: "Zitadel", types: []string{"jwt", "at+jwt"}, refuseOthers: true, audienceNotClient: true},
}

// rules returns the profile's rules with the issuer's relaxations.
func (i Issuer) rules() rules {
	r := profiles[i.Profile]
	if i.Relax == (Relax{}) {
		return r
	}
	r.refuseOthers = true
	if i.Relax.Typ {
		r.types, r.noType = []string{"at+jwt", "jwt"}, true
		r.audienceNotClient = true
	}
	r.id = r.id && !i.Relax.JTI
	r.clientID = r.clientID && !i.Relax.ClientID
	r.scopeArray = i.Relax.ScopeArray
	return r
}

// accepts judges a verified token by the profile: its kind first, then what it
// must say.
func (r rules) accepts(header jose.Header, claims jose.Claims) *Error {
	switch {
	case !r.acceptsType(header):
		return departs(TokenTypeMismatch, "the typ is not that of an access token in the profile "+r.name, "Typ")
	case r.refuseOthers && claims.OtherKind:
		return refusal(TokenTypeMismatch, "the token has the marks of an ID, refresh or logout token")
	case r.audienceNotClient && onlyClient(claims):
		return refusal(TokenTypeMismatch, "the audience names only the client, as an ID token's does")
	}
	return r.acceptsClaims(claims)
}

func (r rules) acceptsType(header jose.Header) bool {
	if !header.HasType {
		return r.noType
	}
	return slices.ContainsFunc(r.types, header.HasMediaType)
}

// acceptsClaims demands what RFC 9068 §2.2 makes REQUIRED. A missing exp is
// refused: such a token would be good for ever. aud is judged on every request.
func (r rules) acceptsClaims(claims jose.Claims) *Error {
	switch {
	case claims.Fault != "":
		return refusal(ClaimInvalid, claims.Fault+" has the wrong type")
	case claims.Audience != nil && len(claims.Audience) == 0:
		return refusal(ClaimInvalid, "aud names nobody")
	case claims.Subject == "":
		return refusal(ClaimInvalid, "sub is missing")
	case claims.Expiry.IsZero():
		return refusal(ClaimInvalid, "exp is missing")
	case claims.IssuedAt.IsZero():
		return refusal(ClaimInvalid, "iat is missing")
	case r.clientID && claims.ClientID == "":
		return departs(ClaimInvalid, "client_id is missing", "ClientID")
	case r.id && claims.ID == "":
		return departs(ClaimInvalid, "jti is missing", "JTI")
	case claims.ScopeList != nil && !r.scopeArray:
		return departs(ClaimInvalid, "scope is an array", "ScopeArray")
	case slices.ContainsFunc(claims.ScopeList, isNoScope):
		return refusal(ClaimInvalid, "scope has an element that is no scope")
	}
	return nil
}

// isNoScope finds elements of a scope array that would come apart into several
// scopes.
func isNoScope(scope string) bool { return scope == "" || strings.Contains(scope, " ") }

// departs refuses a token for what a named profile, or a field of Relax, would
// accept, and says so to the operator.
func departs(reason Reason, detail, field string) *Error {
	refused := refusal(reason, detail)
	refused.advice = "if it is an ID token, the client sends the wrong one; if this issuer does not follow RFC 9068, " +
		"set its Profile (ZITADEL: accesstoken.Zitadel), or Relax: accesstoken.Relax{" + field + ": true}"
	return refused
}

// onlyClient reports whether every audience is the client itself.
func onlyClient(claims jose.Claims) bool {
	for _, audience := range claims.Audience {
		if audience != claims.ClientID && audience != claims.AuthorizedParty {
			return false
		}
	}
	return len(claims.Audience) > 0
}
