package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// A table has a row for each scenario and a column for each implementation.
type table struct {
	rows    []scenario
	columns []implementation
	alone   bool // one implementation at a time
	cells   [][]string
}

func (t table) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s/%s, %s, %d cores.\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, cpu(), runtime.GOMAXPROCS(0))
	fmt.Fprintf(&out, "| | %s |\n", strings.Join(ids(t.columns), " | "))
	fmt.Fprintf(&out, "|---|%s\n", strings.Repeat("---|", len(t.columns)))
	for i, row := range t.rows {
		fmt.Fprintf(&out, "| %s | %s |\n", row.label(), strings.Join(t.cells[i], " | "))
	}
	out.WriteString("\n" + t.notes() + "\n")
	versions := versions()
	for _, column := range t.columns {
		var modules []string
		for _, module := range column.modules {
			modules = append(modules, module+" "+versions[module])
		}
		fmt.Fprintf(&out, "- **%s**: %s. %s.\n", column.name, strings.Join(modules, ", "), column.how)
	}
	return out.String()
}

// label returns the row's name and title, and its freshness if it is not the default.
func (s scenario) label() string {
	text := "**" + s.name + "**: " + s.title
	if s.fresh != 0 {
		text += fmt.Sprintf(" *(freshness %.0f s)*", s.fresh.Seconds())
	}
	return text
}

func (t table) notes() string {
	lines := []string{
		fmt.Sprintf("Good requests: each one has a token that was not offered before, and fails if it is refused or has no answer within %.0f s. "+
			"*As unavailable*: the error says that the keys could not be fetched, not that the token is bad; if a cell does not say this, the implementation's errors do not distinguish the two. "+
			"Fetches are those of the scenario; if a key is held at its start, the first fetch is not counted.", deadline.Seconds()),
		"Settings are the defaults, except in rows with *(freshness)*: there the time after which keys are fetched again is set, if the implementation allows it, so that it ends within the scenario.",
	}
	var apart []string
	for _, row := range t.rows {
		if !row.together {
			apart = append(apart, row.name)
		}
	}
	switch {
	case t.alone || len(t.columns) == 1:
		lines = append(lines, "One implementation ran at a time.")
	case len(apart) == 0:
		lines = append(lines, "The implementations ran side by side, each with a server of its own.")
	default:
		lines = append(lines, "The implementations ran side by side, each with a server of its own, except in "+strings.Join(apart, ", ")+", where one ran at a time.")
	}
	return strings.Join(lines, "\n\n") + "\n"
}

// cpu returns the name of the processor from /proc/cpuinfo, or else "unknown
// processor".
func cpu() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// versions returns the version of each module that this program was built with.
func versions() map[string]string {
	found := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return found
	}
	for _, module := range info.Deps {
		found[module.Path] = module.Version
		if module.Replace != nil {
			found[module.Path] = "(this checkout)"
		}
	}
	return found
}
