package promaccesstoken

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// A number is a counter or a gauge that is read from a struct of Stats.
type number[T any] struct {
	desc       *prometheus.Desc
	kind       prometheus.ValueType
	result     []string // the value of the label result, or nothing if there is no such label
	read       func(*T) float64
	unlessZero bool // zero means that the number is not known, so it is not exported
}

// collect sends the numbers of a struct. The labels come before the one of the result.
func collect[T any](metrics chan<- prometheus.Metric, numbers []number[T], from *T, labels ...string) {
	for _, n := range numbers {
		if value := n.read(from); value != 0 || !n.unlessZero {
			metrics <- constant(n.desc, n.kind, value, slices.Concat(labels, n.result)...)
		}
	}
}

// constant returns a metric. If it is not valid, the scrape reports an error.
func constant(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) prometheus.Metric {
	m, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return m
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("accesstoken_"+name, help, labels, nil)
}

// A results has the counters of one metric, by the value of the label result.
type results[T any] []struct {
	name string
	read func(*T) float64
}

// counters returns the counters of one metric that has the label result after the others.
func counters[T any](desc *prometheus.Desc, by results[T]) (all []number[T]) {
	for _, r := range by {
		all = append(all, number[T]{desc: desc, kind: prometheus.CounterValue, result: []string{r.name}, read: r.read})
	}
	return all
}

func counter[T any](desc *prometheus.Desc, read func(*T) float64) []number[T] {
	return []number[T]{{desc: desc, kind: prometheus.CounterValue, read: read}}
}

func gauge[T any](desc *prometheus.Desc, read func(*T) float64) []number[T] {
	return []number[T]{{desc: desc, kind: prometheus.GaugeValue, read: read}}
}

// known is a gauge that is not exported while it is zero.
func known[T any](desc *prometheus.Desc, read func(*T) float64) []number[T] {
	return []number[T]{{desc: desc, kind: prometheus.GaugeValue, read: read, unlessZero: true}}
}

// allDescs returns the descriptions of all metrics. Some occur several times.
func allDescs() []*prometheus.Desc {
	return slices.Concat(
		[]*prometheus.Desc{decisionsDesc, fetchDurations, callDurations, verificationDurations},
		descsOf(issuerNumbers), descsOf(keyNumbers), descsOf(introspectionNumbers), descsOf(tokenNumbers), descsOf(proofNumbers),
	)
}

func descsOf[T any](numbers []number[T]) (descs []*prometheus.Desc) {
	for _, n := range numbers {
		descs = append(descs, n.desc)
	}
	return descs
}

var (
	decisionsDesc = describe("decisions_total", "Decisions on requests, and ends of open streams.",
		"resource", "issuer", "transport", "outcome", "reason", "source")
	fetchDurations = describe("keys_fetch_duration_seconds", "How long fetches of keys took, discovery included.", "issuer")
	callDurations  = describe("introspection_call_duration_seconds",
		"How long introspection calls took, without the wait for their turn.", "issuer")
	verificationDurations = describe("token_verification_duration_seconds",
		"How long the verification of genuine tokens took that were not in the cache, from the lookup of the key to the verified signature.")
)

type issuer = accesstoken.IssuerStats

var issuerNumbers = slices.Concat(
	gauge(describe("issuers", "Issuers of this name.", "issuer"),
		func(s *issuer) float64 { return float64(s.Issuers) }),
	gauge(describe("issuers_without_keys", "Issuers of this name that hold no keys. Before the first token of an issuer comes, this is normal.", "issuer"),
		func(s *issuer) float64 { return float64(s.KeysMissing) }),
	gauge(describe("issuers_failing", "Issuers of this name whose last fetch of keys failed.", "issuer"),
		func(s *issuer) float64 { return float64(s.Failing) }),
)

var keyNumbers = slices.Concat(
	gauge(describe("keys", "Keys that are held.", "issuer"),
		func(s *jwks.Stats) float64 { return float64(s.Keys) }),
	gauge(describe("keys_generation", "How often the keys became different keys.", "issuer"),
		func(s *jwks.Stats) float64 { return float64(s.Generation) }),
	known(describe("keys_age_seconds", "Time since the last good answer of the issuer. It is absent before the first one.", "issuer"),
		func(s *jwks.Stats) float64 { return s.Age.Seconds() }),
	known(describe("keys_usable_seconds", "Time until the keys are dropped, if no good answer comes before. It is absent if no keys are held.", "issuer"),
		func(s *jwks.Stats) float64 { return s.UsableFor.Seconds() }),
	known(describe("keys_next_refresh_seconds", "Time until the keys are fetched in the background. It is absent if no such fetch is planned.", "issuer"),
		func(s *jwks.Stats) float64 { return s.NextRefresh.Seconds() }),
	known(describe("keys_failing_since_timestamp_seconds", "When the first failure of the present series of failures was. It is absent if the last fetch succeeded.", "issuer"),
		func(s *jwks.Stats) float64 { return unix(s.FailingSince) }),
	gauge(describe("keys_fetch_budget", "How many unknown key ids may cause a fetch now.", "issuer"),
		func(s *jwks.Stats) float64 { return float64(s.Budget) }),
	gauge(describe("keys_waiting_requests", "Requests that wait for a fetch of keys.", "issuer"),
		func(s *jwks.Stats) float64 { return float64(s.Waiting) }),
	counters(describe("keys_fetches_total", "Fetches of keys that ended, by result.", "issuer", "result"), results[jwks.Stats]{
		{"succeeded", func(s *jwks.Stats) float64 { return float64(s.Succeeded) }},
		{"not_modified", func(s *jwks.Stats) float64 { return float64(s.NotModified) }},
		{"failed", func(s *jwks.Stats) float64 { return float64(s.Failed) }},
	}),
	counter(describe("keys_misses_total", "Lookups that ended without a key.", "issuer"),
		func(s *jwks.Stats) float64 { return float64(s.Misses) }),
	counter(describe("keys_fetches_suppressed_total", "Lookups that would have caused a fetch if the budget had allowed it.", "issuer"),
		func(s *jwks.Stats) float64 { return float64(s.Suppressed) }),
)

