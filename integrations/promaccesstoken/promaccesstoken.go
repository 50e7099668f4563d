// Package promaccesstoken exports the numbers of a Validator to Prometheus.
//
//	prometheus.MustRegister(promaccesstoken.New(validator))
//
// Every number of accesstoken.Stats is exported, and each name begins with accesstoken_.
// The numbers are read when Prometheus scrapes, so a request costs no more than before.
//
// No label has a value from a request. The labels resource, issuer, transport, outcome,
// reason and source are those of accesstoken.DecisionCount, and result is one of a few
// words of this package. So the number of series is bounded by the configuration.
//
// A duration is in classic buckets, whose bounds are the powers of two from 2^-17 s to
// 32 s, and at the same time in a native histogram of schema 0, which has the same
// bounds. Prometheus stores the native one if it is configured to scrape native
// histograms. There are no exemplars, because a decision is counted without its context.
//
// This folder also has alert rules (alerts.yml) and a Grafana dashboard (dashboard.json).
package promaccesstoken

import (
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/accesstoken/accesstoken"
)

// New returns a Collector of the numbers of a Validator, which must not be nil. All
// Validators of one family (see Validator.ForResource) have the same numbers, so you
// should register one of them. If a program has several families, give each Collector a
// label of its own with prometheus.WrapRegistererWith.
//
// The Collector is safe for concurrent use. It does no I/O, has no goroutine, and also
// works after Validator.Close.
func New(v *accesstoken.Validator) prometheus.Collector {
	if v == nil {
		panic("promaccesstoken: the Validator is nil; pass the one that NewValidator returned")
	}
	return collector{v.Stats}
}

// A collector reads the numbers for each scrape.
type collector struct{ stats func() accesstoken.Stats }

// Describe implements [prometheus.Collector].
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	sent := map[*prometheus.Desc]bool{}
	for _, desc := range allDescs() {
		if !sent[desc] {
			sent[desc] = true
			descs <- desc
		}
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	s := c.stats()
	collectDecisions(metrics, s.Decisions)
	for i := range s.Issuers {
		issuer := &s.Issuers[i]
		name := label(issuer.Name)
		collect(metrics, issuerNumbers, issuer, name)
		if keys := issuer.Keys; keys != nil {
			collect(metrics, keyNumbers, keys, name)
			metrics <- histogram(fetchDurations, keys.Durations, keys.TotalTime, name)
		}
		if client := issuer.Introspection; client != nil {
			collect(metrics, introspectionNumbers, client, name)
			metrics <- histogram(callDurations, client.Durations, client.TotalTime, name)
		}
	}
	collect(metrics, tokenNumbers, &s.Tokens)
	metrics <- histogram(verificationDurations, s.Tokens.Verified, s.Tokens.VerifiedTime)
	collect(metrics, proofNumbers, &s.Proofs)
}

// collectDecisions adds up counts whose labels are the same, because two metrics with the
// same labels would make the whole scrape fail. For example, an operator can give an issuer
// the name "removed".
func collectDecisions(metrics chan<- prometheus.Metric, decisions []accesstoken.DecisionCount) {
	counts := map[[6]string]uint64{}
	for _, d := range decisions {
		counts[[6]string{label(d.Resource), label(d.Issuer), d.Transport, d.Outcome, string(d.Reason), d.Source}] += d.Count
	}
	for labels, count := range counts {
		metrics <- constant(decisionsDesc, prometheus.CounterValue, float64(count), labels[:]...)
	}
}

// label returns a name of the configuration as the value of a label, which must be UTF-8.
func label(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.QuoteToASCII(name)
}
