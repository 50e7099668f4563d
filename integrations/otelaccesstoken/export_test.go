package otelaccesstoken

import (
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/accesstoken/accesstoken"
)

// RegisterOf is Register of numbers that do not change.
func RegisterOf(s accesstoken.Stats, provider metric.MeterProvider) (metric.Registration, error) {
	return register(func() accesstoken.Stats { return s }, provider)
}

// DurationsOf is Durations of numbers that do not change.
func DurationsOf(s accesstoken.Stats) sdkmetric.Producer {
	return producer{func() accesstoken.Stats { return s }, time.Now()}
}
