package accesstoken

import (
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/resourcemetadata"
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

	// Metadata is what to publish of this resource server, as Config.Metadata is for
	// Config.Resource. If nil, nothing is published. It is copied.
	Metadata *resourcemetadata.Metadata

	// DPoP verifies proofs in place of Config.DPoP. If nil, Config.DPoP does.
	DPoP *dpop.Verifier

	// DangerouslyAcceptNoAudience accepts tokens without aud. Neither the field of an
	// Issuer, nor a profile or dialect in which aud may be absent, counts here. It has no
	// effect on a SPIFFE trust domain. An issuer with a Dialect, or the profile Keycloak,
	// must also have Clients.
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

// audienceOf returns the audiences that are accepted in an issuer's tokens. r is nil for
// the resource of the Config.
func (r *Resource) audienceOf(by *settings) []string {
	if r == nil {
		return by.audience
	}
	return firstSet(r.IssuerAudience[by.URL], r.Audience)
}

// mayLackAudience reports whether a Resource may accept the issuer's tokens without aud.
// An Issuer with DangerouslyAcceptNoAudience must meet the same conditions.
func (i Issuer) mayLackAudience() bool {
	p, isProfile := i.profile()
	return !i.isTrustDomain() && (i.Clients != nil || isProfile && p != Keycloak)
}

// needsNoAudience reports whether an issuer's tokens may lack aud.
func (r *Resource) needsNoAudience(by *settings, i *issuer) bool {
	if r != nil {
		return r.DangerouslyAcceptNoAudience && by.mayLackAudience()
	}
	return by.DangerouslyAcceptNoAudience || i.rules.NoAudience
}
