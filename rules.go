package accesstoken

import (
	"cmp"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// check checks a verified token by the profile, first its kind and then its claims.
// The claims must be translated first; see [rules.translate].
func (r rules) check(header *jose.Header, claims *jose.Claims) *Error {
	if err := r.checkKind(header, claims); err != nil {
		return err
	}
	if err := r.checkClaims(claims); err != nil {
		return err
	}
	return r.checkScope(claims)
}

// isUnmarked reports whether access tokens of the profile have no mark of their own.
// Neither typ nor a claim then distinguishes them from all other kinds of token.
func (r rules) isUnmarked() bool {
	return (r.types != nil || r.noType) && r.kinds == nil && r.use == "" && r.version == ""
}

// checkKind refuses tokens that are not access tokens (RFC 8725 §3.11, §3.12).
func (r rules) checkKind(header *jose.Header, claims *jose.Claims) *Error {
	switch {
	case !r.isAccepted(header):
		return r.relaxable(TokenTypeMismatch, "the typ is not that of an access token in the profile "+r.name, "Typ")
	case r.refuseNonce && claims.Nonce, r.refuseOthers && claims.OtherKind, r.refuseAZP && claims.AuthorizedParty != "":
		return refusal(TokenTypeMismatch, "the token has claims that ID or logout tokens have")
	case claims.OtherUse:
		return refusal(TokenTypeMismatch, "typ or token_use is that of an ID, refresh or logout token")
	case r.use != "" && claims.Use != r.use:
		return refusal(TokenTypeMismatch, "token_use is not "+r.use)
	case r.kinds != nil && !slices.Contains(r.kinds, claims.Type):
		return refusal(TokenTypeMismatch, "typ in the payload is not "+strings.Join(r.kinds, " or "))
	case r.version != "" && claims.Version != r.version:
		return refusal(TokenTypeMismatch, "ver is not "+r.version)
	}
	return r.checkAddressee(claims)
}

// checkAddressee refuses an aud that names the client, as an ID token's aud does.
func (r rules) checkAddressee(claims *jose.Claims) *Error {
	switch {
	case r.audienceNotClient && onlyClient(claims):
		return refusal(TokenTypeMismatch, "the audience names only the client, as an ID token's does")
	case r.clientNotAudience && amongAudience(claims):
		return refusal(TokenTypeMismatch, "the audience names the client, as an ID token's does")
	}
	return nil
}

// checkScope checks the form of the scope claim.
func (r rules) checkScope(claims *jose.Claims) *Error {
	switch {
	case claims.Scope.List != nil && !r.scopeArray:
		return r.relaxable(ClaimInvalid, "scope is an array", "ScopeArray")
	case slices.ContainsFunc(claims.Scope.List, isNoScope):
		return refusal(ClaimInvalid, "scope has an element that is empty or has a space")
	}
	return nil
}

func (r rules) isAccepted(header *jose.Header) bool {
	if !header.HasType {
		return r.noType
	}
	if r.types == nil {
		return header.HasMediaType("at+jwt")
	}
	return slices.ContainsFunc(r.types, header.HasMediaType)
}

// checkClaims requires what RFC 9068 §2.2 makes REQUIRED, or what the profile
// demands in its place. A token without exp is refused, because it would never
// expire. aud is checked on every request.
func (r rules) checkClaims(claims *jose.Claims) *Error {
	switch {
	case claims.Fault != "":
		return refusal(ClaimInvalid, claims.Fault)
	case claims.Audience != nil && len(claims.Audience) == 0 && !r.emptyAudience:
		return refusal(ClaimInvalid, "aud is empty")
	case claims.Subject == "" && !r.noSubject:
		return r.relaxable(ClaimInvalid, "sub is missing", "")
	case claims.Expiry.IsZero():
		return refusal(ClaimInvalid, "exp is missing")
	case claims.IssuedAt.IsZero():
		return refusal(ClaimInvalid, "iat is missing")
	case claims.ClientID == "" && !r.noClient:
		return r.relaxable(ClaimInvalid, strings.Join(r.clientClaims(), " or ")+" is missing", "ClientID")
	case claims.ID == "" && !r.noTokenID:
		return r.relaxable(ClaimInvalid, "jti is missing", "JTI")
	case r.grant && !isGrant(claims):
		return refusal(ClaimInvalid, "the token has neither scp nor, for an application, roles")
	case r.someScope && !claims.Scope.Present:
		return refusal(ClaimInvalid, "scp or scope is missing")
	case r.serviceAccount && !isServiceAccount(claims.Subject):
		return refusal(ClaimInvalid, "sub is not system:serviceaccount:<namespace>:<name>")
	case r.verifiedEmail && claims.UnverifiedEmail:
		return refusal(ClaimInvalid, "email is not verified")
	}
	return nil
}

// relaxable refuses a token. If the profile is RFC9068, it adds the advice that
// another profile, or a field of Relax, may accept the token.
func (r rules) relaxable(reason Reason, detail, field string) *Error {
	refused := refusal(reason, detail)
	if r.name != profiles[RFC9068].name {
		return refused
	}
	refused.advice = "if it is an ID token, the client should send its access token instead; if this issuer does not follow RFC 9068, " +
		"set its Profile (for ZITADEL, accesstoken.Zitadel)"
	if field != "" {
		refused.advice += ", or Relax: accesstoken.Relax{" + field + ": true}"
	}
	return refused
}

// isNoScope reports elements of a scope array that are empty or would split into
// several scopes.
func isNoScope(scope string) bool { return scope == "" || strings.Contains(scope, " ") }

// isGrant reports whether a token of Entra ID has a grant: scopes if a client acts
// for a user, roles if an application acts for itself. A user's ID token may also
// have roles, but it does not name a client (azp, appid), and the profile requires a
// client too.
func isGrant(claims *jose.Claims) bool {
	return claims.Scope.Text != "" || claims.HasRoles && (claims.IDType == "" || claims.IDType == "app")
}

// isServiceAccount reports whether sub names a service account of Kubernetes.
func isServiceAccount(subject string) bool {
	rest, ok := strings.CutPrefix(subject, "system:serviceaccount:")
	namespace, name, _ := strings.Cut(rest, ":")
	return ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// onlyClient reports whether every audience is the client itself. An empty audience
// is ignored.
func onlyClient(claims *jose.Claims) bool {
	for _, audience := range claims.Audience {
		if audience != "" && audience != claims.ClientID && audience != claims.AuthorizedParty {
			return false
		}
	}
	return len(claims.Audience) > 0
}

// amongAudience reports whether an audience is the client itself, as in every ID
// token (OpenID Connect Core §2).
func amongAudience(claims *jose.Claims) bool {
	return slices.ContainsFunc(claims.Audience, func(audience string) bool {
		return audience != "" && (audience == claims.ClientID || audience == claims.AuthorizedParty)
	})
}

// translate copies the values of issuer-specific claims, such as scp, to the fields
// of the claims that RFC 9068 defines.
func (r rules) translate(own *jose.Claims) jose.Claims {
	claims := *own
	claims.ClientID = r.clientIn(&claims)
	if r.uti {
		claims.ID = claims.UTI
	}
	scope := "scope"
	if r.scp && (claims.Scp.Present || !r.scpOrScope) {
		claims.Scope, scope = claims.Scp, "scp"
	}
	if claims.Scope.Fault {
		claims.Fault = cmp.Or(claims.Fault, scope+" has the wrong type")
	}
	return claims
}

// clientID is the claim that names the client if the profile lists no other claims.
var clientID = []string{"client_id"}

func (r rules) clientClaims() []string {
	if r.client == nil {
		return clientID
	}
	return r.client
}

// clientIn returns the client. If several claims name different clients, it sets a
// Fault.
func (r rules) clientIn(claims *jose.Claims) (client string) {
	for _, claim := range r.clientClaims() {
		named := namedIn(claim, claims)
		if named != "" && client != "" && named != client {
			claims.Fault = cmp.Or(claims.Fault, strings.Join(r.clientClaims(), " and ")+" name different clients")
			return ""
		}
		client = cmp.Or(client, named)
	}
	return client
}

func namedIn(claim string, claims *jose.Claims) string {
	switch claim {
	case "client_id":
		return claims.ClientID
	case "azp":
		return claims.AuthorizedParty
	case "appid":
		return claims.AppID
	case "cid":
		return claims.CID
	}
	panic("accesstoken: no client is named in " + claim)
}

// withoutUser reports whether the client acts for itself. If it does, RFC 9068 §2.2
// says that sub names the client; some issuers show in other ways that no user is
// involved.
func (r rules) withoutUser(claims *jose.Claims) bool {
	switch {
	case r.serviceAccount, r.grant && claims.Scope.Text == "", r.noSubject && claims.Subject == "":
		return true
	case r.userID && claims.UID != "":
		return false
	}
	return claims.ClientID != "" && strings.TrimSuffix(claims.Subject, r.clientSuffix) == claims.ClientID
}

// rules returns the profile's rules with the issuer's relaxations.
func (i Issuer) rules() rules {
	r := profiles[i.Profile]
	if i.Relax == (Relax{}) {
		return r
	}
	r.refuseNonce, r.refuseOthers = true, true
	if i.Relax.Typ {
		r.types, r.noType = []string{"at+jwt", "jwt"}, true
		r.clientNotAudience = true
	}
	r.noTokenID = i.Relax.JTI
	r.noClient = i.Relax.ClientID
	r.scopeArray = i.Relax.ScopeArray
	return r
}
