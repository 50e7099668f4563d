package introspection

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Store lets several processes share answers: a token that one has looked up
// is a hit in the others. It must be safe for concurrent use.
//
// It holds neither tokens nor anything that it could read: names are keyed
// digests, and values are encrypted and authenticated under Config.StoreKey. So
// whoever can write to it can lose answers, and forge none.
type Store interface {
	// Get returns the value under the name; nil without an error if there is
	// none. Get and Set should return when ctx ends, which it does within a
	// quarter of a second: nobody waits longer, but those that do not return are
	// counted, and from 64 on the Store is not asked.
	Get(ctx context.Context, name string) (value []byte, err error)

	// Set puts a value there that may be forgotten after ttl, or before.
	Set(ctx context.Context, name string, value []byte, ttl time.Duration) error
}

// storeTimeout is for one access to the Store: one that is slow must not make
// the endpoint look so.
const storeTimeout = 250 * time.Millisecond

// A sharedStore is Config.Store at work.
type sharedStore struct {
	store     Store
	names     []byte
	values    cipher.AEAD
	place     string // whose answers these are
	report    func(error)
	reporting sync.Mutex
	access    chan struct{} // one for each access under way
}

// newSharedStore returns nil without a Store.
func newSharedStore(config Config) *sharedStore {
	if config.Store == nil {
		return nil
	}
	s := &sharedStore{store: config.Store, place: fmt.Sprintf("%q %q %q %t %t", config.Endpoint, config.ClientID, config.Issuer, config.Keys != nil, config.RequireTokenType), report: config.OnStoreError, access: make(chan struct{}, maxCalls)}
	s.names = derive(config.StoreKey, "names")
	block, err := aes.NewCipher(derive(config.StoreKey, "values"))
	if err != nil {
		panic(err) // of the length of a derived key
	}
	if s.values, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(err)
	}
	return s
}

func derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "accesstoken introspection store: "+purpose, 32)
	if err != nil {
		panic(err) // of the length of the key
	}
	return key
}

// name is a keyed digest: who reads the store cannot even tell whether a token
// that they hold is among those in it. It is bound to the endpoint and to us: two
// issuers, or two clients of one, are told different things about one token.
func (s *sharedStore) name(token string) string {
	mac := hmac.New(sha256.New, s.names)
	fmt.Fprintf(mac, "%s %q", s.place, token)
	return hex.EncodeToString(mac.Sum(nil))
}

// stored is a value before it is encrypted.
type stored struct {
	Asked  time.Time       `json:"asked"`
	Fresh  time.Time       `json:"fresh"` // used again until then
	Answer json.RawMessage `json:"answer,omitempty"`
}

// get returns the answer that another process has put there. A store that fails
// costs time, and a value that is not ours is none.
func (s *sharedStore) get(ctx context.Context, token string) (r Response, v stored, ok bool) {
	if s == nil {
		return Response{}, v, false
	}
	name := s.name(token)
	sealed, err := s.within(ctx, func(ctx context.Context) ([]byte, error) { return s.store.Get(ctx, name) })
	switch {
	case err != nil:
		s.complain(ctx, err)
		return Response{}, v, false
	case sealed == nil:
		return Response{}, v, false
	}
	v, r, err = s.open(name, sealed)
	if err != nil {
		s.complain(ctx, err)
		return Response{}, v, false
	}
	return r, v, true
}

var errForged = errors.New("introspection: a value in the store was not put there by us, or not under this name, and is ignored")

// open binds a value to its name: it cannot be moved to that of another token.
func (s *sharedStore) open(name string, sealed []byte) (v stored, r Response, err error) {
	text, err := s.values.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return v, r, errForged
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, r, errForged
	}
	if v.Answer != nil {
		r, err = readActive(v.Answer)
	}
	return v, r, err
}

// put shares an answer until fresh.
func (s *sharedStore) put(ctx context.Context, token string, r Response, asked, fresh, now time.Time) {
	if s == nil || !fresh.After(now) {
		return
	}
	v := stored{Asked: asked, Fresh: fresh}
	if r.Active {
		v.Answer = r.Raw
	}
	text, err := json.Marshal(v)
	if err != nil {
		s.complain(ctx, err)
		return
	}
	name := s.name(token)
	sealed := s.values.Seal(nil, nil, text, []byte(name))
	_, err = s.within(ctx, func(ctx context.Context) ([]byte, error) { return nil, s.store.Set(ctx, name, sealed, fresh.Sub(now)) })
	if err != nil {
		s.complain(ctx, err)
	}
}

var errHangs = errors.New("introspection: 64 accesses to the store are under way; no more are made until some return")

// within bounds an access by time and number, whether or not it heeds its
// context: many clients of such stores do not, unless they are told to. One that
// panics is one that fails.
func (s *sharedStore) within(ctx context.Context, access func(context.Context) ([]byte, error)) ([]byte, error) {
	select {
	case s.access <- struct{}{}:
	default:
		return nil, errHangs
	}
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	type result struct {
		value []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer cancel()
		defer func() { <-s.access }()
		r := result{err: errPanicked}
		defer func() {
			_ = recover()
			done <- r
		}()
		r.value, r.err = access(bounded)
	}()
	<-bounded.Done() // by the time, or by the end of the access
	select {
	case r := <-done:
		return r.value, r.err
	default:
		return nil, fmt.Errorf("introspection: the store has not answered within %v", storeTimeout)
	}
}

var errPanicked = errors.New("introspection: the store panicked")

// complain reports what is wrong with the store, not with whoever left. Nobody
// waits for the report, and while one is being made there is no other.
func (s *sharedStore) complain(ctx context.Context, err error) {
	if s.report == nil || ctx.Err() != nil || !s.reporting.TryLock() {
		return
	}
	go run(func() {
		defer s.reporting.Unlock()
		s.report(err)
	})
}
