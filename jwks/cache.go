package jwks

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

// Config says where a key set is and how to treat it. Either URL or Issuer is
// required; the zero value of every other field is a good choice.
type Config struct {
	_ [0]func() // no unkeyed literals, so that fields can be added

	// URL is the JWK Set document (jwks_uri, RFC 8414 §2). Empty: it is found
	// by discovery from Issuer.
	URL string

	// Issuer is the exact issuer identifier. The metadata must name it (RFC
	// 8414 §3.3). With URL set it only serves the log.
	Issuer string

	// MetadataURL is where the metadata is read. Empty: the well-known places
	// of Issuer (RFC 8414 §3.1, OpenID Connect Discovery §4.1).
	MetadataURL string

	// HTTPClient makes the requests. It is copied; redirects are refused
	// whatever it says. Nil: a client of our own, TLS 1.2 or newer.
	HTTPClient *http.Client

	// Logger gets one warning when a refresh starts failing, one info when it
	// recovers, and one warning for keys that are left out, without any key
	// material. Nil: slog.Default().
	Logger *slog.Logger

	// DangerouslyAllowHTTP accepts plain http on any host. Whoever is on the
	// way can then replace the keys. Loopback hosts do not need it.
	DangerouslyAllowHTTP bool

	// RefreshAfter is when an answer is asked for again that does not say it
	// itself, from 100 ms to 24 h. Zero: 1 h, or less if UsableFor is short.
	// What the answer says (RFC 9111 §4.2.1) is taken from 5 minutes, or
	// RefreshAfter if that is less, to 24 h.
	RefreshAfter time.Duration

	// UsableFor is how long after the last good answer its keys still serve,
	// from 100 ms to 7 days. Zero: 24 h.
	UsableFor time.Duration

	// MissCooldown is the time in which unknown kids regain the right to one
	// fetch, up to two, from 100 ms to 1 h. Zero: 30 s.
	MissCooldown time.Duration
}

const (
	defaultRefresh  = time.Hour
	defaultUsable   = 24 * time.Hour
	defaultCooldown = 30 * time.Second

	shortest      = 100 * time.Millisecond // below this, waiting would be a flood of our own
	longestUsable = 7 * 24 * time.Hour     // a withdrawn key must stop working some day
	longestMiss   = time.Hour

	minFresh = 5 * time.Minute
	maxFresh = 24 * time.Hour
)

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.UsableFor == 0 {
		c.UsableFor = defaultUsable
	}
	if c.RefreshAfter == 0 {
		c.RefreshAfter = min(defaultRefresh, latestRefresh(c.UsableFor))
	}
	if c.MissCooldown == 0 {
		c.MissCooldown = defaultCooldown
	}
	return c
}

// latestRefresh leaves a quarter of the usable time to an outage.
func latestRefresh(usable time.Duration) time.Duration { return usable / 4 * 3 }

// check expects the defaults to be filled in.
func (c Config) check() error {
	faults := c.checkPlace()
	within := func(field string, value, least, most time.Duration) {
		if value < least || value > most {
			faults = append(faults, fmt.Errorf("jwks: %s: got %v; want %v to %v", field, value, least, most))
		}
	}
	within("RefreshAfter", c.RefreshAfter, min(shortest, latestRefresh(c.UsableFor)), maxFresh)
	within("UsableFor", c.UsableFor, shortest, longestUsable)
	within("MissCooldown", c.MissCooldown, shortest, longestMiss)
	if c.RefreshAfter >= c.UsableFor && c.UsableFor >= shortest {
		faults = append(faults, fmt.Errorf("jwks: RefreshAfter (%v) must be less than UsableFor (%v), or keys end before they are renewed", c.RefreshAfter, c.UsableFor))
	}
	return errors.Join(faults...)
}

func (c Config) checkPlace() (faults []error) {
	switch {
	case c.URL == "" && c.Issuer == "":
		return []error{errors.New("jwks: one of URL and Issuer is required")}
	case c.URL == "":
		for _, fault := range c.source().Faults() {
			faults = append(faults, fmt.Errorf("jwks: %w", fault))
		}
		return faults
	}
	if err := fetch.CheckURL(c.URL, c.DangerouslyAllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("jwks: URL: %w", err))
	}
	if c.MetadataURL != "" {
		faults = append(faults, errors.New("jwks: URL and MetadataURL exclude each other: with URL no metadata is read"))
	}
	return faults
}

func (c Config) source() discovery.Source {
	return discovery.Source{Issuer: c.Issuer, MetadataURL: c.MetadataURL, AllowHTTP: c.DangerouslyAllowHTTP}
}

// name says whose keys these are, for errors and logs.
func (c Config) name() string {
	if c.Issuer != "" {
		return c.Issuer
	}
	return fetch.Redact(c.URL)
}

