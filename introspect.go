package accesstoken

import (
	"context"
	"errors"
	"strings"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/introspection"
)

// introspect asks the issuer that the configuration selects for an opaque token (RFC
// 7662), and makes the checks that are left to the resource server (§2.2, §4).
func (v *Validator) introspect(ctx context.Context, token string, fresh bool, c *course) (*facts, error) {
	i := v.opaqueIssuer(token)
	if i == nil {
		v.adviseOnOpaque()
		return nil, v.fixed[TokenMalformed]
	}
	i = v.follow(i)
	c.issuer = i
	v.trail.reach(checkAnswer)
	answer, err := v.ask(ctx, i, token, fresh)
	if err != nil {
		return nil, err
	}
	c.source = fromIntrospection
	claims, err := i.readAnswer(answer)
	if err != nil {
		return nil, err
	}
	claims.Issuer = i.url
	v.trail.reach(checkLists)
	if err := i.checkLists(&claims, string(answer)); err != nil {
		return nil, err
	}
	found := newFacts(i, &claims, answer)
	found.withoutUser = i.rules.IsAnswerOfClient(&claims)
	return found, nil
}

// opaqueIssuer returns the one issuer to which the configuration lets an opaque
// token be sent, or nil.
func (v *Validator) opaqueIssuer(token string) *issuer {
	for _, i := range v.roster.Load().introspected {
		if strings.HasPrefix(token, i.settings().TokenPrefix) {
			return i
		}
	}
	return nil
}

// ask returns the issuer's answer about an active token.
func (v *Validator) ask(ctx context.Context, i *issuer, token string, fresh bool) (answer []byte, err error) {
	response, err := i.settings().Introspection.IntrospectWith(ctx, token, introspection.Options{Fresh: fresh, Leeway: v.leeway, Now: v.now})
	switch {
	case err != nil:
		return nil, introspectionRefusal(ctx, err)
	case !response.Active:
		return nil, v.fixed[TokenInactive]
	}
	return response.Raw, nil
}

// readAnswer reads an answer, and refuses one that names another issuer.
func (i *issuer) readAnswer(answer []byte) (jose.Claims, error) {
	claims, err := jose.ReadAnswer(string(answer))
	switch {
	case err != nil:
		return claims, wrapError(IntrospectionUnavailable, err)
	case claims.Issuer != "" && !i.isNamed(claims.Issuer):
		return claims, refusal(IssuerUnknown, "the introspection answer names another issuer")
	}
	return claims, nil
}

func introspectionRefusal(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, introspection.ErrClientRefused):
		return wrapError(ResourceServerMisconfigured, err)
	case errors.Is(err, introspection.ErrTokenType), errors.Is(err, introspection.ErrUnsupportedTokenType):
		return wrapError(TokenTypeMismatch, err)
	}
	return couldNotFindOut(ctx, IntrospectionUnavailable, err)
}
