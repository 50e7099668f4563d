package spiffeauth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/accesstoken/accesstoken/jwks"
)

// keys are the keys of one trust domain, an accesstoken.KeySource. A request reads them
// without a lock, and never waits.
type keys struct {
	url    string
	fault  error // url is not a trust domain
	usable time.Duration

	current atomic.Pointer[holding]
	mu      sync.Mutex    // held by writers of current
	changed chan struct{} // closed and replaced with each change
}

// A holding is immutable.
type holding struct {
	bundle     *jwks.Bundle // nil if no bundle is held
	generation uint64       // changes with the keys
	err        error        // why bundle is nil, or will end; nil and no bundle: the trust domain has none
	ends       time.Time    // when the bundle is dropped; zero if it is up to date
}

func newKeys(url string, usable time.Duration) *keys {
	k := &keys{url: url, usable: usable, changed: make(chan struct{})}
	name, err := spiffeid.TrustDomainFromString(url)
	if err != nil || name.IDString() != url {
		k.fault = fmt.Errorf(`spiffeauth: %q is not a trust domain; write it as "spiffe://example.org"`, url)
	}
	k.current.Store(&holding{generation: 1, err: errNoMessage})
	return k
}

// Err reports a trust domain whose name cannot be one.
func (k *keys) Err() error { return k.fault }

// Keys returns the keys of the bundle for a token with this kid and alg.
func (k *keys) Keys(ctx context.Context, kid, alg string) ([]crypto.PublicKey, uint64, error) {
	bundle, generation, err := k.current.Load().held()
	if bundle == nil {
		return nil, generation, err
	}
	found, _, err := bundle.Keys(ctx, kid, alg)
	return found, generation, err
}

// held returns the bundle. Without one, an error means that it is not known.
func (h *holding) held() (*jwks.Bundle, uint64, error) {
	switch {
	case h.bundle == nil && h.err != nil:
		return nil, 0, h.err
	case !h.ends.IsZero() && !time.Now().Before(h.ends):
		return nil, 0, fmt.Errorf("%w, and the last bundle is too old", h.err)
	}
	return h.bundle, h.generation, nil
}

// Ready returns nil if there is a bundle with a usable key.
func (k *keys) Ready() error {
	bundle, _, err := k.current.Load().held()
	switch {
	case err != nil:
		return err
	case bundle == nil:
		return fmt.Errorf("spiffeauth: there is no bundle of %s; federate with it, or correct the name", k.url)
	}
	return bundle.Err()
}

// Warm waits until there is a bundle, or the agent has left it out.
func (k *keys) Warm(ctx context.Context) error {
	for {
		k.mu.Lock()
		changed, err := k.changed, k.Ready()
		_, _, unknown := k.current.Load().held()
		k.mu.Unlock()
		if err == nil || unknown == nil || errors.Is(err, errClosed) {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// set replaces the bundle. If it has the same keys, the generation stays.
func (k *keys) set(bundle *jwks.Bundle) {
	k.change(func(h *holding) {
		if h.bundle == nil || !h.bundle.Equal(bundle) {
			h.generation++
		}
		h.bundle, h.err, h.ends = bundle, nil, time.Time{}
	})
}

// withdraw notes that the trust domain has no bundle.
func (k *keys) withdraw() {
	k.change(func(h *holding) { *h = holding{generation: h.generation + 1} })
}

// fail notes that the bundle may be out of date since this time. It is kept until its end,
// which a later failure does not move. If there was no bundle, this becomes uncertain.
func (k *keys) fail(err error, since time.Time) {
	k.change(func(h *holding) {
		h.err = err
		if h.ends.IsZero() {
			h.ends = since.Add(k.usable)
		}
	})
}

// drop forgets the bundle, and what is known about it.
func (k *keys) drop(err error) {
	k.change(func(h *holding) { *h = holding{generation: h.generation + 1, err: err} })
}

func (k *keys) change(how func(*holding)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := *k.current.Load()
	how(&next)
	k.current.Store(&next)
	close(k.changed)
	k.changed = make(chan struct{})
}
