package verify_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

// keysOf returns a warm cache of the issuer's key set. It belongs to the test.
func keysOf(tb testing.TB, i *issuer) *jwks.Cache {
	tb.Helper()
	keys, err := jwks.NewCache(jwks.Config{URL: i.jwksURI})
	must(tb, err)
	tb.Cleanup(func() { _ = keys.Close() })
	must(tb, keys.Warm(tb.Context()))
	return keys
}

func newValidator(tb testing.TB, i *issuer, keys *jwks.Cache) *accesstoken.Validator {
	tb.Helper()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: audience,
		Issuers:  []accesstoken.Issuer{{URL: issuerURL, Keys: keys, Algorithms: []string{i.alg}}},
		Logger:   slog.New(slog.DiscardHandler),
	})
	must(tb, err)
	return v
}

// An entrance is a way to call a validator.
type entrance func(testing.TB, *accesstoken.Validator) serve

func openUncached(tb testing.TB, i *issuer) row { return forgetting(tb, i, validating) }
func openCached(tb testing.TB, i *issuer) row   { return remembering(tb, i, validating) }

// remembering has one validator.
func remembering(tb testing.TB, i *issuer, enter entrance) row {
	tb.Helper()
	v := newValidator(tb, i, keysOf(tb, i))
	tb.Cleanup(func() { _ = v.Close() })
	return row{serve: enter(tb, v), remembers: true}
}

// forgetting gets a new validator each time that it is renewed, because a validator's
// cache cannot be cleared. The keys stay.
func forgetting(tb testing.TB, i *issuer, enter entrance) row {
	tb.Helper()
	keys := keysOf(tb, i)
	var v *accesstoken.Validator
	var current serve
	stop := func() {}
	renew := func() {
		stop()
		v = newValidator(tb, i, keys)
		stop = sync.OnceFunc(func() { _ = v.Close() })
		current = enter(tb, v)
	}
	renew()
	tb.Cleanup(func() { stop() })
	return row{
		serve: func(credential string) (caller, error) { return current(credential) },
		renew: renew,
	}
}

func validating(_ testing.TB, v *accesstoken.Validator) serve {
	ctx := context.Background()
	return func(token string) (caller, error) {
		claims, err := v.Validate(ctx, accesstoken.Bearer(token))
		if err != nil {
			return caller{}, err
		}
		return callerOf(claims), nil
	}
}

func callerOf(claims accesstoken.Claims) caller {
	return caller{claims.Subject, claims.ClientID, claims.Scopes().String()}
}
