package main

import (
	"context"

	"github.com/coreos/go-oidc/v3/oidc"
)

// oidcVerifier is not a teller, because go-oidc has no special error if keys cannot be
// fetched.
type oidcVerifier struct{ *oidc.IDTokenVerifier }

func openOIDC(ctx context.Context, at place) (verifier, error) {
	return oidcVerifier{oidc.NewVerifier(at.issuer, oidc.NewRemoteKeySet(ctx, at.jwksURI), &oidc.Config{
		ClientID:             at.audience,
		SupportedSigningAlgs: []string{oidc.ES256},
	})}, nil
}

func (v oidcVerifier) verify(ctx context.Context, token string) error {
	_, err := v.Verify(ctx, token)
	return err
}
