package report

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Machine describes what figures depend on: the version of Go, the system, the
// processor, its cores, and the commit. If files have changed since the commit, other
// than those that the figures are written to, the commit is followed by "+". Outside a
// repository the commit is left out.
func Machine() string {
	text := fmt.Sprintf("%s %s/%s, %s, %d cores", runtime.Version(), runtime.GOOS, runtime.GOARCH, processor(), runtime.NumCPU())
	if commit := commit(); commit != "" {
		text += ", commit " + commit
	}
	return text
}

// processor returns the name of the processor from /proc/cpuinfo, or else "processor
// unknown".
func processor() string {
	content, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(content)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor unknown"
}

func commit() string {
	hash, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return ""
	}
	changes, err := exec.Command("git", "status", "--porcelain", "--", ":(top)", ":(top,exclude)benchmarks/README.md", ":(top,exclude,glob)benchmarks/*.svg").Output()
	if err != nil || len(changes) > 0 {
		return strings.TrimSpace(string(hash)) + "+"
	}
	return strings.TrimSpace(string(hash))
}
