package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

// figures are the results of one setting in one round. Times are in nanoseconds.
type figures struct {
	requests int
	rate     float64 // requests per second
	p50, p99 float64
	cpu      float64 // processor time of the server per request; zero if unknown
	busy     float64 // the share of the time that its processor worked
}

func figuresOf(r record) figures {
	slices.Sort(r.latencies)
	n := len(r.latencies)
	return figures{
		requests: n,
		rate:     float64(n) / r.elapsed.Seconds(),
		p50:      percentile(r.latencies, 50),
		p99:      percentile(r.latencies, 99),
		cpu:      float64(r.cpu) / float64(n),
		busy:     float64(r.cpu) / float64(r.elapsed),
	}
}

// percentile returns the smallest latency that at least the given percent of the
// latencies do not exceed. They must be sorted. For example, the 50th percentile of 1,
// 2, 3, 4 is 2; there is no interpolation.
func percentile(sorted []time.Duration, percent float64) float64 {
	rank := int(math.Ceil(percent / 100 * float64(len(sorted))))
	return float64(sorted[rank-1])
}

// markdown returns a table with a row for each transport, and one for tokens that are
// not cached.
func (r *results) markdown() string {
	var out strings.Builder
	cores := "on one core each"
	if !r.pin {
		cores = "on any core"
	}
	fmt.Fprintf(&out, "%s; medians of %d rounds of %v, and their ranges; server and client run %s, %d requests at a time, %s tokens.\n\n",
		report.Machine(), r.plan.rounds, r.time, cores, r.connections, thousands(float64(r.tokens)))
	fmt.Fprintln(&out, "| transport | without: requests/s | p50 | p99 | with: requests/s | p50 | p99 | cost | server CPU per request | cost | server busy |")
	fmt.Fprintln(&out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, transport := range []string{netHTTP, echoV4, unary} {
		bare := r.rounds[setting{transport, without}]
		row(&out, transport, client(bare), bare, r.rounds[setting{transport, with}])
	}
	row(&out, netHTTP+", tokens never seen", "as above | |", r.rounds[setting{netHTTP, without}], r.rounds[setting{netHTTP, uncached}])
	out.WriteString("\n*cost* is how much more time (from requests/s) and processor time a request takes, compared with *without* in the same round. ")
	out.WriteString("If the server was not busy all the time, the client or other programs limited the rate, and you should look at the processor time instead.\n")
	return out.String()
}

func row(out *strings.Builder, name, first string, bare, ours []figures) {
	fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", name, first, client(ours), spread(ratios(ours, bare, gap), percent), atServer(bare, ours))
}

// atServer writes the figures that only Linux provides.
func atServer(bare, ours []figures) string {
	if median(bare, cpu) == 0 {
		return "– | – | –"
	}
	return fmt.Sprintf("%s → %s | %s | %s → %s",
		report.Duration(median(bare, cpu)), report.Duration(median(ours, cpu)), spread(ratios(ours, bare, cpu), percent),
		percent(median(bare, busy)), percent(median(ours, busy)))
}

// client writes the figures that the client measures.
func client(rounds []figures) string {
	return strings.Join([]string{
		spread(each(rounds, rate), thousands),
		spread(each(rounds, p50), report.Duration),
		spread(each(rounds, p99), report.Duration),
	}, " | ")
}

func rate(f figures) float64 { return f.rate }
func gap(f figures) float64  { return 1 / f.rate } // the time from one request to the next
func p50(f figures) float64  { return f.p50 }
func p99(f figures) float64  { return f.p99 }
func cpu(f figures) float64  { return f.cpu }
func busy(f figures) float64 { return f.busy }

func each(rounds []figures, of func(figures) float64) []float64 {
	var values []float64
	for _, f := range rounds {
		values = append(values, of(f))
	}
	return values
}

func median(rounds []figures, of func(figures) float64) float64 {
	return report.Median(each(rounds, of))
}

// ratios returns by what share ours are larger than bare in each round. These ratios
// vary less between runs than the figures themselves.
func ratios(ours, bare []figures, of func(figures) float64) []float64 {
	more := make([]float64, len(bare))
	for round := range bare {
		more[round] = of(ours[round])/of(bare[round]) - 1
	}
	return more
}

// spread writes the median and the range.
func spread(values []float64, write func(float64) string) string {
	return fmt.Sprintf("%s (%s – %s)", write(report.Median(values)), write(slices.Min(values)), write(slices.Max(values)))
}

func percent(part float64) string { return fmt.Sprintf("%.0f %%", part*100) }

// thousands writes a whole number with commas.
func thousands(value float64) string {
	digits := fmt.Sprintf("%.0f", value)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
