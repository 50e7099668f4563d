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

// warn logs that a token was refused after its signature was verified or the issuer
// answered. It calls text only for the first refusal with this detail and advice.
func (w *warnings) warn(refused *Error, text func() (cause, advice string)) {
	if !w.isNew(refused.detail + refused.advice) {
		return
	}
	cause, advice := text()
	w.logger.Warn("accesstoken: refused a correctly signed token; check the configuration (logged once per issuer and cause)",
		"issuer", w.issuer, "reason", string(refused.Reason), "cause", cause, "advice", advice, "see", refused.Reason.page())
}

// refuse logs a refusal as warn does, with its detail and what to set. It returns
// the refusal.
func (w *warnings) refuse(refused *Error, advice string) *Error {
	w.warn(refused, func() (string, string) { return refused.detail, advice })
	return refused
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

// adviseOnAlgorithm warns of an alg that is not allowed, if it is a supported one or
// HMAC. It logs no other name, because that text would be the client's own.
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

// warn logs settings that are probably mistakes, although they can be correct.
func (i Issuer) warn(logger *slog.Logger) {
	p, isProfile := i.profile()
	name := p.name()
	if !isProfile {
		name = i.Dialect.Name
	}
	say := func(cause, advice string) {
		logger.Warn("accesstoken: "+cause, "issuer", i.URL, "profile", name, "advice", advice)
	}
	if i.Introspection != nil {
		for _, warning := range i.Introspection.Warnings() {
			say("Introspection: "+warning, "see the documentation of introspection.Config.HTTPClient")
		}
	}
	switch {
	case isProfile && p == Okta && !strings.Contains(i.URL, "/oauth2/"):
		say("this looks like Okta's org authorization server, whose access tokens are for Okta itself",
			"use a custom authorization server, such as https://<domain>/oauth2/default")
	case isProfile && p == Auth0 && strings.HasSuffix(i.URL, ".auth0.com"):
		say("Auth0's issuers end in a slash", "write "+i.URL+"/")
	case isProfile && p == EntraV2 && strings.Contains(i.URL, "//sts.windows.net/"):
		say("this is the issuer of Entra ID's tokens of version 1.0", "set Profile: accesstoken.EntraV1")
	case isProfile && p == EntraV1 && strings.HasSuffix(i.URL, "/v2.0"):
		say("this is the issuer of Entra ID's tokens of version 2.0", "set Profile: accesstoken.EntraV2")
	}
}

const mostQuoted = 5

// quoted prints up to five elements of a list for a log line. Quoting escapes
// control characters, so a claim cannot forge a log line.
func quoted(list []string) string { return quotedAll(list, mostQuoted) }

func quotedAll(list []string, most int) string {
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
