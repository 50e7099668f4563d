package accesstoken

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func (v *Validator) adviseOnSize() {
	v.warnings.suspect(TokenTooLarge, v.tooLarge,
		"if an issuer makes such tokens, have it put less into them, or set Config.MaxTokenSize")
}

// adviseOnOpaque warns of a token that is not a signed JWT, for example an encrypted
// JWT.
func (v *Validator) adviseOnOpaque() {
	if len(v.roster.Load().introspected) > 0 {
		v.warnings.suspect(TokenMalformed, "a token is not a signed JWT, and does not begin with the TokenPrefix of any issuer",
			"if an issuer makes such tokens, set its Introspection and TokenPrefix")
		return
	}
	v.warnings.suspect(TokenMalformed, "a token is not a signed JWT, and no issuer has Introspection",
		"if an issuer makes opaque tokens, set its Introspection; some issuers, such as Auth0, make a JWT once the client names this resource server in its request")
}

// longestIssuer is the longest iss, in bytes, that adviseOnIssuer compares.
const longestIssuer = 512

// adviseOnIssuer warns if iss is almost, but not exactly, a configured issuer.
func (v *Validator) adviseOnIssuer(iss string) {
	if len(iss) > longestIssuer {
		return
	}
	i := v.roster.Load().near[nearly(iss)]
	if i == nil {
		return
	}
	switch {
	case strings.HasSuffix(iss, "/") && !strings.HasSuffix(i.url, "/"):
		i.warnings.suspect(IssuerUnknown, "iss ends in a slash, and URL does not", "iss is compared character for character; if the issuer writes it so, add the slash to URL")
	case !strings.HasSuffix(iss, "/") && strings.HasSuffix(i.url, "/"):
		i.warnings.suspect(IssuerUnknown, "URL ends in a slash, and iss does not", "iss is compared character for character; if the issuer writes it so, take the slash off URL")
	default:
		i.warnings.suspect(IssuerUnknown, "iss and URL differ in their scheme, or in upper and lower case", "iss is compared character for character; write URL as the issuer writes iss, or list its spelling in Aliases")
	}
}

// adviseOnKeys is called if no key verified a token's signature. If no token of the
// issuer was ever verified, and JWKSURI or Keys is set, it warns, once, that they
// may belong to another issuer.
func (i *issuer) adviseOnKeys() {
	switch {
	case i.verified.Load():
	case i.settings().JWKSURI != "":
		i.warnings.suspect(KeyNotFound, "no token that names this issuer was ever signed with a key at JWKSURI",
			"check that JWKSURI is the jwks_uri of this very issuer, and not that of another realm or tenant")
	case i.settings().Keys != nil:
		i.warnings.suspect(KeyNotFound, "no token that names this issuer was ever signed with one of Keys", "check that Keys are those of this very issuer")
	}
}

// advise adds to a refusal the profile that would have accepted the token, if there
// is such a profile.
func (i *issuer) advise(refused *Error, header *jose.Header, own *jose.Claims, payload string) error {
	p, isProfile := i.settings().profile()
	advice := "fmt.Println(accesstoken." + p.name() + ") prints what this profile demands"
	if !isProfile {
		advice = "fmt.Println of the issuer's Dialect prints what it demands"
	}
	better, found := suggestion(header, own, payload, i.isAmong(own.Audience))
	if found && (better != p || !isProfile) {
		refused.advice = "the token fits another profile; set Profile: accesstoken." + better.name()
	}
	if refused.advice != "" {
		advice = refused.advice
	}
	suggests := refused.advice != "" && !found // a profile or a dialect can help, and no profile fits
	i.warnings.warn(refused, func() (string, string) {
		if suggests {
			advice += dialectFor(header, own, payload)
		}
		return fmt.Sprintf("%s; the header's typ is %s", refused.detail, describeType(header)), advice
	})
	return refused
}

