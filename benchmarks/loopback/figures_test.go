package main

import (
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	var latencies []time.Duration
	for n := 200; n > 0; n-- {
		latencies = append(latencies, time.Duration(n)*time.Microsecond)
	}
	got := figuresOf(record{latencies, 2 * time.Second, 10 * time.Millisecond})
	want := figures{requests: 200, rate: 100, p50: 100e3, p99: 198e3, cpu: 50e3, busy: 0.005}
	if got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// A percentile is one of the latencies, however few there are.
func TestPercentile(t *testing.T) {
	tests := []struct {
		name    string
		sorted  []time.Duration
		percent float64
		want    float64
	}{
		{"the only one", []time.Duration{7}, 99, 7},
		{"the lower half of two", []time.Duration{1, 2}, 50, 1},
		{"the middle of three", []time.Duration{1, 2, 3}, 50, 2},
		{"the greatest of a few", []time.Duration{1, 2, 3}, 99, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := percentile(test.sorted, test.percent); got != test.want {
				t.Errorf("got %v; want %v", got, test.want)
			}
		})
	}
}

func TestThousands(t *testing.T) {
	for value, want := range map[float64]string{0: "0", 999: "999", 999.6: "1,000", 41_234: "41,234", 1_234_567: "1,234,567"} {
		if got := thousands(value); got != want {
			t.Errorf("%v: got %q; want %q", value, got, want)
		}
	}
}

// The cost is the median of the rounds' own ratios, not the ratio of medians.
func TestMarkdown(t *testing.T) {
	bare := []figures{
		{rate: 10_000, p50: 1e6, p99: 3e6, cpu: 20_000, busy: 0.99},
		{rate: 1_000, p50: 9e6, p99: 30e6, cpu: 40_000, busy: 0.5},
		{rate: 10_000, p50: 2e6, p99: 5e6, cpu: 20_000, busy: 0.98},
	}
	ours := []figures{
		{rate: 8_000, p50: 2e6, p99: 4e6, cpu: 22_000, busy: 1},
		{rate: 1_000, p50: 9e6, p99: 30e6, cpu: 44_000, busy: 0.5},
		{rate: 5_000, p50: 4e6, p99: 6e6, cpu: 30_000, busy: 0.99},
	}
	r := &results{plan{time: time.Second, rounds: 3, connections: 32, tokens: 10_000}, map[setting][]figures{}}
	for _, way := range settings {
		r.rounds[way] = ours
		if way.auth == without {
			r.rounds[way] = bare
		}
	}
	client := "5,000 (1,000 – 8,000) | 4.00 ms (2.00 ms – 9.00 ms) | 6.00 ms (4.00 ms – 30.0 ms) | 25 % (0 % – 100 %)"
	server := "20.0 µs → 30.0 µs | 10 % (10 % – 50 %) | 98 % → 99 %"
	for _, want := range []string{
		"medians of 3 rounds of 1s, and their ranges; server and client run on any core, 32 requests at a time, 10,000 tokens.",
		"| Echo | 10,000 (1,000 – 10,000) | 2.00 ms (1.00 ms – 9.00 ms) | 5.00 ms (3.00 ms – 30.0 ms) | " + client + " | " + server + " |\n",
		"| net/http, tokens never seen | as above | | | " + client + " | " + server + " |\n",
	} {
		if got := r.markdown(); !strings.Contains(got, want) {
			t.Errorf("got\n%s; want\n%s\nin it", got, want)
		}
	}
	for way, rounds := range r.rounds { // as on a system that does not provide these figures
		for n := range rounds {
			r.rounds[way][n].cpu, r.rounds[way][n].busy = 0, 0
		}
	}
	if got, want := r.markdown(), "(0 % – 100 %) | – | – | – |\n"; strings.Count(got, want) != 4 {
		t.Errorf("got\n%s; want each row to end with %q", got, want)
	}
	var header string
	for line := range strings.Lines(r.markdown()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if header == "" {
			header = line
		}
		if strings.Count(line, "|") != strings.Count(header, "|") {
			t.Errorf("%q has not the columns of %q", line, header)
		}
	}
}
