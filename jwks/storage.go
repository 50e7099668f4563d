package jwks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/MicahParks/jwkset"
)

var errReadOnly = errors.New("jwks: the storage is read-only, because only the issuer changes its key set")

// Storage returns the keys as a [jwkset.Storage]. If your program has a keyfunc, this
// cache then replaces jwkset's own refresh:
//
//	k, err := keyfunc.New(keyfunc.Options{Storage: cache.Storage()})
//
// KeyRead does what [Cache.Keys] does, for any alg, so it can wait for a fetch and counts
// against the budget for unknown kids. Its error matches [jwkset.ErrKeyNotFound] if the
// issuer is certain to have no such key. If several keys have the kid, or if no key of the
// set has a kid, KeyRead returns one of them, always the same, and prefers a published key
// to one in doubt. If you need all of these keys, you should use [Cache.Keyfunc] or
// [Cache.Keys]. If no keys are held, methods that read the whole set wait for a fetch, as
// KeyRead does. They include keys in doubt. Keys have the members that verifying needs,
// and no certificates. ML-DSA keys are left out, because jwkset has no type for them.
// Methods that write return an error.
func (c *Cache) Storage() jwkset.Storage { return storage{c} }

type storage struct{ cache *Cache }

func (s storage) KeyRead(ctx context.Context, keyID string) (jwkset.JWK, error) {
	set := s.cache.usable.Load()
	if set == nil || keyID != "" && !set.has(keyID) && set.unnamed == nil {
		if _, _, err := s.cache.obtain(ctx, question{kid: keyID}); err != nil && !errors.Is(err, errNotForAlgorithm) {
			return jwkset.JWK{}, err
		}
		if set = s.cache.usable.Load(); set == nil {
			return jwkset.JWK{}, s.cache.unavailable(errRanOut, 0)
		}
	}
	e, ok := set.keyOf(keyID)
	if !ok {
		return jwkset.JWK{}, fmt.Errorf("jwks: %s has no key with this kid: %w", s.cache.config.name(), jwkset.ErrKeyNotFound)
	}
	return e.jwk, nil
}

func (s storage) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	set, err := s.set(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]jwkset.JWK, 0, len(set.entries))
	for _, e := range set.entries {
		if e.akp == nil {
			keys = append(keys, e.jwk)
		}
	}
	return keys, nil
}

// set returns the set held. If no set is held, it waits for a fetch as a request does.
func (s storage) set(ctx context.Context) (*keySet, error) {
	f, err := s.cache.demand()
	if err != nil {
		return nil, err
	}
	if f != nil {
		enough := time.NewTimer(s.cache.config.WaitTimeout)
		defer enough.Stop()
		if err := s.cache.wait(ctx, f, enough.C); err != nil {
			return nil, err
		}
	}
	set := s.cache.usable.Load()
	switch {
	case set != nil:
		return set, nil
	case f != nil && f.err != nil:
		return nil, f.err
	}
	return nil, s.cache.unavailable(errRanOut, 0)
}

func (s storage) KeyDelete(context.Context, string) (bool, error)   { return false, errReadOnly }
func (s storage) KeyReplaceAll(context.Context, []jwkset.JWK) error { return errReadOnly }
func (s storage) KeyWrite(context.Context, jwkset.JWK) error        { return errReadOnly }

// marshal returns the keys of the set, with the members that are used. It does not use
// jwkset's writing with options, which gives every Ed25519 key the alg EdDSA, so that the
// key would not verify "Ed25519" (RFC 9864).
func (s *keySet) marshal() jwkset.JWKSMarshal {
	m := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, e := range s.entries {
		if e.akp == nil {
			m.Keys = append(m.Keys, e.jwk.Marshal())
		}
	}
	return m
}

// document returns the set in the form that readSet reads.
func (s *keySet) document() any {
	keys := []documentKey{}
	for _, e := range s.entries {
		if e.akp != nil {
			keys = append(keys, *e.akp)
			continue
		}
		keys = append(keys, documentKey{JWKMarshal: e.jwk.Marshal(), Issuer: e.issuer})
	}
	return map[string]any{"keys": keys}
}

func (s storage) Marshal(ctx context.Context) (jwkset.JWKSMarshal, error) {
	set, err := s.set(ctx)
	if err != nil {
		return jwkset.JWKSMarshal{}, err
	}
	return set.marshal(), nil
}

func (s storage) JSON(ctx context.Context) (json.RawMessage, error) {
	m, err := s.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// JSONPublic and JSONPrivate return the same, because all keys are public.

func (s storage) JSONPublic(ctx context.Context) (json.RawMessage, error)  { return s.JSON(ctx) }
func (s storage) JSONPrivate(ctx context.Context) (json.RawMessage, error) { return s.JSON(ctx) }

func (s storage) JSONWithOptions(ctx context.Context, marshal jwkset.JWKMarshalOptions, validate jwkset.JWKValidateOptions) (json.RawMessage, error) {
	m, err := s.MarshalWithOptions(ctx, marshal, validate)
	if err != nil {
		return nil, err
	}
	return json.Marshal(m)
}

// MarshalWithOptions copies the keys into jwkset's own storage, which applies the
// options.
func (s storage) MarshalWithOptions(ctx context.Context, marshal jwkset.JWKMarshalOptions, validate jwkset.JWKValidateOptions) (jwkset.JWKSMarshal, error) {
	keys, err := s.KeyReadAll(ctx)
	if err != nil {
		return jwkset.JWKSMarshal{}, err
	}
	memory := jwkset.NewMemoryStorage()
	if err := memory.KeyReplaceAll(ctx, keys); err != nil {
		return jwkset.JWKSMarshal{}, err
	}
	return memory.MarshalWithOptions(ctx, marshal, validate)
}
