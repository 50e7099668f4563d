package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A Set is a fixed set of keys. Create one with [Static]. It is safe for concurrent
// use.
type Set struct {
	set *keySet
	err error
}

// Static returns a key source that never changes and makes no requests. Use it in
// tests, or if an issuer hands over its keys by other means. The keys must meet the
// conditions that the package doc lists for keys of a document. If a key does not, for
// example because it is private or symmetric, it is left out and reported by [Set.Err].
//
// [jwkset.NewJWKFromKey] declares alg "EdDSA" for every Ed25519 key, so such a key does
// not verify tokens whose alg is "Ed25519". If you need both, you should create the key
// with [jwkset.NewJWKFromMarshal], which can leave alg unset. A Set cannot hold ML-DSA
// keys, because jwkset has no type for them.
func Static(keys ...jwkset.JWK) *Set {
	var entries []entry
	var faults []error
	for i, key := range keys {
		e, err := staticEntry(key)
		if err != nil {
			faults = append(faults, fmt.Errorf("jwks: key %d: %w", i, err))
			continue
		}
		entries = append(entries, e)
	}
	if len(keys) == 0 {
		faults = append(faults, errors.New("jwks: a static set needs a key"))
	}
	s := &Set{newKeySet(entries), errors.Join(faults...)}
	s.set.generation = 1
	return s
}

// staticEntry checks the Go key itself, because kty and crv only repeat what a document
// claims. The encoded values are not checked, because a JWK holds a decoded key.
func staticEntry(key jwkset.JWK) (entry, error) {
	m := key.Marshal()
	if _, err := algorithms(key.Key()); err != nil {
		return entry{}, err
	}
	if err := checkMembers(m); err != nil {
		return entry{}, err
	}
	e, err := newEntry(key.Key(), m)
	e.jwk = key
	return e, err
}

// Err reports every key that cannot be used, one per line. It also returns an error if
// Static got no keys.
func (s *Set) Err() error {
	if s.set == nil {
		return errors.New("jwks: the set was not made by Static")
	}
	return s.err
}

// Keys returns the keys for a token with this kid and alg, as [Cache.Keys] does.
// generation is 1, or 0 if there is an error.
func (s *Set) Keys(_ context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	q := question{kid, alg}
	switch {
	case s.set == nil:
		return nil, 0, s.Err()
	case !jose.Supported(alg):
		return nil, 0, errNotForAlgorithm
	}
	keys, err = s.set.find(q)
	return keys, generationOf(s.set, err), err
}

// A KeyfuncSource takes its keys from a [keyfunc.Keyfunc]. Create one with
// [FromKeyfunc]. It is safe for concurrent use if the keyfunc is.
type KeyfuncSource struct{ keyfunc keyfunc.Keyfunc }

// FromKeyfunc returns a key source that calls k on every use. Use it if your program
// already keeps its keys in a keyfunc, or in a [jwkset.Storage] behind one. When keys
// are fetched, and the effect of a failure, depend on k. For example, with the defaults
// of keyfunc a second unknown kid within five minutes is an error, so the keys count as
// unavailable.
func FromKeyfunc(k keyfunc.Keyfunc) *KeyfuncSource { return &KeyfuncSource{k} }

// Err reports a missing keyfunc.
func (s *KeyfuncSource) Err() error {
	if s.keyfunc == nil {
		return errors.New("jwks: the keyfunc is nil")
	}
	return nil
}

