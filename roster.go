package accesstoken

import (
	"reflect"

	"github.com/accesstoken/accesstoken/jwks"
)

// A roster is the issuers in use. It is immutable, so that a request reads it without a
// lock while SetIssuers puts another one in its place.
type roster struct {
	groups       []*group           // one for each Issuer, in their order
	byURL        map[string]*group  // by the URL of each member, because two Issuers can have {tenantid} in the same URL
	issuers      map[string]*issuer // by URL, which is how a token's iss finds its issuer
	aliases      map[string]*issuer // by other spellings of iss
	near         map[string]*issuer // by iss without scheme, case and final slashes, for advice
	introspected []*issuer          // the issuers with an introspection client
	sources      map[KeySource]bool // that are in Issuer.Keys, if they can be compared
	algorithms   map[string]bool    // of all issuers
	names        map[string]bool    // of all issuers, their defaults included
}

// A group is one Issuer: a single issuer, or one for each of its tenants. They share
// keys.
type group struct {
	given   Issuer
	owned   *jwks.Cache // the cache behind the keys, if this package made it
	members []*issuer
	dropped bool // of a group that ResolveIssuer returned: the ledger has its counters
}

// source returns the Keys of the Issuer, or nil if it has none, or they cannot be compared.
func (g *group) source() KeySource {
	if !reflect.ValueOf(g.given.Keys).Comparable() {
		return nil
	}
	return g.given.Keys
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
		sources: map[KeySource]bool{}, algorithms: map[string]bool{}, names: map[string]bool{},
	}
	for _, g := range groups {
		r.names[g.given.label()] = true
		if source := g.source(); source != nil {
			r.sources[source] = true
		}
		for _, i := range g.members {
			r.byURL[i.url] = g
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

// predecessor returns the group that an Issuer can take over from, or nil.
func (r *roster) predecessor(given Issuer) *group {
	for _, id := range given.identities() {
		if g := r.byURL[id.url]; g != nil {
			return g
		}
	}
	return nil
}

// issuerOf returns the issuer of a token, or nil. If iss is configured, it returns that
// issuer. Otherwise, if sub is the SPIFFE ID of a workload, it returns the issuer that is
// the trust domain in sub. A JWT-SVID needs no iss (JWT-SVID §3, SPIFFE Trust Domain and
// Bundle §3).
func (r *roster) issuerOf(iss, sub string) *issuer {
	if i := r.issuers[iss]; i != nil {
		return i
	}
	if i := r.aliases[iss]; i != nil {
		return i
	}
	return r.issuers[trustDomainOf(sub)]
}
