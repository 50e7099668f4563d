//go:build ratio

package benchmarks_test

import (
	"slices"
	"testing"
	"time"
)

// TestRatioSmoke notices when the hot path has become slow out of all
// proportion, and nothing finer: times are compared with the raw cryptography
// of the same moment, as medians, against limits that noise does not reach.
// It is the one test that looks at a clock, so it has a build tag of its own.
func TestRatioSmoke(t *testing.T) {
	const rounds, misses, hits = 32, lap / 32, 512
	i := issuerOf(t, "RS256")
	tokens := i.tokens(t, lap)
	raw := rawVerifier(t, i)
	serve := validating(i.validator(t))

	var missRatios, hitRatios []float64
	for round := range rounds {
		fresh := tokens[round*misses : (round+1)*misses]
		rawTime := each(misses, func(int) {
			if !raw() {
				t.Fatal("the signature is wrong")
			}
		})
		missTime := each(misses, func(n int) { must(t, serve(fresh[n])) })
		hitTime := each(hits, func(int) { must(t, serve(fresh[0])) })
		missRatios = append(missRatios, missTime/rawTime)
		hitRatios = append(hitRatios, hitTime/rawTime)
	}
	if got := median(missRatios); got > 2 {
		t.Errorf("a new RS256 token costs %.2f of the raw cryptography; want at most 2", got)
	}
	if got := median(hitRatios); got > 0.15 {
		t.Errorf("a verified RS256 token costs %.3f of the raw cryptography; want at most 0.15", got)
	}
	t.Logf("new %.2f × raw, verified before %.3f × raw", median(missRatios), median(hitRatios))
}

// each returns the time of one call, in nanoseconds.
func each(n int, do func(n int)) float64 {
	start := time.Now()
	for i := range n {
		do(i)
	}
	return float64(time.Since(start)) / float64(n)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
