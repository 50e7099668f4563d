package accesstoken

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/challenge"
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

	// RefuseDelegated refuses tokens with which another party acts on behalf of the subject
	// (act, RFC 8693 §4.1) as PolicyDenied, also if act cannot be read. It cannot detect
	// impersonation, where the token does not name the actor (§1.1).
	RefuseDelegated bool

	// Actors, if not nil, lists the parties of which one must act on behalf of the subject.
	// Any other token is refused as PolicyDenied, also one without act. Only the current
	// actor counts, the outermost act. An element must have Issuer, and Subject, ClientID or
	// both; an empty one is not compared. If act has no iss, Issuer is compared with
	// Claims.Issuer. If act has the iss of a different issuer whose tokens are accepted, or
	// which ResolveIssuer may know, it is refused, because only that issuer can name its
	// actors. The list must not be changed while the Policy is in use.
	Actors []Actor

	// ACR, if not nil, lists the authentication context classes (acr) of which the user's
	// login must have one, or a stronger one by Config.ACROrder (RFC 9470). Otherwise the
	// request is refused as StepUpRequired, and the challenge lists in acr_values what
	// would do. The values are compared whole. A client that acts for itself is refused as
	// PolicyDenied, because no login can help it. The list must not be changed while the
	// Policy is in use.
	ACR []string

	// MaxAuthAge is the longest time since the user's login (auth_time), in whole seconds.
	// If it is longer, or the token has no auth_time, the request is refused as
	// StepUpRequired, with max_age in the challenge. It must be at least Config.Leeway,
	// because clocks differ. It is judged on every request, so a token that passes now may
	// be refused later. The age is counted in whole seconds, as authorization servers do for
	// max_age. Zero means no demand.
	MaxAuthAge time.Duration

	// AMR, if not nil, lists the authentication methods (amr, RFC 8176) of which the login
	// must have one. Otherwise the request is refused as PolicyDenied, because no challenge
	// can ask for a method. The list must not be changed while the Policy is in use.
	AMR []string

	// Details, if not nil, lists what authorization_details must grant (RFC 9396). One object
	// of the token must satisfy each element. Otherwise the request is refused as
	// AuthorizationDetailsInsufficient. If the claim is malformed, the token is refused as
	// ClaimInvalid. The list must not be changed while the Policy is in use.
	Details []DetailRequirement

	also []logins // ACR and AMR of policies that And combined with this one
}

// Err returns nil if a route can be set up with the Policy. A Policy without Scopes
// is an error there, because it looks like a mistake that opens the route to every
// token. If you want to accept every valid token, you should write scopes.None().
func (p Policy) Err() error {
	if p.Scopes.IsZero() {
		return errors.New("accesstoken: the policy has no Scopes; list those that the route needs, or set Scopes: scopes.None()")
	}
	return errors.Join(p.Scopes.Err(), p.spiffeErr(), p.actorsErr(), p.loginErr(), p.detailsErr())
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

// And returns a Policy that demands what p and other demand. If both have ACR or AMR, the
// login must satisfy both, although the field of the result shows one of them.
func (p Policy) And(other Policy) Policy {
	acr, amr, also := p.andLogins(other)
	return Policy{
		Scopes:             p.Scopes.And(other.Scopes),
		FreshIntrospection: p.FreshIntrospection || other.FreshIntrospection,
		SenderConstrained:  p.SenderConstrained || other.SenderConstrained,
		SPIFFEIDs:          commonIDs(p.SPIFFEIDs, other.SPIFFEIDs),
		RefuseDelegated:    p.RefuseDelegated || other.RefuseDelegated,
		Actors:             commonActors(p.Actors, other.Actors),
		ACR:                acr,
		MaxAuthAge:         shorter(p.MaxAuthAge, other.MaxAuthAge),
		AMR:                amr,
		also:               also,
		Details:            andDetails(p.Details, other.Details),
	}
}

// logins are a demand on how the user authenticated, of one of the policies that And
// combined.
type logins struct{ acr, amr []string }

// demandsLogin reports whether the policy says how or when the user authenticated.
func (p *Policy) demandsLogin() bool {
	return p.ACR != nil || p.AMR != nil || p.MaxAuthAge != 0 || p.also != nil
}

// andLogins puts the demands of other beside those of p, so that none is lost.
func (p Policy) andLogins(other Policy) (acr, amr []string, also []logins) {
	switch {
	case p.ACR == nil && p.AMR == nil && p.also == nil:
		return other.ACR, other.AMR, other.also
	case other.ACR == nil && other.AMR == nil:
		return p.ACR, p.AMR, slices.Concat(p.also, other.also)
	}
	return p.ACR, p.AMR, slices.Concat(p.also, []logins{{other.ACR, other.AMR}}, other.also)
}

// eachLogin calls do for the demands of every policy that And combined.
func (p Policy) eachLogin(do func(acr, amr []string)) {
	do(p.ACR, p.AMR)
	for _, l := range p.also {
		do(l.acr, l.amr)
	}
}

// shorter returns the shorter of two ages, of which zero means no limit.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return a + b
	}
	return min(a, b)
}

