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
		return nil, v.fixed[IssuerUnknown]
	}
	if !slices.Contains(i.algorithms, token.Algorithm) {
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
		return nil, v.fixed[KeyNotFound]
	}
	key, err := verifySignature(token, keys)
	if err != nil {
		return nil, err
	}
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
		return nil, v.fixed[TokenMalformed]
	}
	claims, answer, err := v.ask(ctx, i, token, fresh)
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
func (v *Validator) ask(ctx context.Context, i *issuer, token string, fresh bool) (claims jose.Claims, answer []byte, err error) {
	response, err := i.settings.Introspection.IntrospectWith(ctx, token, introspection.Options{Fresh: fresh, Leeway: v.leeway, Now: v.now})
	if err != nil {
		return claims, nil, introspectionRefusal(ctx, err)
	}
	if !response.Active {
		return claims, nil, v.fixed[TokenInactive]
	}
	claims, err = jose.ReadAnswer(string(response.Raw))
	if err != nil {
		return claims, nil, because(IntrospectionUnavailable, err)
	}
	if claims.Issuer != "" && claims.Issuer != i.url {
		return claims, nil, refusal(IssuerUnknown, "the introspection answer names another issuer")
	}
	return claims, response.Raw, nil
}

// confirm asks about a JWT whose signature is good, where its issuer has to be
// asked as well. What the answer says is held against the token and, as that of an
// opaque one, against clock, binding and audience. The scopes are the JWT's.
func (v *Validator) confirm(ctx context.Context, found *facts, token string, fresh bool) error {
	if !found.issuer.settings.AlwaysIntrospect || found.header == nil {
		return nil
	}
	said, _, err := v.ask(ctx, found.issuer, token, fresh)
	switch {
	case errors.Is(err, introspection.ErrUnsupportedTokenType):
		return because(ResourceServerMisconfigured, err) // it introspects no JWTs: AlwaysIntrospect refuses all
	case err != nil:
		return err
	case differ(said.Subject, found.subject):
		return refusal(ClaimInvalid, "sub is another in the introspection answer")
	case differ(said.ClientID, found.clientID):
		return refusal(ClaimInvalid, "client_id is another in the introspection answer")
	case differ(said.ID, found.id) && !found.issuer.rules.uti:
		return refusal(ClaimInvalid, "jti is another in the introspection answer")
	}
	answer := newFacts(found.issuer, &said, nil)
	// What is left out, the JWT has said.
	if len(answer.audience) == 0 {
		answer.audience = found.audience
	}
	if answer.issuedAt.IsZero() {
		answer.issuedAt = found.issuedAt
	}
	if answer.expiry.IsZero() {
		answer.expiry = found.expiry
	}
	if err := v.accept(answer); err != nil {
		return err
	}
	bound, isDPoP := answer.binding()
	ours, _ := found.binding()
	if bound.Present && bound != ours || isDPoP && ours.KeyThumbprint == "" {
		return refusal(BindingRequired, "the introspection answer binds the token to something that the token itself does not name")
	}
	return found.issuer.acceptAudience(answer.audience)
}

// differ compares what both have.
func differ(said, found string) bool { return said != "" && found != "" && said != found }

func introspectionRefusal(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, introspection.ErrClientRefused):
		return because(ResourceServerMisconfigured, err)
	case errors.Is(err, introspection.ErrTokenType), errors.Is(err, introspection.ErrUnsupportedTokenType):
		return because(TokenTypeMismatch, err)
	}
	return couldNotFindOut(ctx, IntrospectionUnavailable, err)
}
