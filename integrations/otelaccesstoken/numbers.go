package otelaccesstoken

import (
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// An instrument is an observable counter or gauge of whole numbers, or a gauge of seconds.
type instrument struct {
	whole   metric.Int64Observable
	seconds metric.Float64Observable
}

func (i instrument) observe(o metric.Observer, value float64, options ...metric.ObserveOption) {
	if i.seconds != nil {
		o.ObserveFloat64(i.seconds, value, options...)
		return
	}
	o.ObserveInt64(i.whole, int64(value), options...)
}

// A maker makes instruments, and keeps the first error.
type maker struct {
	meter metric.Meter
	made  []metric.Observable
	err   error
}

func (m *maker) keep(i metric.Observable, err error) {
	m.made = append(m.made, i)
	if m.err == nil {
		m.err = err
	}
}

func (m *maker) counter(name, unit, help string) instrument {
	i, err := m.meter.Int64ObservableCounter("accesstoken."+name, metric.WithUnit(unit), metric.WithDescription(help))
	m.keep(i, err)
	return instrument{whole: i}
}

func (m *maker) gauge(name, unit, help string) instrument {
	i, err := m.meter.Int64ObservableGauge("accesstoken."+name, metric.WithUnit(unit), metric.WithDescription(help))
	m.keep(i, err)
	return instrument{whole: i}
}

// sum is a gauge whose values can be added up over issuers and instances.
func (m *maker) sum(name, unit, help string) instrument {
	i, err := m.meter.Int64ObservableUpDownCounter("accesstoken."+name, metric.WithUnit(unit), metric.WithDescription(help))
	m.keep(i, err)
	return instrument{whole: i}
}

func (m *maker) seconds(name, help string) instrument {
	i, err := m.meter.Float64ObservableGauge("accesstoken."+name, metric.WithUnit("s"), metric.WithDescription(help))
	m.keep(i, err)
	return instrument{seconds: i}
}

// A number is read from a struct of Stats.
type number[T any] struct {
	instrument
	read       func(*T) float64
	attributes []attribute.KeyValue
	unlessZero bool // zero means that the number is not known, so it is not observed
}

func observe[T any](o metric.Observer, numbers []number[T], from *T, attributes ...attribute.KeyValue) {
	if from == nil {
		return
	}
	for _, n := range numbers {
		if value := n.read(from); value != 0 || !n.unlessZero {
			n.observe(o, value, metric.WithAttributes(slices.Concat(attributes, n.attributes)...))
		}
	}
}

func result(name string) []attribute.KeyValue { return []attribute.KeyValue{resultKey.String(name)} }

func failed(name string) []attribute.KeyValue {
	return []attribute.KeyValue{resultKey.String(name), semconv.ErrorTypeKey.String(name)}
}

func (m *maker) issuerNumbers() []number[accesstoken.IssuerStats] {
	type s = accesstoken.IssuerStats
	return []number[s]{
		{instrument: m.sum("issuers", "{issuer}", "Issuers of this name."), read: func(s *s) float64 { return float64(s.Issuers) }},
		{instrument: m.sum("issuers.without_keys", "{issuer}", "Issuers of this name that hold no keys. Before the first token of an issuer comes, this is normal."),
			read: func(s *s) float64 { return float64(s.KeysMissing) }},
		{instrument: m.sum("issuers.failing", "{issuer}", "Issuers of this name whose last fetch of keys failed."), read: func(s *s) float64 { return float64(s.Failing) }},
	}
}

func (m *maker) keyNumbers() []number[jwks.Stats] {
	type s = jwks.Stats
	fetches := m.counter("keys.fetches", "{fetch}", "Fetches of keys that ended, by result.")
	return []number[s]{
		{instrument: m.sum("keys", "{key}", "Keys that are held."), read: func(s *s) float64 { return float64(s.Keys) }},
		{instrument: m.gauge("keys.generation", "1", "How often the keys became different keys."), read: func(s *s) float64 { return float64(s.Generation) }},
		{instrument: m.seconds("keys.age", "Time since the last good answer of the issuer."), read: func(s *s) float64 { return s.Age.Seconds() }, unlessZero: true},
		{instrument: m.seconds("keys.usable", "Time until the keys are dropped, if no good answer comes before."), read: func(s *s) float64 { return s.UsableFor.Seconds() }, unlessZero: true},
		{instrument: m.seconds("keys.next_refresh", "Time until the keys are fetched in the background."), read: func(s *s) float64 { return s.NextRefresh.Seconds() }, unlessZero: true},
		{instrument: m.seconds("keys.failing_since", "When the first failure of the present series was, in seconds since 1970."), read: func(s *s) float64 { return unix(s.FailingSince) }, unlessZero: true},
		{instrument: m.gauge("keys.fetch.budget", "{fetch}", "How many unknown key ids may cause a fetch now."), read: func(s *s) float64 { return float64(s.Budget) }},
		{instrument: m.sum("keys.waiting", "{request}", "Requests that wait for a fetch of keys."), read: func(s *s) float64 { return float64(s.Waiting) }},
		{instrument: fetches, read: func(s *s) float64 { return float64(s.Succeeded) }, attributes: result("succeeded")},
		{instrument: fetches, read: func(s *s) float64 { return float64(s.NotModified) }, attributes: result("not_modified")},
		{instrument: fetches, read: func(s *s) float64 { return float64(s.Failed) }, attributes: failed("failed")},
		{instrument: m.counter("keys.misses", "{lookup}", "Lookups that ended without a key."), read: func(s *s) float64 { return float64(s.Misses) }},
		{instrument: m.counter("keys.fetches.suppressed", "{lookup}", "Lookups that would have caused a fetch if the budget had allowed it."), read: func(s *s) float64 { return float64(s.Suppressed) }},
	}
}

func (m *maker) introspectionNumbers() []number[introspection.Stats] {
	type s = introspection.Stats
	lookups := m.counter("introspection.cache.lookups", "{lookup}", "Lookups of opaque tokens, and of JWTs that are introspected, by result.")
	calls := m.counter("introspection.calls", "{call}", "Introspection calls that ended, by result.")
	return []number[s]{
		{instrument: lookups, read: func(s *s) float64 { return float64(s.Hits) }, attributes: result("hit")},
		{instrument: lookups, read: func(s *s) float64 { return float64(s.Misses) }, attributes: result("miss")},
		{instrument: m.counter("introspection.stale", "{lookup}", "Misses that an older answer was reused for."), read: func(s *s) float64 { return float64(s.Stale) }},
		{instrument: m.counter("introspection.skipped", "{lookup}", "Lookups that failed at once because the breaker was open."), read: func(s *s) float64 { return float64(s.Skipped) }},
		{instrument: m.counter("introspection.busy", "{lookup}", "Lookups that failed because the queue was full, or because they waited too long in it."), read: func(s *s) float64 { return float64(s.Busy) }},
		{instrument: calls, read: func(s *s) float64 { return float64(s.Answered) }, attributes: result("answered")},
		{instrument: calls, read: func(s *s) float64 { return float64(s.Unusable) }, attributes: failed("unusable")},
		{instrument: calls, read: func(s *s) float64 { return float64(s.ClientRefused) }, attributes: failed("client_refused")},
		{instrument: calls, read: func(s *s) float64 { return float64(s.Limited) }, attributes: failed("limited")},
		{instrument: calls, read: func(s *s) float64 { return float64(s.Failed) }, attributes: failed("failed")},
		{instrument: calls, read: func(s *s) float64 { return float64(s.NotSent) }, attributes: failed("not_sent")},
		{instrument: m.gauge("introspection.breaker.open", "1", "1 if the endpoint is not asked about any token."), read: func(s *s) float64 { return truth(s.BreakerOpen) }},
		{instrument: m.gauge("introspection.breaker.open_unknown", "1", "1 if the endpoint is not asked about tokens that were not active before."), read: func(s *s) float64 { return truth(s.BreakerOpenUnknown) }},
		{instrument: m.counter("introspection.breaker.opened", "1", "How often either circuit of the breaker was opened."), read: func(s *s) float64 { return float64(s.BreakerOpened) }},
		{instrument: m.sum("introspection.calls.in_flight", "{call}", "Introspection calls that are under way."), read: func(s *s) float64 { return float64(s.OnWire) }},
		{instrument: m.sum("introspection.calls.queued", "{call}", "Introspection calls that wait for their turn."), read: func(s *s) float64 { return float64(s.Queued) }},
		{instrument: m.counter("introspection.cache.evictions", "{answer}", "Cached answers that were removed to make room."), read: func(s *s) float64 { return float64(s.Evictions) }},
		{instrument: m.sum("introspection.cache.size", "By", "About what the cached answers take."), read: func(s *s) float64 { return float64(s.Bytes) }},
		{instrument: m.sum("introspection.cache.limit", "By", "The most that the cached answers may take."), read: func(s *s) float64 { return float64(s.Limit) }},
	}
}

func (m *maker) tokenNumbers() []number[accesstoken.CacheStats] {
	type s = accesstoken.CacheStats
	lookups := m.counter("token.cache.lookups", "{lookup}", "Lookups of well-formed JWTs, by result.")
	return []number[s]{
		{instrument: lookups, read: func(s *s) float64 { return float64(s.Hits) }, attributes: result("hit")},
		{instrument: lookups, read: func(s *s) float64 { return float64(s.Misses) }, attributes: result("miss")},
		{instrument: m.counter("token.cache.evictions", "{token}", "Tokens that were removed to make room."), read: func(s *s) float64 { return float64(s.Evictions) }},
		{instrument: m.sum("token.cache.size", "By", "About what the tokens held take."), read: func(s *s) float64 { return float64(s.Bytes) }},
		{instrument: m.sum("token.cache.limit", "By", "The most that the tokens held may take."), read: func(s *s) float64 { return float64(s.Limit) }},
	}
}

func (m *maker) proofNumbers() []number[dpop.Stats] {
	type s = dpop.Stats
	proofs := m.counter("dpop.proofs", "{proof}", "DPoP proofs, by result.")
	return []number[s]{
		{instrument: proofs, read: func(s *s) float64 { return float64(s.Accepted) }, attributes: result("accepted")},
		{instrument: proofs, read: func(s *s) float64 { return float64(s.Invalid) }, attributes: failed("invalid")},
		{instrument: proofs, read: func(s *s) float64 { return float64(s.OtherKey) }, attributes: failed("other_key")},
		{instrument: proofs, read: func(s *s) float64 { return float64(s.Replayed) }, attributes: failed("replayed")},
		{instrument: proofs, read: func(s *s) float64 { return float64(s.NonceRequired) }, attributes: failed("nonce_required")},
		{instrument: proofs, read: func(s *s) float64 { return float64(s.Unknown) }, attributes: failed("unknown")},
		{instrument: m.sum("dpop.replay_memory.size", "{proof}", "Proofs that the replay memory holds. It is 0 for another store."), read: func(s *s) float64 { return float64(s.Held) }},
		{instrument: m.sum("dpop.replay_memory.limit", "{proof}", "The most proofs that the replay memory can hold. It is 0 for another store."), read: func(s *s) float64 { return float64(s.Limit) }},
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// unix returns a time in seconds since 1970, or 0 if the time is zero.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
