package main

import (
	"context"
	"errors"
	"net/url"

	jwksv2 "github.com/auth0/go-jwt-middleware/v2/jwks"
	validatorv2 "github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/auth0/go-jwt-middleware/v3/core"
	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
)

type auth0v3 struct{ *validator.Validator }

func openAuth0v3(_ context.Context, at place) (verifier, error) {
	issuer, keys, err := at.urls()
	if err != nil {
		return nil, err
	}
	options := []any{jwks.WithIssuerURL(issuer), jwks.WithCustomJWKSURI(keys)}
	if at.fresh != 0 {
		options = append(options, jwks.WithCacheTTL(at.fresh))
	}
	provider, err := jwks.NewCachingProvider(options...)
	if err != nil {
		return nil, err
	}
	v, err := validator.New(
		validator.WithKeyFunc(provider.KeyFunc),
		validator.WithAlgorithm(validator.ES256),
		validator.WithIssuer(at.issuer),
		validator.WithAudience(at.audience),
	)
	return auth0v3{v}, err
}

func (v auth0v3) verify(ctx context.Context, token string) error {
	_, err := v.ValidateToken(ctx, token)
	return err
}

func (auth0v3) unavailable(err error) bool {
	var refused *core.ValidationError
	return errors.As(err, &refused) && refused.Code == core.ErrorCodeJWKSFetchFailed
}

// auth0v2 is not a teller, because it has no special error if keys cannot be fetched.
type auth0v2 struct{ *validatorv2.Validator }

func openAuth0v2(_ context.Context, at place) (verifier, error) {
	issuer, keys, err := at.urls()
	if err != nil {
		return nil, err
	}
	provider := jwksv2.NewCachingProvider(issuer, at.fresh, jwksv2.WithCustomJWKSURI(keys))
	v, err := validatorv2.New(provider.KeyFunc, validatorv2.ES256, at.issuer, []string{at.audience})
	return auth0v2{v}, err
}

func (v auth0v2) verify(ctx context.Context, token string) error {
	_, err := v.ValidateToken(ctx, token)
	return err
}

func (at place) urls() (issuer, keys *url.URL, err error) {
	issuer, err = url.Parse(at.issuer)
	if err != nil {
		return nil, nil, err
	}
	keys, err = url.Parse(at.jwksURI)
	return issuer, keys, err
}
