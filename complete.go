package accesstoken

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/tokencache"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/scopes"
)

// complete asks about a JWT with a good signature, if its issuer has
// AlwaysIntrospect. Both must pass. The facts that result are checked like those of
// any token.
func (v *Validator) complete(ctx context.Context, key tokencache.Key, found *facts, credentials Credentials, fresh bool) (*facts, error) {
	answer, err := v.ask(ctx, found.issuer, credentials.text(), fresh)
	switch {
	case errors.Is(err, introspection.ErrUnsupportedTokenType):
		return nil, because(ResourceServerMisconfigured, err) // the endpoint knows no JWTs, so AlwaysIntrospect refuses all
	case err != nil:
		return nil, err
	}
	whole := found.extras.whole.Load()
	if whole == nil || !bytes.Equal(whole.answer(), answer) {
		if whole, err = v.join(found, credentials.text(), answer); err != nil {
			return nil, err
		}
		size := whole.compact(v.shared) + len(answer)
		found.extras.whole.Store(whole)
		v.cache.Put(key, found, found.extras.size+size)
	}
	if err := v.checkClock(whole); err != nil {
		return nil, err
	}
	if err := whole.checkScheme(credentials); err != nil {
		return nil, err
	}
	if err := whole.checkAudience(); err != nil {
		return nil, err
	}
	return whole, nil
}

// join makes the facts of a JWT and the answer about it.
func (v *Validator) join(found *facts, token string, answer []byte) (*facts, error) {
	i := found.issuer
	payload, err := base64.RawURLEncoding.DecodeString(token[found.payload[0]:found.payload[1]])
	if err != nil {
		return nil, because(InternalError, err) // never happens: it was decoded before
	}
	said, err := jose.ReadClaims(string(payload))
	if err != nil {
		return nil, because(InternalError, err) // never happens: it was read before
	}
	asked, err := i.readAnswer(answer)
	if err != nil {
		return nil, err
	}
	if v.now().Add(v.leeway).Before(asked.IssuedAt) {
		return nil, refusal(TokenNotYetValid, "iat of the introspection answer is in the future")
	}
	both, err := i.merge(&said, &asked)
	if err != nil {
		return nil, err
	}
	if err := i.checkJoined(both, string(payload), string(answer)); err != nil {
		return nil, err
	}
	whole := newFacts(i, both, answer)
	whole.withoutUser = i.rules.withoutUser(both)
	whole.header, whole.key, whole.payload = found.header, found.key, found.payload
	whole.generation.Store(found.generation.Load())
	return whole, nil
}

// merge combines the claims of a JWT and of the introspection answer about it, in
// the terms of RFC 9068. If only one has a claim, it counts. If both have a claim
// about the subject, the client, the token's id or the binding, they must agree. Of
// two times the stricter one counts, and of the scopes those that both have.
func (i *issuer) merge(jwt, answer *jose.Claims) (*jose.Claims, error) {
	said, asked := i.rules.translate(jwt), i.rules.translate(answer)
	asked.Scope = answer.Scope // RFC 7662 §2.2; the profile's claim for scopes is for JWTs only
	switch {
	case asked.Fault != "":
		return nil, refusal(ClaimInvalid, "the introspection answer: "+asked.Fault)
	case differ(said.Subject, asked.Subject):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different sub than the JWT")
	case differ(said.ClientID, asked.ClientID), differ(said.ClientID, answer.ClientID), differ(said.AuthorizedParty, asked.AuthorizedParty):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different client than the JWT")
	case differ(jwt.ID, answer.ID):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different jti than the JWT")
	case differ(said.TenantID, asked.TenantID):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different tid than the JWT")
	case said.Actor != nil && asked.Actor != nil && *said.Actor != *asked.Actor:
		return nil, refusal(ClaimInvalid, "the introspection answer has a different act than the JWT")
	case said.Confirmation.Present && asked.Confirmation.Present && said.Confirmation != asked.Confirmation:
		return nil, refusal(BindingRequired, "the introspection answer has a different cnf than the JWT")
	case said.Audience == nil && i.rules.isUnmarked() && asked.TokenType == "":
		// RFC 7662 calls refresh tokens active as well, and a JWT without aud may be one.
		return nil, refusal(TokenTypeMismatch, "the token may be a refresh token: the JWT has no aud and the introspection answer no token_type")
	}
	if asked.Audience != nil { // each must be for us, so it matters little which is kept
		if err := i.checkAudience(asked.Audience); err != nil {
			return nil, err
		}
	}
	both := said
	both.Subject = cmp.Or(said.Subject, asked.Subject)
	both.ClientID = cmp.Or(said.ClientID, asked.ClientID, answer.ClientID)
	both.AuthorizedParty = cmp.Or(said.AuthorizedParty, asked.AuthorizedParty)
	both.ID = cmp.Or(said.ID, asked.ID)
	both.TenantID = cmp.Or(said.TenantID, asked.TenantID)
	both.UID = cmp.Or(said.UID, asked.UID)
	both.UnverifiedEmail = said.UnverifiedEmail || asked.UnverifiedEmail
	both.Actor = cmp.Or(said.Actor, asked.Actor)
	both.Expiry = earlier(said.Expiry, asked.Expiry)
	both.IssuedAt = earlier(said.IssuedAt, asked.IssuedAt)
	both.Scope = inBoth(said.Scope, asked.Scope)
	if asked.NotBefore.After(said.NotBefore) {
		both.NotBefore = asked.NotBefore
	}
	if said.Audience == nil || len(said.Audience) == 0 && i.rules.emptyAudience {
		both.Audience = asked.Audience
	}
	if !said.Confirmation.Present {
		both.Confirmation = asked.Confirmation
	}
	if !isDPoP(said.TokenType) {
		both.TokenType = asked.TokenType
	}
	return &both, nil
}

// differ reports whether both are set and not equal.
func differ(said, asked string) bool { return said != "" && asked != "" && said != asked }

// earlier returns the earlier of two times. A zero time counts as absent.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// inBoth returns the scopes that both have. If only one has the claim, it returns
// that one.
func inBoth(a, b jose.Scope) jose.Scope {
	switch {
	case !a.Present:
		return b
	case !b.Present || textOf(a) == textOf(b):
		return a
	}
	granted := map[string]bool{} // because a token may have thousands
	for scope := range scopes.Parse(textOf(b)).All() {
		granted[scope] = true
	}
	var both []string
	for scope := range scopes.Parse(textOf(a)).All() {
		if granted[scope] {
			both = append(both, scope)
		}
	}
	return jose.Scope{Present: true, Text: strings.Join(both, " ")}
}

// textOf returns a scope claim as the text of RFC 6749 §3.3.
func textOf(scope jose.Scope) string {
	if scope.List != nil {
		return strings.Join(scope.List, " ")
	}
	return scope.Text
}

// A joined pointer holds the facts of a JWT joined with the last answer about it.
// While the answer stays the same, nothing is read again.
type joined = atomic.Pointer[facts]
