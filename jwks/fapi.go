package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// fapiAlgorithms are those of FAPI 2.0 Security Profile §5.4.1.
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

// FAPI2Err reports what the settings allow that the FAPI 2.0 Security Profile
// does not (§5.2.1: all connections are over TLS; §5.4.1: the algorithms of
// JWTs, signed metadata included), one fault per line, each beginning with the
// name of the setting; nil if there is nothing. It does not look at what
// HTTPClient does.
func (c *Cache) FAPI2Err() error {
	var faults []error
	if c.config.DangerouslyAllowHTTP {
		faults = append(faults, errors.New("DangerouslyAllowHTTP is set, so the keys could be read over plain http, where an attacker on the way can replace them; leave it false"))
	}
	for _, algorithm := range jose.DefaultAlgorithms() {
		if !slices.Contains(fapiAlgorithms, algorithm) && c.config.MetadataKeys.fits(algorithm) {
			faults = append(faults, fmt.Errorf("MetadataKeys has a key for %s; the profile allows PS256, ES256 and Ed25519 only: declare the key's alg, or leave it out", algorithm))
			break // one key of RSA without alg is for all of its algorithms
		}
	}
	return errors.Join(faults...)
}

// fits reports whether a key of the set, which may be nil, may verify under an
// algorithm.
func (s *Set) fits(algorithm string) bool {
	if s == nil {
		return false
	}
	keys, _, _ := s.Keys(context.Background(), "", algorithm) // an error is no key
	return len(keys) > 0
}

// FAPI2Err is [Cache.FAPI2Err].
func (v *View) FAPI2Err() error { return v.cache.FAPI2Err() }

// FAPI2Err returns nil: a fixed set allows nothing that the FAPI 2.0 Security
// Profile does not.
func (s *Set) FAPI2Err() error { return nil }

// FAPI2Err returns nil: how the keyfunc comes by its keys is not known here. Under
// the FAPI 2.0 Security Profile it has to be over TLS (§5.2.1).
func (s *KeyfuncSource) FAPI2Err() error { return nil }