type client = introspection.Stats

var introspectionNumbers = slices.Concat(
	counters(describe("introspection_cache_lookups_total", "Lookups of opaque tokens, and of JWTs that are introspected, by result.", "issuer", "result"), results[client]{
		{"hit", func(s *client) float64 { return float64(s.Hits) }},
		{"miss", func(s *client) float64 { return float64(s.Misses) }},
	}),
	counter(describe("introspection_stale_total", "Misses that an older answer was reused for.", "issuer"),
		func(s *client) float64 { return float64(s.Stale) }),
	counter(describe("introspection_skipped_total", "Lookups that failed at once because the breaker was open.", "issuer"),
		func(s *client) float64 { return float64(s.Skipped) }),
	counter(describe("introspection_busy_total", "Lookups that failed because the queue was full, or because they waited too long in it.", "issuer"),
		func(s *client) float64 { return float64(s.Busy) }),
	counters(describe("introspection_calls_total", "Introspection calls that ended, by result.", "issuer", "result"), results[client]{
		{"answered", func(s *client) float64 { return float64(s.Answered) }},
		{"unusable", func(s *client) float64 { return float64(s.Unusable) }},
		{"client_refused", func(s *client) float64 { return float64(s.ClientRefused) }},
		{"limited", func(s *client) float64 { return float64(s.Limited) }},
		{"failed", func(s *client) float64 { return float64(s.Failed) }},
		{"not_sent", func(s *client) float64 { return float64(s.NotSent) }},
	}),
	gauge(describe("introspection_breaker_open", "1 if the endpoint is not asked about any token.", "issuer"),
		func(s *client) float64 { return truth(s.BreakerOpen) }),
	gauge(describe("introspection_breaker_open_unknown", "1 if the endpoint is not asked about tokens that were not active before.", "issuer"),
		func(s *client) float64 { return truth(s.BreakerOpenUnknown) }),
	counter(describe("introspection_breaker_opened_total", "How often either circuit of the breaker was opened.", "issuer"),
		func(s *client) float64 { return float64(s.BreakerOpened) }),
	gauge(describe("introspection_calls_in_flight", "Introspection calls that are under way.", "issuer"),
		func(s *client) float64 { return float64(s.OnWire) }),
	gauge(describe("introspection_calls_queued", "Introspection calls that wait for their turn.", "issuer"),
		func(s *client) float64 { return float64(s.Queued) }),
	counter(describe("introspection_cache_evictions_total", "Cached answers that were removed to make room.", "issuer"),
		func(s *client) float64 { return float64(s.Evictions) }),
	gauge(describe("introspection_cache_bytes", "About what the cached answers take.", "issuer"),
		func(s *client) float64 { return float64(s.Bytes) }),
	gauge(describe("introspection_cache_limit_bytes", "The most that the cached answers may take.", "issuer"),
		func(s *client) float64 { return float64(s.Limit) }),
)

type tokens = accesstoken.CacheStats

var tokenNumbers = slices.Concat(
	counters(describe("token_cache_lookups_total", "Lookups of well-formed JWTs, by result.", "result"), results[tokens]{
		{"hit", func(s *tokens) float64 { return float64(s.Hits) }},
		{"miss", func(s *tokens) float64 { return float64(s.Misses) }},
	}),
	counter(describe("token_cache_evictions_total", "Tokens that were removed to make room."),
		func(s *tokens) float64 { return float64(s.Evictions) }),
	gauge(describe("token_cache_bytes", "About what the tokens held take."),
		func(s *tokens) float64 { return float64(s.Bytes) }),
	gauge(describe("token_cache_limit_bytes", "The most that the tokens held may take."),
		func(s *tokens) float64 { return float64(s.Limit) }),
)

var proofNumbers = slices.Concat(
	counters(describe("dpop_proofs_total", "DPoP proofs, by result.", "result"), results[dpop.Stats]{
		{"accepted", func(s *dpop.Stats) float64 { return float64(s.Accepted) }},
		{"invalid", func(s *dpop.Stats) float64 { return float64(s.Invalid) }},
		{"other_key", func(s *dpop.Stats) float64 { return float64(s.OtherKey) }},
		{"replayed", func(s *dpop.Stats) float64 { return float64(s.Replayed) }},
		{"nonce_required", func(s *dpop.Stats) float64 { return float64(s.NonceRequired) }},
		{"unknown", func(s *dpop.Stats) float64 { return float64(s.Unknown) }},
	}),
	gauge(describe("dpop_replay_memory_proofs", "Proofs that the replay memory holds. It is 0 for another store."),
		func(s *dpop.Stats) float64 { return float64(s.Held) }),
	gauge(describe("dpop_replay_memory_limit_proofs", "The most proofs that the replay memory can hold. It is 0 for another store."),
		func(s *dpop.Stats) float64 { return float64(s.Limit) }),
)

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
