package accesstoken

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// warnings tell the operator why tokens of one issuer are refused: once for each
// cause, so that no flood of requests becomes a flood of lines. What a token says is
// quoted only after its signature was verified or the issuer has answered. A refusal
// before that is described in our own words, since anyone can send any token.
type warnings struct {
	logger *slog.Logger
	issuer string // "": the warning is about no single issuer
	given  sync.Map
}

// isNew reports whether a warning has not been given yet. Causes are few, and our
// own words.
func (w *warnings) isNew(cause string) bool {
	if _, given := w.given.Load(cause); given {
		return false
	}
	_, given := w.given.LoadOrStore(cause, true)
	return !given
}

// give warns of a correctly signed token that was refused. It asks for the text only
// when it is the first time.
func (w *warnings) give(refused *Error, text func() (cause, advice string)) {
	if !w.isNew(refused.detail + refused.advice) {
		return
	}
	cause, advice := text()
	w.logger.Warn("accesstoken: refused a correctly signed token; check the configuration (logged once per issuer and cause)",
		"issuer", w.issuer, "reason", string(refused.Reason), "cause", cause, "advice", advice, "see", refused.Reason.page())
}

// suspect warns of a token that was refused before its signature was looked at. It
// may be a good one, or made up: cause and advice must have nothing of it.
func (w *warnings) suspect(reason Reason, cause, advice string) {
	if !w.isNew(cause) {
		return
	}
	attributes := []any{"reason", string(reason), "cause", cause, "advice", advice, "see", reason.page()}
	if w.issuer != "" {
		attributes = append([]any{"issuer", w.issuer}, attributes...)
	}
	w.logger.Warn("accesstoken: refused a token unread; if clients get good tokens refused, check the configuration (logged once per issuer and cause)", attributes...)
}

// page returns where the documentation has a row about the reason.
func (r Reason) page() string { return "docs/refusals.md#" + strings.ToLower(string(r)) }

func (v *Validator) adviseOnSize() {
	v.warnings.suspect(TokenTooLarge, v.tooLarge,
		"if an issuer makes such tokens, have it put less into them, or set Config.MaxTokenSize")
}

// adviseOnOpaque is for what is no JWT, encrypted ones included.
func (v *Validator) adviseOnOpaque() {
	if len(v.introspected) > 0 {
		v.warnings.suspect(TokenMalformed, "a token that is not a signed JWT has the TokenPrefix of no issuer",
			"if an issuer makes such tokens, set its Introspection and TokenPrefix")
		return
	}
	v.warnings.suspect(TokenMalformed, "a token is not a signed JWT, and no issuer has Introspection",
		"if an issuer makes opaque tokens, set its Introspection; some issuers, such as Auth0, make a JWT once the client names this resource server in its request")
}

// adviseOnAlgorithm names an algorithm only if it is one that exists.
func (w *warnings) adviseOnAlgorithm(algorithm, list string) {
	switch {
	case jose.Supported(algorithm):
		algorithm = strings.Clone(algorithm)
		w.suspect(AlgorithmNotAllowed, "a token has the alg "+algorithm+", which is "+list,
			"if the issuer signs with it, add it to its Algorithms")
	case algorithm == "HS256" || algorithm == "HS384" || algorithm == "HS512":
		w.suspect(AlgorithmNotAllowed, "a token is signed with a shared secret (HMAC), which is never accepted: this resource server could sign tokens itself",
			"have the issuer sign with RS256, ES256 or another asymmetric algorithm, or set its Introspection and have it issue opaque tokens")
	}
}

// longestIssuer is the longest iss, in bytes, that is worth a second look.
const longestIssuer = 512

// nearly returns what is left of an issuer identifier without the differences that
// people overlook.
func nearly(iss string) string {
	_, rest, found := strings.Cut(iss, "://")
	if !found {
		rest = iss
	}
	return strings.ToLower(strings.TrimRight(rest, "/"))
}

// adviseOnIssuer is for an iss that is only nearly one of ours.
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

// adviseOnKeys is for tokens whose key or signature is not found good, of an issuer
// none of whose tokens ever was.
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
