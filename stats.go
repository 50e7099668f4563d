package accesstoken

import (
	"fmt"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/meter"
)

// Stats are the counters and the state of a Validator and its relatives by ForResource, see
// [Validator.Stats]. docs/operate.md says what each field tells, and what to do about it. No
// text in them comes from a request. Counters only grow, unless a field says otherwise.
//
// Print it with String, or encode it as JSON: names are in lower case with underscores, and
// durations are numbers of seconds.
type Stats struct {
	_ [0]func()

	// Decisions are counted by resource server, issuer, transport, outcome and reason. What
	// was not counted yet is not listed. Their number is bounded by the configuration.
	Decisions []DecisionCount

	// Issuers has the state of what each issuer is asked for, by name.
	Issuers []IssuerStats

	// Tokens is the cache of verified tokens.
	Tokens CacheStats

	// Proofs has the proofs of possession that all DPoP verifiers of the family have seen.
	Proofs dpop.Stats
}

// CacheStats are about the cache of verified tokens. It holds no opaque tokens.
type CacheStats struct {
	// Hits is how many JWTs were found, and Misses how many well-formed JWTs were not.
	Hits, Misses uint64

	// Evictions is how many tokens were removed to make room.
	Evictions uint64

	// Bytes is about what the tokens held take, and Limit the most that they may take.
	Bytes, Limit int64

	// Verified counts the genuine tokens that were not found by how long their verification
	// took, from the lookup of the key to the verified signature. Verified[0] counts those
	// of at most 2^-17 s, Verified[1] those of at most 2^-16 s that are not in Verified[0],
	// and so on up to 2^5 s; the last counts the rest. VerifiedTime is the sum.
	Verified     [24]uint64
	VerifiedTime time.Duration
}

// Stats returns the counters and the state of the whole family: it is the same which of the
// Validators of ForResource is asked, so register one. Counting is always on. Stats does no
// I/O, and takes time in proportion to the number of issuers. It works after Close.
func (v *Validator) Stats() Stats {
	if v.family == nil {
		return Stats{}
	}
	decisions, cached := v.ledger.decisions()
	s := Stats{Decisions: decisions, Issuers: v.issuerStats()}
	s.Tokens = CacheStats{Hits: cached, Misses: v.ledger.misses.Load()}
	s.Tokens.Evictions, s.Tokens.Bytes, s.Tokens.Limit = v.cache.Stats()
	s.Tokens.Verified, s.Tokens.VerifiedTime = v.ledger.took.Read()
	for _, verifier := range v.resources.verifiers(v.config.DPoP) {
		meter.Add(&s.Proofs, verifier.Stats())
	}
	return s
}

// String has a line for each element, and one for the caches. What is zero is left out.
func (s Stats) String() string {
	var text strings.Builder
	for _, d := range s.Decisions {
		fmt.Fprintln(&text, "decisions", meter.Text(d))
	}
	for _, i := range s.Issuers {
		fmt.Fprintln(&text, "issuer", meter.Text(i))
		if i.Keys != nil {
			fmt.Fprintf(&text, "keys name=%q %s\n", i.Name, meter.Text(*i.Keys))
		}
		if i.Introspection != nil {
			fmt.Fprintf(&text, "introspection name=%q %s\n", i.Name, meter.Text(*i.Introspection))
		}
	}
	fmt.Fprintln(&text, "tokens", meter.Text(s.Tokens))
	fmt.Fprintln(&text, "proofs", meter.Text(s.Proofs))
	return text.String()
}

// MarshalJSON returns all fields, also those that are zero.
func (s Stats) MarshalJSON() ([]byte, error) { return meter.JSON(s) }
