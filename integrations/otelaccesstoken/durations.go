package otelaccesstoken

import (
	"context"
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/accesstoken/accesstoken"
)

const (
	buckets = 24
	fastest = -17 // the bound of the first bucket is 2^-17 s, and each other is twice the one before
)

// Durations returns a Producer of the durations of Stats, as exponential histograms of
// scale 0, in seconds. They are cumulative from the call of Durations, or from before it.
// What took longer than 32 s is in the bucket that ends at 64 s. The Validator must not be
// nil. The Producer is safe for concurrent use.
func Durations(v *accesstoken.Validator) sdkmetric.Producer {
	if v == nil {
		panic("otelaccesstoken: the Validator is nil; pass the one that NewValidator returned")
	}
	return producer{v.Stats, time.Now()}
}

type producer struct {
	stats func() accesstoken.Stats
	start time.Time
}

// Produce implements [sdkmetric.Producer].
func (p producer) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	s, now := p.stats(), time.Now()
	point := func(counts [buckets]uint64, sum time.Duration, of ...attribute.KeyValue) histogramPoint {
		return pointOf(counts, sum, p.start, now, attribute.NewSet(of...))
	}
	var fetches, calls []histogramPoint
	for _, issuer := range s.Issuers {
		name := issuerKey.String(text(issuer.Name))
		if issuer.Keys != nil {
			fetches = append(fetches, point(issuer.Keys.Durations, issuer.Keys.TotalTime, name))
		}
		if issuer.Introspection != nil {
			calls = append(calls, point(issuer.Introspection.Durations, issuer.Introspection.TotalTime, name))
		}
	}
	verified := []histogramPoint{point(s.Tokens.Verified, s.Tokens.VerifiedTime)}
	return []metricdata.ScopeMetrics{{
		Scope: instrumentation.Scope{Name: scope, SchemaURL: semconv.SchemaURL},
		Metrics: []metricdata.Metrics{
			histogram("keys.fetch.duration", "How long fetches of keys took, discovery included.", fetches),
			histogram("introspection.call.duration", "How long introspection calls took, without the wait for their turn.", calls),
			histogram("token.verification.duration", "How long the verification of genuine tokens took that were not in the cache.", verified),
		},
	}}, nil
}

type histogramPoint = metricdata.ExponentialHistogramDataPoint[float64]

func histogram(name, help string, points []histogramPoint) metricdata.Metrics {
	return metricdata.Metrics{
		Name: "accesstoken." + name, Unit: "s", Description: help,
		Data: metricdata.ExponentialHistogram[float64]{Temporality: metricdata.CumulativeTemporality, DataPoints: points},
	}
}

// pointOf returns a histogram. In scale 0, bucket n begins after 2^n. The first bucket of
// Stats begins at 0, so it is the zero bucket.
func pointOf(counts [buckets]uint64, sum time.Duration, start, now time.Time, of attribute.Set) histogramPoint {
	all := uint64(0)
	for _, count := range counts {
		all += count
	}
	return histogramPoint{
		Attributes: of, StartTime: start, Time: now, Count: all, Sum: sum.Seconds(),
		ZeroCount: counts[0], ZeroThreshold: math.Ldexp(1, fastest),
		PositiveBucket: metricdata.ExponentialBucket{Offset: fastest, Counts: counts[1:]},
	}
}
