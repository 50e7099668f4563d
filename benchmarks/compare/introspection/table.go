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
		fmt.Fprintf(&out, "- **%s**: %s.\n", column.name, strings.Join(append(modules, column.how), ", "))
	}
	return out.String()
}

func (s scenario) label() string { return "**" + s.name + "**: " + s.title }

func (t table) notes() string {
	lines := []string{
		fmt.Sprintf("*Right*: the answer is true. *Unavailable*: an error, so the state of the token is unknown. *Wrong*: an active token was called inactive, or a made-up one active. "+
			"Callers wait for %.0f s. Calls are those that reach the server in the scenario.", deadline.Seconds()),
	}
	var together []string
	for _, row := range t.rows {
		if row.together {
			together = append(together, row.name)
		}
	}
	if len(together) == 0 || len(t.columns) == 1 {
		lines = append(lines, "One implementation ran at a time.")
	} else {
		lines = append(lines, "One implementation ran at a time, except in "+strings.Join(together, ", ")+", where all ran side by side, each with a server of its own.")
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
