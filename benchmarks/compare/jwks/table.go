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

// label marks the rows whose settings are not the defaults.
func (s scenario) label() string {
	text := "**" + s.name + "**: " + s.title
	if s.fresh != 0 {
		text += fmt.Sprintf(" *(freshness %.0f s)*", s.fresh.Seconds())
	}
	return text
}

func (t table) notes() string {
	lines := []string{
		fmt.Sprintf("Good requests: each brings a token that was not offered before, and fails if it is refused or not answered within %.0f s. "+
			"*As unavailable*: its error says that the keys could not be had, not that the token is bad; where nothing is said, errors do not tell. "+
			"Fetches are those of the scenario; where a key is held at its start, the first is left out.", deadline.Seconds()),
		"Settings are the defaults, but for *(freshness)*: there the time after which keys are asked for again is set, where it can be, so that it runs out within the scenario.",
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
		lines = append(lines, "The implementations ran side by side, each with a server of its own, but one at a time in "+strings.Join(apart, ", ")+".")
	}
	return strings.Join(lines, "\n\n") + "\n"
}

// cpu returns the name of the processor where the system tells.
func cpu() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// versions returns what this program was built with, by module.
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
