package dpop

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What the FAPI 2.0 Security Profile allows: the algorithms of §5.4.1, and clocks
// that are 10 s ahead, but not more than a minute (§5.3.2.1, said there of
// authorization servers).
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

const fapiLeastLeeway = 10 * time.Second

// FAPI2Err reports what the Config allows and the FAPI 2.0 Security Profile does not,
// each fault on a line that begins with the name of the field; nil if there is
// nothing. How old a proof may be, the profile does not say.
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
