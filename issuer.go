package accesstoken

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/answers"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/shape"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// An issuer is a configured [Issuer] in use, or one of its tenants. Only tenants of
// the same Issuer share keys.
type issuer struct {
	current    atomic.Pointer[settings]
	owner      *family
	label      *label // of Issuer.Name or its default, or "resolved"; nil if by is set
	by         *face  // of the Validator that vouches for the identities of this issuer; nil: it issues tokens
	url        string
	aliases    []string // other spellings of iss
	tenants    []string // nil if tid is not checked
	rules      *shape.Rules
	demands    []demand
	algorithms []string
	keys       KeySource
	leeway     time.Duration
	hierarchy  hierarchy
	warnings   warnings
	verified   atomic.Bool // a token of this issuer was verified once
	trail      *trail      // of an Explain, or nil

	answer *answers.Answer[group] // of ResolveIssuer; nil: it is in the configuration

	share   tokencache.Share // of the cache, for its tokens
	removed atomic.Bool      // SetIssuers, or an answer of ResolveIssuer, has taken it out of use
	gone    context.Context  // ends then
	remove  context.CancelFunc
}

// settings are the Issuer. [Validator.SetIssuers] can replace them while the issuer is in
// use, if only what every request is judged by has changed.
type settings struct {
	Issuer
	audience []string // the accepted audiences
}

func (i *issuer) settings() *settings { return i.current.Load() }

// end takes the issuer out of use: its tokens and claims are refused, and its streams end.
func (i *issuer) end() {
	i.removed.Store(true)
	i.remove()
	i.owner.cache.End(&i.share)
}

// isNamed reports whether iss is one of the issuer's spellings.
func (i *issuer) isNamed(iss string) bool { return iss == i.url || slices.Contains(i.aliases, iss) }

// settingsOf completes an Issuer with what it inherits.
func (c Config) settingsOf(given Issuer) *settings {
	given.MaxLifetime = given.longestLifetime()
	return &settings{given, firstSet(given.Audience, c.Audience, []string{c.Resource})}
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
	return i.settings().Introspection == nil || i.settings().AlwaysIntrospect
}

// ready calls the key source's Ready, if keys are needed, even if ReadyWithout
// ignores its error, because the call starts the fetch of missing keys.
func (i *issuer) ready() error {
	source, ok := i.keys.(interface{ Ready() error })
	if !ok || !i.needsKeys() {
		return nil
	}
	if err := source.Ready(); err != nil && !i.settings().ReadyWithout {
		return err
	}
	return nil
}
