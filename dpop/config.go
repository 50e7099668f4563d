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

// Config configures a [Verifier]. URLs is required. The zero value of every other
// field is a safe default. A Config prints without its secret.
type Config struct {
	_ [0]func()

	// URLs are the URLs at which clients reach this resource server: scheme, host,
	// port and, if a proxy removes a path prefix from requests, that prefix. They are
	// https, or http on a loopback host. The htu of a proof must be one of them plus
	// the request's path.
	URLs []string

	// Algorithms lists the accepted alg values; nil means ES256, ES384, ES512, EdDSA,
	// Ed25519, PS256, PS384, PS512 and RS256. HMAC and none are never accepted.
	//
	// ML-DSA-44, ML-DSA-65 and ML-DSA-87 (RFC 9964) can be listed in a program built with
	// Go 1.27 or later. The maximum size of a proof is then 16 KiB instead of 8 KiB,
	// because a proof of ML-DSA-87 has about 11,100 bytes.
	Algorithms []string

	// MaxAge is the maximum age of a proof by its iat: 60 s if zero, at most 10 min.
	// It has no effect if nonces are demanded.
	MaxAge time.Duration

	// Leeway allows for clock skew: iat, if it is checked, and nbf may be this far in
	// the future, and exp this far in the past. It is 10 s if zero and none if
	// negative. More than 1 min is a fault.
	Leeway time.Duration

	// Store remembers which proofs were used; nil means NewMemory(0). If a client can
	// reach several instances, they should share one Store, because otherwise a proof
	// can be used once at each instance.
	Store Store

	// NonceKey is the secret that nonces are made with, of at least 32 random bytes.
	// Instances with the same NonceKey and NonceLifetime accept each other's nonces,
	// and nonces stay valid across a restart. If nil, no nonces are demanded.
	NonceKey []byte

	// NonceLifetime is the minimum time for which a nonce is valid; the maximum is
	// half as long again. It is 1 min if zero, and otherwise from 10 s to 1 h.
	// NonceLifetime requires NonceKey.
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

// String returns the URLs, without the secret.
func (c Config) String() string { return fmt.Sprintf("dpop.Config(%q)", c.URLs) }

// Format prints what String returns, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue returns what String returns.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// defaultAlgorithms returns the elliptic-curve and PSS algorithms. It adds RS256,
// because clients with an old key service still need it.
func defaultAlgorithms() []string {
	return []string{"ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "PS384", "PS512", "RS256"}
}

// withDefaults replaces zero values with the defaults, and a negative Leeway with
// zero. It copies Algorithms, which the caller could still change.
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

// check reports every fault. Call it before withDefaults.
func (c Config) check() error {
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf("dpop: "+format, args...)) }
	if len(c.URLs) == 0 {
		add("URLs is empty; list the URLs at which clients reach this resource server, for example https://api.example.com")
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
			add("Algorithms: %q is not supported; choose among %s", algorithm, jose.Choices())
		}
	}
	if c.MaxAge < 0 || c.MaxAge > mostAge {
		add("MaxAge is %v; expected a positive duration of at most %v, or zero for %v", c.MaxAge, mostAge, defaultMaxAge)
	}
	if c.Leeway > mostLeeway {
		add("Leeway is %v; the maximum is %v", c.Leeway, mostLeeway)
	}
	if c.NonceKey != nil && len(c.NonceKey) < leastNonceKey {
		add("NonceKey has %d bytes; expected at least %d random bytes, or nil for no nonces", len(c.NonceKey), leastNonceKey)
	}
	if c.NonceLifetime != 0 && c.NonceKey == nil {
		add("NonceLifetime has no effect without nonces; set NonceKey as well")
	}
	if c.NonceLifetime != 0 && (c.NonceLifetime < leastNonceLife || c.NonceLifetime > mostNonceLifetime) {
		add("NonceLifetime is %v; expected %v to %v, or zero for %v", c.NonceLifetime, leastNonceLife, mostNonceLifetime, defaultNonceLifetime)
	}
	if err := checkStore(c.Store); err != nil {
		add("Store: %w", err)
	}
	return errors.Join(faults...)
}
