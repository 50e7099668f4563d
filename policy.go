package accesstoken

import (
	"errors"

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
	// effect on other tokens.
	FreshIntrospection bool

	// SenderConstrained refuses bearer tokens: the token must be bound to a DPoP key or
	// to a client certificate (RFC 9700 §2.2.1). A bound token is never accepted
	// without its proof, even on routes without SenderConstrained.
	SenderConstrained bool
}

// Err returns nil if a route can be set up with the Policy. The zero Policy is an
// error there, because it looks like a mistake that opens the route to every token.
// If you want to accept every valid token, you should write scopes.None().
func (p Policy) Err() error {
	if p.Scopes.IsZero() {
		return errors.New("accesstoken: the policy demands nothing; for any valid token set Scopes: scopes.None()")
	}
	return p.Scopes.Err()
}

// And returns a Policy that demands what p and other demand.
func (p Policy) And(other Policy) Policy {
	return Policy{
		Scopes:             p.Scopes.And(other.Scopes),
		FreshIntrospection: p.FreshIntrospection || other.FreshIntrospection,
		SenderConstrained:  p.SenderConstrained || other.SenderConstrained,
	}
}
