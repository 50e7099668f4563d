// Package otelaccesstoken exports the numbers of a Validator to OpenTelemetry, and tells
// traces what was decided.
//
//	registration, err := otelaccesstoken.Register(validator, otel.GetMeterProvider())
//
// Every number of accesstoken.Stats becomes an observable instrument, which is read when
// a reader collects. So a request costs no more than before. OpenTelemetry has no
// observable histogram, so the durations come from a Producer: pass [Durations] to the
// reader with sdkmetric.WithProducer.
//
// Names begin with accesstoken., because OpenTelemetry has no conventions for
// authorization. What failed has the attribute error.type of the conventions 1.43.0. It is
// the Reason of a refusal, or a word for the result of a fetch, call or proof. No
// attribute of a metric has a value from a request.
//
// For traces, set Config.OnDecide to [OnDecide], which adds an event to the span of the
// request. For the spans of requests to issuers, see [Transport].
package otelaccesstoken

import (
	"context"
	"strconv"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/accesstoken/accesstoken"
)

const scope = "github.com/accesstoken/accesstoken/integrations/otelaccesstoken"

// The attributes that are not of the conventions.
const (
	resourceKey  = attribute.Key("accesstoken.resource")
	issuerKey    = attribute.Key("accesstoken.issuer")
	transportKey = attribute.Key("accesstoken.transport")
	outcomeKey   = attribute.Key("accesstoken.outcome")
	sourceKey    = attribute.Key("accesstoken.source")
	resultKey    = attribute.Key("accesstoken.result")
)

// Register makes the instruments, and returns the registration, by which you can end their
// collection. Neither argument may be nil. All Validators of one family (see
// Validator.ForResource) have the same numbers, so you should register one of them. If a
// program has several families, give each a MeterProvider with a resource of its own.
//
// The instruments do no I/O, have no goroutine, and also work after Validator.Close.
func Register(v *accesstoken.Validator, provider metric.MeterProvider) (metric.Registration, error) {
	if v == nil || provider == nil {
		panic("otelaccesstoken: the Validator or the MeterProvider is nil; pass those that the program uses")
	}
	return register(v.Stats, provider)
}

func register(stats func() accesstoken.Stats, provider metric.MeterProvider) (metric.Registration, error) {
	m := &maker{meter: provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))}
	decisions := m.counter("decisions", "{decision}", "Decisions on requests, and ends of open streams.")
	issuers, keys, clients := m.issuerNumbers(), m.keyNumbers(), m.introspectionNumbers()
	tokens, proofs := m.tokenNumbers(), m.proofNumbers()
	if m.err != nil {
		return nil, m.err
	}
	return m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := stats()
		observeDecisions(o, decisions, s.Decisions)
		for i := range s.Issuers {
			name := issuerKey.String(text(s.Issuers[i].Name))
			observe(o, issuers, &s.Issuers[i], name)
			observe(o, keys, s.Issuers[i].Keys, name)
			observe(o, clients, s.Issuers[i].Introspection, name)
		}
		observe(o, tokens, &s.Tokens)
		observe(o, proofs, &s.Proofs)
		return nil
	}, m.made...)
}

// observeDecisions adds up counts whose attributes are the same. For example, an operator
// can give an issuer the name "removed".
func observeDecisions(o metric.Observer, decisions instrument, counted []accesstoken.DecisionCount) {
	counts := map[attribute.Distinct]uint64{}
	sets := map[attribute.Distinct]attribute.Set{}
	for _, d := range counted {
		set := attribute.NewSet(append(decided(d.Issuer, d.Transport, d.Outcome, string(d.Reason), d.Source),
			resourceKey.String(text(d.Resource)))...)
		counts[set.Equivalent()] += d.Count
		sets[set.Equivalent()] = set
	}
	for key, count := range counts {
		decisions.observe(o, float64(count), metric.WithAttributeSet(sets[key]))
	}
}

// decided returns the attributes of a decision, without those that are empty.
func decided(issuer, transport, outcome, reason, source string) []attribute.KeyValue {
	all := []attribute.KeyValue{outcomeKey.String(outcome)}
	if reason == "" && outcome == outcomeCanceled {
		reason = outcome
	}
	for _, a := range []attribute.KeyValue{
		issuerKey.String(text(issuer)), transportKey.String(transport), semconv.ErrorTypeKey.String(reason), sourceKey.String(source),
	} {
		if a.Value.AsString() != "" {
			all = append(all, a)
		}
	}
	return all
}

// text returns a name of the configuration as an attribute, which must be UTF-8.
func text(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.QuoteToASCII(name)
}
