package accesstoken

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// merge puts together what a JWT and the introspection answer about it say, in the
// words of RFC 9068. What both have must agree.
func (i *issuer) merge(payload string, answer *jose.Claims) (*jose.Claims, error) {
	jwt, err := jose.ReadClaims(payload)
	if err != nil {
		return nil, because(TokenMalformed, err) // it was read before
	}
	said, asked := i.rules.translate(&jwt), i.rules.translate(answer)
	asked.ClientID = cmp.Or(asked.ClientID, answer.ClientID)
	asked.Scope = answer.Scope // RFC 7662 §2.2, whatever the profile says of JWTs
	for _, pair := range []struct{ claim, jwt, answer string }{
		{"sub", said.Subject, asked.Subject},
		{"client_id", said.ClientID, asked.ClientID},
		{"client_id", said.ClientID, answer.ClientID},
		{"azp", said.AuthorizedParty, asked.AuthorizedParty},
		{"jti", jwt.ID, answer.ID},
		{"tid", said.TenantID, asked.TenantID},
	} {
		if pair.claim == "jti" && i.rules.uti {
			continue
		}
		if pair.jwt != "" && pair.answer != "" && pair.jwt != pair.answer {
			return nil, refusal(ClaimInvalid, pair.claim+" is another in the introspection answer")
		}
	}
	if said.Confirmation.Present && asked.Confirmation.Present && said.Confirmation != asked.Confirmation {
		return nil, refusal(BindingRequired, "the introspection answer binds the token to something else than the token itself does")
	}
	// Each must be for us, so that it matters little which of the two is kept.
	if len(asked.Audience) > 0 {
		if err := i.acceptAudience(asked.Audience); err != nil {
			return nil, err
		}
	}
	both := said
	both.Subject = cmp.Or(said.Subject, asked.Subject)
	both.ClientID = cmp.Or(said.ClientID, asked.ClientID)
	both.AuthorizedParty = cmp.Or(said.AuthorizedParty, asked.AuthorizedParty)
	both.ID = cmp.Or(said.ID, asked.ID)
	both.TenantID = cmp.Or(said.TenantID, asked.TenantID)
	both.UID = cmp.Or(said.UID, asked.UID)
	both.IDType = cmp.Or(said.IDType, asked.IDType)
	both.HasRoles = said.HasRoles || asked.HasRoles
	both.UnverifiedEmail = said.UnverifiedEmail || asked.UnverifiedEmail
	both.TokenType = cmp.Or(asked.TokenType, said.TokenType)
	both.Actor = cmp.Or(said.Actor, asked.Actor)
	both.Expiry = earlierOf(said.Expiry, asked.Expiry)
	both.IssuedAt = cmp.Or(asked.IssuedAt, said.IssuedAt)
	if asked.NotBefore.After(both.NotBefore) {
		both.NotBefore = asked.NotBefore
	}
	if len(both.Audience) == 0 {
		both.Audience = asked.Audience
	}
	if !both.Confirmation.Present {
		both.Confirmation = asked.Confirmation
	}
	both.Scope = inBoth(said.Scope, asked.Scope)
	return &both, nil
}

// earlierOf ignores a time that is zero.
func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// inBoth returns the scopes that both have, or those of the one that has the claim.
func inBoth(a, b jose.Scope) jose.Scope {
	switch {
	case !a.Present:
		return b
	case !b.Present:
		return a
	}
	granted := scopes.Parse(textOf(b))
	both := slices.Collect(scopes.Parse(textOf(a)).All())
	both = slices.DeleteFunc(both, func(scope string) bool { return !granted.Has(scope) })
	return jose.Scope{Present: true, Text: strings.Join(both, " ")}
}

// textOf returns a scope claim as RFC 6749 §3.3 has it.
func textOf(scope jose.Scope) string {
	if scope.List != nil {
		return strings.Join(scope.List, " ")
	}
	return scope.Text
}
