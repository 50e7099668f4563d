package accesstoken

import (
	"context"
	"crypto"
	"errors"
	"slices"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/meter"
)

// maxAttempts is the most keys that one call of verifySignature tries. A request can
// cost two calls; see verifyAnew.
const maxAttempts = 4

// verify verifies a token and returns its facts. The form of the token and the
// configuration decide between JWT and introspection. A JWT that fails is never
// introspected, so that a forged one is not sent to any server.
func (v *Validator) verify(ctx context.Context, token string, fresh bool, c *course) (*facts, error) {
	parsed, err := v.headers.Begin(token)
	if err == nil && !v.mayAccept(parsed.Algorithm) {
		err = errAlgorithm
	}
	if err == nil {
		v.trail.reach(checkPayload)
		err = parsed.Open()
	}
	switch {
	case err == nil: // then it is a token68, because base64url is
		return v.verifyJWT(ctx, &parsed, c)
	case !challenge.IsToken68(token):
		return nil, v.fixed[CredentialsMalformed]
	case err == errAlgorithm:
		v.warnings.adviseOnAlgorithm(parsed.Algorithm, "on no issuer's list")
		return nil, v.fixed[AlgorithmNotAllowed]
	case errors.Is(err, jose.ErrNotJWT):
		return v.introspect(ctx, token, fresh, c)
	}
	return nil, wrapError(joseReason(err), err)
}

// mayAccept reports whether any issuer accepts the algorithm. An issuer of ResolveIssuer
// may accept each that is supported.
func (v *Validator) mayAccept(algorithm string) bool {
	return v.roster.Load().algorithms[algorithm] || v.resolver != nil && jose.Supported(algorithm)
}

// errAlgorithm means that no issuer accepts the algorithm.
var errAlgorithm = errors.New("the algorithm is on no issuer's list")

// verifyJWT checks the issuer, the algorithm, the key and the signature, in this order.
// Until the signature is verified, no claims but iss and sub are used. They select a
// configured issuer. If there is no such issuer, iss goes to ResolveIssuer, unverified,
// and to a comparison that chooses a warning for the log.
func (v *Validator) verifyJWT(ctx context.Context, token *jose.Token, c *course) (*facts, error) {
	v.ledger.misses.Add(1)
	own, err := jose.ReadClaims(token.Payload)
	if err != nil {
		return nil, wrapError(TokenMalformed, err)
	}
	v.trail.reach(checkIssuer)
	i := v.roster.Load().issuerOf(own.Issuer, own.Subject)
	if i == nil && token.HasPossibleSignature() {
		if i, err = v.resolveIssuer(ctx, own.Issuer); err != nil {
			return nil, err
		}
	}
	if i == nil {
		v.adviseOnIssuer(own.Issuer)
		return nil, v.fixed[IssuerUnknown]
	}
	i = v.follow(i)
	c.issuer = i
	if err := v.checkForm(i, token); err != nil {
		return nil, err
	}
	v.trail.reach(checkKey)
	began := meter.Start()
	keys, generation, err := i.keys.Keys(ctx, token.KeyID, token.Algorithm)
	if err != nil {
		return nil, keysRefusal(ctx, err)
	}
	if len(keys) == 0 {
		i.adviseOnKeys()
		return nil, v.fixed[KeyNotFound]
	}
	v.trail.reach(checkSignature)
	key, err := verifySignature(token, keys)
	if errors.Is(err, SignatureInvalid) {
		key, generation, err = i.verifyAnew(ctx, token, keys, generation, err)
	}
	if err != nil {
		i.adviseOnKeys()
		return nil, err
	}
	c.source = fromSignature
	v.ledger.took.Stop(began)
	i.verified.Store(true)
	header := v.headers.Remember(token)
	v.trail.reach(checkKind)
	claims, err := i.checkJWT(token, &own)
	if err != nil {
		return nil, err
	}
	found := newFacts(i, &claims.Claims, nil)
	found.withoutUser = i.rules.IsClientItself(&claims)
	found.key, found.header = key, header
	found.payload = token.PayloadAt()
	found.generation.Store(generation)
	return found, nil
}

// checkForm makes the checks that need no key.
func (v *Validator) checkForm(i *issuer, token *jose.Token) error {
	if !slices.Contains(i.algorithms, token.Algorithm) {
		i.warnings.adviseOnAlgorithm(token.Algorithm, "not on this issuer's list")
		return v.fixed[AlgorithmNotAllowed]
	}
	if i.rules.IsEntra && token.HasNonce {
		i.trail.reach(checkKind)
		return refusal(TokenTypeMismatch, "the header has a nonce, so the token is for Microsoft Graph, and no other server can verify it")
	}
	if !token.HasPossibleSignature() {
		i.trail.reach(checkSignature)
		return refusal(SignatureInvalid, "the signature has the wrong length for the algorithm")
	}
	return nil
}

// verifySignature returns the key that verifies the signature, and tries at most
// maxAttempts. There must be at least one key.
func verifySignature(token *jose.Token, keys []crypto.PublicKey) (crypto.PublicKey, error) {
	var last error
	for _, key := range keys[:min(len(keys), maxAttempts)] {
		err := token.Verify(key)
		if err == nil {
			return key, nil
		}
		last = err
	}
	return nil, wrapError(joseReason(last), last)
}

// verifyAnew handles a token whose signature is wrong for the held keys. Some
// issuers rotate keys without a kid, or reuse a kid for a new key. If the source can
// look for newer keys, it is asked once, and keys that are not in tried are tried.
// If it finds no such key, or cannot look, verifyAnew returns failed.
func (i *issuer) verifyAnew(ctx context.Context, token *jose.Token, tried []crypto.PublicKey, generation uint64, failed error) (crypto.PublicKey, uint64, error) {
	source, ok := i.keys.(interface {
		KeysAfter(ctx context.Context, kid, alg string, generation uint64) (keys []crypto.PublicKey, newer uint64, err error)
	})
	if !ok {
		return nil, 0, failed
	}
	keys, newer, err := source.KeysAfter(ctx, token.KeyID, token.Algorithm, generation)
	if err != nil { // the issuer may have rotated, but cannot be asked or did not answer
		return nil, 0, keysRefusal(ctx, err)
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(key crypto.PublicKey) bool { return jose.Contains(tried, key) })
	if len(keys) == 0 {
		return nil, 0, failed
	}
	key, err := verifySignature(token, keys)
	return key, newer, err
}
