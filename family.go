package accesstoken

import (
	"cmp"
	"context"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/accesstoken/accesstoken/internal/answers"
	"github.com/accesstoken/accesstoken/internal/binding"
	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/tokencache"
	"github.com/accesstoken/accesstoken/jwks"
)

// A family is a Validator and those that its ForResource has made, with what they share.
type family struct {
	original    *family // itself, or for Explain the one that it is a copy of
	roster      atomic.Pointer[roster]
	resolver    *answers.Cache[group] // nil: only configured issuers count
	resolved    map[KeySource]*group  // that the resolver holds, by its key source; only keep and drop use it
	resources   resources             // of ForResource
	vouched     vouched               // of Vouch and Authenticate
	ended       atomic.Bool           // the Validator of NewValidator was closed
	config      Config                // without Issuers
	implied     hierarchy
	changing    sync.Mutex     // held by SetIssuers and Close, and by no request
	background  sync.WaitGroup // closes the caches of issuers
	leeway      time.Duration
	maxToken    int    // in bytes
	tooLarge    string // the warning about a larger token
	now         func() time.Time
	logger      *slog.Logger
	onRefuse    func(context.Context, *Error)
	proxies     binding.Proxies
	constrained bool // every token must be bound
	cache       *tokencache.Cache
	shared      *shared
	headers     jose.Headers
	complain    sync.Once // logs once that OnRefuse panicked
	warnings    warnings  // warnings that are not about a single issuer
}

// resources are those of the open Validators of ForResource. Readers take no lock.
type resources struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*Resource]
}

func (s *resources) all() []*Resource {
	if list := s.list.Load(); list != nil {
		return *list
	}
	return nil
}

func (s *resources) add(r *Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := append(slices.Clone(s.all()), r)
	s.list.Store(&list)
}

func (s *resources) drop(r *Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(s.all()), func(other *Resource) bool { return other == r })
	s.list.Store(&list)
}

// isForAnother reports whether a token that one resource server has refused is for another
// one of the family. If so, it should be cached, because the other one may get it next.
func (f *family) isForAnother(found *facts) bool {
	isFor := func(r *Resource) bool {
		ours := r.audienceOf(found.issuer.settings())
		return slices.ContainsFunc(found.audience, func(named string) bool { return slices.Contains(ours, named) })
	}
	return isFor(nil) || slices.ContainsFunc(f.resources.all(), isFor)
}

// change puts the issuers of a Config without faults into use. The caller holds changing.
func (f *family) change(config Config) error {
	old := f.roster.Load()
	var found faults
	groups := make([]*group, len(config.Issuers))
	for n, given := range config.Issuers {
		var err error
		if groups[n], err = f.succeed(old.predecessor(given), config, given); err != nil {
			found.add("Issuers[%d] %q: %w", n, fetch.Redact(given.URL), err)
		}
	}
	if len(found) > 0 {
		f.closeAllBut(old, groups)
		return joinFaults(found)
	}
	next := newRoster(groups)
	for _, g := range groups {
		for _, i := range g.members {
			i.current.Store(config.settingsOf(g.given))
		}
	}
	f.roster.Store(next)
	if f.resolver != nil {
		f.resolver.Forget(func(iss string, g *group) bool {
			return next.issuerOf(iss, "") != nil || g != nil && next.sources[g.source()]
		})
	}
	for _, g := range old.groups {
		for _, i := range g.members {
			if next.issuers[i.url] != i {
				i.end()
			}
		}
	}
	f.vouched.end(func(name string) bool { return next.issuerOf(name, "") != nil })
	f.closeAllBut(next, old.groups)
	return nil
}

// succeed makes the group of an Issuer out of what is left of the old one, which may be
// nil.
func (f *family) succeed(old *group, config Config, given Issuer) (*group, error) {
	if old == nil || !sameKeys(old.given, given) {
		g, err := f.newGroup(config, given, nil)
		given.warn(f.logger.With("name", given.label()))
		return g, err
	}
	same := sameFacts(old.given, given)
	if same && slices.Equal(old.given.Tenants, given.Tenants) && slices.Equal(old.given.Aliases, given.Aliases) {
		return &group{given, old.owned, old.members}, nil
	}
	g, err := f.newGroup(config, given, old.owned)
	if err != nil || !same {
		given.warn(f.logger.With("name", given.label()))
		return g, err
	}
	before := map[string]*issuer{}
	for _, i := range old.members {
		before[i.url] = i
	}
	for n, i := range g.members {
		if was := before[i.url]; was != nil && i.isSame(was) {
			g.members[n] = was
		}
	}
	return g, nil
}

