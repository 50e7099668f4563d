package accesstoken

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
	"github.com/accesstoken/accesstoken/internal/tokencache"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/scopes"
)

// complete introspects a JWT with a good signature, if its issuer has
// AlwaysIntrospect. The JWT and the answer must both pass. The facts of the two
// together are checked like the facts of any token.
func (v *Validator) complete(ctx context.Context, by *settings, key tokencache.Key, found *facts, credentials Credentials, fresh bool) (*facts, error) {
	v.trail.reach(checkAnswer)
	answer, err := v.ask(ctx, found.issuer, credentials.text(), fresh)
	switch {
	case errors.Is(err, introspection.ErrUnsupportedTokenType):
		return nil, wrapError(ResourceServerMisconfigured, err) // the endpoint knows no JWTs, so AlwaysIntrospect refuses all
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
		v.cache.PutIn(&found.issuer.share, key, found, found.extras.size+size)
	}
	v.trail.learn(whole)
	v.trail.reach(checkClock)
	if err := v.checkClock(by, whole); err != nil {
		return nil, err
	}
	v.trail.reach(checkScheme)
	if err := whole.checkScheme(credentials); err != nil {
		return nil, err
	}
	v.trail.reach(checkAudience)
	if err := v.checkAudience(by, whole); err != nil {
		return nil, err
	}
	return whole, nil
}

// join makes the facts of a JWT and the answer about it.
func (v *Validator) join(found *facts, token string, answer []byte) (*facts, error) {
	i := found.issuer
	payload, err := base64.RawURLEncoding.DecodeString(token[found.payload[0]:found.payload[1]])
	if err != nil {
		return nil, wrapError(InternalError, err) // never happens: it was decoded before
	}
	fromJWT, err := jose.ReadClaims(string(payload))
	if err != nil {
		return nil, wrapError(InternalError, err) // never happens: it was read before
	}
	fromAnswer, err := i.readAnswer(answer)
	if err != nil {
		return nil, err
	}
	if v.now().Add(v.leeway).Before(fromAnswer.IssuedAt) {
		return nil, refusal(TokenNotYetValid, "iat of the introspection answer is in the future")
	}
	if differ(textIn(string(payload), "tid"), textIn(string(answer), "tid")) {
		return nil, refusal(ClaimInvalid, "the introspection answer has a different tid than the JWT")
	}
	both, err := i.merge(i.rules.Read(&fromJWT, string(payload), false), i.rules.Read(&fromAnswer, string(answer), true), &fromJWT, &fromAnswer)
	if err != nil {
		return nil, err
	}
	if err := i.checkJoined(both, string(payload), string(answer)); err != nil {
		return nil, err
	}
	whole := newFacts(i, &both.Claims, answer)
	whole.extras.also = fromAnswer.Audience
	whole.withoutUser = i.rules.IsClientItself(both)
	whole.header, whole.key, whole.payload = found.header, found.key, found.payload
	whole.generation.Store(found.generation.Load())
	return whole, nil
}