// loginErr reports demands that nothing meets, or that no challenge can name.
func (p Policy) loginErr() (err error) {
	if p.MaxAuthAge < 0 || p.MaxAuthAge%time.Second != 0 {
		return fmt.Errorf("accesstoken: MaxAuthAge is %v; expected whole seconds, or zero for no demand", p.MaxAuthAge)
	}
	p.eachLogin(func(acr, amr []string) {
		switch {
		case acr != nil && len(acr) == 0 || amr != nil && len(amr) == 0:
			err = errors.New("accesstoken: ACR or AMR is set but empty, so that no login satisfies it; leave it nil for no demand")
		case !isAll(acr, isACR):
			err = fmt.Errorf("accesstoken: ACR is %q; expected values that a challenge can list: printable ASCII without spaces, quotes and backslashes", acr)
		case slices.Contains(amr, ""):
			err = errors.New("accesstoken: AMR has an empty element")
		}
	})
	return err
}

func isAll(values []string, is func(string) bool) bool {
	return !slices.ContainsFunc(values, func(value string) bool { return !is(value) })
}

// isACR reports whether acr_values can list the value (RFC 9470 §3).
func isACR(value string) bool {
	return value != "" && challenge.IsDescription(value) && !strings.Contains(value, " ")
}

// A DetailRequirement is what a route demands of authorization_details (RFC 9396). One
// object of the token must satisfy all of it, because members of two objects do not add up
// (§2.2). All texts are compared whole.
type DetailRequirement struct {
	_ [0]func()

	Type       string   // must be among Config.DetailTypes
	Actions    []string // all of them
	DataTypes  []string // all of them
	Privileges []string // all of them
	Location   string   // among the object's locations; "" for any
	Identifier string   // the object's; "" for any
}

// detailsErr reports requirements that are made by mistake.
func (p Policy) detailsErr() error {
	if p.Details != nil && len(p.Details) == 0 {
		return errors.New("accesstoken: Details is set but empty; leave it nil for no demand")
	}
	for n := range p.Details {
		r := &p.Details[n]
		switch {
		case r.Type == "":
			return fmt.Errorf("accesstoken: Details[%d] has no Type; every object of authorization_details has one (RFC 9396 §2)", n)
		case isEmptyList(r.Actions), isEmptyList(r.DataTypes), isEmptyList(r.Privileges):
			return fmt.Errorf("accesstoken: Details[%d] has a list that is empty, or has an empty element; leave it nil for no demand", n)
		}
	}
	return nil
}

// andDetails joins two lists. One that is set but empty is a fault, which must not be lost.
func andDetails(a, b []DetailRequirement) []DetailRequirement {
	if a != nil && len(a) == 0 {
		return a
	}
	if b != nil && len(b) == 0 {
		return b
	}
	return slices.Concat(a, b)
}

func isEmptyList(list []string) bool {
	return list != nil && len(list) == 0 || slices.Contains(list, "")
}

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

// is reports whether an element of Actors accepts an actor. An empty member is not
// compared.
func (a Actor) is(issuer, subject, clientID string) bool {
	return a.Issuer == issuer && (a.Subject == "" || a.Subject == subject) && (a.ClientID == "" || a.ClientID == clientID)
}
