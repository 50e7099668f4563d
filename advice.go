package accesstoken

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// warnings tell the operator why an issuer's tokens are refused. Each cause is
// logged once, so that a flood of requests does not become a flood of log lines. A
// token's content is quoted only after its signature was verified or the issuer has
// answered. Before that, only fixed texts are logged, because any client can send
// any token.
type warnings struct {
	logger *slog.Logger
	issuer string // "" if the warning is not about a single issuer
	logged sync.Map
}

// isNew reports whether a cause has not been logged yet. Causes are fixed texts, so
// the map stays small.
func (w *warnings) isNew(cause string) bool {
	if _, logged := w.logged.Load(cause); logged {
		return false
	}
	_, logged := w.logged.LoadOrStore(cause, true)
	return !logged
}

// warn logs that a correctly signed token was refused. It calls text only for the
// first refusal with this detail and advice.
func (w *warnings) warn(refused *Error, text func() (cause, advice string)) {
	if !w.isNew(refused.detail + refused.advice) {
		return
	}
	cause, advice := text()
	w.logger.Warn("accesstoken: refused a correctly signed token; check the configuration (logged once per issuer and cause)",
		"issuer", w.issuer, "reason", string(refused.Reason), "cause", cause, "advice", advice, "see", refused.Reason.page())
}

// suspect warns of a token that was refused before its signature was verified. Such
// a token may be made up, so cause and advice must not contain any part of it.
func (w *warnings) suspect(reason Reason, cause, advice string) {
	if !w.isNew(cause) {
		return
	}
	attributes := []any{"reason", string(reason), "cause", cause, "advice", advice, "see", reason.page()}
	if w.issuer != "" {
		attributes = append([]any{"issuer", w.issuer}, attributes...)
	}
	w.logger.Warn("accesstoken: refused a token before its signature was verified; if good tokens are refused, check the configuration (logged once per issuer and cause)", attributes...)
}

// page returns the place in the documentation that explains the reason.
func (r Reason) page() string { return "docs/refusals.md#" + strings.ToLower(string(r)) }

func (v *Validator) adviseOnSize() {
	v.warnings.suspect(TokenTooLarge, v.tooLarge,
		"if an issuer makes such tokens, have it put less into them, or set Config.MaxTokenSize")
}

// adviseOnOpaque warns of a token that is not a signed JWT, for example an encrypted
// one.
func (v *Validator) adviseOnOpaque() {
	if len(v.introspected) > 0 {
		v.warnings.suspect(TokenMalformed, "a token is not a signed JWT, and does not begin with the TokenPrefix of any issuer",
			"if an issuer makes such tokens, set its Introspection and TokenPrefix")
		return
	}
	v.warnings.suspect(TokenMalformed, "a token is not a signed JWT, and no issuer has Introspection",
		"if an issuer makes opaque tokens, set its Introspection; some issuers, such as Auth0, make a JWT once the client names this resource server in its request")
}

// adviseOnAlgorithm warns of an alg that is not allowed. It logs the name only if
// such an algorithm exists, because any other text would be the client's own.
func (w *warnings) adviseOnAlgorithm(algorithm, list string) {
	switch {
	case jose.Supported(algorithm):
		algorithm = strings.Clone(algorithm)
		w.suspect(AlgorithmNotAllowed, "a token has the alg "+algorithm+", which is "+list,
			"if the issuer signs with it, add it to its Algorithms")
	case algorithm == "HS256" || algorithm == "HS384" || algorithm == "HS512":
		w.suspect(AlgorithmNotAllowed, "a token is signed with a shared secret (HMAC), which is never accepted, because every server that knows the secret could sign tokens",
			"have the issuer sign with RS256, ES256 or another asymmetric algorithm, or set its Introspection and have it issue opaque tokens")
	}
}

// longestIssuer is the longest iss, in bytes, that adviseOnIssuer compares.
const longestIssuer = 512

// nearly returns an issuer identifier in lower case without its scheme and final
// slashes, because people overlook these differences.
func nearly(iss string) string {
	_, rest, found := strings.Cut(iss, "://")
	if !found {
		rest = iss
	}
	return strings.ToLower(strings.TrimRight(rest, "/"))
}

