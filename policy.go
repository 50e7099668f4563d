package accesstoken

import (
	"errors"

	"github.com/accesstoken/accesstoken/scopes"
)

// A Policy is what a route demands of a token, beyond its being valid. The
// zero Policy demands nothing in [Validator.Authorize] and [Validator.Check];
// where routes are set up it is refused, see [Policy.Err].
type Policy struct {
	_      [0]func()
	Scopes scopes.Requirement // the scopes the token needs

	// FreshIntrospection asks the issuer about a token that is introspected, now
	// and whatever is cached: for the routes where a token that was revoked
	// within introspection.Config.CacheFor must not pass. It means nothing to
	// other tokens.
	FreshIntrospection bool

	// SenderConstrained refuses bearer tokens: the token has to be bound to a DPoP
	// key or to a client certificate (RFC 9700 §2.2.1). One that is bound is never
	// accepted without the proof of it, here and on every other route.
	SenderConstrained bool
}

// Err returns nil for a Policy that can be set up for a route, and otherwise
// why not. The zero Policy is a fault there, since it looks like a slip that
// opens the route to every token: write scopes.None() where that is meant.
func (p Policy) Err() error {
	if p.Scopes.IsZero() {
		return errors.New("accesstoken: the policy demands nothing; for any valid token set Scopes: scopes.None()")
	}
	return p.Scopes.Err()
}

// And returns a Policy that demands both.
func (p Policy) And(other Policy) Policy {
	return Policy{
		Scopes:             p.Scopes.And(other.Scopes),
		FreshIntrospection: p.FreshIntrospection || other.FreshIntrospection,
		SenderConstrained:  p.SenderConstrained || other.SenderConstrained,
	}
}
