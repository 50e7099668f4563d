package accesstoken

import (
	"context"
	"crypto"
	"errors"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/introspection"
)

// maxAttempts bounds the signatures that one request may cost, when several
// keys go with its header.
const maxAttempts = 4

// verify finds out what a token says and whether its issuer said it. The form
// of the token and the configuration choose between JWT and introspection,
// never a failure: a forged JWT is not shown to anybody.
func (v *Validator) verify(ctx context.Context, token string) (*facts, error) {
	if !challenge.IsToken68(token) {
		return nil, v.fixed[CredentialsMalformed]
	}
	parsed, err := jose.Parse(token)
	if errors.Is(err, jose.ErrNotJWT) {
		return v.introspect(ctx, token)
	}
	if err != nil {
		return nil, because(joseReason(err), err)
	}
	return v.verifyJWT(ctx, parsed)
}

// joseReason sorts the errors of internal/jose.
func joseReason(err error) Reason {
	switch {
	case errors.Is(err, jose.ErrType):
		return TokenTypeMismatch
	case errors.Is(err, jose.ErrAlgorithm):
		return AlgorithmNotAllowed
	case errors.Is(err, jose.ErrSignature):
		return SignatureInvalid
	}
	return TokenMalformed
}

// verifyJWT goes from cheap to dear: issuer, algorithm, key, signature. Until
// the signature is verified, iss is a key into the configured issuers, and
// nothing else that the token says is used.
func (v *Validator) verifyJWT(ctx context.Context, token jose.Token) (*facts, error) {
	claims, err := jose.ReadClaims(token.Payload)
	if err != nil {
		return nil, because(TokenMalformed, err)
	}
	i := v.issuers[claims.Issuer]
	if i == nil {
		return nil, v.fixed[IssuerUnknown]
	}
	if !slices.Contains(i.algorithms, token.Algorithm) {
		return nil, v.fixed[AlgorithmNotAllowed]
	}
	keys, generation, err := i.find(ctx, token.KeyID, token.Algorithm)
	if err != nil {
		return nil, keysRefusal(ctx, err)
	}
	key, err := verifySignature(token, keys)
	if err != nil {
		return nil, err
	}
	if err := i.acceptJWT(token.Header, claims); err != nil {
		return nil, err
	}
	found := newFacts(i, claims)
	found.key, found.keyID, found.alg = key, token.KeyID, token.Algorithm
	found.generation.Store(generation)
	return found, nil
}

// verifySignature returns the key under which the signature is good.
func verifySignature(token jose.Token, keys []crypto.PublicKey) (crypto.PublicKey, error) {
	if len(keys) == 0 {
		return nil, refusal(KeyNotFound, "the issuer publishes no key with this kid")
	}
	var last error
	for _, key := range keys[:min(len(keys), maxAttempts)] {
		err := token.Verify(key)
		if err == nil {
			return key, nil
		}
		last = err
	}
	return nil, because(joseReason(last), last)
}

// keysRefusal tells apart why keys could not be had: a context that ended is the
// caller's, everything else is between us and the issuer.
func keysRefusal(ctx context.Context, err error) error {
	if refused := asError(err); refused != nil {
		return refused
	}
	if callerGone(ctx, err) {
		return because("", err)
	}
	refused := because(KeysUnavailable, err)
	switch {
	case errors.Is(err, jose.ErrAlgorithm):
		refused.Reason = AlgorithmNotAllowed
	case errors.Is(err, discovery.ErrMismatch):
		refused.Reason = ResourceServerMisconfigured
	case errors.Is(err, discovery.ErrUnavailable):
		refused.Reason = IssuerUnavailable
	}
	refused.retry = retryAfter(err)
	return refused
}

// callerGone reports whether an error is the end of the caller's own context,
// and not of one of ours.
func callerGone(ctx context.Context, err error) bool {
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// retryAfter finds out when to ask again, from an error that knows.
func retryAfter(err error) time.Duration {
	var timed interface{ RetryAfter() time.Duration }
	if errors.As(err, &timed) {
		return timed.RetryAfter()
	}
	return 0
}

// introspect asks the one issuer that the configuration names for such a token
// (RFC 7662), and applies the checks that are left to us (§2.2, §4).
func (v *Validator) introspect(ctx context.Context, token string) (*facts, error) {
	i := v.opaqueIssuer(token)
	if i == nil {
		return nil, v.fixed[TokenMalformed]
	}
	response, err := i.introspection.Introspect(ctx, token)
	if err != nil {
		return nil, introspectionRefusal(ctx, err)
	}
	if !response.Active {
		return nil, v.fixed[TokenInactive]
	}
	claims, err := jose.ReadClaims(response.Raw)
	if err != nil {
		return nil, because(IntrospectionUnavailable, err)
	}
	if claims.Issuer != "" && claims.Issuer != i.url {
		return nil, refusal(IssuerUnknown, "the introspection answer names another issuer")
	}
	claims.Issuer = i.url
	if err := i.acceptClient(claims.ClientID); err != nil {
		return nil, err
	}
	found := newFacts(i, claims)
	found.answer = response.Raw
	return found, nil
}

func introspectionRefusal(ctx context.Context, err error) error {
	if callerGone(ctx, err) {
		return because("", err)
	}
	refused := because(IntrospectionUnavailable, err)
	switch {
	case errors.Is(err, introspection.ErrClientRefused):
		refused.Reason = ResourceServerMisconfigured
	case errors.Is(err, introspection.ErrTokenType):
		refused.Reason = TokenTypeMismatch
	}
	refused.retry = retryAfter(err)
	return refused
}
