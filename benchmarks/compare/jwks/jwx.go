package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/lestrrat-go/httprc/v3"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

type jwx struct {
	cache *jwk.Cache
	at    place
}

func openJWX(ctx context.Context, at place) (verifier, error) {
	cache, err := jwk.NewCache(ctx, httprc.NewClient())
	if err != nil {
		return nil, err
	}
	var options []jwk.RegisterOption
	if at.fresh != 0 {
		options = append(options, jwk.WithMinInterval(at.fresh))
	}
	if err := cache.Register(ctx, at.jwksURI, options...); err != nil {
		return nil, err
	}
	return jwx{cache, at}, nil
}

var errNoSet = errors.New("no key set")

func (v jwx) verify(ctx context.Context, token string) error {
	set, err := v.cache.Lookup(ctx, v.at.jwksURI)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoSet, err)
	}
	_, err = jwt.Parse([]byte(token),
		jwt.WithKeySet(set),
		jwt.WithIssuer(v.at.issuer),
		jwt.WithAudience(v.at.audience),
		jwt.WithRequiredClaim("exp"),
	)
	return err
}

func (jwx) unavailable(err error) bool { return errors.Is(err, errNoSet) }
