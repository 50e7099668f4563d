// Package report writes the results of the benchmark programs: figures, the machine
// that they come from, sections of a Markdown file, and plots.
package report

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Median returns the middle one of the values, or the mean of the two in the middle.
// It panics if there are no values.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Duration writes a time in a suitable unit, with at least three significant digits
// if it is 10 ns or more.
func Duration(nanoseconds float64) string {
	switch {
	case nanoseconds < 99.95:
		return fmt.Sprintf("%.1f ns", nanoseconds)
	case nanoseconds < 999.5:
		return fmt.Sprintf("%.0f ns", nanoseconds)
	case nanoseconds < 9_995:
		return fmt.Sprintf("%.2f µs", nanoseconds/1e3)
	case nanoseconds < 999_950:
		return fmt.Sprintf("%.1f µs", nanoseconds/1e3)
	case nanoseconds < 9_995_000:
		return fmt.Sprintf("%.2f ms", nanoseconds/1e6)
	case nanoseconds < 999_950_000:
		return fmt.Sprintf("%.1f ms", nanoseconds/1e6)
	}
	return fmt.Sprintf("%.2f s", nanoseconds/1e9)
}

// Replace puts the text between the markers of a section in a Markdown file,
// which are comments on lines of their own:
//
//	<!-- begin: SECTION -->
//	<!-- end: SECTION -->
//
// If a marker does not occur exactly once, or the end comes first, Replace returns an
// error, and the file does not change.
func Replace(file, section, text string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	content := string(raw)
	begin, end := "<!-- begin: "+section+" -->", "<!-- end: "+section+" -->"
	for _, marker := range []string{begin, end} {
		if n := strings.Count(content, marker); n != 1 {
			return fmt.Errorf("report: %s has %q %d times; want it once", file, marker, n)
		}
	}
	before, rest, _ := strings.Cut(content, begin)
	_, after, found := strings.Cut(rest, end)
	if !found {
		return fmt.Errorf("report: %s has %q after %q; want it before", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n\n"+strings.TrimSpace(text)+"\n\n"+end+after), 0o644)
}
