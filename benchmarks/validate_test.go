package benchmarks_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

// A lap is the number of different tokens that a benchmark of misses uses before it
// needs a new validator.
const lap = 1024

// BenchmarkValidate measures the whole check of a bare token. A hit is a cached token, a
// miss is a new one.
func BenchmarkValidate(b *testing.B) {
	for _, alg := range algorithms {
		i := issuerOf(b, alg)
		b.Run("alg="+alg+"/cache=miss", func(b *testing.B) {
			missing(b, i, i.tokens(b, lap), validating)
		})
		b.Run("alg="+alg+"/cache=hit", func(b *testing.B) {
			hitting(b, i, i.tokens(b, 1)[0], validating)
		})
	}
}

// BenchmarkOverRaw reports a miss as a multiple of the raw cryptography. The two
// alternate every millisecond, so that other work on the machine affects both alike. The
// rows of BenchmarkRaw and BenchmarkValidate are seconds apart.
func BenchmarkOverRaw(b *testing.B) {
	for _, alg := range algorithms {
		b.Run("alg="+alg, func(b *testing.B) {
			i := issuerOf(b, alg)
			tokens := i.tokens(b, lap)
			var raw []func() bool // of each, so that both read the same memory
			for _, token := range tokens {
				raw = append(raw, rawVerifier(b, i, token))
			}
			const turn = 16
			var v *accesstoken.Validator
			var serve func(string) error
			var ratios, times []float64
			good, next := true, lap
			for b.Loop() {
				if next == lap {
					if v != nil {
						must(b, v.Close())
					}
					v = i.validator(b)
					serve, next = validating(v), 0
				}
				rawTime := each(turn, func(n int) { good = raw[next+n]() && good })
				missTime := each(turn, func(n int) { must(b, serve(tokens[next+n])) })
				next += turn
				ratios, times = append(ratios, missTime/rawTime), append(times, missTime)
			}
			if !good {
				b.Fatal("the signature is wrong")
			}
			b.ReportMetric(report.Median(times), "ns/op")
			b.ReportMetric(report.Median(ratios), "×raw")
		})
	}
}

// each returns the time of one call, in nanoseconds.
func each(n int, do func(n int)) float64 {
	start := time.Now()
	for i := range n {
		do(i)
	}
	return float64(time.Since(start)) / float64(n)
}

// BenchmarkValidateParallel measures the hits of BenchmarkValidate on all cores.
func BenchmarkValidateParallel(b *testing.B) {
	for _, alg := range algorithms {
		i := issuerOf(b, alg)
		b.Run("alg="+alg+"/cache=hit", func(b *testing.B) {
			hittingParallel(b, i.validator(b), i.tokens(b, 1))
		})
	}
}

// BenchmarkValidateMany measures a service with many concurrent callers: 10,000 cached
// tokens in random order, on all cores. They are signed with EdDSA, because this is fast,
// and padded to the length of an RS256 token.
func BenchmarkValidateMany(b *testing.B) {
	i := issuerOf(b, "EdDSA")
	short := len(issuerOf(b, "RS256").tokens(b, 1)[0]) - len(i.tokens(b, 1)[0])
	tokens := make([]string, 10_000)
	for n := range tokens {
		tokens[n] = i.sign(b, n, map[string]any{"pad": fmt.Sprintf("%0*d", short*3/4-len(`"pad":"",`), n)})
	}
	b.Run("tokens=10000/cache=hit", func(b *testing.B) {
		hittingParallel(b, i.validator(b), tokens)
	})
}

// An entrance calls a validator, and returns an error if the request was refused.
type entrance func(*accesstoken.Validator) func(credential string) error

// hitting measures a token that the validator has verified before.
func hitting(b *testing.B, i *issuer, credential string, enter entrance) {
	serve := enter(i.validator(b))
	must(b, serve(credential))
	b.ReportAllocs()
	for b.Loop() {
		if err := serve(credential); err != nil {
			b.Fatal(err)
		}
	}
}

// missing measures tokens that the validator has never seen. The validator caches tokens,
// so each lap through them begins with a new validator, which is made while the timer is
// stopped. The storing of the facts at the end is part of the measurement.
func missing(b *testing.B, i *issuer, credentials []string, enter entrance) {
	var v *accesstoken.Validator
	var serve func(string) error
	next := len(credentials)
	b.ReportAllocs()
	for b.Loop() {
		if next == len(credentials) {
			b.StopTimer()
			if v != nil {
				must(b, v.Close())
			}
			v = i.validator(b)
			serve, next = enter(v), 0
			b.StartTimer()
		}
		if err := serve(credentials[next]); err != nil {
			b.Fatal(err)
		}
		next++
	}
}

// hittingParallel measures tokens that were all verified before, on all cores.
func hittingParallel(b *testing.B, v *accesstoken.Validator, tokens []string) {
	serve := validating(v)
	for _, token := range tokens {
		must(b, serve(token))
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		random := rand.New(rand.NewPCG(1, rand.Uint64()))
		for pb.Next() {
			if err := serve(tokens[random.IntN(len(tokens))]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
