package accesstoken

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/internal/binding"
	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/panics"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

func init() {
	carried.Over = func(v any, transport carried.Transport) any { return v.(*Validator).over(transport, false) }
	carried.Watching = func(v any) any { return v.(*Validator).over(v.(*Validator).transport, true) }
	carried.Same = func(a, b any) bool { return a.(*Validator).self == b.(*Validator).self }
	carried.Authenticates = func(v any) bool { return v.(*Validator).authenticates() }
	carried.Identify = func(ctx context.Context, v, credentials any) (any, bool, error) {
		return v.(*Validator).identify(ctx, credentials.(Credentials))
	}
	carried.Satisfies = func(v, claims, policy any) bool {
		c, p := claims.(Claims), policy.(Policy)
		return v.(*Validator).satisfies(&c, &p)
	}
	carried.ResourceOf = func(v any) string { return v.(*Validator).resource() }
}

// Validate reports whether the credentials are acceptable and, if so, what they
// claim. It is [Validator.Authorize] with a Policy that demands nothing.
func (v *Validator) Validate(ctx context.Context, credentials Credentials) (Claims, error) {
	return v.Authorize(ctx, credentials, Policy{})
}

// Authorize reports whether the credentials are acceptable and satisfy the policy
// and, if so, what they claim. If the request brought none, Config.Authenticate is
// asked. Any error is an [*Error], and you must then refuse the request. If the error
// matches [Unavailable], validity is unknown, not denied.
// If a JWT's facts are cached and its key is in memory, only AlwaysIntrospect, a
// DPoP replay store, Accept, OnDecide and OnRefuse can cause I/O.
func (v *Validator) Authorize(ctx context.Context, credentials Credentials, policy Policy) (Claims, error) {
	var c course
	claims, refused := v.decide(ctx, credentials, &policy, &c)
	if refused = v.settle(ctx, &claims, &c, refused); refused != nil {
		return Claims{}, refused
	}
	return claims, nil
}

// decide is Authorize without its report. If the request is refused although the caller is
// known, it returns both.
func (v *Validator) decide(ctx context.Context, credentials Credentials, policy *Policy, c *course) (Claims, *Error) {
	found, err := v.authenticate(ctx, credentials, policy.FreshIntrospection, c)
	claims := found.claims(credentials.text())
	if err == nil {
		v.trail.reach(checkPolicy)
		err = v.checkPolicy(&claims, policy)
	}
	if err != nil {
		return claims, v.bind(err, *policy, claims, credentials.dpop)
	}
	return claims, nil
}

// Check reports whether claims that this Validator accepted earlier are still valid
// by the clock, and satisfy a further policy. A handler should call it if it learns
// only later what is to be done, or after a long wait. If another Validator accepted
// the claims, or the policy has FreshIntrospection, the refusal is
// ResourceServerMisconfigured. The claims of accesstokentest.NewContext count as
// accepted by every Validator. Any error is an [*Error].
func (v *Validator) Check(ctx context.Context, claims Claims, policy Policy) error {
	c := course{source: fromCheck}
	if claims.facts != nil && !claims.facts.issuer.isOf(v) {
		refused := refusal(ResourceServerMisconfigured, "these claims were accepted by another Validator; call Check of the Validator that accepted them")
		return v.settle(ctx, &Claims{}, &c, v.bind(refused, policy, Claims{}, false))
	}
	c.issuer = claims.issuer()
	err := v.checkAgain(ctx, claims.facts)
	if err == nil {
		err = v.checkPolicy(&claims, &policy)
	}
	if err == nil && policy.FreshIntrospection {
		err = refusal(ResourceServerMisconfigured, "FreshIntrospection needs the credentials, which Check does not have; set it in the policy of the route, or call Authorize")
	}
	var refused *Error
	if err != nil {
		confirmation, _ := claims.Confirmation()
		refused = v.bind(err, policy, claims, confirmation.KeyThumbprint != "")
	}
	if refused = v.settle(ctx, &claims, &c, refused); refused != nil {
		return refused
	}
	return nil
}

