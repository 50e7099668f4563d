package main

import (
	"runtime"
	"strconv"
	"strings"
)

// results are the measurements of all rounds.
type results struct {
	order []string // of the rows
	rows  map[string]*row
}

// A row is one benchmark.
type row struct {
	times         []float64 // nanoseconds, one per round
	bytes, allocs float64
	units         []string             // of the other metrics that the benchmark reports
	more          map[string][]float64 // those metrics by unit, one value per round
}

// read reads the output of go test for one round.
func (all *results) read(out string) {
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(strings.TrimSuffix(fields[0], suffix()), "Benchmark")
		all.row(name).read(fields[2:])
	}
}

func (all *results) row(name string) *row {
	if all.rows[name] == nil {
		all.rows[name] = &row{more: map[string][]float64{}}
		all.order = append(all.order, name)
	}
	return all.rows[name]
}

// read reads pairs of a value and its unit.
func (r *row) read(fields []string) {
	for i := 0; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return
		}
		switch unit := fields[i+1]; unit {
		case "ns/op":
			r.times = append(r.times, value)
		case "B/op":
			r.bytes = value
		case "allocs/op":
			r.allocs = value
		default:
			if r.more[unit] == nil {
				r.units = append(r.units, unit)
			}
			r.more[unit] = append(r.more[unit], value)
		}
	}
}

// suffix returns the text that go test adds to a benchmark's name, or "" on one core.
func suffix() string {
	if cores := runtime.GOMAXPROCS(0); cores > 1 {
		return "-" + strconv.Itoa(cores)
	}
	return ""
}

// part returns the value of a key in a benchmark's name, or "". For example, the value
// of alg in "Verify/alg=RS256/by=raw" is "RS256".
func part(name, key string) string {
	for part := range strings.SplitSeq(name, "/") {
		if value, ok := strings.CutPrefix(part, key+"="); ok {
			return value
		}
	}
	return ""
}