// A Cache holds the key set of one issuer. It is made by [NewCache], safe for
// concurrent use, and to be closed.
type Cache struct {
	config Config
	client *fetch.Client

	// usable is what a request reads: nil before the first good answer, after
	// usable-until and after Close.
	usable atomic.Pointer[keySet]

	running sync.WaitGroup // fetches, and timers that are armed

	mu      sync.Mutex
	closed  bool
	flight  *flight // the fetch under way, or nil
	last    *keySet // the last good answer, kept beyond usable-until to recognize it
	budget  missBudget
	outage  outage
	refresh *time.Timer // asks again
	expiry  *time.Timer // drops the keys

	// Only the fetch under way touches these.
	jwksURI      string
	discoveredAt time.Time
	complained   map[string]bool
}

var errClosed = errors.New("jwks: the cache is closed")

// NewCache checks the configuration and returns a cache that has asked nothing
// yet: the first request, or [Cache.Warm], does. All faults are reported at
// once, one per line.
func NewCache(config Config) (*Cache, error) {
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
	}
	return &Cache{
		config:     config,
		client:     fetch.New(config.HTTPClient),
		budget:     newMissBudget(config.MissCooldown),
		jwksURI:    config.URL,
		complained: make(map[string]bool),
	}, nil
}

// Keys returns the public keys that may verify a token with this kid and alg,
// at most 4 and always in the same order: *[rsa.PublicKey], *[ecdsa.PublicKey]
// or [ed25519.PublicKey]. An empty kid stands for a token without one; every
// key that fits alg is then a candidate (RFC 7515 §4.1.4). The slice is shared
// and must not be changed.
//
// No keys and no error mean that the issuer was asked and has no such key. An
// error means one of these:
//   - the key is there but not for this alg, or alg is not one that a key of a
//     fetched set may have: it says so;
//   - the question could not be asked: the key set or the metadata is
//     unavailable, the metadata contradicts the configuration, or the cache is
//     closed. If there is a time to ask again, the error has a method
//     RetryAfter() time.Duration in its chain;
//   - ctx ended first: it matches the context's error. The fetch goes on for
//     the others who wait.
//
// generation counts the sets that differed; a set in another order is the same
// set. It is 0 with an error.
//
// When the key is held Keys does no I/O, no allocation and no locking. Else it
// waits for at most one fetch, of at most 5 seconds.
func (c *Cache) Keys(ctx context.Context, kid, alg string) (keys []crypto.PublicKey, generation uint64, err error) {
	if keys, generation := c.held(question{kid, alg}); keys != nil {
		return keys, generation, nil
	}
	return c.miss(ctx, question{kid, alg})
}

func (c *Cache) held(q question) ([]crypto.PublicKey, uint64) {
	set := c.usable.Load()
	if set == nil {
		return nil, 0
	}
	return set.keys[q], set.generation
}

// Keyfunc is a [jwt.Keyfunc]: it returns the key, or a [jwt.VerificationKeySet]
// of several, for the token's kid and alg, waiting for some 5 seconds at most
// when they have to be fetched. The error matches [jwkset.ErrKeyNotFound] if the issuer
// was asked and has no such key: the token is bad. Otherwise see [Cache.Keys].
//
// Parsers should still list the algorithms they accept ([jwt.WithValidMethods]).
func (c *Cache) Keyfunc(token *jwt.Token) (any, error) {
	kid, ok := "", true
	if value, present := token.Header["kid"]; present {
		kid, ok = value.(string)
	}
	if !ok || token.Method == nil { // RFC 7515 §4.1.4
		return nil, errors.New("jwks: the token's kid is not a string, or its alg is not known")
	}
	q := question{kid, token.Method.Alg()}
	keys, _ := c.held(q)
	var err error
	if keys == nil {
		// The fetch ends first; this is for a transport that does not heed its context.
		ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout+time.Second)
		defer cancel()
		keys, _, err = c.miss(ctx, q)
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, fmt.Errorf("jwks: %s has no key for this token: %w", c.config.name(), jwkset.ErrKeyNotFound)
	case len(keys) == 1:
		return keys[0], nil
	}
	set := jwt.VerificationKeySet{Keys: make([]jwt.VerificationKey, len(keys))}
	for i, key := range keys {
		set.Keys[i] = key
	}
	return set, nil
}

// Warm returns nil once usable keys are held, fetching them if none are, or
// why they could not be had. It makes one attempt at most; too soon after a
// failed one it makes none and returns that failure.
func (c *Cache) Warm(ctx context.Context) error {
	f, err := c.demand()
	if f == nil {
		return err
	}
	if err := f.wait(ctx); err != nil {
		return err
	}
	return f.err
}

// Ready returns nil while usable keys are held, else why not. It does not
// wait, but counts as a request: when none are held and an attempt is due, it
// starts one, or an instance that gets no traffic before it is ready would
// never become so.
func (c *Cache) Ready() error {
	f, err := c.demand()
	if f == nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outage.cause != nil {
		return c.unavailable(c.outage.cause)
	}
	return c.unavailable(errors.New("its first fetch has not ended"))
}

// Close ends the fetch under way and every timer, waits until they are gone,
// and drops the keys. Whoever waits gets an error, and so does every later
// call. Closing again is harmless. Close always returns nil.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.usable.Store(nil)
	c.disarm(&c.refresh)
	c.disarm(&c.expiry)
	if c.flight != nil {
		c.flight.cancel()
	}
	c.mu.Unlock()
	c.running.Wait()
	c.client.Close()
	return nil
}
