package jwks

import "errors"

// FAPI2Err reports what the settings allow that the FAPI 2.0 Security Profile
// does not (§5.2.1: all connections are over TLS), one fault per line, each
// beginning with the name of the setting; nil if there is nothing. It does not
// look at what HTTPClient does.
func (c *Cache) FAPI2Err() error {
	if c.config.DangerouslyAllowHTTP {
		return errors.New("DangerouslyAllowHTTP is set, so the keys could be read over plain http, where an attacker on the way can replace them; leave it false")
	}
	return nil
}

// FAPI2Err is [Cache.FAPI2Err].
func (v *View) FAPI2Err() error { return v.cache.FAPI2Err() }

// FAPI2Err returns nil: a fixed set allows nothing that the FAPI 2.0 Security
// Profile does not.
func (s *Set) FAPI2Err() error { return nil }

// FAPI2Err returns nil: how the keyfunc comes by its keys is not known here. Under
// the FAPI 2.0 Security Profile it has to be over TLS (§5.2.1).
func (s *KeyfuncSource) FAPI2Err() error { return nil }
