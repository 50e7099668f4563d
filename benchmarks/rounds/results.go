package main

import (
	"runtime"
	"strconv"
	"strings"
)

// results are what all rounds measured.
type results struct {
	order []string // of the rows
	rows  map[string]*row
}

// A row is one benchmark.
type row struct {
	times         []float64 // nanoseconds, one a round
	bytes, allocs float64
	units         []string             // of what else it reports
	more          map[string][]float64 // by unit, one a round
}

// read takes what go test prints of one round.
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

// read takes pairs of a value and its unit.
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

// suffix is what go test adds to a name.
func suffix() string {
	if cores := runtime.GOMAXPROCS(0); cores > 1 {
		return "-" + strconv.Itoa(cores)
	}
	return ""
}

// part returns what a name says of a key, as in alg=RS256, or "".
func part(name, key string) string {
	for part := range strings.SplitSeq(name, "/") {
		if value, ok := strings.CutPrefix(part, key+"="); ok {
			return value
		}
	}
	return ""
}
