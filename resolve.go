package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/accesstoken/accesstoken/internal/answers"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/panics"
)

// newResolver makes the cache of what Config.ResolveIssuer answers, or returns nil.
func (f *family) newResolver(resolve func(context.Context, string) (*Issuer, error)) *answers.Cache[group] {
	if resolve == nil {
		return nil
	}
	return answers.New(answers.Source[group]{
		Ask: func(ctx context.Context, iss string, old *group) (*group, error) {
			given, err := resolve(ctx, iss)
			switch {
			case err != nil:
				return nil, wrapError(IssuerUnavailable, fmt.Errorf("ResolveIssuer: %w", err))
			case ctx.Err() != nil || given == nil: // too late, or there is no such issuer
				return nil, nil
			}
			return f.acceptIssuer(iss, *given, old)
		},
		Keep: func(g *group, answer *answers.Answer[group]) {
			i := g.members[0]
			if i.answer == nil { // no request has it yet
				i.answer = answer
			}
			i.current.Store(f.config.settingsOf(g.given))
			if f.roster.Load().issuerOf(i.url, "") != nil { // SetIssuers was faster
				i.removed.Store(true)
			}
		},
		Drop: func(old, next *group, replaced bool) {
			switch i := old.members[0]; {
			case next != nil && next.members[0] == i:
			case replaced:
				i.end()
			default:
				f.cache.End(&i.share)
			}
			if next == nil || next.owned != old.owned {
				f.background.Go(func() { _ = old.close() })
			}
		},
		Wrap: func(err error) error { return wrapError(IssuerUnavailable, fmt.Errorf("ResolveIssuer: %w", err)) },
		Panic: func(p any) error {
			return wrapError(InternalError, fmt.Errorf("ResolveIssuer panicked, or ended its goroutine: %s", panics.Describe(p)))
		},
	})
}

const longestResolved = 512 // bytes of an iss

// isResolvable reports whether ResolveIssuer may see an iss. No other hook gets anything
// unverified.
func isResolvable(iss string) bool {
	return len(iss) <= longestResolved && strings.HasPrefix(iss, "https://") && fetch.CheckURL(iss, false) == nil && !strings.Contains(iss, "?")
}

// resolveIssuer returns the issuer that iss names, or nil if ResolveIssuer knows no such issuer.
func (f *family) resolveIssuer(ctx context.Context, iss string) (*issuer, error) {
	if f.resolver == nil || !isResolvable(iss) {
		return nil, nil
	}
	g, err := f.resolver.Get(ctx, iss)
	switch {
	case err != nil && asError(err) == nil: // the request has ended
		return nil, couldNotFindOut(ctx, IssuerUnavailable, err)
	case err != nil || g == nil:
		return nil, err
	}
	return g.members[0], nil
}

// acceptIssuer checks what ResolveIssuer returned as NewValidator would, and makes the
// issuer.
func (f *family) acceptIssuer(iss string, given Issuer, old *group) (*group, error) {
	config := f.config
	given.Name = "resolved"
	config.Issuers = []Issuer{given}
	config = config.clone()
	found := config.faults()
	switch {
	case given.URL != iss:
		found.add("URL is not the iss that was asked about")
	case given.Aliases != nil:
		found.add("Aliases is set; ResolveIssuer is asked about each spelling by itself")
	case given.Introspection != nil && !given.AlwaysIntrospect:
		found.add("Introspection is set without AlwaysIntrospect; an opaque token names no issuer, so list its issuer in Config.Issuers")
	case f.sharesKeys(iss, given.Keys):
		found.add("Keys is the KeySource of another issuer, so either could sign for the other")
	}
	if len(found) == 0 {
		next, err := f.succeed(old, config, config.Issuers[0])
		if err == nil {
			return next, nil
		}
		found = append(found, err)
	}
	return nil, wrapError(ResourceServerMisconfigured, fmt.Errorf("ResolveIssuer returned a faulty Issuer: %w", errors.Join(found...)))
}

// sharesKeys reports whether another issuer in use has the key source.
func (f *family) sharesKeys(iss string, keys KeySource) bool {
	if keys == nil {
		return false
	}
	for _, g := range f.roster.Load().groups {
		if identical(g.given.Keys, keys) {
			return true
		}
	}
	return f.resolver.Any(func(name string, g *group) bool { return name != iss && identical(g.given.Keys, keys) })
}
