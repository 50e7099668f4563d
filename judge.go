package accesstoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/clientcert"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/panics"
)

// What stands here runs on every request, whether the token was verified just now or
// remembered, in the order in which it runs.

// checkClock judges facts by the clock, on every request.
func (v *Validator) checkClock(found *facts) error {
	now := v.now()
	switch {
	case !found.expiry.IsZero() && !now.Before(found.expiry.Add(v.leeway)):
		return v.fixed[TokenExpired]
	case now.Before(found.notBefore) && now.Add(v.leeway).Before(found.notBefore):
		return refusal(TokenNotYetValid, "nbf lies in the future")
	case now.Before(found.issuedAt) && now.Add(v.leeway).Before(found.issuedAt):
		return refusal(TokenNotYetValid, "iat lies in the future")
	}
	return found.checkAge(now, v.leeway)
}

// checkAge refuses a token that is older, or lives longer, than the issuer's
// tokens may. One that does not say how old it is does not get around that.
func (f *facts) checkAge(now time.Time, leeway time.Duration) error {
	oldest, longest := f.issuer.settings.MaxAge, f.issuer.settings.MaxLifetime
	switch {
	case oldest == 0 && longest == 0:
		return nil
	case !f.isPartial() && (f.issuedAt.IsZero() || longest > 0 && f.expiry.IsZero()):
		return refusal(ClaimInvalid, "iat or exp is missing, and MaxAge or MaxLifetime is set")
	case f.issuedAt.IsZero():
		return nil // the answer may say it
	case oldest > 0 && now.Sub(f.issuedAt)-leeway > oldest:
		return refusal(ClaimInvalid, "the token is older than MaxAge")
	case longest > 0 && f.expiry.Sub(f.issuedAt) > longest: // a zero exp is long ago
		return refusal(ClaimInvalid, "the token lives longer than MaxLifetime")
	}
	return nil
}

// keyHolds reports whether the key that signed is still published. What was
// verified on the strength of a withdrawn key is worth nothing.
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

// checkScheme refuses a token whose binding and scheme do not go together, in
// either direction (RFC 9449 §7.1, §7.2). A cnf of which nothing is understood is
// refused as well; RFC 7800 §3.1 would have it ignored, which turns a bound token
// into a bearer token.
func (f *facts) checkScheme(credentials Credentials) error {
	bound, isDPoP := f.binding()
	switch {
	case !bound.Present && f.isPartial():
		return nil // it is up to the answer
	case bound.KeyThumbprint != "" && !credentials.dpop:
		return refusal(BindingRequired, "the token is bound to a DPoP key, and was sent as a bearer token")
	case bound.KeyThumbprint == "" && (credentials.dpop || isDPoP):
		return refusal(BindingRequired, "the token has no cnf.jkt, which the scheme DPoP needs")
	case bound.Present && bound.KeyThumbprint == "" && bound.CertificateThumbprint == "":
		return refusal(BindingRequired, "the token's cnf has no member that can be checked")
	}
	return nil
}

// checkAudience judges aud, unless it is up to the answer.
func (f *facts) checkAudience() error {
	undecided := f.audience == nil || len(f.audience) == 0 && f.issuer.rules.emptyAudience
	if undecided && f.isPartial() {
		return nil
	}
	return f.issuer.checkAudience(f.audience)
}

// checkAudience compares exactly (RFC 7519 §4.1.3): no prefix, no case, no
// trailing slash is made up for.
func (i *issuer) checkAudience(audience []string) error {
	if len(audience) == 0 && (i.settings.DangerouslyAcceptNoAudience || i.rules.noAudience) {
		return nil
	}
	if i.settings.SingleAudience && i.isNamed(audience) && slices.ContainsFunc(audience, i.isOther) {
		return i.warned(refusal(AudienceMismatch, "the token is for others as well, and SingleAudience is set"),
			"have the client ask the issuer for tokens with our audience alone")
	}
	if i.isNamed(audience) {
		return nil
	}
	refused := refusal(AudienceMismatch, "the token is not for "+quoted(i.audience))
	i.warnings.give(refused, func() (cause, advice string) {
		return "aud is " + quoted(audience) + ", accepted is " + quoted(i.audience),
			"have the client ask the issuer for tokens with our audience, or set Audience"
	})
	return refused
}

func (i *issuer) isNamed(audience []string) bool {
	return slices.ContainsFunc(audience, func(named string) bool { return !i.isOther(named) })
}

// isOther reports an audience that is not us.
func (i *issuer) isOther(named string) bool { return !slices.Contains(i.audience, named) }

