package main

import (
	"strings"
	"testing"
)

// oneRound is the output of go test on a machine with two cores.
const oneRound = `goos: linux
BenchmarkRaw/alg=RS256-2 1000 40000 ns/op 1376 B/op 9 allocs/op
BenchmarkHit-2 1000 400 ns/op 0 B/op 0 allocs/op
BenchmarkMemory-2 1 5 ns/op 540.5 B/token 0 B/op 0 allocs/op
BenchmarkVerify/alg=RS256/by=raw-2 1000 40000 ns/op 1376 B/op 9 allocs/op
BenchmarkVerify/alg=RS256/by=other-2 1000 60000 ns/op 6000 B/op 90 allocs/op
BenchmarkVerify/alg=EdDSA/by=raw-2 1000 80000 ns/op 0 B/op 0 allocs/op
BenchmarkCache/by=accesstoken/parallel-2 1000 300 ns/op 0 B/op 0 allocs/op
BenchmarkCache/by=other/parallel-2 1000 6000 ns/op 0 B/op 0 allocs/op
PASS
`

func TestSections(t *testing.T) {
	all := &results{rows: map[string]*row{}}
	all.read(strings.ReplaceAll(oneRound, "-2 ", suffix()+" "))
	all.read(strings.ReplaceAll(strings.Replace(oneRound, "60000", "80000", 1), "-2 ", suffix()+" "))
	want := map[string][]string{
		"figures": {
			"| Hit | 400 ns | 400 ns – 400 ns | 0.0100 | 0 | 0 |  |",
			"| Memory | 5.0 ns | 5.0 ns – 5.0 ns | 0.0001 | 0 | 0 | 540.5 B/token |",
		},
		"verify": {
			"| × raw | alg=RS256 | alg=EdDSA | B, allocs of the first |",
			"| raw | 40.0 µs | 80.0 µs | 1376, 9 |",
			"| other | **1.75** (70.0 µs) | – | 6000, 90 |",
		},
		"cache": {
			"| × accesstoken | parallel | B, allocs of the first |",
			"| other | **20** (6.00 µs) | 0, 0 |",
		},
	}
	sections := all.sections()
	if len(sections) != len(want) {
		t.Errorf("got %d sections; want %d", len(sections), len(want))
	}
	for _, s := range sections {
		for _, line := range want[s.name] {
			if !strings.Contains(s.table, line+"\n") {
				t.Errorf("%s: got\n%swant the line %q", s.name, s.table, line)
			}
		}
	}
}
