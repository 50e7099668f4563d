package accesstoken

import (
	"maps"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/meter"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// IssuerStats are about the issuers of one name: one Issuer, several that share the host
// which is their default Name, or all that ResolveIssuer has returned ("resolved").
type IssuerStats struct {
	// Name is that of the issuers.
	Name string

	// Issuers is how many issuers there are. KeysMissing is how many of them have a key
	// source with statistics that holds no keys, and Failing how many whose last fetch
	// failed.
	Issuers, KeysMissing, Failing int

	// Keys is about the key set: of several issuers the sum of their counters, and the
	// worst of their ages and times, without those that hold no keys. It is nil if the key
	// source has no method Stats.
	Keys *jwks.Stats

	// Introspection is about the introspection client, combined in the same way. It is nil
	// if there is no client.
	Introspection *introspection.Stats
}

// issuerStats returns the statistics of all issuers, by name.
func (f *family) issuerStats() []IssuerStats {
	all := map[string]*merging{}
	groups := f.roster.Load().groups
	if f.resolver != nil {
		resolved, before := f.resolvedStats()
		groups = slices.Concat(groups, resolved)
		all[nameResolved] = &merging{IssuerStats: IssuerStats{Name: nameResolved, Keys: &before}}
	}
	for _, g := range groups {
		name := g.given.label()
		if all[name] == nil {
			all[name] = &merging{IssuerStats: IssuerStats{Name: name}}
		}
		all[name].add(g)
	}
	list := make([]IssuerStats, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name].IssuerStats)
	}
	return list
}

// A merging adds up the issuers of one name.
type merging struct {
	IssuerStats
	clients []*introspection.Client // that were added, because several issuers can share one
}

func (m *merging) add(g *group) {
	m.Issuers++
	if source, ok := g.keys().(interface{ Stats() jwks.Stats }); ok {
		m.addKeys(source.Stats())
	}
	client := g.given.Introspection
	if client == nil || slices.Contains(m.clients, client) {
		return
	}
	m.clients = append(m.clients, client)
	s := client.Stats()
	if m.Introspection == nil {
		m.Introspection = new(introspection.Stats)
	}
	meter.Add(m.Introspection, s)
	m.Introspection.TotalTime += s.TotalTime
}

// keys returns where the keys of the group come from.
func (g *group) keys() KeySource {
	if g.owned != nil {
		return g.owned
	}
	return g.given.Keys
}

// addKeys adds the numbers of a key set. Of times it keeps the worst, and passes over sets
// without keys, because an issuer that no token came from has none.
func (m *merging) addKeys(s jwks.Stats) {
	if m.Keys == nil {
		m.Keys = new(jwks.Stats)
	}
	k := m.Keys
	if s.Keys == 0 {
		m.KeysMissing++
	} else {
		k.Age = max(k.Age, s.Age)
		k.UsableFor = leastOf(k.UsableFor, s.UsableFor)
		k.NextRefresh = leastOf(k.NextRefresh, s.NextRefresh)
	}
	if since := s.FailingSince; !since.IsZero() {
		m.Failing++
		if k.FailingSince.IsZero() || since.Before(k.FailingSince) {
			k.FailingSince = since
		}
	}
	meter.Add(k, s)
	k.TotalTime += s.TotalTime
}

// leastOf returns the shorter of two durations. If one is zero, it returns the other.
func leastOf(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// resolvedStats returns the issuers that ResolveIssuer has returned, and the counters of
// those that were dropped.
func (f *family) resolvedStats() (groups []*group, before jwks.Stats) {
	f.resolver.Do(func(kept []*group) {
		f.ledger.mu.Lock()
		defer f.ledger.mu.Unlock()
		groups, before = kept, f.ledger.dropped
	})
	return groups, before
}

// keep adds the counters of a cache that is dropped to those of earlier ones.
func (l *ledger) keep(cache *jwks.Cache) {
	if cache == nil {
		return
	}
	s := cache.Stats()
	s.Keys, s.Budget, s.Waiting = 0, 0, 0
	l.mu.Lock()
	defer l.mu.Unlock()
	meter.Add(&l.dropped, s)
	l.dropped.TotalTime += s.TotalTime
}
