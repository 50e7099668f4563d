package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// fapiAlgorithms are the algorithms of FAPI 2.0 Security Profile §5.4.1.
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

// FAPI2Err returns an error if the settings allow more than the FAPI 2.0 Security Profile
// does. The profile requires TLS for all connections (§5.2.1) and limits the algorithms of
// JWTs, including signed metadata (§5.4.1). There is one fault per line, each beginning
// with the name of the setting. HTTPClient, and http on a loopback host, are not checked.
func (c *Cache) FAPI2Err() error {
	var faults []error
	if c.config.DangerouslyAllowHTTP {
		faults = append(faults, errors.New("DangerouslyAllowHTTP is set, so keys may be read over plain http, where an attacker on the network path can replace them; set it to false"))
	}
	for _, algorithm := range jose.Algorithms() {
		if !slices.Contains(fapiAlgorithms, algorithm) && c.config.MetadataKeys.fits(algorithm) {
			faults = append(faults, fmt.Errorf("MetadataKeys has a key for %s, but the profile allows only PS256, ES256 and Ed25519; declare the key's alg or remove the key", algorithm))
			break // an RSA key without alg fits several algorithms, but is one fault
		}
	}
	return errors.Join(faults...)
}

// fits reports whether the set has a key for the algorithm. The set can be nil.
func (s *Set) fits(algorithm string) bool {
	if s == nil {
		return false
	}
	keys, _, _ := s.Keys(context.Background(), "", algorithm) // after an error there are no keys
	return len(keys) > 0
}

// FAPI2Err is [Cache.FAPI2Err].
func (v *View) FAPI2Err() error { return v.cache.FAPI2Err() }

// FAPI2Err returns nil, because a fixed set has no settings that the FAPI 2.0 Security
// Profile forbids.
func (s *Set) FAPI2Err() error { return nil }

// FAPI2Err returns nil, because it cannot find out how the keyfunc gets its keys. For
// the FAPI 2.0 Security Profile you should make sure that the keyfunc uses TLS
// (§5.2.1).
func (s *KeyfuncSource) FAPI2Err() error { return nil }
