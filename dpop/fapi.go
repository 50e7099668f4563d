package dpop

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The FAPI 2.0 Security Profile lists the algorithms that are allowed (§5.4.1). It
// requires an authorization server to accept clocks that are up to 10 s ahead, and to
// refuse clocks that are more than a minute ahead (§5.3.2.1). The same limits are
// applied here.
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

const fapiLeastLeeway = 10 * time.Second

// FAPI2Err reports what the Config allows and the FAPI 2.0 Security Profile does not,
// and returns nil if there is nothing. Each fault is a line that begins with the name
// of the field. The profile sets no maximum age of a proof, so MaxAge is not checked.
func (v *Verifier) FAPI2Err() error {
	var faults []error
	for _, algorithm := range v.algorithms {
		if !slices.Contains(fapiAlgorithms, algorithm) {
			faults = append(faults, fmt.Errorf("%s has %q; the profile allows PS256, ES256 and Ed25519 only", "Algorithms", algorithm))
		}
	}
	if v.leeway < fapiLeastLeeway || v.leeway > mostLeeway {
		faults = append(faults, fmt.Errorf("%s is %v; set it between %v and %v, or leave it zero for %v", "Leeway", v.leeway, fapiLeastLeeway, mostLeeway, defaultLeeway))
	}
	return errors.Join(faults...)
}
