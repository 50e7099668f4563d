package main

import (
	"context"
	"errors"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

type accessToken struct{ *accesstoken.Validator }

func openAccessToken(ctx context.Context, at place) (verifier, error) {
	issuer := accesstoken.Issuer{URL: at.issuer}
	if at.fresh == 0 {
		issuer.JWKSURI = at.jwksURI
	} else {
		cache, err := jwks.NewCache(jwks.Config{URL: at.jwksURI, RefreshAfter: at.fresh})
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { _ = cache.Close() })
		issuer.Keys = cache
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: at.audience, Issuers: []accesstoken.Issuer{issuer}})
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = v.Close() })
	return accessToken{v}, nil
}

func (v accessToken) verify(ctx context.Context, token string) error {
	_, err := v.Validate(ctx, accesstoken.Bearer(token))
	return err
}

func (accessToken) unavailable(err error) bool { return errors.Is(err, accesstoken.Unavailable) }
