package main

import (
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// String returns which test killed the mutant, or that it survived.
func (v verdict) String() string {
	if v.by == "" {
		return "SURVIVED"
	}
	return v.by
}

// printTable prints a row for each verdict, the totals, and the reason of each survivor.
func printTable(out io.Writer, verdicts []verdict, listed []survivor) {
	fmt.Fprintln(out, "| package | function | check | operator | killed by | time |")
	fmt.Fprintln(out, "|---|---|---|---|---|--:|")
	for _, v := range verdicts {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %.1f s |\n", named(path.Dir(v.file)), v.function,
			cell(v.check, v.ordinal), v.operator, strings.ReplaceAll(v.String(), "|", `\|`), v.took.Seconds())
	}
	printTotals(out, verdicts)
	for _, v := range verdicts {
		if v.by == "" {
			fmt.Fprintf(out, "\nsurvived: %s\n\t%s\n", v.id(), orUnknown(reasonFor(listed, v.id())))
		}
	}
}

func cell(check string, ordinal int) string {
	text := "`" + strings.ReplaceAll(check, "|", `\|`) + "`"
	if ordinal > 1 {
		text += fmt.Sprintf(" #%d", ordinal)
	}
	return text
}

func printTotals(out io.Writer, verdicts []verdict) {
	survived, hung := 0, 0
	var took time.Duration
	for _, v := range verdicts {
		took += v.took
		switch {
		case v.by == "":
			survived++
		case strings.HasSuffix(v.by, byTimeout):
			hung++
		}
	}
	fmt.Fprintf(out, "\n%d mutants: %d killed (%d of them by timeout), %d survived; %v of work\n",
		len(verdicts), len(verdicts)-survived, hung, survived, took.Round(time.Second))
}

func orUnknown(reason string) string {
	if reason == "" {
		return "NOT LISTED: write a test that needs the check, or add the reason to " + survivorsFile
	}
	return reason
}
