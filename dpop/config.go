package dpop

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// Config says what a [Verifier] accepts. URLs has to be set; zero is a safe default
// for everything else. A Config prints without its secret.
type Config struct {
	_ [0]func()

	// URLs are where clients reach this resource server: scheme, host, port, and
	// the path prefix if a proxy takes one away before requests come here. They
	// are https, or http on a loopback host. The htu of a proof must be one of
	// them with the request's path added.
	URLs []string

	// Algorithms lists the accepted alg values; nil is ES256, ES384, ES512, EdDSA,
	// Ed25519, PS256, PS384, PS512 and RS256. HMAC and none are never accepted.
	Algorithms []string

	// MaxAge is how long ago the iat of a proof may be: 60 s if zero, at most
	// 10 min. It counts where no nonces are demanded.
	MaxAge time.Duration

	// Leeway accounts for clock skew: iat and nbf may lie so far ahead, and exp so
	// far back. It is 10 s if zero, none if negative, at most 1 min.
	Leeway time.Duration

	// Store remembers which proofs were used; nil is NewMemory(0). Instances that
	// one client may reach have to share one, or a proof is good once at each.
	Store Store

	// NonceKey is the secret, of 32 random bytes or more, that nonces are made
	// with. Instances that have the same one accept each other's, and a restart
	// changes nothing. Nil: no nonces are demanded.
	NonceKey []byte

	// NonceLifetime is how long a nonce is good at the least, and half as long
	// again at the most: 1 min if zero, from 10 s to 1 h. It needs NonceKey.
	NonceLifetime time.Duration

	// Now is the clock; nil is time.Now. It must be safe for concurrent use.
	Now func() time.Time
}

const (
	defaultMaxAge        = time.Minute
	defaultLeeway        = 10 * time.Second
	defaultNonceLifetime = time.Minute

	mostAge           = 10 * time.Minute
	mostLeeway        = time.Minute
	leastNonceKey     = 32 // bytes
	leastNonceLife    = 10 * time.Second
	mostNonceLifetime = time.Hour
)

// String names the URLs, and keeps the secret.
func (c Config) String() string { return fmt.Sprintf("dpop.Config(%q)", c.URLs) }

// Format prints what String returns, under every verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns what String does.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// defaultAlgorithms are those of FAPI 2.0 first, and RS256, which clients with an
// old key service still need.
func defaultAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256"}
}

// withDefaults fills in what is zero, and copies what the caller could change.
func (c Config) withDefaults() Config {
	if c.Algorithms == nil {
		c.Algorithms = defaultAlgorithms()
	}
	c.Algorithms = slices.Clone(c.Algorithms)
	if c.MaxAge == 0 {
		c.MaxAge = defaultMaxAge
	}
	if c.Leeway == 0 {
		c.Leeway = defaultLeeway
	}
	c.Leeway = max(c.Leeway, 0)
	if c.NonceLifetime == 0 {
		c.NonceLifetime = defaultNonceLifetime
	}
	if c.Store == nil {
		c.Store = NewMemory(0)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// check reports every fault. It expects the Config as it was written.
func (c Config) check() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf("dpop: "+format, args...)) }
	if len(c.URLs) == 0 {
		add("URLs is empty; name where clients reach this resource server, such as https://api.example.com")
	}
	for _, url := range c.URLs {
		if _, err := newBase(url); err != nil {
			add("URLs: %w", err)
		}
	}
	if c.Algorithms != nil && len(c.Algorithms) == 0 {
		add("Algorithms is set but empty; leave it nil for the default")
	}
	for _, algorithm := range c.Algorithms {
		if !jose.Supported(algorithm) {
			add("Algorithms: %q is not supported; choose among %v", algorithm, jose.DefaultAlgorithms())
		}
	}
	if c.MaxAge < 0 || c.MaxAge > mostAge {
		add("MaxAge is %v; at most %v is allowed, and zero for %v", c.MaxAge, mostAge, defaultMaxAge)
	}
	if c.Leeway > mostLeeway {
		add("Leeway is %v; at most %v is allowed", c.Leeway, mostLeeway)
	}
	if c.NonceKey != nil && len(c.NonceKey) < leastNonceKey {
		add("NonceKey has %d bytes; take %d random ones or more, or nil for no nonces", len(c.NonceKey), leastNonceKey)
	}
	if c.NonceLifetime != 0 && c.NonceKey == nil {
		add("NonceLifetime is for nonces; set NonceKey as well")
	}
	if c.NonceLifetime != 0 && (c.NonceLifetime < leastNonceLife || c.NonceLifetime > mostNonceLifetime) {
		add("NonceLifetime is %v; expected %v to %v, or zero for %v", c.NonceLifetime, leastNonceLife, mostNonceLifetime, defaultNonceLifetime)
	}
	if err := checkStore(c.Store); err != nil {
		add("Store: %w", err)
	}
	return errors.Join(faults...)
}
