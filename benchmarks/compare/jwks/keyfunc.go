package main

import (
	"context"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// golangJWT is not a teller: if a refresh fails, keyfunc returns the same error as for
// a key that does not exist.
type golangJWT struct {
	keys   keyfunc.Keyfunc
	parser *jwt.Parser
}

func openKeyfunc(ctx context.Context, at place) (verifier, error) {
	keys, err := newKeyfunc(ctx, at)
	if err != nil {
		return nil, err
	}
	return golangJWT{keys, jwt.NewParser(
		jwt.WithValidMethods([]string{"ES256"}),
		jwt.WithIssuer(at.issuer),
		jwt.WithAudience(at.audience),
		jwt.WithExpirationRequired(),
	)}, nil
}

func newKeyfunc(ctx context.Context, at place) (keyfunc.Keyfunc, error) {
	if at.fresh == 0 {
		return keyfunc.NewDefaultCtx(ctx, []string{at.jwksURI})
	}
	return keyfunc.NewDefaultOverrideCtx(ctx, []string{at.jwksURI}, keyfunc.Override{RefreshInterval: at.fresh})
}

func (v golangJWT) verify(_ context.Context, token string) error {
	_, err := v.parser.Parse(token, v.keys.Keyfunc)
	return err
}