// checkSender refuses a bound token, in its scheme, that comes from somebody else
// than the one it is bound to. It runs on every request.
func (v *Validator) checkSender(ctx context.Context, f *facts, credentials Credentials) error {
	bound, _ := f.binding()
	if !f.isBound() || v.letInBefore(ctx, bound, credentials) {
		return nil
	}
	if bound.CertificateThumbprint != "" {
		if err := v.checkCertificate(bound.CertificateThumbprint, credentials.request); err != nil {
			return err
		}
	}
	if bound.KeyThumbprint != "" {
		return v.checkProof(ctx, bound.KeyThumbprint, credentials)
	}
	return nil
}

// letInBefore reports whether an adapter has let this very request in with these
// credentials: what they are bound to was seen then, and a proof may be used only
// once. An introspection answer that binds them otherwise by now is not what was seen.
func (v *Validator) letInBefore(ctx context.Context, bound jose.Confirmation, credentials Credentials) bool {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || outer.Ended() || outer.By != v || !outer.Credentials.Equal(credentials) {
		return false
	}
	seen, _ := outer.Claims.facts.binding()
	return seen == bound
}

// checkCertificate compares the certificate of the client (RFC 8705 §3). Whether
// anybody vouches for it was up to the TLS handshake, and is not the question.
func (v *Validator) checkCertificate(thumbprint string, r *http.Request) error {
	presented := ""
	switch {
	case r == nil:
	case v.forwarded.Format != 0 && v.forwarded.from(r):
		// The connection's certificate, if there is one, is the proxy's own.
		var err error
		if presented, err = formats[v.forwarded.Format].Thumbprint(r.Header, v.forwarded.Field); err != nil {
			return because(BindingMismatch, err)
		}
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		presented = clientcert.ThumbprintOf(r.TLS.PeerCertificates[0])
	}
	switch presented {
	case thumbprint:
		return nil
	case "":
		return refusal(BindingMismatch, "the token is bound to a client certificate, and none was presented")
	}
	return refusal(BindingMismatch, "the token is bound to another client certificate")
}

// checkProof has the proof of possession verified (RFC 9449 §4.3).
func (v *Validator) checkProof(ctx context.Context, thumbprint string, credentials Credentials) error {
	r := credentials.request
	err := v.face.dpop.Verify(ctx, dpop.Request{
		Method:     r.Method,
		Path:       requestPath(r),
		Proofs:     r.Header[proofField],
		Token:      credentials.text(),
		Thumbprint: thumbprint,
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dpop.ErrProof):
		return because(DPoPProofInvalid, err)
	case errors.Is(err, dpop.ErrKey):
		return because(BindingMismatch, err)
	case errors.Is(err, dpop.ErrReplayed):
		return because(DPoPProofReplayed, err)
	case errors.Is(err, dpop.ErrNonce):
		return because(DPoPNonceRequired, err)
	}
	return couldNotFindOut(ctx, ReplayStoreUnavailable, err)
}

// callAccept lets the operator's own code have its say about a good token. It can
// only narrow: what it returns is a refusal or nothing.
func (i *issuer) callAccept(ctx context.Context, found *facts, token string) error {
	if i.settings.Accept == nil {
		return nil
	}
	err := i.settings.Accept(ctx, found.claims(token))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && asError(err) == nil:
		return couldNotFindOut(ctx, StatusUnavailable, err)
	}
	return understand(ctx, err)
}

// checkPolicy judges what somebody is allowed to by a policy.
func (v *Validator) checkPolicy(f *facts, policy Policy) error {
	// Claims of nobody satisfy nothing, not even a policy that demands nothing:
	// a handler that forgets to look at FromContext's ok must not let them in.
	if f == nil {
		return refusal(CredentialsMissing, "these claims come from no token")
	}
	if err := policy.Scopes.Err(); err != nil {
		return because(ResourceServerMisconfigured, err)
	}
	if (policy.SenderConstrained || v.constrained) && !f.isBound() {
		return refusal(BindingRequired, "the policy demands a token that is bound to a key or a certificate")
	}
	if !policy.Scopes.MetBy(f.implied) {
		return refusal(ScopeInsufficient, "the policy demands "+policy.Scopes.String())
	}
	return nil
}

// checkAgain judges facts that somebody has kept. A clock that panics refuses.
func (v *Validator) checkAgain(found *facts) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = because(InternalError, fmt.Errorf("a clock panicked: %s", panics.Describe(p)))
		}
	}()
	if found == nil { // which checkPolicy refuses
		return nil
	}
	return v.checkClock(found)
}
