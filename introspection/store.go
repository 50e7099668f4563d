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

// A Store lets several processes share answers: if one process has looked a token up,
// the others find the answer in the Store. It must be safe for concurrent use.
//
// The Store never holds a token, nor anything that is readable without Config.StoreKey:
// names are keyed digests, and values are encrypted and authenticated under
// Config.StoreKey. An attacker who can write to the Store can remove answers but not
// forge them.
type Store interface {
	// Get returns the value under the name, or nil and no error if there is no value. Get
	// and Set should return when ctx ends, after at most 250 ms. The client does not wait
	// longer, but while 64 accesses have not returned, it does not use the Store.
	Get(ctx context.Context, name string) (value []byte, err error)

	// Set stores a value. The Store can drop it at any time, and should drop it
	// after ttl.
	Set(ctx context.Context, name string, value []byte, ttl time.Duration) error
}

// storeTimeout bounds one access to the Store, so that a slow Store does not make
// the endpoint look slow.
const storeTimeout = 250 * time.Millisecond

// A sharedStore encrypts the values for Config.Store, and bounds its accesses.
type sharedStore struct {
	store     Store
	names     []byte
	values    cipher.AEAD
	place     string // the endpoint, this client and the settings that change answers
	report    func(error)
	reporting sync.Mutex
	access    chan struct{} // has one element for each access under way
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
		panic(err) // impossible: a derived key has the right length
	}
	if s.values, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(err)
	}
	return s
}

func derive(secret []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "accesstoken introspection store: "+purpose, 32)
	if err != nil {
		panic(err) // impossible: SHA-256 can make keys of 32 bytes
	}
	return key
}

// name is a keyed digest, so that an attacker who reads the store and holds a token
// cannot tell whether the token's answer is in the store. The digest covers the endpoint
// and this client, because two issuers, or two clients of one issuer, may get different
// answers about one token.
func (s *sharedStore) name(token string) string {
	mac := hmac.New(sha256.New, s.names)
	fmt.Fprintf(mac, "%s %q", s.place, token)
	return hex.EncodeToString(mac.Sum(nil))
}

// stored is a value before it is encrypted.
type stored struct {
	Asked  time.Time       `json:"asked"`
	Fresh  time.Time       `json:"fresh"` // reused until then
	Answer json.RawMessage `json:"answer,omitempty"`
}

// get returns the answer that a process has stored. If the store fails, or the value is
// not authentic, it reports the fault and returns false.
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

var errForged = errors.New("introspection: ignored a value in the Store: authentication failed, so it was not written with this StoreKey or was moved to another name")

// open decrypts a value. If the value was stored under a different name, for example the
// name of another token, open fails.
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

// put stores an answer that may be reused until fresh.
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

var errHangs = errors.New("introspection: 64 accesses to the Store are still running; it is not used until one returns")

// within bounds the time of an access and the number of them, even if the Store ignores
// its context, as many client libraries do by default. If an access panics, within
// returns an error.
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
	<-bounded.Done() // the time is over, or the access has ended
	select {
	case r := <-done:
		return r.value, r.err
	default:
		return nil, fmt.Errorf("introspection: the Store has not answered within %v", storeTimeout)
	}
}

var errPanicked = errors.New("introspection: the Store panicked")

// complain reports a fault of the store, but not one that is due to ctx's end. It does
// not wait for the report. If an earlier report is still running, this report is
// dropped.
func (s *sharedStore) complain(ctx context.Context, err error) {
	if s.report == nil || ctx.Err() != nil || !s.reporting.TryLock() {
		return
	}
	go run(func() {
		defer s.reporting.Unlock()
		s.report(err)
	})
}
