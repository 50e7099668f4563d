package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A finding is the result of one trial, about the good requests.
type finding struct {
	asked, failed int
	tells         bool // the verifier is a teller
	unavailable   int  // of the failed ones, if tells
	fetches       int
	notes         []string // empty notes are left out
}

func (t *trial) found(v verifier, requests []*request, notes ...string) finding {
	f := finding{asked: len(requests), fetches: t.fetches(), notes: notes}
	teller, tells := v.(teller)
	f.tells = tells
	for _, r := range requests {
		if r.err == nil {
			continue
		}
		f.failed++
		if tells && teller.unavailable(r.err) {
			f.unavailable++
		}
	}
	return f
}

// String returns the text of the table's cell. Failures are bold.
func (f finding) String() string {
	failed := fmt.Sprintf("%s of %s failed", thousands(f.failed), thousands(f.asked))
	if f.failed > 0 {
		failed = "**" + failed + "**"
	}
	parts := append([]string{failed + f.told()}, f.notes...)
	parts = append(parts, counted(f.fetches, "fetch", "fetches"))
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

// told returns a note about how many of the failed requests got "unavailable".
func (f finding) told() string {
	switch {
	case f.failed == 0 || !f.tells:
		return ""
	case f.unavailable == f.failed:
		return " (all as unavailable)"
	case f.unavailable == 0:
		return " (none as unavailable)"
	}
	return fmt.Sprintf(" (%s as unavailable)", thousands(f.unavailable))
}

// recovery returns a note about how long after since a request first succeeded.
func recovery(requests []*request, since time.Duration) string {
	last := requests[len(requests)-1].sent
	first := time.Duration(-1)
	for _, r := range requests {
		if r.err == nil && (first < 0 || r.done < first) {
			first = r.done
		}
	}
	if first < 0 {
		return fmt.Sprintf("no success in %.0f s", (last - since).Seconds())
	}
	return "first success after " + readable(first-since)
}

// latency returns a note about the latencies, including those of failed requests.
func latency(requests []*request) string {
	took := durations(requests)
	return fmt.Sprintf("p50 %s, p99 %s, %s", readable(took[len(took)/2]), readable(took[len(took)*99/100]), slowest(requests))
}

func slowest(requests []*request) string {
	return "slowest " + readable(slices.Max(durations(requests)))
}

func durations(requests []*request) []time.Duration {
	var took []time.Duration
	for _, r := range requests {
		took = append(took, r.done-r.sent)
	}
	slices.Sort(took)
	return took
}

func readable(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + many
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
