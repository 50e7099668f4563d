package verify_test

import (
	"context"
	"testing"
	"time"

	jwksv2 "github.com/auth0/go-jwt-middleware/v2/jwks"
	validatorv2 "github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/auth0/go-jwt-middleware/v3/jwks"
	"github.com/auth0/go-jwt-middleware/v3/validator"
)

// auth0Claims are those that the library has no field for.
type auth0Claims struct {
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
}

func (*auth0Claims) Validate(context.Context) error { return nil }

func newAuth0v3(tb testing.TB, i *issuer) *validator.Validator {
	tb.Helper()
	issuer, keys := i.urls(tb)
	provider, err := jwks.NewCachingProvider(jwks.WithIssuerURL(issuer), jwks.WithCustomJWKSURI(keys))
	must(tb, err)
	v, err := validator.New(
		validator.WithKeyFunc(provider.KeyFunc),
		validator.WithAlgorithm(validator.SignatureAlgorithm(i.alg)),
		validator.WithIssuer(issuerURL),
		validator.WithAudience(audience),
		validator.WithCustomClaims(func() *auth0Claims { return &auth0Claims{} }),
	)
	must(tb, err)
	return v
}

func openAuth0v3(tb testing.TB, i *issuer) row {
	tb.Helper()
	v, ctx := newAuth0v3(tb, i), context.Background()
	return row{serve: func(token string) (caller, error) {
		found, err := v.ValidateToken(ctx, token)
		if err != nil {
			return caller{}, err
		}
		return auth0v3Caller(found.(*validator.ValidatedClaims)), nil
	}}
}

func auth0v3Caller(claims *validator.ValidatedClaims) caller {
	custom := claims.CustomClaims.(*auth0Claims)
	return caller{claims.RegisteredClaims.Subject, custom.ClientID, custom.Scope}
}

func newAuth0v2(tb testing.TB, i *issuer) *validatorv2.Validator {
	tb.Helper()
	issuer, keys := i.urls(tb)
	provider := jwksv2.NewCachingProvider(issuer, 5*time.Minute, jwksv2.WithCustomJWKSURI(keys))
	v, err := validatorv2.New(
		provider.KeyFunc, validatorv2.SignatureAlgorithm(i.alg), issuerURL, []string{audience},
		validatorv2.WithCustomClaims(func() validatorv2.CustomClaims { return &auth0Claims{} }),
	)
	must(tb, err)
	return v
}

func openAuth0v2(tb testing.TB, i *issuer) row {
	tb.Helper()
	v, ctx := newAuth0v2(tb, i), context.Background()
	return row{serve: func(token string) (caller, error) {
		found, err := v.ValidateToken(ctx, token)
		if err != nil {
			return caller{}, err
		}
		return auth0v2Caller(found.(*validatorv2.ValidatedClaims)), nil
	}}
}

func auth0v2Caller(claims *validatorv2.ValidatedClaims) caller {
	custom := claims.CustomClaims.(*auth0Claims)
	return caller{claims.RegisteredClaims.Subject, custom.ClientID, custom.Scope}
}
