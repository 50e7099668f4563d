package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

// plots draws those results that are easier to read in a picture than in a table. If a
// benchmark was not run, its plot is not written.
func (all *results) plots(folder string) error {
	for name, draw := range map[string]func() []byte{
		"verify.svg":      all.peers,
		"working-set.svg": all.workingSet,
		"new-tokens.svg":  all.newTokens,
	} {
		image := draw()
		if image == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), image, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// peers draws a bar for each library that was measured with an RS256 token, and one for
// the raw cryptography.
func (all *results) peers() []byte {
	var bars []report.Bar
	for _, name := range all.order {
		if by := part(name, "by"); strings.HasPrefix(name, "Verify/alg=RS256/by=") {
			bars = append(bars, report.Bar{Label: by, Value: report.Median(all.rows[name].times), Ours: strings.HasPrefix(by, "accesstoken")})
		}
	}
	if bars == nil {
		return nil
	}
	return report.Bars("One RS256 token, until its claims are there", "ns", bars)
}

// workingSet draws the time of a cache hit against the number of tokens in use.
func (all *results) workingSet() []byte {
	points := all.points("WorkingSet/", "/cache=hit", "tokens", func(r *row) float64 { return report.Median(r.times) })
	if points == nil {
		return nil
	}
	return report.Lines("A token that was verified before, on all cores", "tokens in use", "ns per token",
		[]report.Series{{Name: "accesstoken", Points: points, Ours: true}})
}

// newTokens draws the number of tokens validated per second against the share of tokens
// that were never seen before.
func (all *results) newTokens() []byte {
	points := all.points("NewTokens/", "", "new", func(r *row) float64 { return 1e9 / report.Median(r.times) })
	if points == nil {
		return nil
	}
	return report.Lines("Tokens validated, on all cores (EdDSA)", "% never seen before", "tokens per second",
		[]report.Series{{Name: "accesstoken", Points: points, Ours: true}})
}

func (all *results) points(prefix, suffix, key string, y func(*row) float64) (points []report.Point) {
	for _, name := range all.order {
		x, err := strconv.ParseFloat(strings.TrimSuffix(part(name, key), "%"), 64)
		if err == nil && strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			points = append(points, report.Point{X: x, Y: y(all.rows[name])})
		}
	}
	return points
}