func describeType(header *jose.Header) string {
	if !header.HasType {
		return "absent"
	}
	return quoted([]string{header.Type})
}

// suggestion returns a profile whose rules accept a token which the configured
// profile refused, or false. Google and GitHub's CI, whose credentials are ID tokens,
// are recognised by their issuer alone. If a profile's access tokens carry no claim
// that ID tokens lack, that profile is suggested only if aud names us.
func suggestion(header *jose.Header, claims *jose.Claims, payload string, forUs bool) (Profile, bool) {
	switch claims.Issuer {
	case "https://accounts.google.com":
		return Google, true
	case "https://token.actions.githubusercontent.com":
		return CI, true
	}
	marked := map[Profile]bool{
		Cognito: true, Keycloak: true, EntraV2: true, EntraV1: true, Okta: true, Kubernetes: true,
		Duende: forUs && (claims.Scope.List != nil || claims.Subject == ""),
		Hydra:  memberIn(payload, "scp") != "",
		Auth0:  forUs && claims.AuthorizedParty != "",
	}
	for _, p := range []Profile{Cognito, Keycloak, EntraV2, EntraV1, Okta, Kubernetes, Duende, Hydra, Auth0} {
		if !marked[p] {
			continue
		}
		r := p.rules()
		if r.CheckType(header) != nil {
			continue
		}
		if own := r.Read(claims, payload, false); r.Check(header, &own) == nil {
			return p, true
		}
	}
	return RFC9068, false
}

// dialectFor returns advice for a token that no profile accepts: where it has the client
// and the scopes, and the Dialect that says so. It names claims of a closed list, and no
// values. An ID or logout token gets no such advice.
func dialectFor(header *jose.Header, claims *jose.Claims, payload string) string {
	if claims.Nonce || claims.OtherKind || claims.OtherUse {
		return ""
	}
	var found, fields []string
	list := func(field string, claims ...string) {
		fields = append(fields, field+": []string{"+quoted(claims)+"}")
	}
	switch {
	case !header.HasType:
		list("Types", "")
	case header.HasMediaType("jwt"):
		list("Types", "jwt")
	}
	if claim := firstIn(payload, "azp", "cid", "appid", "clientId"); claims.ClientID == "" && claim != "" {
		found = append(found, "the client is in "+claim)
		list("Client", claim)
	}
	isArray := claims.Scope.List != nil
	if claim := firstIn(payload, "scp", "scopes", "permissions"); !claims.Scope.Present && claim != "" {
		found = append(found, "the scopes are in "+claim)
		list("Scope", claim)
		isArray = jose.ReadScope(memberIn(payload, claim)).List != nil
	}
	if isArray {
		fields = append(fields, "ScopeArray: true")
	}
	if absent := absentFrom(claims, found); absent != nil {
		list("Optional", absent...)
	}
	if found == nil {
		return ""
	}
	return "; or, since " + strings.Join(found, " and ") + ", set Dialect: &dialect.Dialect{" + strings.Join(fields, ", ") +
		"}, and list in its Kind what only the access tokens have"
}

// firstIn returns the first of the claims that a payload has, or "".
func firstIn(payload string, claims ...string) string {
	for _, claim := range claims {
		if memberIn(payload, claim) != "" {
			return claim
		}
	}
	return ""
}

// absentFrom returns the claims for Dialect.Optional that a token lacks. found says
// where other claims were found.
func absentFrom(claims *jose.Claims, found []string) (absent []string) {
	hasClient := claims.ClientID != "" || slices.ContainsFunc(found, func(text string) bool { return strings.HasPrefix(text, "the client ") })
	for _, claim := range []struct {
		name string
		has  bool
	}{
		{"client_id", hasClient}, {"jti", claims.ID != ""}, {"sub", claims.Subject != ""}, {"aud", claims.Audience != nil}, {"iat", !claims.IssuedAt.IsZero()},
	} {
		if !claim.has {
			absent = append(absent, claim.name)
		}
	}
	return absent
}
