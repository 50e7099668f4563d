package accesstoken

import (
	"context"
	"crypto"
	"errors"
	"fmt"
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
func (v *Validator) verify(ctx context.Context, token string, fresh bool) (*facts, error) {
	parsed, err := v.headers.Begin(token)
	if err == nil && !v.algorithms[parsed.Algorithm] {
		err = errAlgorithm
	}
	if err == nil {
		err = parsed.Open()
	}
	switch {
	case err == nil: // what base64url can spell is a token68
		return v.verifyJWT(ctx, &parsed)
	case !challenge.IsToken68(token):
		return nil, v.fixed[CredentialsMalformed]
	case err == errAlgorithm:
		v.warnings.adviseOnAlgorithm(parsed.Algorithm, "on no issuer's list")
		return nil, v.fixed[AlgorithmNotAllowed]
	case errors.Is(err, jose.ErrNotJWT):
		return v.introspect(ctx, token, fresh)
	}
	return nil, because(joseReason(err), err)
}

// errAlgorithm is an algorithm that no issuer's tokens may have.
var errAlgorithm = errors.New("the algorithm is on no issuer's list")

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
func (v *Validator) verifyJWT(ctx context.Context, token *jose.Token) (*facts, error) {
	said, err := jose.ReadClaims(token.Payload)
	if err != nil {
		return nil, because(TokenMalformed, err)
	}
	i := v.issuerOf(said.Issuer)
	if i == nil {
		v.adviseOnIssuer(said.Issuer)
		return nil, v.fixed[IssuerUnknown]
	}
	if !slices.Contains(i.algorithms, token.Algorithm) {
		i.warnings.adviseOnAlgorithm(token.Algorithm, "not on this issuer's list")
		return nil, v.fixed[AlgorithmNotAllowed]
	}
	if i.rules.noGraph && token.HasNonce {
		return nil, refusal(TokenTypeMismatch, "the header has a nonce, so the token is for Microsoft Graph, and nobody else can verify it")
	}
	if !token.HasPossibleSignature() {
		return nil, refusal(SignatureInvalid, "its length is wrong for the algorithm")
	}
	keys, generation, err := i.keys.Keys(ctx, token.KeyID, token.Algorithm)
	if err != nil {
		return nil, keysRefusal(ctx, err)
	}
	if len(keys) == 0 {
		i.adviseOnKeys()
		return nil, v.fixed[KeyNotFound]
	}
	key, err := verifySignature(token, keys)
	if errors.Is(err, SignatureInvalid) {
		key, generation, err = i.verifyAnew(ctx, token, keys, generation, err)
	}
	if err != nil {
		i.adviseOnKeys()
		return nil, err
	}
	i.verified.Store(true)
	header := v.headers.Remember(token)
	claims, err := i.acceptJWT(token, &said)
	if err != nil {
		return nil, err
	}
	found := newFacts(i, &claims, nil)
	found.withoutUser = i.rules.withoutUser(&claims)
	found.key, found.header = key, header
	found.payload = token.PayloadAt()
	found.generation.Store(generation)
	return found, nil
}

// verifySignature returns the key under which the signature is good. There is
// at least one.
func verifySignature(token *jose.Token, keys []crypto.PublicKey) (crypto.PublicKey, error) {
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

// verifyAnew is for a token whose signature is not good under the keys of a
// generation: an issuer whose keys have no kid rotates them unannounced, and some give
// an old kid to a new key. A source that can look for newer keys is asked once for
// those, and only what has not been tried is. failed is what to return otherwise.
func (i *issuer) verifyAnew(ctx context.Context, token *jose.Token, tried []crypto.PublicKey, generation uint64, failed error) (crypto.PublicKey, uint64, error) {
	source, ok := i.keys.(interface {
		KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error)
	})
	if !ok {
		return nil, 0, failed
	}
	keys, newer, err := source.KeysAfter(ctx, token.KeyID, token.Algorithm, generation)
	if err != nil { // the issuer was asked whether it has rotated, and did not answer
		return nil, 0, keysRefusal(ctx, err)
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(key crypto.PublicKey) bool { return jose.Contains(tried, key) })
	if len(keys) == 0 {
		return nil, 0, failed
	}
	key, err := verifySignature(token, keys)
	return key, newer, err
}

// keysRefusal tells apart why keys could not be had.
func keysRefusal(ctx context.Context, err error) error {
	switch {
	case asError(err) != nil:
		return err
	case errors.Is(err, jose.ErrAlgorithm):
		return because(AlgorithmNotAllowed, err)
	case errors.Is(err, discovery.ErrMismatch):
		return because(ResourceServerMisconfigured, err)
	case errors.Is(err, discovery.ErrUnavailable):
		return couldNotFindOut(ctx, IssuerUnavailable, err)
	}
	return couldNotFindOut(ctx, KeysUnavailable, err)
}

// couldNotFindOut tells an outage from the end of the caller's own context,
// after which nobody waits for an answer.
func couldNotFindOut(ctx context.Context, reason Reason, err error) error {
	if ended := ctx.Err(); ended != nil {
		return because("", fmt.Errorf("%w while it was being checked: %v", ended, err))
	}
	refused := because(reason, err)
	refused.retry = retryAfter(err)
	return refused
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
func (v *Validator) introspect(ctx context.Context, token string, fresh bool) (*facts, error) {
	i := v.opaqueIssuer(token)
	if i == nil {
		v.adviseOnOpaque()
		return nil, v.fixed[TokenMalformed]
	}
	answer, err := v.ask(ctx, i, token, fresh)
	if err != nil {
		return nil, err
	}
	claims, err := i.readAnswer(answer)
	if err != nil {
		return nil, err
	}
	claims.Issuer = i.url
	if err := i.acceptSaid(&claims, string(answer)); err != nil {
		return nil, err
	}
	found := newFacts(i, &claims, answer)
	found.withoutUser = rules{clientSuffix: i.rules.clientSuffix}.withoutUser(&claims)
	return found, nil
}

// ask returns what the issuer says of an active token.
func (v *Validator) ask(ctx context.Context, i *issuer, token string, fresh bool) (answer []byte, err error) {
	response, err := i.settings.Introspection.IntrospectWith(ctx, token, introspection.Options{Fresh: fresh, Leeway: v.leeway, Now: v.now})
	switch {
	case err != nil:
		return nil, introspectionRefusal(ctx, err)
	case !response.Active:
		return nil, v.fixed[TokenInactive]
	}
	return response.Raw, nil
}

// readAnswer reads an answer that must not be another issuer's word.
func (i *issuer) readAnswer(answer []byte) (jose.Claims, error) {
	claims, err := jose.ReadAnswer(string(answer))
	switch {
	case err != nil:
		return claims, because(IntrospectionUnavailable, err)
	case claims.Issuer != "" && i.owner.issuerOf(claims.Issuer) != i:
		return claims, refusal(IssuerUnknown, "the introspection answer names another issuer")
	}
	return claims, nil
}

func introspectionRefusal(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, introspection.ErrClientRefused):
		return because(ResourceServerMisconfigured, err)
	case errors.Is(err, introspection.ErrTokenType), errors.Is(err, introspection.ErrUnsupportedTokenType):
		return because(TokenTypeMismatch, err)
	}
	return couldNotFindOut(ctx, IntrospectionUnavailable, err)
}
