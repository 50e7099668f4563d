package introspection

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// fapi is what FAPI2Err and Issuer look at.
type fapi struct {
	issuer     string
	endpoint   string
	stale      bool
	method     AuthMethod
	algorithm  string // of client assertions; empty: there are none
	keys       KeySource
	algorithms []string
}

// fapi expects a Config that was checked.
func (c Config) fapi() fapi {
	f := fapi{issuer: c.Issuer, endpoint: c.Endpoint, stale: c.DangerouslyServeStaleFor > 0, method: c.AuthMethod, keys: c.Keys, algorithms: slices.Clone(c.Algorithms)}
	if c.AuthMethod == PrivateKeyJWT {
		f.algorithm = c.keyAlgorithm()
	}
	return f
}

// fapiAlgorithms are those of FAPI 2.0 Security Profile §5.4.1.
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

// fapiMostCache is how long a revoked token may still be called active. The profile has
// no number for it; this is ours, as for the life of tokens that are not introspected.
const fapiMostCache = 10 * time.Minute

// FAPI2Err returns what the settings allow and the FAPI 2.0 Security Profile does not:
// every fault at once, each on a line that begins with the name of the setting. It is
// nil if there are none.
//
// A secret in a form or in the Authorization field is no fault: the profile demands
// private_key_jwt or mutual TLS of clients at the token endpoint (§5.3.2.1), and leaves
// open how a resource server shows itself for introspection.
func (c *Client) FAPI2Err() error {
	f := c.config
	var faults []error
	add := func(setting, text string) { faults = append(faults, fmt.Errorf("%s %s", setting, text)) }
	if fetch.CheckURL(f.endpoint, false) != nil {
		add("Endpoint", "is plain http to another host, which the profile does not allow; use https (§5.2.1)")
	}
	if f.stale {
		add("DangerouslyServeStaleFor", "calls tokens active that may have been revoked; leave it zero")
	}
	if c.cache.keepFor > fapiMostCache {
		faults = append(faults, fmt.Errorf("CacheFor is %v, and a token that was revoked may be called active for so long; the maximum is %v", c.cache.keepFor, fapiMostCache))
	}
	if f.method == ClientSecretJWT {
		add("AuthMethod", "client_secret_jwt signs with HS256; "+fapiAllows+": use private_key_jwt")
	}
	if f.algorithm != "" && !slices.Contains(fapiAlgorithms, f.algorithm) {
		add("ClientKeyAlgorithm", "is "+f.algorithm+", by itself or by ClientKey; "+fapiAllows)
	}
	if f.keys != nil && f.algorithms == nil {
		add("Algorithms", "is nil, so that signed answers may be under RS256; "+fapiAllows)
	}
	for _, algorithm := range f.algorithms {
		if !slices.Contains(fapiAlgorithms, algorithm) {
			add("Algorithms", fmt.Sprintf("has %q; %s", algorithm, fapiAllows))
		}
	}
	return errors.Join(append(faults, f.ofKeys()...)...)
}

const fapiAllows = "the profile allows PS256, ES256 and Ed25519 only (§5.4.1)"

// ofKeys asks a source that knows its own faults.
func (f fapi) ofKeys() (faults []error) {
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
