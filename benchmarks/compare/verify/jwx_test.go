package verify_test

import (
	"testing"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

func openJWX(tb testing.TB, i *issuer) row {
	tb.Helper()
	cache, err := jwk.NewCache(tb.Context(), httprc.NewClient())
	must(tb, err)
	must(tb, cache.Register(tb.Context(), i.jwksURI))
	keys, err := cache.CachedSet(i.jwksURI)
	must(tb, err)
	options := []jwt.ParseOption{
		jwt.WithKeySet(keys),
		jwt.WithIssuer(issuerURL),
		jwt.WithAudience(audience),
		jwt.WithRequiredClaim("exp"),
	}
	return row{serve: func(token string) (caller, error) {
		claims, err := jwt.ParseString(token, options...)
		if err != nil {
			return caller{}, err
		}
		return jwxCaller(claims)
	}}
}

func jwxCaller(claims jwt.Token) (found caller, err error) {
	found.subject, _ = claims.Subject()
	if err := claims.Get("client_id", &found.client); err != nil {
		return caller{}, err
	}
	if err := claims.Get("scope", &found.scope); err != nil {
		return caller{}, err
	}
	return found, nil
}