// Keys calls the keyfunc for a token with this kid and alg, and again without the kid if
// no key has one. If its error matches [jwkset.ErrKeyNotFound], Keys returns no keys and
// no error. Any other error of the keyfunc means that the keys are unavailable, unless the
// key declares another alg, which is reported as in [Cache.Keys]. At most 4 keys are
// returned, and only *[rsa.PublicKey], *[ecdsa.PublicKey] and [ed25519.PublicKey] of the
// strength that the package demands. A symmetric key, which a keyfunc can hold, is never
// returned. generation is always 0, so callers should not cache a key but call Keys on
// every use.
func (s *KeyfuncSource) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	switch {
	case s.keyfunc == nil:
		return nil, 0, s.Err()
	case !jose.Supported(alg) || methodOf(alg) == nil:
		return nil, 0, errNotForAlgorithm
	case len(kid) > maxKeyID:
		return nil, 0, nil
	}
	found, err := s.keyfunc.KeyfuncCtx(ctx)(tokenFor(kid, alg))
	if errors.Is(err, jwkset.ErrKeyNotFound) && kid != "" && s.hasNoKids(ctx) {
		found, err = s.keyfunc.KeyfuncCtx(ctx)(tokenFor("", alg))
	}
	switch {
	case errors.Is(err, jwkset.ErrKeyNotFound):
		return nil, 0, nil
	case err != nil && retryAfter(err) == 0 && s.declaresOther(ctx, kid, alg):
		return nil, 0, errNotForAlgorithm
	case err != nil:
		return nil, 0, &noAnswer{err}
	}
	return fitting(found, kid, alg)
}

// noAnswer wraps an error of a keyfunc. Its own text leaves out the keyfunc's text,
// which may quote the unverified token. Callers can unwrap it.
type noAnswer struct{ cause error }

func (e *noAnswer) Error() string {
	return fmt.Sprintf("jwks: the keyfunc failed with a %T, whose text is left out because it may quote the token", e.cause)
}

func (e *noAnswer) Unwrap() error { return e.cause }

// tokenFor returns a token with the header that a keyfunc needs.
func tokenFor(kid, alg string) *jwt.Token {
	token := &jwt.Token{Header: map[string]any{"alg": alg}, Method: methodOf(alg)}
	if kid != "" {
		token.Header[jwkset.HeaderKID] = kid
	}
	return token
}

// methodOf returns golang-jwt's method for alg, or nil if golang-jwt has none. It has none
// for ML-DSA.
func methodOf(alg string) jwt.SigningMethod {
	if alg == "Ed25519" { // RFC 9864; golang-jwt knows the old name only
		return jwt.SigningMethodEdDSA
	}
	return jwt.GetSigningMethod(alg)
}

// declaresOther reports whether the key of kid declares a different alg, so that the
// keyfunc failed. A keyfunc returns the same error for this and for a failure to fetch,
// but here the keys are not unavailable.
func (s *KeyfuncSource) declaresOther(ctx context.Context, kid, alg string) bool {
	storage := s.keyfunc.Storage()
	if storage == nil || kid == "" || ctx.Err() != nil {
		return false
	}
	key, err := storage.KeyRead(ctx, kid)
	declared := key.Marshal().ALG.String()
	return err == nil && declared != "" && declared != alg
}

// hasNoKids reports whether no key of the keyfunc has a kid, or false if that is unknown.
// Without kids, the kid of a token is ignored (RFC 7515 §4.1.4).
func (s *KeyfuncSource) hasNoKids(ctx context.Context) bool {
	storage := s.keyfunc.Storage()
	if storage == nil || ctx.Err() != nil {
		return false
	}
	keys, err := storage.KeyReadAll(ctx)
	named := func(key jwkset.JWK) bool { return key.Marshal().KID != "" }
	return err == nil && !slices.ContainsFunc(keys, named)
}

// fitting returns the keys from a keyfunc's result that may verify alg, as far as there is
// room. If kid is set and the keys are usable for another alg only, it returns an error.
func fitting(found any, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	candidates := []jwt.VerificationKey{found}
	if several, ok := found.(jwt.VerificationKeySet); ok {
		candidates = several.Keys
	}
	var keys []crypto.PublicKey
	sound := false
	for _, key := range candidates {
		algs, err := algorithms(key)
		sound = sound || err == nil
		if err == nil && slices.Contains(algs, alg) && hasRoom(keys, key) {
			keys = append(keys, key)
		}
	}
	if keys == nil && sound && kid != "" {
		return nil, 0, errNotForAlgorithm
	}
	return keys, 0, nil
}