// adviseOnIssuer warns if iss is almost, but not exactly, a configured issuer.
func (v *Validator) adviseOnIssuer(iss string) {
	if len(iss) > longestIssuer {
		return
	}
	i := v.near[nearly(iss)]
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

// adviseOnKeys warns if a token fails for its key or its signature and no token of
// the issuer was ever verified. JWKSURI or Keys may then belong to another issuer.
func (i *issuer) adviseOnKeys() {
	switch {
	case i.verified.Load():
	case i.settings.JWKSURI != "":
		i.warnings.suspect(KeyNotFound, "no token that names this issuer was ever signed with a key at JWKSURI",
			"check that JWKSURI is the jwks_uri of this very issuer, and not that of another realm or tenant")
	case i.settings.Keys != nil:
		i.warnings.suspect(KeyNotFound, "no token that names this issuer was ever signed with one of Keys", "check that Keys are those of this very issuer")
	}
}

// warn logs settings that are probably mistakes, although they can be correct.
func (i Issuer) warn(logger *slog.Logger) {
	say := func(cause, advice string) {
		logger.Warn("accesstoken: "+cause, "issuer", i.URL, "profile", i.Profile.name(), "advice", advice)
	}
	if i.Introspection != nil {
		for _, warning := range i.Introspection.Warnings() {
			say("Introspection: "+warning, "see the documentation of introspection.Config.HTTPClient")
		}
	}
	switch {
	case i.Profile == Okta && !strings.Contains(i.URL, "/oauth2/"):
		say("this looks like Okta's org authorization server, whose access tokens are for Okta itself",
			"use a custom authorization server, such as https://<domain>/oauth2/default")
	case i.Profile == Auth0 && strings.HasSuffix(i.URL, ".auth0.com"):
		say("Auth0's issuers end in a slash", "write "+i.URL+"/")
	case i.Profile == EntraV2 && strings.Contains(i.URL, "//sts.windows.net/"):
		say("this is the issuer of Entra ID's tokens of version 1.0", "set Profile: accesstoken.EntraV1")
	case i.Profile == EntraV1 && strings.HasSuffix(i.URL, "/v2.0"):
		say("this is the issuer of Entra ID's tokens of version 2.0", "set Profile: accesstoken.EntraV2")
	}
}

// warned logs that a correctly signed token is refused, and what to set.
func (i *issuer) warned(refused *Error, advice string) *Error {
	i.warnings.warn(refused, func() (string, string) { return refused.detail, advice })
	return refused
}

// advise adds to a refusal which profile would have accepted the token, if there is
// one.
func (i *issuer) advise(refused *Error, header *jose.Header, own *jose.Claims) error {
	advice := "fmt.Println(accesstoken." + i.rules.name + ") prints what this profile demands"
	if p, found := suggestion(header, own, i.isNamed(own.Audience)); found && p != i.settings.Profile {
		refused.advice = "the token fits another profile; set Profile: accesstoken." + p.name()
	}
	if refused.advice != "" {
		advice = refused.advice
	}
	i.warnings.warn(refused, func() (string, string) {
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

// quoted prints a list for a log line. Quoting escapes control characters, so a
// claim cannot forge a log line.
func quoted(list []string) string {
	const most = 5
	if len(list) == 0 {
		return "absent"
	}
	words := make([]string, 0, most)
	for _, word := range list[:min(len(list), most)] {
		if len(word) > 200 {
			word = word[:200] + "…"
		}
		words = append(words, fmt.Sprintf("%q", word))
	}
	return strings.Join(words, ", ")
}

// suggestion returns the profile that accepts a token which the configured profile
// refused, or false. Google and CI, whose credentials are ID tokens, are recognised
// by their issuer. If a profile's access tokens carry no claim that ID tokens lack,
// it is suggested only if aud names us.
func suggestion(header *jose.Header, claims *jose.Claims, forUs bool) (Profile, bool) {
	switch claims.Issuer {
	case "https://accounts.google.com":
		return Google, true
	case "https://token.actions.githubusercontent.com":
		return CI, true
	}
	marked := map[Profile]bool{
		Cognito: true, Keycloak: true, EntraV2: true, EntraV1: true, Okta: true, Kubernetes: true,
		Duende: forUs && (claims.Scope.List != nil || claims.Subject == ""),
		Hydra:  claims.Scp.Present,
		Auth0:  forUs && claims.AuthorizedParty != "",
	}
	for _, p := range []Profile{Cognito, Keycloak, EntraV2, EntraV1, Okta, Kubernetes, Duende, Hydra, Auth0} {
		if !marked[p] {
			continue
		}
		r := profiles[p]
		if own := r.translate(claims); r.check(header, &own) == nil {
			return p, true
		}
	}
	return RFC9068, false
}
