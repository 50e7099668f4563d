package accesstoken

import "slices"

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
