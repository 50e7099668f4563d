package accesstoken

import (
	"slices"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/challenge"
)

// A Resource is a resource server for [Validator.ForResource]. You must set ID. The zero
// value of every other field is a safe default.
type Resource struct {
	_ [0]func()

	// ID identifies the resource server (RFC 8707), as Config.Resource does. It is the
	// accepted audience unless Audience is set, and the realm unless Realm is set.
	ID string

	// Audience, if not nil, replaces ID as the list of accepted audiences. Issuer.Audience
	// does not count here.
	Audience []string

	// IssuerAudience replaces Audience for the issuers that it names, by Issuer.URL.
	IssuerAudience map[string][]string

	// Realm is the realm of the challenges. It must be printable ASCII. If empty, ID is
	// used.
	Realm string

	// DPoP verifies proofs in place of Config.DPoP. If nil, Config.DPoP does.
	DPoP *dpop.Verifier

	// DangerouslyAcceptNoAudience accepts tokens without aud. Neither the field of an
	// Issuer, nor a profile or dialect in which aud may be absent, counts here.
	DangerouslyAcceptNoAudience bool
}

// faults reports what is wrong with the Resource.
func (r Resource) faults(config Config) (f faults) {
	if r.ID == "" {
		f.add("Resource.ID is empty; name the resource server, for example by its https URL")
	}
	if !challenge.IsQuotable(r.realm()) {
		f.add("Resource.Realm %q is not printable ASCII; set Realm", r.realm())
	}
	f.list("Resource.Audience", r.Audience)
	for url, audience := range r.IssuerAudience {
		if audience == nil {
			f.add("Resource.IssuerAudience[%q] is nil; list the audiences, or remove the entry", url)
		}
		f.list("Resource.IssuerAudience", audience)
	}
	if r.DPoP != nil && config.TokenField != "" {
		f.add("Resource.DPoP and Config.TokenField exclude each other, because the scheme DPoP is part of Authorization (RFC 9449 §7.1)")
	}
	if config.FAPI2 {
		f.fapiOf("Resource.DPoP", r.DPoP)
		if r.DangerouslyAcceptNoAudience {
			f.add("FAPI2 allows no setting whose name begins with Dangerously")
		}
	}
	return f
}

func (r Resource) realm() string {
	if r.Realm != "" {
		return r.Realm
	}
	return r.ID
}

// ForResource returns a Validator for another resource server in the same program. The two
// share issuers, keys, verified tokens, introspection and hooks, so a token for both is
// verified once. Each accepts only tokens for its own audience, also by Check. If the
// Resource has faults, the error has one line for each of them.
func (v *Validator) ForResource(r Resource) (*Validator, error) {
	if err := v.err(); err != nil {
		return nil, err
	}
	r.Audience, r.IssuerAudience = slices.Clone(r.Audience), cloneLists(r.IssuerAudience)
	if found := r.faults(v.config); len(found) > 0 {
		return nil, joinFaults(found)
	}
	r.Audience = firstSet(r.Audience, []string{r.ID})
	child := &Validator{family: v.family, aims: &r}
	shown := *(*v.members.Load())[0].face
	shown.realm = r.realm()
	if r.DPoP != nil {
		shown.dpop = r.DPoP
	}
	child.show(&shown)
	v.changing.Lock()
	defer v.changing.Unlock()
	members := slices.DeleteFunc(slices.Clone(*v.members.Load()), func(m *Validator) bool { return m.aims != nil && m.closed.Load() })
	members = append(members, child)
	v.members.Store(&members)
	return child, nil
}

// audienceOf returns the audiences that this Validator accepts in an issuer's tokens.
func (v *Validator) audienceOf(i *issuer) []string {
	if v.aims == nil {
		return i.settings().audience
	}
	return firstSet(v.aims.IssuerAudience[i.settings().URL], v.aims.Audience)
}

// needsNoAudience reports whether an issuer's tokens may lack aud.
func (v *Validator) needsNoAudience(i *issuer) bool {
	if v.aims != nil {
		return v.aims.DangerouslyAcceptNoAudience
	}
	return i.settings().DangerouslyAcceptNoAudience || i.rules.NoAudience
}

// isForAnother reports whether the token is for another Validator of the family, which
// should find it in the cache.
func (v *Validator) isForAnother(f *facts) bool {
	members := *v.members.Load()
	return len(members) > 1 && slices.ContainsFunc(members, func(m *Validator) bool {
		audience := m.audienceOf(f.issuer)
		return m != v && !m.isClosed() && slices.ContainsFunc(f.audience, func(named string) bool { return slices.Contains(audience, named) })
	})
}
