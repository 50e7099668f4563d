package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/accesstoken/accesstoken/benchmarks/internal/report"
)

// A section is one table. Its name is the name of the section in the Markdown file.
type section struct{ name, table string }

// sections returns the tables. If a top-level benchmark compares libraries, which its
// names show by the key "by", for example BenchmarkVerify/alg=RS256/by=go-oidc, it has
// a table of its own. All rows without that key are in one table.
func (all *results) sections() (sections []section) {
	var single []string
	for _, name := range all.order {
		top, _, _ := strings.Cut(name, "/")
		place := strings.ToLower(top)
		switch {
		case part(name, "by") == "":
			single = append(single, name)
		case !slices.ContainsFunc(sections, func(s section) bool { return s.name == place }):
			sections = append(sections, section{place, all.compared(top)})
		}
	}
	if len(single) > 0 {
		sections = append(sections, section{"figures", all.listed(single)})
	}
	return sections
}

// listed returns a table with a row for each name. If there are rows for the raw
// cryptography, each row is compared with the raw row of its algorithm. That is RS256,
// unless the name has another alg.
func (all *results) listed(names []string) string {
	var out strings.Builder
	fmt.Fprintln(&out, "| benchmark | median | range | × raw | B/op | allocs/op | |")
	fmt.Fprintln(&out, "|---|--:|--:|--:|--:|--:|---|")
	for _, name := range names {
		r, alg := all.rows[name], part(name, "alg")
		if alg == "" {
			alg = "RS256"
		}
		fmt.Fprintf(&out, "| %s | %s | %s – %s | %s | %.0f | %.0f | %s |\n", name, report.Duration(report.Median(r.times)),
			report.Duration(slices.Min(r.times)), report.Duration(slices.Max(r.times)),
			times(r, all.rows["Raw/alg="+alg]), r.bytes, r.allocs, r.others())
	}
	return out.String()
}

// others returns the metrics that a benchmark reports besides time and memory.
func (r *row) others() string {
	list := make([]string, len(r.units))
	for i, unit := range r.units {
		list[i] = strconv.FormatFloat(report.Median(r.more[unit]), 'g', 4, 64) + " " + unit
	}
	return strings.Join(list, ", ")
}

// compared returns a table with a row for each library and a column for each case. The
// base of the comparison is the raw cryptography or ours, whichever was measured
// first.
func (all *results) compared(top string) string {
	var peers, cases []string
	found := map[[2]string]*row{}
	for _, name := range all.order {
		if by := part(name, "by"); by != "" && strings.HasPrefix(name, top+"/") {
			peers, cases = add(peers, by), add(cases, caseOf(name))
			found[[2]string{caseOf(name), by}] = all.rows[name]
		}
	}
	base := peers[slices.IndexFunc(peers, isBase)]
	var out strings.Builder
	fmt.Fprintf(&out, "| %s | %s | B, allocs of the first |\n|---|%s--:|\n", "× "+base, strings.Join(cases, " | "), strings.Repeat("--:|", len(cases)))
	for _, by := range peers {
		fmt.Fprintf(&out, "| %s |", by)
		memory := "–"
		for _, c := range cases {
			r := found[[2]string{c, by}]
			if r == nil {
				fmt.Fprint(&out, " – |")
				continue
			}
			fmt.Fprintf(&out, " %s |", cell(r, found[[2]string{c, base}]))
			if memory == "–" {
				memory = fmt.Sprintf("%.0f, %.0f", r.bytes, r.allocs)
			}
		}
		fmt.Fprintf(&out, " %s |\n", memory)
	}
	return out.String()
}

func isBase(by string) bool { return by == "raw" || strings.HasPrefix(by, "accesstoken") }

// caseOf returns a name without its first part and without "by".
func caseOf(name string) string {
	parts := strings.Split(name, "/")[1:]
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return strings.HasPrefix(p, "by=") }), " ")
}

func add(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

func cell(r, base *row) string {
	text := report.Duration(report.Median(r.times))
	if ratio := times(r, base); ratio != "–" {
		return "**" + ratio + "** (" + text + ")"
	}
	return text
}

// times returns the median of the ratios of the single rounds, because these vary less
// between runs than the times do. If the rows cannot be compared, times returns a
// dash.
func times(r, base *row) string {
	if base == nil || base == r || len(base.times) != len(r.times) {
		return "–"
	}
	ratios := make([]float64, len(r.times))
	for round := range ratios {
		ratios[round] = r.times[round] / base.times[round]
	}
	ratio := report.Median(ratios)
	switch {
	case ratio < 0.1:
		return strconv.FormatFloat(ratio, 'f', 4, 64)
	case ratio < 10:
		return strconv.FormatFloat(ratio, 'f', 2, 64)
	}
	return strconv.FormatFloat(ratio, 'f', 0, 64)
}
