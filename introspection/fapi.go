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
	if fetch.CheckURL(f.endpoint, false) != nil {
		faults = append(faults, errors.New("Endpoint is plain http to another host, which the profile does not allow; use https (§5.2.1)"))
	}
	if f.stale {
		faults = append(faults, errors.New("DangerouslyServeStaleFor calls tokens active that may have been revoked; leave it zero"))
	}
	if c.cache.keepFor > fapiMostCache {
		faults = append(faults, fmt.Errorf("CacheFor is %v, and a token that was revoked may be called active for so long; the maximum is %v", c.cache.keepFor, fapiMostCache))
	}
	if f.method == ClientSecretJWT {
		faults = append(faults, errors.New("AuthMethod client_secret_jwt signs with HS256; the profile allows PS256, ES256 and Ed25519 only: use private_key_jwt (§5.4.1)"))
	}
	if f.algorithm != "" && !slices.Contains(fapiAlgorithms, f.algorithm) {
		faults = append(faults, fmt.Errorf("ClientKeyAlgorithm is %s, by itself or by ClientKey; the profile allows PS256, ES256 and Ed25519 only (§5.4.1)", f.algorithm))
	}
	if f.keys != nil {
		faults = append(faults, f.checkAlgorithms(), f.checkKeys())
	}
	return errors.Join(faults...)
}

func (f fapi) checkAlgorithms() error {
	if f.algorithms == nil {
		return errors.New("Algorithms is nil, so that signed answers may be under RS256; set it to PS256, ES256 or Ed25519 (§5.4.1)")
	}
	for _, algorithm := range f.algorithms {
		if !slices.Contains(fapiAlgorithms, algorithm) {
			return fmt.Errorf("Algorithms has %q; the profile allows PS256, ES256 and Ed25519 only (§5.4.1)", algorithm)
		}
	}
	return nil
}

// checkKeys asks a source that knows its own faults.
func (f fapi) checkKeys() error {
	checked, ok := f.keys.(interface{ FAPI2Err() error })
	if !ok || checked.FAPI2Err() == nil {
		return nil
	}
	several := []error{checked.FAPI2Err()}
	if joined, ok := several[0].(interface{ Unwrap() []error }); ok {
		several = slices.Clone(joined.Unwrap()) // a line for each
	}
	for i, fault := range several {
		several[i] = fmt.Errorf("Keys: %w", fault)
	}
	return errors.Join(several...)
}
