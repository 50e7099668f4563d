package accesstoken

import (
	"bytes"
	"context"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// Vouch returns claims of a caller that your own code has authenticated without an access
// token, for example by the first message of a WebSocket. [Validator.Check],
// [Claims.End], policies and [NewContext] work with them as with those of a token. But the
// Check of another Validator refuses them, also that of a relative by ForResource. A
// policy with SenderConstrained, SPIFFEIDs or FreshIntrospection is never satisfied.
//
// Check refuses the claims with IssuerUnknown once [Validator.SetIssuers] has made
// Identity.Issuer the name of an issuer, and streams that were opened with them end.
//
// An error is an [*Error]. Pass it to the Refuse of an adapter, which tells OnRefuse. If
// the Identity is faulty, it is ResourceServerMisconfigured.
//
// Vouch is for code outside of an adapter, because an adapter asks for a token all the
// same. For requests, set Config.Authenticate.
func (v *Validator) Vouch(identity Identity) (Claims, error) {
	found, err := v.vouch(identity)
	if err != nil {
		refused := *asError(err)
		refused.face = nil // not told to OnRefuse yet
		return Claims{}, &refused
	}
	return found.claims(""), nil
}

// vouch returns the facts about an identity. All errors are an *Error.
func (v *Validator) vouch(identity Identity) (*facts, error) {
	switch fault := identity.fault(); {
	case v.family == nil:
		return nil, refusal(ResourceServerMisconfigured, "the Validator was not made by NewValidator")
	case v.isClosed():
		return nil, refusal(KeysUnavailable, "the validator is closed")
	case v.constrained:
		return nil, refusal(ResourceServerMisconfigured, "FAPI2 demands a token that is bound to a key or a certificate, so no Identity can be accepted")
	case fault != "":
		return nil, refusal(ResourceServerMisconfigured, "Identity."+fault)
	}
	i := v.vouched.issuer(v.face, identity.Issuer, v.newVouched)
	if v.isIssuer(identity.Issuer) { // asked after the lookup, so that SetIssuers either is seen here or ends i
		return nil, refusal(ResourceServerMisconfigured, "Identity.Issuer names an issuer whose tokens are accepted, or one that ResolveIssuer may know; choose a different name, such as api-keys")
	}
	payload := []byte("{}")
	if identity.Payload != nil {
		payload = bytes.Clone(identity.Payload)
	}
	found := &facts{
		issuer:      i,
		subject:     identity.Subject,
		clientID:    identity.ClientID,
		id:          identity.ID,
		scope:       identity.Scopes,
		implied:     v.implied.widen(identity.Scopes),
		expiry:      identity.Expiry,
		issuedAt:    identity.IssuedAt,
		withoutUser: identity.Subject == "" || identity.Subject == identity.ClientID,
		extras:      &extras{answer: payload},
	}
	claims, err := jose.ReadAnswer(string(payload)) // for the login, the details and the actor; the rest is in the Identity
	if err != nil {
		return nil, refusal(ResourceServerMisconfigured, "Identity.Payload is not an object in JSON")
	}
	found.addPrivate(&claims)
	found.delegated, found.extras.actor = claims.Delegated, claims.Actor
	if err := v.checkAgain(context.Background(), found); err != nil {
		return nil, err
	}
	return found, nil
}

// isIssuer reports whether the name is one of an issuer whose tokens are accepted, or may
// become one by an answer of ResolveIssuer.
func (f *family) isIssuer(name string) bool {
	return f.roster.Load().issuerOf(name, "") != nil || f.resolver != nil && isResolvable(name)
}

// newVouched makes the issuer of the identities that v vouches for under a name.
func (v *Validator) newVouched(name string) *issuer {
	i := &issuer{
		owner:     v.family,
		by:        v.face,
		url:       name,
		rules:     RFC9068.rules(),
		leeway:    v.leeway,
		hierarchy: v.implied,
		warnings:  warnings{logger: v.logger, issuer: name},
	}
	i.gone, i.remove = context.WithCancel(context.Background())
	i.current.Store(new(settings)) // without a URL, so that the name never counts as a trust domain
	return i
}
