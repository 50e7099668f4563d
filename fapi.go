package accesstoken

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// fapiAlgorithms are the algorithms of FAPI 2.0 Security Profile §5.4.1.
var fapiAlgorithms = []string{"PS256", "ES256", "Ed25519", "EdDSA"}

// The bounds of FAPI2. The profile requires accepting clocks that are up to 10 s
// ahead and refusing those more than a minute ahead (§5.3.2.1, a rule for
// authorization servers). It sets no lifetime for tokens without a revocation check;
// 10 minutes is our choice.
const (
	fapiLeastLeeway  = 10 * time.Second
	fapiMostLeeway   = 60 * time.Second
	fapiMostLifetime = 10 * time.Minute
)

// algorithms returns the algorithms of an issuer that lists none.
func (c Config) algorithms() []string {
	if c.FAPI2 {
		return fapiAlgorithms
	}
	return jose.DefaultAlgorithms()
}

// fapiFaults reports the settings that FAPI2 does not allow.
func (c Config) fapiFaults() (f faults) {
	if leeway := c.leeway(); leeway < fapiLeastLeeway || leeway > fapiMostLeeway {
		f.add("FAPI2: Leeway is %v; expected between %v and %v", leeway, fapiLeastLeeway, fapiMostLeeway)
	}
	if c.Authenticate != nil {
		f.add("FAPI2: every token must be bound to its sender, and Authenticate lets callers in without a token; leave it nil")
	}
	f.fapiOf("DPoP", c.DPoP)
	for n, i := range c.Issuers {
		var own faults
		own.fapiAlgorithms(i.Algorithms)
		own.fapiOf("Introspection", i.Introspection)
		own.fapiOf("Keys", i.Keys)
		if i.isTrustDomain() {
			own.add("FAPI2: every token must be bound to its sender, and JWT-SVIDs are bearer tokens; give the trust domain a Validator of its own, without FAPI2")
		}
		if i.DangerouslyAllowHTTP || i.DangerouslyAcceptNoAudience {
			own.add("FAPI2 allows no setting whose name begins with Dangerously")
		}
		if !i.AlwaysIntrospect && (i.MaxLifetime <= 0 || i.MaxLifetime > fapiMostLifetime) {
			own.add("FAPI2: revoked tokens must be refused in time; set AlwaysIntrospect, or a MaxLifetime of at most %v", fapiMostLifetime)
		}
		for _, fault := range own {
			f.add("Issuers[%d]: %w", n, fault)
		}
	}
	return f
}

// fapiOf adds the faults that a part of the configuration reports about its own
// settings, one for each line. The part may be nil.
func (f *faults) fapiOf(field string, part any) {
	asked, ok := part.(interface{ FAPI2Err() error })
	if value := reflect.ValueOf(part); !ok || value.Kind() == reflect.Pointer && value.IsNil() {
		return
	}
	if err := asked.FAPI2Err(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			f.add("FAPI2: %s: %s", field, line)
		}
	}
}

// fapiAlgorithms adds a fault for each algorithm that the profile does not have.
func (f *faults) fapiAlgorithms(algorithms []string) {
	for _, algorithm := range algorithms {
		if !slices.Contains(fapiAlgorithms, algorithm) {
			f.add("FAPI2: Algorithms has %q; the profile allows PS256, ES256 and Ed25519 only", algorithm)
		}
	}
}
