package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/binding"
	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
)

// The checks of this file run on every request, in this order, whether the token was
// verified just now or is cached. But keyHolds is for cached tokens only.
//
// One request is judged by one version of its issuer's settings, even if SetIssuers
// replaces them meanwhile. Otherwise a token could pass that neither version accepts.

// checkClock checks exp, nbf and iat, then MaxAge and MaxLifetime.
func (v *Validator) checkClock(by *settings, found *facts) error {
	now := v.now()
	switch {
	case !found.expiry.IsZero() && !now.Before(found.expiry.Add(v.leeway)):
		return v.fixed[TokenExpired]
	case now.Before(found.notBefore) && now.Add(v.leeway).Before(found.notBefore):
		return refusal(TokenNotYetValid, "nbf is in the future")
	case now.Before(found.issuedAt) && now.Add(v.leeway).Before(found.issuedAt):
		return refusal(TokenNotYetValid, "iat is in the future")
	}
	return found.checkAge(by, now, v.leeway)
}

// checkAge refuses a token that is older, or lives longer, than the issuer's tokens
// may. A token cannot avoid the check by leaving out iat or exp.
func (f *facts) checkAge(by *settings, now time.Time, leeway time.Duration) error {
	oldest, longest := by.MaxAge, by.MaxLifetime
	switch {
	case oldest == 0 && longest == 0:
		return nil
	case f.issuedAt.IsZero() && f.header != nil && !f.isPartial(): // then MaxAge is not set
		if f.expiry.Sub(now)-leeway > longest {
			return refusal(ClaimInvalid, "exp is further away than MaxLifetime, and the token has no iat")
		}
		return nil
	case !f.isPartial() && (f.issuedAt.IsZero() || longest > 0 && f.expiry.IsZero()):
		return refusal(ClaimInvalid, "iat or exp is missing, but MaxAge or MaxLifetime is set")
	case f.issuedAt.IsZero():
		return nil // the answer may have it
	case oldest > 0 && now.Sub(f.issuedAt)-leeway > oldest:
		return refusal(ClaimInvalid, "the token is older than MaxAge")
	case longest > 0 && f.expiry.Sub(f.issuedAt) > longest: // false if exp is zero
		return refusal(ClaimInvalid, "exp minus iat is longer than MaxLifetime")
	}
	return nil
}

// keyHolds reports whether the key that verified a cached token is still published.
// If the key was withdrawn, the cached facts must not be used.
func (f *facts) keyHolds(ctx context.Context) (bool, error) {
	keys, generation, err := f.issuer.keys.Keys(ctx, f.header.KeyID, f.header.Algorithm)
	if err != nil {
		return false, keysRefusal(ctx, err)
	}
	if generation != 0 && generation == f.generation.Load() {
		return true, nil
	}
	if !jose.Contains(keys, f.key) {
		return false, nil
	}
	f.generation.Store(generation)
	return true, nil
}

// checkScheme refuses a token if its binding and the request's scheme do not match,
// in either direction (RFC 9449 §7.1, §7.2). If no member of cnf is understood, the
// token is refused as well. RFC 7800 §3.1 would ignore such a cnf, which would turn
// a bound token into a bearer token. A JWT without cnf passes here if the issuer must
// still be asked, because the answer may have cnf.
func (f *facts) checkScheme(credentials Credentials) error {
	bound, isDPoP := f.binding()
	switch {
	case !bound.Present && f.isPartial():
		return nil // the answer may have cnf
	case bound.KeyThumbprint != "" && !credentials.dpop:
		return refusal(BindingRequired, "the token is bound to a DPoP key, but was sent as a bearer token")
	case bound.KeyThumbprint == "" && (credentials.dpop || isDPoP):
		return refusal(BindingRequired, "the token has no cnf.jkt, which the scheme DPoP needs")
	case bound.Present && bound.KeyThumbprint == "" && bound.CertificateThumbprint == "":
		return refusal(BindingRequired, "the token's cnf has neither jkt nor x5t#S256")
	}
	return nil
}

