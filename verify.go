package accesstoken

import (
	"context"
	"crypto"
	"errors"
	"slices"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/jose"
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
	claims, err := i.checkJWT(token, &said)
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
	if err != nil { // the issuer may have rotated, and cannot be asked or did not answer
		return nil, 0, keysRefusal(ctx, err)
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(key crypto.PublicKey) bool { return jose.Contains(tried, key) })
	if len(keys) == 0 {
		return nil, 0, failed
	}
	key, err := verifySignature(token, keys)
	return key, newer, err
}
