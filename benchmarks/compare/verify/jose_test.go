package verify_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	capjwt "github.com/hashicorp/cap/jwt"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// These four use go-jose.

func openJose(tb testing.TB, i *issuer) row {
	tb.Helper()
	keys := fetched(tb, i)
	algorithms := []jose.SignatureAlgorithm{jose.SignatureAlgorithm(i.alg)}
	expected := jwt.Expected{Issuer: issuerURL, AnyAudience: jwt.Audience{audience}}
	return row{serve: func(token string) (caller, error) {
		parsed, err := jwt.ParseSigned(token, algorithms)
		if err != nil {
			return caller{}, err
		}
		var claims struct {
			jwt.Claims
			ClientID string `json:"client_id"`
			Scope    string `json:"scope"`
		}
		if err := parsed.Claims(keys, &claims); err != nil {
			return caller{}, err
		}
		if err := claims.Validate(expected.WithTime(time.Now())); err != nil {
			return caller{}, err
		}
		return caller{claims.Subject, claims.ClientID, claims.Scope}, nil
	}}
}

func fetched(tb testing.TB, i *issuer) *jose.JSONWebKeySet {
	tb.Helper()
	response, err := http.Get(i.jwksURI)
	must(tb, err)
	defer response.Body.Close()
	keys := &jose.JSONWebKeySet{}
	must(tb, json.NewDecoder(response.Body).Decode(keys))
	return keys
}

func openOIDC(tb testing.TB, i *issuer) row {
	tb.Helper()
	ctx := context.Background()
	verifier := oidc.NewVerifier(issuerURL, oidc.NewRemoteKeySet(tb.Context(), i.jwksURI), &oidc.Config{
		ClientID:             audience,
		SupportedSigningAlgs: []string{i.alg},
	})
	return row{serve: func(token string) (caller, error) {
		verified, err := verifier.Verify(ctx, token)
		if err != nil {
			return caller{}, err
		}
		var claims struct {
			ID       string `json:"jti"`
			ClientID string `json:"client_id"`
			Scope    string `json:"scope"`
		}
		if err := verified.Claims(&claims); err != nil {
			return caller{}, err
		}
		return caller{verified.Subject, claims.ClientID, claims.Scope}, nil
	}}
}

type zitadelClaims struct {
	zitadel.TokenClaims
	Scope string `json:"scope"`
}

func openZitadel(tb testing.TB, i *issuer) row {
	tb.Helper()
	ctx := context.Background()
	verifier := op.NewAccessTokenVerifier(issuerURL, rp.NewRemoteKeySet(http.DefaultClient, i.jwksURI),
		op.WithSupportedAccessTokenSigningAlgorithms(i.alg))
	return row{serve: func(token string) (caller, error) {
		claims, err := op.VerifyAccessToken[*zitadelClaims](ctx, token, verifier)
		if err != nil {
			return caller{}, err
		}
		if err := zitadel.CheckAudience(claims, audience); err != nil {
			return caller{}, err
		}
		return caller{claims.Subject, claims.ClientID, claims.Scope}, nil
	}}
}

func openCap(tb testing.TB, i *issuer) row {
	tb.Helper()
	ctx := context.Background()
	keys, err := capjwt.NewJSONWebKeySet(tb.Context(), i.jwksURI, "")
	must(tb, err)
	validator, err := capjwt.NewValidator(keys)
	must(tb, err)
	expected := capjwt.Expected{
		Issuer:            issuerURL,
		Audiences:         []string{audience},
		SigningAlgorithms: []capjwt.Alg{capjwt.Alg(i.alg)},
	}
	return row{serve: func(token string) (found caller, err error) {
		claims, err := validator.Validate(ctx, token, expected)
		if err != nil {
			return caller{}, err
		}
		found.subject, _ = claims["sub"].(string)
		found.client, _ = claims["client_id"].(string)
		found.scope, _ = claims["scope"].(string)
		return found, nil
	}}
}