// satisfies reports whether claims that this Validator accepted satisfy a policy. It reports
// no refusal.
func (v *Validator) satisfies(claims *Claims, policy *Policy) bool {
	return claims.facts != nil && claims.facts.issuer.isOf(v) && v.checkPolicy(claims, policy) == nil
}

// Refuse turns any error into the refusal that this Validator's adapters write. An
// error that Authorize or Check returned is not changed. Every other error is
// reported to OnRefuse. If it is from [Deny], it is completed with this Validator's
// settings. If it matches [Unavailable], or ctx has ended and it matches ctx's
// error, it becomes a 503. If it is or wraps another [Reason] of this package, it
// becomes the refusal for that reason. Any other error becomes an InternalError.
func (v *Validator) Refuse(ctx context.Context, err error) *Error {
	caller, known := FromContext(ctx)
	refused := asError(err)
	switch {
	case refused == nil || refused.face == nil:
		confirmation, _ := caller.Confirmation()
		refused = v.bind(understand(ctx, err), Policy{}, caller, confirmation.KeyThumbprint != "")
	case refused.untold:
		told := *refused
		told.untold = false
		refused = &told
	default:
		return refused
	}
	c := course{issuer: caller.issuer()}
	if known {
		c.source = fromCheck
	}
	return v.conclude(ctx, &caller, &c, refused)
}

// authenticate verifies the credentials. Where possible, cheap checks run before
// expensive ones. If a token is good for this resource server but this request may
// not use it, the facts are returned with the error, because OnRefuse may learn who
// called.
//
// Key sources, HTTP clients and clocks run code of the application. If it panics,
// the request is refused.
func (v *Validator) authenticate(ctx context.Context, credentials Credentials, fresh bool, c *course) (found *facts, err error) {
	defer func() {
		if p := recover(); p != nil {
			found, err = nil, wrapError(InternalError, fmt.Errorf("a key source, a clock, an Accept or an HTTP client panicked: %s", panics.Describe(p)))
		}
	}()
	v.trail.reach(checkCredentials)
	if err := v.checkCredentials(credentials); err != nil {
		return v.authenticateOwn(ctx, credentials, err, c)
	}
	token := credentials.text()
	key := v.cache.KeyOf(token)
	found, by, err := v.recall(ctx, key, c)
	if err != nil {
		return nil, err
	}
	cached := found != nil
	if !cached {
		if found, err = v.verify(ctx, token, fresh, c); err != nil {
			return nil, err
		}
		by = found.issuer.settings()
		v.trail.learn(found)
		v.trail.reach(checkClock)
		if err := v.checkClock(by, found); err != nil {
			return nil, err
		}
	}
	v.trail.reach(checkScheme)
	if err := found.checkScheme(credentials); err != nil {
		return nil, err
	}
	v.trail.reach(checkAudience)
	// This runs before the issuer is asked, and before the use of a proof is recorded.
	refused := v.checkAudience(by, found)
	if !cached && found.header != nil && (refused == nil || v.isForAnother(found)) {
		v.cache.PutIn(&found.issuer.share, key, found, found.compact(v.shared))
	}
	if refused != nil {
		return nil, refused
	}
	if found.isPartial() {
		if found, err = v.complete(ctx, by, key, found, credentials, fresh); err != nil {
			return nil, err
		}
		if c.source == fromCache {
			v.ledger.hits.Add(1)
		}
		c.source = fromIntrospection
	}
	v.trail.reach(checkSender)
	if err := v.checkSender(ctx, found, credentials); err != nil {
		return found, err
	}
	v.trail.reach(checkAccept)
	return found, by.callAccept(ctx, found, token)
}

// identify is Authorize for a request that brought no credentials and may pass without a
// caller. If there is no caller, it returns false and reports no refusal.
func (v *Validator) identify(ctx context.Context, credentials Credentials) (Claims, bool, error) {
	if !v.authenticates() {
		return Claims{}, false, nil
	}
	var c course
	found, err := v.authenticate(ctx, credentials, false, &c)
	if none, ok := err.(*Error); ok && none == v.fixed[CredentialsMissing] {
		return Claims{}, false, nil
	}
	claims := found.claims("")
	var refused *Error
	if err != nil {
		refused = v.bind(err, Policy{}, Claims{}, false)
	}
	if refused = v.conclude(ctx, &claims, &c, refused); refused != nil {
		return Claims{}, false, refused
	}
	return claims, true, nil
}