// isSame reports whether two issuers of the same group and URL have the same identity.
func (i *issuer) isSame(other *issuer) bool {
	return slices.Equal(i.aliases, other.aliases) && slices.Equal(i.tenants, other.tenants)
}

// closeAllBut closes the caches of the groups that the roster does not use, in the
// background, because a fetch may be under way. Close waits for it.
func (f *family) closeAllBut(r *roster, groups []*group) {
	used := map[*jwks.Cache]bool{}
	for _, g := range r.groups {
		used[g.owned] = true
	}
	for _, g := range groups {
		if g != nil && !used[g.owned] {
			f.background.Go(func() { _ = g.close() })
		}
	}
}

// newGroup makes the issuers of one Issuer, one for each of its identities. owned has
// their keys, or is nil if it must be made.
func (f *family) newGroup(config Config, given Issuer, owned *jwks.Cache) (*group, error) {
	logger := f.logger.With("name", given.label())
	keys := given.Keys
	if keys == nil && owned == nil {
		var err error
		if owned, err = newCache(config, given, logger); err != nil {
			return nil, err
		}
	}
	if keys == nil {
		keys = owned
	}
	rules, _ := given.rules() // no faults: the configuration was checked
	g := &group{given: given, owned: owned}
	for _, id := range given.identities() {
		one := &issuer{
			owner:      f,
			url:        id.url,
			aliases:    id.aliases,
			tenants:    id.tenants,
			rules:      rules,
			demands:    demandsOf(given.Demand),
			algorithms: firstSet(given.Algorithms, given.ownAlgorithms(), config.algorithms()),
			keys:       given.keysOf(id, keys),
			leeway:     config.leeway(),
			hierarchy:  f.implied,
			warnings:   warnings{logger: logger, issuer: id.url},
		}
		one.gone, one.remove = context.WithCancel(context.Background())
		one.current.Store(config.settingsOf(given))
		g.members = append(g.members, one)
	}
	return g, nil
}

// newCache makes the cache of an issuer without Keys.
func newCache(config Config, given Issuer, logger *slog.Logger) (*jwks.Cache, error) {
	return jwks.NewCache(jwks.Config{
		URL:                  given.JWKSURI,
		Issuer:               given.URL,
		MetadataURL:          given.MetadataURL,
		HTTPClient:           cmp.Or(given.HTTPClient, config.HTTPClient),
		PublicAddressesOnly:  config.PublicAddressesOnly,
		Logger:               logger,
		DangerouslyAllowHTTP: given.DangerouslyAllowHTTP,
	})
}

// sameKeys reports whether the keys of two Issuers come from the same place.
func sameKeys(a, b Issuer) bool {
	return a.URL == b.URL && a.Name == b.Name && a.MetadataURL == b.MetadataURL && a.JWKSURI == b.JWKSURI &&
		a.HTTPClient == b.HTTPClient && a.DangerouslyAllowHTTP == b.DangerouslyAllowHTTP && identical(a.Keys, b.Keys)
}

// sameFacts reports whether two Issuers with the same keys read the same facts from a
// token. Whether the tenants are the same is decided for each issuer.
func sameFacts(a, b Issuer) bool {
	return a.Introspection == b.Introspection && a.AlwaysIntrospect == b.AlwaysIntrospect && a.TokenPrefix == b.TokenPrefix &&
		a.Profile == b.Profile && a.Relax == b.Relax && reflect.DeepEqual(a.Dialect, b.Dialect) && reflect.DeepEqual(a.Demand, b.Demand) &&
		reflect.DeepEqual(a.Algorithms, b.Algorithms) && reflect.DeepEqual(a.Clients, b.Clients)
}

// identical reports whether two key sources are the same one. If they cannot be compared,
// it returns false.
func identical(a, b KeySource) bool {
	if a == nil {
		return b == nil
	}
	return reflect.ValueOf(a).Comparable() && a == b
}
