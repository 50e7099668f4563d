package accesstoken

import (
	"errors"
	"fmt"

	"github.com/accesstoken/accesstoken/scopes"
)

// A Policy is what a route demands of a valid token. The zero Policy demands nothing
// in [Validator.Authorize] and [Validator.Check]. If a route is set up with the zero
// Policy, the setup fails; see [Policy.Err].
type Policy struct {
	_      [0]func()
	Scopes scopes.Requirement // the scopes the token needs

	// FreshIntrospection asks the issuer about an introspected token on this very
	// request, even if an answer is cached. You should set it on routes where a token
	// that was revoked within introspection.Config.CacheFor must not pass. It has no
	// effect on other tokens, except that [Validator.Check] refuses any Policy with it. A
	// caller without a token (an [Identity]) is refused as PolicyDenied.
	FreshIntrospection bool

	// SenderConstrained refuses bearer tokens: the token must be bound to a DPoP key or
	// to a client certificate (RFC 9700 §2.2.1). A bound token is never accepted
	// without its proof, even on routes without SenderConstrained.
	SenderConstrained bool

	// SPIFFEIDs, if not nil, lists the workloads whose JWT-SVIDs the route accepts. An
	// element is a SPIFFE ID, or a path with /* after it for every ID below that path.
	// For example, "spiffe://example.org/ns/prod/*" accepts
	// "spiffe://example.org/ns/prod/sa/checkout", but not "spiffe://example.org/ns/prod2".
	// The path must not be empty. Any other token is refused as PolicyDenied, also
	// that of another issuer with such a sub. The list must not be changed while the
	// Policy is in use.
	SPIFFEIDs []string
}

// Err returns nil if a route can be set up with the Policy. A Policy without Scopes
// is an error there, because it looks like a mistake that opens the route to every
// token. If you want to accept every valid token, you should write scopes.None().
func (p Policy) Err() error {
	if p.Scopes.IsZero() {
		return errors.New("accesstoken: the policy demands nothing; for any valid token set Scopes: scopes.None()")
	}
	return errors.Join(p.Scopes.Err(), p.spiffeErr())
}

// spiffeErr reports SPIFFEIDs that accept nothing, or more than they seem to.
func (p Policy) spiffeErr() error {
	if p.SPIFFEIDs != nil && len(p.SPIFFEIDs) == 0 {
		return errors.New("accesstoken: SPIFFEIDs accepts no workload: it is empty, or combines lists that have no workload in common; leave it nil to accept every token")
	}
	for n, pattern := range p.SPIFFEIDs {
		if !isSPIFFEPattern(pattern) {
			return fmt.Errorf("accesstoken: SPIFFEIDs[%d] is %q; expected a SPIFFE ID with a path, such as spiffe://example.org/ns/prod/sa/checkout, or /* after a path", n, pattern)
		}
	}
	return nil
}

// And returns a Policy that demands what p and other demand.
func (p Policy) And(other Policy) Policy {
	return Policy{
		Scopes:             p.Scopes.And(other.Scopes),
		FreshIntrospection: p.FreshIntrospection || other.FreshIntrospection,
		SenderConstrained:  p.SenderConstrained || other.SenderConstrained,
		SPIFFEIDs:          commonIDs(p.SPIFFEIDs, other.SPIFFEIDs),
	}
}
