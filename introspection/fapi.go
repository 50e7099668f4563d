package introspection

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// fapi holds the settings that FAPI2Err and Issuer use.
type fapi struct {
	issuer     string
	endpoint   string
	stale      bool
	method     AuthMethod
	algorithm  string // of client assertions; empty if ClientKey signs none
	keys       KeySource
	algorithms []string
}

// fapi expects a checked Config.
func (c Config) fapi() fapi {
	f := fapi{issuer: c.Issuer, endpoint: c.Endpoint, stale: c.DangerouslyServeStaleFor > 0, method: c.AuthMethod, keys: c.Keys, algorithms: slices.Clone(c.Algorithms)}
	if c.AuthMethod == PrivateKeyJWT {
		f.algorithm = c.keyAlgorithm()
	}
	return f
}

// fapiAlgorithms are the JWS algorithms that FAPI 2.0 Security Profile §5.4.1 allows.
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

// fapiMostCache bounds for how long a revoked token may still be reported as active. The
// profile sets no limit. 10 minutes is our choice, as it is for the lifetime of tokens
// that are not introspected.
const fapiMostCache = 10 * time.Minute

// FAPI2Err returns an error if the settings allow something that the FAPI 2.0 Security
// Profile forbids, or let a revoked token pass for more than 10 minutes or during outages.
// It lists every such fault, each on a line that begins with the name of the setting.
//
// A secret in a form or in the Authorization field is not a fault. The profile requires
// private_key_jwt or mutual TLS from clients at the token endpoint (§5.3.2.1), but does
// not say how a resource server authenticates itself for introspection.
func (c *Client) FAPI2Err() error {
	f := c.config
	var faults []error
	add := func(setting, text string) { faults = append(faults, fmt.Errorf("%s %s", setting, text)) }
	if fetch.CheckURL(f.endpoint, false) != nil {
		add("Endpoint", "is plain http to another host, which the profile does not allow; use https (§5.2.1)")
	}
	if f.stale {
		add("DangerouslyServeStaleFor", "lets revoked tokens pass as active during an outage; leave it zero")
	}
	if c.cache.keepFor > fapiMostCache {
		faults = append(faults, fmt.Errorf("CacheFor is %v, so a revoked token may pass as active for that long; the maximum is %v", c.cache.keepFor, fapiMostCache))
	}
	if f.method == ClientSecretJWT {
		add("AuthMethod", "client_secret_jwt signs with HS256, but "+fapiAllows+"; use private_key_jwt")
	}
	if f.algorithm != "" && !slices.Contains(fapiAlgorithms, f.algorithm) {
		add("ClientKeyAlgorithm", "is "+f.algorithm+" (set, or chosen for ClientKey), but "+fapiAllows)
	}
	if f.keys != nil && f.algorithms == nil {
		add("Algorithms", "is nil, so signed answers may use RS256, but "+fapiAllows)
	}
	for _, algorithm := range f.algorithms {
		if !slices.Contains(fapiAlgorithms, algorithm) {
			add("Algorithms", fmt.Sprintf("has %q, but %s", algorithm, fapiAllows))
		}
	}
	return errors.Join(append(faults, f.keyFaults()...)...)
}

const fapiAllows = "the profile allows PS256, ES256 and Ed25519 only (§5.4.1)"

// keyFaults returns the faults of Keys, if it has a method FAPI2Err.
func (f fapi) keyFaults() (faults []error) {
	checked, ok := f.keys.(interface{ FAPI2Err() error })
	if !ok || checked.FAPI2Err() == nil {
		return nil
	}
	several := []error{checked.FAPI2Err()}
	if joined, ok := several[0].(interface{ Unwrap() []error }); ok {
		several = joined.Unwrap() // a line for each
	}
	for _, fault := range several {
		faults = append(faults, fmt.Errorf("%s: %w", "Keys", fault))
	}
	return faults
}