// checkAudience checks aud, unless the answer may still supply it. If a JWT and the answer
// about it both have aud, each must name us.
func (v *Validator) checkAudience(by *settings, f *facts) error {
	undecided := f.audience == nil || len(f.audience) == 0 && f.issuer.rules.CountsEmptyAudience()
	if undecided && f.isPartial() {
		return nil
	}
	if f.extras != nil && f.extras.also != nil {
		if err := v.checkOneAudience(by, f.issuer, f.extras.also); err != nil {
			return err
		}
	}
	return v.checkOneAudience(by, f.issuer, f.audience)
}

// checkOneAudience compares exactly (RFC 7519 §4.1.3), including case and final slashes.
func (v *Validator) checkOneAudience(by *settings, i *issuer, audience []string) error {
	if len(audience) == 0 && v.aims.needsNoAudience(by, i) {
		return nil
	}
	ours := v.aims.audienceOf(by)
	isOurs := func(named string) bool { return slices.Contains(ours, named) }
	isOther := func(named string) bool { return !isOurs(named) }
	switch {
	case !slices.ContainsFunc(audience, isOurs):
		refused := refusal(AudienceMismatch, "the token is not for "+quoted(ours))
		i.warnings.warn(refused, func() (cause, advice string) {
			return "aud is " + quoted(audience) + "; expected one of " + quoted(ours),
				"have the client ask the issuer for tokens with our audience, or set Audience"
		})
		return refused
	case by.SingleAudience && slices.ContainsFunc(audience, isOther):
		return i.warnings.refuse(refusal(AudienceMismatch, "aud also names other servers, but SingleAudience is set"),
			"have the client ask the issuer for tokens with our audience alone")
	}
	return nil
}

// checkSender refuses a bound token if the sender of the request has not proved
// possession of the key, of the certificate, or of both, as the token's cnf demands.
func (v *Validator) checkSender(ctx context.Context, f *facts, credentials Credentials) error {
	bound, _ := f.binding()
	if !f.isBound() || v.acceptedBefore(ctx, bound, credentials) {
		return nil
	}
	if bound.CertificateThumbprint != "" {
		if err := v.proxies.CheckCertificate(credentials.request, bound.CertificateThumbprint); err != nil {
			return wrapError(BindingMismatch, err)
		}
	}
	if bound.KeyThumbprint != "" {
		return v.checkProof(ctx, bound.KeyThumbprint, credentials)
	}
	return nil
}

// acceptedBefore reports whether an adapter of v, or of a relative with the same
// verifier, has accepted this very request with these credentials and this binding. The binding was verified then, and a proof can
// be used only once. If an introspection answer has changed the binding since, the
// new one must be verified.
func (v *Validator) acceptedBefore(ctx context.Context, bound jose.Confirmation, credentials Credentials) bool {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || outer.Ended() || outer.By == nil || outer.By.original != v.original || outer.By.face.dpop != v.face.dpop || !outer.Credentials.Equal(credentials) {
		return false
	}
	seen, _ := outer.Claims.facts.binding()
	return seen == bound
}

// checkProof verifies the proof of possession (RFC 9449 §4.3).
func (v *Validator) checkProof(ctx context.Context, thumbprint string, credentials Credentials) error {
	err := v.face.dpop.Verify(ctx, binding.Proof(credentials.request, credentials.text(), thumbprint))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dpop.ErrProof):
		return wrapError(DPoPProofInvalid, err)
	case errors.Is(err, dpop.ErrKey):
		return wrapError(BindingMismatch, err)
	case errors.Is(err, dpop.ErrReplayed):
		return wrapError(DPoPProofReplayed, err)
	case errors.Is(err, dpop.ErrNonce):
		return wrapError(DPoPNonceRequired, err)
	}
	return couldNotFindOut(ctx, ReplayStoreUnavailable, err)
}

// callAccept calls the application's Accept about a good token. Accept can refuse
// the token, but cannot accept one that a check refused.
func (s *settings) callAccept(ctx context.Context, found *facts, token string) error {
	if s.Accept == nil {
		return nil
	}
	err := s.Accept(ctx, found.claims(token))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && asError(err) == nil:
		return couldNotFindOut(ctx, StatusUnavailable, err)
	}
	return understand(ctx, err)
}

