package accesstoken

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/shape"
	"github.com/accesstoken/accesstoken/jwks"
)

// An issuer is a configured [Issuer] in use, or one of its tenants. Only tenants of
// the same Issuer share keys.
type issuer struct {
	settings   Issuer
	owner      *Validator
	url        string
	aliases    []string // other spellings of iss
	tenants    []string // nil if tid is not checked
	rules      *shape.Rules
	demands    []demand
	algorithms []string
	audience   []string
	keys       KeySource
	owned      *jwks.Cache // the cache behind keys, if this package made it
	leeway     time.Duration
	hierarchy  hierarchy
	warnings   warnings
	verified   atomic.Bool // a token of this issuer was verified once
}

// isOf reports whether a Validator accepts claims of this issuer. Every Validator
// accepts the claims of accesstokentest.NewContext.
func (i *issuer) isOf(v *Validator) bool {
	_, isTest := i.settings.Keys.(carried.TestKeys)
	return i.owner == v || isTest
}

// newIssuers makes the issuers of one Issuer, one for each of its identities.
func newIssuers(config Config, settings Issuer, implied hierarchy, logger *slog.Logger) ([]*issuer, error) {
	logger = logger.With("name", settings.label())
	settings.MaxLifetime = settings.longestLifetime()
	keys, owned, err := keySource(config, settings, logger)
	if err != nil {
		return nil, err
	}
	settings.warn(logger)
	rules, _ := settings.rules() // no faults: the configuration was checked
	var all []*issuer
	for _, id := range settings.identities() {
		all = append(all, &issuer{
			settings:   settings,
			url:        id.url,
			aliases:    id.aliases,
			tenants:    id.tenants,
			rules:      rules,
			demands:    demandsOf(settings.Demand),
			algorithms: firstSet(settings.Algorithms, settings.defaultAlgorithms(config)),
			audience:   firstSet(settings.Audience, config.Audience, []string{config.Resource}),
			keys:       settings.keysOf(id, keys),
			owned:      owned,
			leeway:     config.leeway(),
			hierarchy:  implied,
			warnings:   warnings{logger: logger, issuer: id.url},
		})
	}
	return all, nil
}

// keySource returns the source of the keys and, if it was made here, the cache.
func keySource(config Config, settings Issuer, logger *slog.Logger) (KeySource, *jwks.Cache, error) {
	if settings.Keys != nil {
		return settings.Keys, nil, nil
	}
	cache, err := jwks.NewCache(jwks.Config{
		URL:                  settings.JWKSURI,
		Issuer:               settings.URL,
		MetadataURL:          settings.MetadataURL,
		HTTPClient:           cmp.Or(settings.HTTPClient, config.HTTPClient),
		PublicAddressesOnly:  config.PublicAddressesOnly,
		Logger:               logger,
		DangerouslyAllowHTTP: settings.DangerouslyAllowHTTP,
	})
	return cache, cache, err
}

func firstSet(lists ...[]string) []string {
	for _, list := range lists {
		if list != nil {
			return list
		}
	}
	return nil
}

// An IssuerError says why one issuer cannot be used. [Validator.Warm] and
// [Validator.Ready] join one IssuerError for each such issuer, in the order of
// Config.Issuers. [errors.As] finds the first, and each error in Unwrap() []error of
// the joined error wraps one.
type IssuerError struct {
	_ [0]func()

	// Issuer is the URL of the [Issuer] that cannot be used, exactly as it was
	// configured.
	Issuer string

	// Err is what went wrong.
	Err error
}

// Error names the issuer and what went wrong.
func (e *IssuerError) Error() string {
	return fmt.Sprintf("issuer %q: %v", fetch.Redact(e.Issuer), e.Err)
}

// Unwrap returns Err.
func (e *IssuerError) Unwrap() error { return e.Err }

// warm fetches the keys, if their source has a method Warm. If the context has
// ended, no fetch begins, and warm returns an error. If tokens can be introspected
// instead, a failed fetch is an error only if the context ended.
func (i *issuer) warm(ctx context.Context) error {
	source, ok := i.keys.(interface{ Warm(context.Context) error })
	switch {
	case !ok:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if err := source.Warm(ctx); err != nil && (i.needsKeys() || ctx.Err() != nil) {
		return err
	}
	return nil
}

// needsKeys is false if introspection can accept the issuer's tokens without keys.
func (i *issuer) needsKeys() bool {
	return i.settings.Introspection == nil || i.settings.AlwaysIntrospect
}

// ready calls the key source's Ready, if keys are needed, even if ReadyWithout
// ignores its error, because the call starts the fetch of missing keys.
func (i *issuer) ready() error {
	source, ok := i.keys.(interface{ Ready() error })
	if !ok || !i.needsKeys() {
		return nil
	}
	if err := source.Ready(); err != nil && !i.settings.ReadyWithout {
		return err
	}
	return nil
}

func (i *issuer) close() error {
	if i.owned == nil {
		return nil
	}
	return i.owned.Close()
}
