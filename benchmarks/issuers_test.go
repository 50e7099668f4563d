package benchmarks_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

// tenants returns n issuers. The first one is that of the tokens.
func (i *issuer) tenants(n int) []accesstoken.Issuer {
	all := []accesstoken.Issuer{{URL: issuerURL, Keys: i.keys, Algorithms: []string{i.alg}}}
	for k := 1; k < n; k++ {
		all = append(all, accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%d.example.com", k)})
	}
	return all
}

// changing calls SetIssuers on each tick, with and without the last issuer, until the
// function that it returns is called.
func changing(tb testing.TB, v *accesstoken.Validator, issuers []accesstoken.Issuer, every time.Duration) (stop func()) {
	tick, done := time.NewTicker(every), make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if err := v.SetIssuers(issuers[:len(issuers)-n%2]...); err != nil {
				tb.Error(err)
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

// BenchmarkIssuers measures a cached token of a Validator with 10,000 issuers: with those of
// NewValidator, after 100 calls of SetIssuers, and while there is a call each 100 ms. Each
// time is also a multiple of that of a Validator with one issuer that never changes. The two
// alternate every millisecond, so that other work on the machine affects both alike.
func BenchmarkIssuers(b *testing.B) {
	const count = 10_000
	i := issuerOf(b, "RS256")
	token := i.tokens(b, 1)[0]
	for _, way := range []struct {
		changes string
		before  int
		every   time.Duration // 0: no changes meanwhile
	}{{"none", 0, 0}, {"before", 100, 0}, {"meanwhile", 0, 100 * time.Millisecond}} {
		b.Run(fmt.Sprintf("issuers=%d/changes=%s", count, way.changes), func(b *testing.B) {
			all := i.tenants(count)
			v := newValidator(b, accesstoken.Config{Resource: resource, Issuers: all})
			for n := range way.before {
				must(b, v.SetIssuers(all[:count-n%2]...))
			}
			static, serve := validating(i.validator(b)), validating(v)
			must(b, static(token))
			must(b, serve(token))
			if way.every > 0 {
				defer changing(b, v, all, way.every)()
			}
			const turn = 1_000
			var ratios, times []float64
			for b.Loop() {
				base := each(turn, func(int) { must(b, static(token)) })
				took := each(turn, func(int) { must(b, serve(token)) })
				ratios, times = append(ratios, took/base), append(times, took)
			}
			b.ReportMetric(report.Median(times), "ns/op")
			b.ReportMetric(report.Median(ratios), "×static")
		})
	}
}