// merge combines the claims of a JWT and of the introspection answer about it, in
// the terms of RFC 9068. If only one of them has a claim, that claim counts. If
// both have a claim about the subject, the client, the token's id or the binding,
// they must agree. Of two times the stricter one counts, and only the scopes that
// both have.
func (i *issuer) merge(fromJWT, fromAnswer shape.Reading, jwt, answer *jose.Claims) (*shape.Reading, error) {
	fromAnswer.Scope = answer.Scope // RFC 7662 §2.2; the profile's claim for scopes is for JWTs only
	switch {
	case fromAnswer.Fault != "":
		return nil, refusal(ClaimInvalid, "the introspection answer: "+fromAnswer.Fault)
	case differ(fromJWT.Subject, fromAnswer.Subject):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different sub than the JWT")
	case differ(fromJWT.ClientID, fromAnswer.ClientID), differ(fromJWT.ClientID, answer.ClientID), differ(fromAnswer.ClientID, answer.ClientID),
		differ(jwt.ClientID, answer.ClientID), differ(fromJWT.AuthorizedParty, fromAnswer.AuthorizedParty):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different client than the JWT")
	case differ(jwt.ID, answer.ID):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different jti than the JWT")
	case differ(fromJWT.Tenant, fromAnswer.Tenant):
		return nil, refusal(ClaimInvalid, "the introspection answer has a different tenant than the JWT")
	case fromJWT.Actor != nil && fromAnswer.Actor != nil && *fromJWT.Actor != *fromAnswer.Actor:
		return nil, refusal(ClaimInvalid, "the introspection answer has a different act than the JWT")
	case fromJWT.Confirmation.Present && fromAnswer.Confirmation.Present && fromJWT.Confirmation != fromAnswer.Confirmation:
		return nil, refusal(BindingRequired, "the introspection answer has a different cnf than the JWT")
	case fromJWT.Audience == nil && !i.rules.IsMarked && fromAnswer.TokenType == "":
		// RFC 7662 calls refresh tokens active as well, and a JWT without aud may be one.
		return nil, refusal(TokenTypeMismatch, "the token may be a refresh token: the JWT has no aud and the introspection answer no token_type")
	}
	both := fromJWT.Claims
	both.Subject = cmp.Or(fromJWT.Subject, fromAnswer.Subject)
	both.ClientID = cmp.Or(fromJWT.ClientID, fromAnswer.ClientID, answer.ClientID)
	both.AuthorizedParty = cmp.Or(fromJWT.AuthorizedParty, fromAnswer.AuthorizedParty)
	both.ID = cmp.Or(fromJWT.ID, fromAnswer.ID)
	both.Delegated, both.Actor = joinActors(&fromJWT.Claims, &fromAnswer.Claims)
	both.Expiry = earlier(fromJWT.Expiry, fromAnswer.Expiry)
	both.IssuedAt = earlier(fromJWT.IssuedAt, fromAnswer.IssuedAt)
	both.Scope = inBoth(fromJWT.Scope, fromAnswer.Scope)
	both.Details = fromJWT.Details + fromAnswer.Details
	both.Login = joinLogins(fromJWT.Login, fromAnswer.Login)
	if fromAnswer.NotBefore.After(fromJWT.NotBefore) {
		both.NotBefore = fromAnswer.NotBefore
	}
	if fromJWT.Audience == nil || len(fromJWT.Audience) == 0 && i.rules.CountsEmptyAudience() {
		both.Audience = fromAnswer.Audience
	}
	if !fromJWT.Confirmation.Present {
		both.Confirmation = fromAnswer.Confirmation
	}
	both.Nonce, both.OtherKind = fromAnswer.Nonce, fromAnswer.OtherKind // the JWT was refused for its own
	if !isDPoP(fromJWT.TokenType) {
		both.TokenType = fromAnswer.TokenType
	}
	joined := i.rules.Join(both, &fromJWT, &fromAnswer)
	return &joined, nil
}

// joinActors returns whether the token is delegated, and the actor. If both have act, but
// one of the two cannot be read, it is not known who acts.
func joinActors(a, b *jose.Claims) (delegated bool, actor *jose.Actor) {
	if a.Delegated && b.Delegated && (a.Actor == nil || b.Actor == nil) {
		return true, nil
	}
	return a.Delegated || b.Delegated, cmp.Or(a.Actor, b.Actor)
}

// joinLogins returns what both say of the login: the older auth_time, an acr on which they
// agree, and the methods that both have. What only one of them has counts. What cannot be
// read in one of them counts in neither, because the two do not agree.
func joinLogins(a, b jose.Login) jose.Login {
	both := jose.Login{
		IsThere:    a.IsThere || b.IsThere,
		Class:      cmp.Or(a.Class, b.Class),
		Time:       earlier(a.Time, b.Time),
		Unreadable: a.Unreadable || b.Unreadable,
		BadClass:   a.BadClass || b.BadClass || differ(a.Class, b.Class),
		BadMethods: a.BadMethods || b.BadMethods,
		Methods:    a.Methods,
	}
	if both.BadClass {
		both.Class = ""
	}
	switch {
	case both.BadMethods:
		both.Methods = nil
	case a.Methods == nil:
		both.Methods = b.Methods
	case b.Methods != nil:
		both.Methods = slices.DeleteFunc(slices.Clone(a.Methods), func(method string) bool { return !slices.Contains(b.Methods, method) })
	}
	return both
}

// differ reports whether both are set and not equal.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// earlier returns the earlier of two times. A zero time counts as absent.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// inBoth returns the scopes that both have. If only one of them has the claim, it
// returns that claim's scopes.
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
