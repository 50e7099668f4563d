package main

import (
	"context"
	"time"
)

// A verifier checks a token: signature, iss, aud and exp.
type verifier interface {
	verify(ctx context.Context, token string) error
}

// A teller is a verifier whose errors distinguish "the keys could not be fetched" from
// "the token is bad". Without that distinction, clients may discard good tokens in an
// outage.
type teller interface {
	unavailable(err error) bool
}

// An implementation is one way to keep a key set.
type implementation struct {
	name    string
	modules []string // modules whose versions are printed
	how     string   // how it is made, and how its freshness is set if a scenario changes it

	// open makes a verifier as the implementation's own documentation recommends. It
	// may block. The verifier works until ctx ends.
	open func(ctx context.Context, at place) (verifier, error)
}

func (i implementation) id() string { return i.name }

// A place says where the keys are, and which iss and aud tokens must have.
type place struct {
	issuer, jwksURI, audience string

	// fresh is the time after which the keys are fetched again. Zero means the
	// implementation's default.
	fresh time.Duration
}

var implementations = []implementation{
	{
		name:    "accesstoken",
		modules: []string{"github.com/accesstoken/accesstoken"},
		how:     "`NewValidator` with `JWKSURI`; freshness: `Keys` from `jwks.NewCache` with `RefreshAfter`",
		open:    openAccessToken,
	},
	{
		name:    "keyfunc",
		modules: []string{"github.com/MicahParks/keyfunc/v3", "github.com/MicahParks/jwkset", "github.com/golang-jwt/jwt/v5"},
		how:     "`NewDefaultCtx`; freshness: `NewDefaultOverrideCtx` with `RefreshInterval`",
		open:    openKeyfunc,
	},
	{
		name:    "jwx",
		modules: []string{"github.com/lestrrat-go/jwx/v3", "github.com/lestrrat-go/httprc/v3"},
		how:     "`jwk.NewCache`, `Register`, and `Lookup` for each token; freshness: `WithMinInterval`",
		open:    openJWX,
	},
	{
		name:    "go-oidc",
		modules: []string{"github.com/coreos/go-oidc/v3", "github.com/go-jose/go-jose/v4"},
		how:     "`NewRemoteKeySet`, `NewVerifier`; freshness: none, because a key never expires",
		open:    openOIDC,
	},
	{
		name:    "auth0-v3",
		modules: []string{"github.com/auth0/go-jwt-middleware/v3"},
		how:     "`jwks.NewCachingProvider`, `validator.New`; freshness: `WithCacheTTL`",
		open:    openAuth0v3,
	},
	{
		name:    "auth0-v2",
		modules: []string{"github.com/auth0/go-jwt-middleware/v2", "gopkg.in/go-jose/go-jose.v2"},
		how:     "`jwks.NewCachingProvider` with the TTL 0 (its default, a minute), `validator.New`; freshness: that TTL",
		open:    openAuth0v2,
	},
}