// checkCredentials makes the checks that need not decode the token.
func (v *Validator) checkCredentials(credentials Credentials) error {
	token := credentials.text()
	switch {
	case v.family == nil:
		return refusal(ResourceServerMisconfigured, "the Validator was not made by NewValidator")
	case v.isClosed():
		return refusal(KeysUnavailable, "the validator is closed")
	case credentials.common && v.face.field != "":
		return refusal(ResourceServerMisconfigured, "the credentials are those of Authorization, and Config.TokenField names another field; make them with Validator.CredentialsOf")
	case credentials.Missing():
		return v.fixed[CredentialsMissing]
	case credentials.dpop && v.face.dpop == nil:
		return v.fixed[SchemeUnsupported]
	case credentials.none:
		return v.fixed[Reason(token)]
	case credentials.dpop && credentials.request == nil:
		return refusal(ResourceServerMisconfigured, "a DPoP proof cannot be verified without its request; make the credentials with CredentialsOf")
	case credentials.dpop && len(credentials.request.Header[binding.ProofField]) != 1:
		return v.fixed[DPoPProofInvalid]
	}
	v.trail.reach(checkSize)
	if len(token) > v.maxToken {
		v.adviseOnSize()
		return v.fixed[TokenTooLarge]
	}
	v.trail.reach(checkHeader)
	if len(v.roster.Load().introspected) == 0 && strings.IndexByte(token, '.') < 0 && challenge.IsToken68(token) {
		v.adviseOnOpaque()
		return v.fixed[TokenMalformed] // not a JWT, and no issuer has Introspection
	}
	return nil
}

// recall returns the facts about a token that was verified before, if they still
// hold, and the settings to judge it by. If it returns neither facts nor an error, the
// token must be verified.
func (v *Validator) recall(ctx context.Context, key tokencache.Key, c *course) (*facts, *settings, error) {
	found, ok := v.cache.Get(key).(*facts)
	if !ok {
		return nil, nil, nil
	}
	if found.issuer.removed.Load() || found.issuer.answer != nil && !v.resolver.Holds(found.issuer.answer) {
		v.cache.Drop(key) // another issuer may have its URL now
		return nil, nil, nil
	}
	c.issuer, c.source = found.issuer, fromCache
	by := found.issuer.settings()
	if err := v.checkClock(by, found); err != nil {
		v.cache.Drop(key) // an expired token stays expired
		return nil, nil, err
	}
	holds, err := found.keyHolds(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !holds {
		v.cache.Drop(key)
		*c = course{}
		return nil, nil, nil
	}
	return found, by, nil
}

// bind adds to a refusal what the response needs: the settings of this Validator,
// the scheme that the client used, and what the client should request.
func (v *Validator) bind(err error, policy Policy, caller Claims, usedDPoP bool) *Error {
	refused := asError(err)
	if refused == nil {
		refused = wrapError(InternalError, err)
	}
	asks := v.asks(refused, policy, caller)
	if refused.face == v.face && refused.dpop == usedDPoP && slices.Equal(refused.asks, asks) {
		return refused
	}
	bound := *refused
	bound.face, bound.dpop, bound.asks = v.face, usedDPoP, asks
	return &bound
}

// asks returns the parameters of the challenge that say what to request, if a first token
// or another token would help. These satisfy the policy, whatever the token has (RFC 6750
// §3.1).
func (v *Validator) asks(refused *Error, policy Policy, caller Claims) (params []challenge.Param) {
	add := func(name, value string) {
		if value != "" {
			params = append(params, challenge.Param{Name: name, Value: value})
		}
	}
	switch refused.Reason {
	case AuthorizationDetailsInsufficient:
		add("authorization_remediation", v.remediation(refused, policy, caller))
	case StepUpRequired:
		acrValues, maxAge := v.loginParams(policy)
		add("acr_values", acrValues)
		add("max_age", maxAge)
		add("scope", policy.Scopes.Scopes().String())
	case ScopeInsufficient, CredentialsMissing, SchemeUnsupported:
		add("scope", policy.Scopes.Scopes().String())
	}
	return params
}
