package accesstoken

import (
	"errors"
	"reflect"
	"slices"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/jwks"
)

// A roster is the issuers in use. It is immutable, so that a request reads it without a
// lock while SetIssuers puts another one in its place.
type roster struct {
	groups       []*group           // one for each Issuer, in their order
	byURL        map[string]*group  // by Issuer.URL
	issuers      map[string]*issuer // by URL, which is how a token's iss finds its issuer
	aliases      map[string]*issuer // by other spellings of iss
	near         map[string]*issuer // by iss without scheme, case and final slashes, for advice
	introspected []*issuer          // the issuers with an introspection client
	algorithms   map[string]bool    // of all issuers
}

// A group is one Issuer: a single issuer, or one for each of its tenants. They share
// keys.
type group struct {
	given   Issuer
	owned   *jwks.Cache // the cache behind the keys, if this package made it
	members []*issuer
}

func (g *group) close() error {
	if g.owned == nil {
		return nil
	}
	return g.owned.Close()
}

// newRoster makes a roster of the groups. The groups' issuers must not share a spelling.
func newRoster(groups []*group) *roster {
	r := &roster{
		groups: groups, byURL: map[string]*group{},
		issuers: map[string]*issuer{}, aliases: map[string]*issuer{}, near: map[string]*issuer{},
		algorithms: map[string]bool{},
	}
	for _, g := range groups {
		r.byURL[g.given.URL] = g
		for _, i := range g.members {
			r.add(i)
		}
	}
	return r
}

func (r *roster) add(i *issuer) {
	r.issuers[i.url] = i
	if !i.settings().isTrustDomain() { // sub finds it, so its iss needs no advice
		r.near[nearly(i.url)] = i
	}
	for _, algorithm := range i.algorithms {
		r.algorithms[algorithm] = true
	}
	for _, alias := range i.aliases {
		r.aliases[alias] = i
	}
	if i.settings().Introspection != nil {
		r.introspected = append(r.introspected, i)
	}
}

// issuerOf returns the issuer of a token, or nil. If iss is configured, it decides.
// Otherwise sub decides if it is the SPIFFE ID of a workload, because a JWT-SVID needs no
// iss, and its trust domain is the one in sub (JWT-SVID §3, SPIFFE Trust Domain and
// Bundle §3). Only an issuer that is a trust domain has such a URL.
func (r *roster) issuerOf(iss, sub string) *issuer {
	if i := r.issuers[iss]; i != nil {
		return i
	}
	if i := r.aliases[iss]; i != nil {
		return i
	}
	return r.issuers[trustDomainOf(sub)]
}

// SetIssuers replaces Config.Issuers while the Validator is in use: all at once, or, with
// one line for each fault, not at all. It does no I/O.
//
// If an issuer is no longer there, its tokens are refused from the return of SetIssuers
// on, cached or not, [Validator.Check] refuses its claims with IssuerUnknown, and its open
// streams end. An issuer that stays loses nothing that did not change:
//
//   - If its URL, Name, MetadataURL, JWKSURI, Keys, HTTPClient and DangerouslyAllowHTTP are
//     the same, it keeps its keys.
//   - If nothing has changed but Accept, Audience, SingleAudience, MaxAge, MaxLifetime,
//     ReadyWithout or DangerouslyAcceptNoAudience, its cached tokens stay verified, and its
//     open streams go on. The next request is judged by the new settings.
//   - If anything else has changed, its tokens are verified anew, and Check refuses
//     earlier claims.
//
// Values are compared, also those of a Dialect. Keys, HTTPClient and Introspection are the
// same if they are the same pointer. Tenants of Entra ID are compared one by one.
// SetIssuers may be called at the same time as any other method.
func (v *Validator) SetIssuers(issuers ...Issuer) error {
	if v.cache == nil {
		return errors.New("accesstoken: the Validator was not made by NewValidator")
	}
	config := v.config
	config.Issuers = issuers
	config = config.clone()
	if found := config.faults(); len(found) > 0 {
		return joinFaults(found)
	}
	v.changing.Lock()
	defer v.changing.Unlock()
	if v.closed.Load() {
		return errors.New("accesstoken: the validator is closed")
	}
	return v.change(config)
}

// change puts the issuers of a Config without faults into use. The caller holds changing.
func (v *Validator) change(config Config) error {
	old := v.roster.Load()
	var found faults
	groups := make([]*group, len(config.Issuers))
	for n, given := range config.Issuers {
		var err error
		if groups[n], err = v.succeed(old.byURL[given.URL], config, given); err != nil {
			found.add("Issuers[%d] %q: %w", n, fetch.Redact(given.URL), err)
		}
	}
	if len(found) > 0 {
		v.closeAllBut(old, groups)
		return joinFaults(found)
	}
	next := newRoster(groups)
	for _, g := range groups {
		for _, i := range g.members {
			i.current.Store(config.settingsOf(g.given))
		}
	}
	v.roster.Store(next)
	for _, g := range old.groups {
		for _, i := range g.members {
			if next.issuers[i.url] != i {
				i.removed.Store(true)
				i.remove()
			}
		}
	}
	v.closeAllBut(next, old.groups)
	return nil
}

// succeed makes the group of an Issuer out of what is left of the old one, which may be
// nil.
func (v *Validator) succeed(old *group, config Config, given Issuer) (*group, error) {
	if old == nil || !sameKeys(old.given, given) {
		g, err := v.newGroup(config, given, nil)
		given.warn(v.logger.With("name", given.label()))
		return g, err
	}
	same := sameFacts(old.given, given)
	if same && slices.Equal(old.given.Tenants, given.Tenants) && slices.Equal(old.given.Aliases, given.Aliases) {
		return &group{given, old.owned, old.members}, nil
	}
	g, err := v.newGroup(config, given, old.owned)
	if err != nil || !same {
		given.warn(v.logger.With("name", given.label()))
		return g, err
	}
	for n, i := range g.members {
		if at := slices.IndexFunc(old.members, i.isSame); at >= 0 {
			g.members[n] = old.members[at]
		}
	}
	return g, nil
}

// isSame reports whether two issuers of the same group have the same identity.
func (i *issuer) isSame(other *issuer) bool {
	return i.url == other.url && slices.Equal(i.aliases, other.aliases) && slices.Equal(i.tenants, other.tenants)
}

// closeAllBut closes the caches of the groups that the roster does not use, in the
// background, because a fetch may be under way. Close waits for it.
func (v *Validator) closeAllBut(r *roster, groups []*group) {
	used := map[*jwks.Cache]bool{}
	for _, g := range r.groups {
		used[g.owned] = true
	}
	for _, g := range groups {
		if g != nil && !used[g.owned] {
			v.background.Go(func() { _ = g.close() })
		}
	}
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
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
