package accesstoken

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// demandsActor reports whether the policy says who may act on behalf of the subject.
func (p *Policy) demandsActor() bool { return p.RefuseDelegated || p.Actors != nil }

// actorsErr reports demands that no token meets, and actors that are not identified.
func (p *Policy) actorsErr() error {
	switch {
	case p.RefuseDelegated && p.Actors != nil:
		return errors.New("accesstoken: RefuseDelegated and Actors are both set, so that no token satisfies the policy; set one of them")
	case p.Actors != nil && len(p.Actors) == 0:
		return errors.New("accesstoken: Actors accepts no actor: it is empty, or combines lists that have no actor in common; leave it nil for no demand, or set RefuseDelegated")
	}
	for n, actor := range p.Actors {
		if actor.Issuer == "" || actor.Subject == "" && actor.ClientID == "" {
			return fmt.Errorf("accesstoken: Actors[%d] does not identify an actor; set Issuer, and Subject, ClientID or both (RFC 8693 §4.1)", n)
		}
	}
	return nil
}

// checkActor checks who acts with the token. Nested actors decide nothing (RFC 8693 §4.1).
func (v *Validator) checkActor(f *facts, p *Policy) error {
	if err := p.actorsErr(); err != nil {
		return wrapError(ResourceServerMisconfigured, err)
	}
	switch {
	case p.RefuseDelegated && f.delegated:
		return refusal(PolicyDenied, "the policy refuses delegated tokens, and the token has act")
	case p.RefuseDelegated:
		return nil
	case !f.delegated:
		return refusal(PolicyDenied, "the policy demands an actor, and the token has no act")
	case f.extras.actor == nil:
		return &Error{Reason: PolicyDenied, detail: "act is malformed, or has more than 8 actors", // report warns of it
			advice: "have the issuer write act as an object with sub and, if needed, iss and client_id as strings (RFC 8693 §4.1)"}
	}
	issuer := v.issuerOfActor(f)
	if !slices.ContainsFunc(p.Actors, func(listed Actor) bool { return listed.is(issuer, f.extras.actor.Subject, f.extras.actor.ClientID) }) {
		return refusal(PolicyDenied, "the actor is not among those that the policy lists in Actors")
	}
	return nil
}

// issuerOfActor returns the issuer that the actor is one of, or "" if the token names an
// actor of a different issuer whose tokens are accepted. If it could, any of several
// issuers could use the names of the others.
func (v *Validator) issuerOfActor(f *facts) string {
	named, own := f.extras.actor.Issuer, f.issuer.url
	if named == "" || named == own {
		return own
	}
	if i := v.roster.Load().issuerOf(named, ""); i != nil && i.url == own {
		return own // an alias
	}
	if v.isIssuer(named) {
		return ""
	}
	return named
}

// is reports whether an element of Actors accepts an actor. An empty member is not
// compared.
func (a Actor) is(issuer, subject, clientID string) bool {
	return a.Issuer == issuer && (a.Subject == "" || a.Subject == subject) && (a.ClientID == "" || a.ClientID == clientID)
}

// commonActors returns the actors that two lists both accept. nil accepts every token, so
// the result of lists that have nothing in common is empty and not nil.
func commonActors(a, b []Actor) []Actor {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	common := []Actor{}
	for _, one := range a {
		for _, other := range b {
			both := Actor{one.Issuer, cmp.Or(one.Subject, other.Subject), cmp.Or(one.ClientID, other.ClientID)}
			if other.is(both.Issuer, both.Subject, both.ClientID) && !slices.Contains(common, both) { // one accepts it anyway
				common = append(common, both)
			}
		}
	}
	return common
}
