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

// A Set is a fixed set of keys, made by [Static]. It is safe for concurrent
// use.
type Set struct {
	set *keySet
	err error
}

// Static returns a key source that never changes and never asks anybody: for
// tests, and for issuers whose keys are handed over by other means. The keys
// have to meet what the package says about keys of a document; those that do
// not, and private or symmetric ones, are left out and reported by [Set.Err].
//
// [jwkset.NewJWKFromKey] declares alg "EdDSA" for every Ed25519 key, which is
// then not one for "Ed25519"; [jwkset.NewJWKFromMarshal] can leave alg open.
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

// staticEntry looks at the key itself, not at kty and crv: they say what a
// document claims, and a JWK made from a key has none to lie with.
func staticEntry(key jwkset.JWK) (entry, error) {
	m := key.Marshal()
	if _, err := algorithms(key.Key()); err != nil {
		return entry{}, err
	}
	if err := checkMembers(m); err != nil {
		return entry{}, err
	}
	return newEntry(key, m)
}

// Err reports every key that cannot be used, one per line, or that there is
// none at all.
func (s *Set) Err() error {
	if s.set == nil {
		return errors.New("jwks: the set was not made by Static")
	}
	return s.err
}

// Keys returns the keys for a token with this kid and alg, as [Cache.Keys]
// does. generation is always 1.
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

// A KeyfuncSource asks a [keyfunc.Keyfunc], made by [FromKeyfunc]. It is as
// safe for concurrent use as that is.
type KeyfuncSource struct{ keyfunc keyfunc.Keyfunc }

// FromKeyfunc returns a key source that asks k on every use, so that keys which
// a program keeps in a keyfunc, or in a [jwkset.Storage] behind one, serve here
// too. When they are fetched, and what a failure does, is up to k: with its
// defaults, a second unknown kid within five minutes is an error, and so a
// "could not ask".
func FromKeyfunc(k keyfunc.Keyfunc) *KeyfuncSource { return &KeyfuncSource{k} }

// Err reports a missing keyfunc.
func (s *KeyfuncSource) Err() error {
	if s.keyfunc == nil {
		return errors.New("jwks: the keyfunc is nil")
	}
	return nil
}

// Keys asks the keyfunc for a token with this kid and alg. An error matching
// [jwkset.ErrKeyNotFound] counts as an answer, every other as none. Only
// *[rsa.PublicKey], *[ecdsa.PublicKey] and [ed25519.PublicKey] of the strength
// that the package demands are returned, at most 4: a symmetric key, which a
// keyfunc may well hold, is never used for a token. generation is always 0:
// whoever remembers a key has to ask again on every use.
func (s *KeyfuncSource) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	switch {
	case s.keyfunc == nil:
		return nil, 0, s.Err()
	case !jose.Supported(alg):
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

// noAnswer is an error of a keyfunc. Its text may quote the token, which nobody
// has verified, and so is left to those who unwrap it.
type noAnswer struct{ cause error }

func (e *noAnswer) Error() string {
	return fmt.Sprintf("jwks: the keyfunc has no answer (%T)", e.cause)
}

func (e *noAnswer) Unwrap() error { return e.cause }

// tokenFor makes the token that a keyfunc wants to see: its header.
func tokenFor(kid, alg string) *jwt.Token {
	token := &jwt.Token{Header: map[string]any{"alg": alg}, Method: jwt.GetSigningMethod(alg)}
	if alg == "Ed25519" { // RFC 9864; golang-jwt knows the old name only
		token.Method = jwt.SigningMethodEdDSA
	}
	if kid != "" {
		token.Header[jwkset.HeaderKID] = kid
	}
	return token
}

// declaresOther tells a key that declares another alg from a failure: a keyfunc
// has one error for both, and the first is no reason to call the keys
// unavailable.
func (s *KeyfuncSource) declaresOther(ctx context.Context, kid, alg string) bool {
	storage := s.keyfunc.Storage()
	if storage == nil || kid == "" || ctx.Err() != nil {
		return false
	}
	key, err := storage.KeyRead(ctx, kid)
	declared := key.Marshal().ALG.String()
	return err == nil && declared != "" && declared != alg
}

// hasNoKids reports whether no key of the keyfunc has a kid: then the kid of a
// token is a hint without use (RFC 7515 §4.1.4).
func (s *KeyfuncSource) hasNoKids(ctx context.Context) bool {
	storage := s.keyfunc.Storage()
	if storage == nil || ctx.Err() != nil {
		return false
	}
	keys, err := storage.KeyReadAll(ctx)
	named := func(key jwkset.JWK) bool { return key.Marshal().KID != "" }
	return err == nil && !slices.ContainsFunc(keys, named)
}

// fitting returns those of what a keyfunc found that may verify alg.
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
