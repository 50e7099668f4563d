package accesstoken

import (
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
	"github.com/accesstoken/accesstoken/scopes"
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
	better, found := suggestion(header, own, payload, slices.ContainsFunc(own.Audience, func(named string) bool { return slices.Contains(i.settings().audience, named) }))
	if found && (better != p || !isProfile) {
		refused.advice = "the token fits another profile; set Profile: accesstoken." + better.name()
	}
	if refused.advice != "" {
		advice = refused.advice
	}
	suggests := refused.advice != "" && !found // a profile or a dialect can help, and no profile fits
	i.warnings.warn(refused, func() (string, string) {
		if suggests {
			if more := dialectFor(header, own, payload); more != "" {
				advice += "; or, " + more
			}
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
// profile refused, or false. Those whose credentials are ID tokens are recognised by
// their issuer alone. If a profile's access tokens carry no claim that ID tokens lack,
// that profile is suggested only if aud names us.
func suggestion(header *jose.Header, claims *jose.Claims, payload string, forUs bool) (Profile, bool) {
	switch {
	case claims.Issuer == "https://accounts.google.com":
		return Google, true
	case claims.Issuer == "https://token.actions.githubusercontent.com":
		return CI, true
	case claims.Issuer == "https://cloud.google.com/iap":
		return GoogleIAP, true
	case strings.HasPrefix(claims.Issuer, "https://securetoken.google.com/"):
		return Firebase, true
	}
	isExternalID := strings.Contains(claims.Issuer, ".ciamlogin.com/")
	marked := map[Profile]bool{
		Cognito: true, Keycloak: true, EntraV2: !isExternalID, EntraExternalID: isExternalID, EntraV1: true, Okta: true, Kubernetes: true,
		Supabase: true, Clerk: true, Authentik: true, CloudflareAccess: true, AzureADB2C: true, FusionAuth: true, GitLab: true,
		WorkOS:  strings.HasPrefix(claims.Issuer, "https://api.workos.com"),
		PingOne: strings.HasPrefix(claims.Issuer, "https://auth.pingone."),
		Duende:  forUs && (claims.Scope.List != nil || claims.Subject == ""),
		Hydra:   memberIn(payload, "scp") != "",
		Auth0:   forUs && claims.AuthorizedParty != "",
	}
	for _, p := range []Profile{
		Cognito, Keycloak, EntraV2, EntraExternalID, EntraV1, Okta, Kubernetes, Supabase, Clerk, Authentik, CloudflareAccess,
		AzureADB2C, FusionAuth, GitLab, WorkOS, PingOne, Duende, Hydra, Auth0,
	} {
		if !marked[p] {
			continue
		}
		r := p.rules()
		if r.CheckType(header) != nil {
			continue
		}
		own := r.Read(claims, payload, false)
		losesScopes := !own.Scope.Present && memberIn(payload, "scp") != ""
		if r.Check(header, &own) == nil && !losesScopes {
			return p, true
		}
	}
	return RFC9068, false
}

// dialectFor returns advice for a token that no profile accepts: where it has the client
// and the scopes, and the Dialect that says so. An ID or logout token gets no such advice.
func dialectFor(header *jose.Header, claims *jose.Claims, payload string) string {
	if claims.Nonce || claims.OtherKind || claims.OtherUse {
		return ""
	}
	spec := shape.Suggest(header, claims, payload)
	var found []string
	if spec.Client != nil {
		found = append(found, "the client is in "+spec.Client[0])
	}
	if spec.Scope != nil {
		found = append(found, "the scopes are in "+spec.Scope[0])
	}
	if found == nil {
		return ""
	}
	return "since " + strings.Join(found, " and ") + ", set Dialect: &dialect.Dialect{" + strings.Join(spec.Fields(), ", ") +
		"}, and list in its Kind what only the access tokens have"
}

// adviseOn warns, once, of a refusal for want of scopes that the token has in a claim that is
// not read, or because of a login or an actor that the issuer has to write in another way.
func (c Claims) adviseOn(refused *Error) {
	switch {
	case c.facts == nil:
	case refused.Reason == ScopeInsufficient:
		c.adviseOnScopes()
	case (refused.Reason == StepUpRequired || refused.Reason == PolicyDenied) && refused.advice != "":
		c.facts.issuer.warnings.refuse(refused, refused.advice)
	}
}

// adviseOnScopes warns, once, if a token lacks scopes because it has them in a claim
// that its issuer's profile or dialect does not read. Then every policy with scopes
// refuses the issuer's tokens.
func (c Claims) adviseOnScopes() {
	i := c.facts.issuer
	if c.payload == nil || c.facts.scope != (scopes.Set{}) || c.member("scope") != "" {
		return
	}
	for _, claim := range []string{"scp", "scopes"} {
		switch value := c.member(claim); {
		case value == "" || value == "null":
		case i.rules.IsScope(claim):
			return
		default:
			i.warnings.refuse(refusal(ScopeInsufficient, "the token has no scope, but "+claim),
				"if its scopes are in "+claim+", list that claim in the Scope of a Dialect, such as &dialect.Dialect{Scope: []string{"+quoted([]string{claim})+"}}; "+
					"Profile.Dialect returns what a profile stands for")
			return
		}
	}
}