// checkPolicy checks the token against the policy of the route. It takes pointers, because
// it runs on every request, and most policies demand only scopes.
func (v *Validator) checkPolicy(claims *Claims, policy *Policy) error {
	f := claims.facts
	// The zero Claims satisfy no policy, not even an empty one, because a handler may
	// have forgotten to check the ok of FromContext.
	if f == nil {
		return refusal(CredentialsMissing, "these claims were not read from a token")
	}
	if err := policy.Scopes.Err(); err != nil {
		return wrapError(ResourceServerMisconfigured, err)
	}
	if (policy.SenderConstrained || v.constrained) && !f.isBound() {
		return refusal(BindingRequired, "the policy or FAPI2 demands a token that is bound to a key or a certificate")
	}
	if policy.SPIFFEIDs != nil {
		if err := policy.spiffeErr(); err != nil {
			return wrapError(ResourceServerMisconfigured, err)
		}
		if !f.isAmong(policy.SPIFFEIDs) {
			return refusal(PolicyDenied, "the caller is not a workload that the policy lists in SPIFFEIDs")
		}
	}
	if policy.demandsActor() {
		if err := v.checkActor(f, policy); err != nil {
			return err
		}
	}
	if policy.FreshIntrospection && f.issuer.by != nil {
		return refusal(PolicyDenied, "the policy demands FreshIntrospection, and the caller was authenticated without a token that its issuer could be asked about")
	}
	if !policy.Scopes.MetBy(f.implied) {
		return refusal(ScopeInsufficient, "the policy demands "+policy.Scopes.String())
	}
	if policy.demandsLogin() {
		if err := v.checkLogin(f, *policy); err != nil {
			return err
		}
	}
	if policy.Details != nil {
		return v.checkDetails(*claims, *policy)
	}
	return nil
}

// isAmong reports whether the token is a JWT-SVID of one of the workloads. Another
// issuer's token is never one, whatever its sub is.
func (f *facts) isAmong(patterns []string) bool {
	return f.issuer.settings().isTrustDomain() && slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, f.subject) })
}

// resolveAgain asks ResolveIssuer about the issuer of kept facts if its last answer has ended or
// was forgotten. If the issuer has changed, it is taken out of use.
func (v *Validator) resolveAgain(ctx context.Context, found *facts) error {
	i := found.issuer
	if i.answer == nil || i.removed.Load() || v.resolver.Holds(i.answer) {
		return nil
	}
	if err := v.checkClock(i.settings(), found); err != nil {
		return err // without a call
	}
	now := v.roster.Load().issuerOf(i.url, "")
	if now == nil {
		var err error
		if now, err = v.resolveIssuer(ctx, i.url); err != nil {
			return err
		}
	}
	switch {
	case now == nil || !now.continues(i):
		i.end()
	default:
		i.current.Store(now.settings())
	}
	return nil
}

// checkAgain checks kept facts by the clock, the issuer and the audience. If the clock
// panics, it refuses them.
func (v *Validator) checkAgain(ctx context.Context, found *facts) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = wrapError(InternalError, fmt.Errorf("a clock panicked: %s", panics.Describe(p)))
		}
	}()
	if found == nil { // checkPolicy refuses it
		return nil
	}
	if err := v.resolveAgain(ctx, found); err != nil {
		return err
	}
	by := found.issuer.settings()
	if err := v.checkClock(by, found); err != nil {
		return err
	}
	if found.issuer.removed.Load() {
		return refusal(IssuerUnknown, "the issuer of these claims was removed, what they rest on has changed, or the name belongs to a different issuer now")
	}
	if found.issuer.owner != v.family || found.issuer.by != nil { // claims of a test, or without a token
		return nil
	}
	return v.checkAudience(by, found)
}

// isOf reports whether a Validator accepts claims of this issuer. Every Validator
// accepts the claims of accesstokentest.NewContext. Those of an [Identity] are accepted
// by the very Validator that has vouched for it, because they name no audience.
func (i *issuer) isOf(v *Validator) bool {
	if i.by != nil {
		return i.by == v.face
	}
	_, isTest := i.settings().Keys.(carried.TestKeys)
	return i.owner == v.family || isTest
}
