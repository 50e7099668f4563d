package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/accesstoken/accesstoken/internal/answers"
	"github.com/accesstoken/accesstoken/internal/dryrun"
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
			return f.askAbout(ctx, resolve, iss, old)
		},
		Check: f.checkSource,
		Keep:  f.keep,
		Drop:  f.drop,
		Wrap:  func(err error) error { return wrapError(IssuerUnavailable, fmt.Errorf("ResolveIssuer: %w", err)) },
		Panic: func(p any) error {
			return wrapError(InternalError, fmt.Errorf("ResolveIssuer panicked, or ended its goroutine: %s", panics.Describe(p)))
		},
	})
}

// askAbout calls ResolveIssuer, and makes the issuer of what it returns.
func (f *family) askAbout(ctx context.Context, resolve func(context.Context, string) (*Issuer, error), iss string, old *group) (*group, error) {
	given, err := resolve(ctx, iss)
	if err == nil {
		err = ctx.Err() // an answer that comes too late must not remove an issuer
	}
	switch {
	case err != nil:
		return nil, wrapError(IssuerUnavailable, fmt.Errorf("ResolveIssuer: %w", err))
	case given == nil:
		return nil, nil
	}
	return f.acceptIssuer(iss, *given, old)
}

// checkSource refuses an issuer whose key source another issuer has.
func (f *family) checkSource(g *group) error {
	source := g.source()
	if other := f.resolved[source]; f.roster.Load().sources[source] || other != nil && other.given.URL != g.given.URL {
		return faultyIssuer(errors.New("its Keys are those of another issuer, so either could sign for the other"))
	}
	return nil
}

// keep takes an issuer that ResolveIssuer returned into use.
func (f *family) keep(g *group, answer *answers.Answer[group]) {
	i := g.members[0]
	if source := g.source(); source != nil {
		f.resolved[source] = g
	}
	if i.answer == nil { // no request has it yet
		i.answer = answer
	}
	i.current.Store(f.config.settingsOf(g.given))
}

// drop takes an issuer that ResolveIssuer returned out of use, unless next has it too.
func (f *family) drop(old, next *group, replaced bool) {
	if source := old.source(); f.resolved[source] == old {
		delete(f.resolved, source)
	}
	switch i := old.members[0]; {
	case next != nil && next.members[0] == i:
	case replaced:
		i.end()
	default:
		f.cache.End(&i.share)
	}
	if next == nil || next.owned != old.owned {
		if !old.dropped { // drop is called twice if a value is forgotten for good
			old.dropped = true
			f.ledger.keep(old.owned)
		}
		f.background.Go(func() { _ = old.close() })
	}
}

func faultyIssuer(err error) error {
	return wrapError(ResourceServerMisconfigured, fmt.Errorf("ResolveIssuer returned a faulty Issuer: %w", err))
}

const longestResolved = 512 // bytes of an iss

// isResolvable reports whether ResolveIssuer may see an iss. No other hook gets anything
// unverified. No token has {tenantid} in iss, and an Issuer with it can be several.
func isResolvable(iss string) bool {
	return len(iss) <= longestResolved && strings.HasPrefix(iss, "https://") && fetch.CheckURL(iss, false) == nil && !strings.Contains(iss, "?") && !strings.Contains(iss, anyTenant)
}

// resolveIssuer returns the issuer that iss names, or nil if ResolveIssuer knows no such issuer.
func (f *family) resolveIssuer(ctx context.Context, iss string) (*issuer, error) {
	if f.resolver == nil || !isResolvable(iss) {
		return nil, nil
	}
	if dryrun.Is(ctx) {
		return f.foresee(ctx, iss)
	}
	g, err := f.resolver.Get(ctx, iss)
	if i := f.roster.Load().issuerOf(iss, ""); i != nil { // SetIssuers was faster
		return i, nil
	}
	switch {
	case err != nil && asError(err) == nil: // the request has ended
		return nil, couldNotFindOut(ctx, IssuerUnavailable, err)
	case g == nil:
		return nil, err
	}
	return g.members[0], nil
}

// foresee returns what resolveIssuer would return now, but keeps nothing.
func (f *family) foresee(ctx context.Context, iss string) (*issuer, error) {
	g, isNew, err := f.resolver.Foresee(ctx, iss)
	if isNew && g.owned != nil {
		context.AfterFunc(ctx, func() { _ = g.close() }) // when the decision is explained
	}
	switch {
	case err != nil && asError(err) == nil: // the request has ended
		return nil, couldNotFindOut(ctx, IssuerUnavailable, err)
	case g == nil || err != nil:
		return nil, err
	}
	return g.members[0], nil
}

// continues reports whether two issuers have the same keys, and the same facts about a token.
func (i *issuer) continues(old *issuer) bool {
	is, was := i.settings().Issuer, old.settings().Issuer
	return i.isSame(old) && sameKeys(was, is) && sameFacts(was, is)
}

// acceptIssuer checks what ResolveIssuer returned as NewValidator would, and makes the
// issuer.
func (f *family) acceptIssuer(iss string, given Issuer, old *group) (*group, error) {
	config := f.config
	given.Name = nameResolved
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
	}
	if len(found) == 0 {
		next, err := f.succeed(old, config, config.Issuers[0])
		if err == nil {
			return next, nil
		}
		found = append(found, err)
	}
	return nil, faultyIssuer(errors.Join(found...))
}
