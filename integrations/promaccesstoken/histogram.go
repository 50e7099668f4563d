package promaccesstoken

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const (
	buckets = 24
	fastest = -17 // the bound of the first bucket is 2^-17 s, and each other is twice the one before

	// schema is the one of native histograms whose bounds are the powers of two.
	schema = 0
)

// histogram returns a histogram of durations. The last bucket has no bound.
func histogram(desc *prometheus.Desc, counts [buckets]uint64, sum time.Duration, labels ...string) prometheus.Metric {
	classic, all := map[float64]uint64{}, uint64(0)
	for i, count := range counts {
		if all += count; i < buckets-1 {
			classic[math.Ldexp(1, fastest+i)] = all
		}
	}
	old, err := prometheus.NewConstHistogram(desc, all, sum.Seconds(), classic, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	// In schema 0, bucket n ends at 2^n. A native histogram has no bucket without an end, so
	// what took longer than 32 s is in the one that ends at 64 s.
	native := map[int]int64{}
	for i, count := range counts[1:] {
		if count > 0 {
			native[fastest+1+i] = int64(count)
		}
	}
	exponential, err := prometheus.NewConstNativeHistogram(desc, all, sum.Seconds(), native, nil, counts[0],
		schema, math.Ldexp(1, fastest), time.Time{}, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return twofold{old, exponential}
}

// A twofold is a classic and a native histogram of the same numbers.
type twofold struct{ classic, native prometheus.Metric }

// Desc implements [prometheus.Metric].
func (m twofold) Desc() *prometheus.Desc { return m.classic.Desc() }

// Write implements [prometheus.Metric].
func (m twofold) Write(out *dto.Metric) error {
	var exponential dto.Metric
	if err := m.native.Write(&exponential); err != nil {
		return err
	}
	if err := m.classic.Write(out); err != nil {
		return err
	}
	to, from := out.GetHistogram(), exponential.GetHistogram()
	to.Schema, to.ZeroThreshold, to.ZeroCount = from.Schema, from.ZeroThreshold, from.ZeroCount
	to.PositiveSpan, to.PositiveDelta = from.PositiveSpan, from.PositiveDelta
	return nil
}
