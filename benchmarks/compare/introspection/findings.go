package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A finding is the result of one trial.
type finding struct {
	verdicts [verdicts]int

	// answerable says that the server worked, so each failed lookup is the client's loss.
	answerable bool

	notes []string // empty notes are left out
}

func found(requests []*request, notes ...string) finding {
	f := finding{notes: notes}
	for _, r := range requests {
		f.verdicts[r.verdict]++
	}
	return f
}

// String returns the text of the table's cell. Losses while the server worked, and
// wrong answers, are bold.
func (f finding) String() string {
	parts := append([]string{
		thousands(f.verdicts[right]) + " right",
		boldIf(f.answerable && f.verdicts[unavailable] > 0, thousands(f.verdicts[unavailable])+" unavailable"),
		boldIf(f.verdicts[wrong] > 0, thousands(f.verdicts[wrong])+" wrong"),
	}, f.notes...)
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), ", ")
}

func boldIf(bold bool, text string) string {
	if bold {
		return "**" + text + "**"
	}
	return text
}

// recovery returns a note about when a request first succeeded.
func recovery(requests []*request) string {
	first := time.Duration(-1)
	for _, r := range requests {
		if r.verdict == right && (first < 0 || r.done < first) {
			first = r.done
		}
	}
	if first < 0 {
		return fmt.Sprintf("**no success in %.0f s**", requests[len(requests)-1].sent.Seconds())
	}
	return "first success " + readable(first) + " after the server is back"
}

func durations(requests []*request) []time.Duration {
	var took []time.Duration
	for _, r := range requests {
		took = append(took, r.done-r.sent)
	}
	return took
}

// within returns a note about the latencies, whatever the verdicts.
func within(took []time.Duration) string {
	slices.Sort(took)
	return fmt.Sprintf("p50 %s, p99 %s, slowest %s", readable(at(took, 50)), readable(at(took, 99)), readable(took[len(took)-1]))
}

func at(sorted []time.Duration, percent int) time.Duration { return sorted[len(sorted)*percent/100] }

func readable(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1f µs", float64(d.Nanoseconds())/1000)
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return thousands(n) + " " + one + "s"
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
