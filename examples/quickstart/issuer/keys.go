package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// A keyRing holds the signing key and the previous signing keys. Rotation alternates
// between RS256 and ES256.
type keyRing struct {
	lifetime time.Duration // how long an old key stays published, for its last tokens
	every    time.Duration // maximum age of the signing key

	mu      sync.Mutex
	current *key
	old     []*key
}

type key struct {
	id      string
	alg     jose.SignatureAlgorithm
	private crypto.Signer
	made    time.Time
	gone    time.Time // when an old key leaves the key set
}

func newKeyRing(lifetime, every time.Duration) (*keyRing, error) {
	first, err := newKey(jose.RS256)
	if err != nil {
		return nil, err
	}
	return &keyRing{lifetime: lifetime, every: every, current: first}, nil
}

func newKey(alg jose.SignatureAlgorithm) (*key, error) {
	var private crypto.Signer
	var err error
	if alg == jose.ES256 {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return nil, err
	}
	return &key{id: rand.Text()[:8], alg: alg, private: private, made: time.Now()}, nil
}

// rotate replaces the current key with a new one. The old key stays published until the
// last token that it signed has expired. If withdraw is set, all old keys are removed at
// once, for example because a key was stolen.
func (r *keyRing) rotate(withdraw bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rotateLocked(withdraw)
}

func (r *keyRing) rotateLocked(withdraw bool) error {
	alg := jose.RS256
	if r.current.alg == jose.RS256 {
		alg = jose.ES256
	}
	next, err := newKey(alg)
	if err != nil {
		return err
	}
	r.old = append(r.old, r.current)
	r.current.gone = time.Now().Add(r.lifetime)
	if withdraw {
		r.old = nil
	}
	r.current = next
	return nil
}

// signing returns the signing key. If the key is older than the maximum age, it rotates
// first.
func (r *keyRing) signing() (*key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.current.made) > r.every {
		if err := r.rotateLocked(false); err != nil {
			return nil, err
		}
	}
	return r.current, nil
}

// published returns the keys of the key set, the signing key first.
func (r *keyRing) published() []*key {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := []*key{r.current}
	for _, k := range r.old {
		if time.Now().Before(k.gone) {
			keys = append(keys, k)
		}
	}
	return keys
}

// signingKey and publicKey implement op.SigningKey and op.Key.
type (
	signingKey struct{ *key }
	publicKey  struct{ *key }
)

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.private }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return k.alg }

func (k publicKey) ID() string                         { return k.id }
func (k publicKey) Key() any                           { return k.private.Public() }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return k.alg }
func (k publicKey) Use() string                        { return "sig" }

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) {
	k, err := s.keys.signing()
	if err != nil {
		return nil, err
	}
	return signingKey{k}, nil
}

func (s *storage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256}, nil
}

func (s *storage) KeySet(context.Context) ([]op.Key, error) {
	var set []op.Key
	for _, k := range s.keys.published() {
		set = append(set, publicKey{k})
	}
	return set, nil
}
