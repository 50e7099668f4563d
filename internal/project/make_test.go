package project_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The targets in the documents and in .PHONY have rules. Without this test, a target
// without a rule would not be noticed, because make does not report it.
func TestWhatIsToBeMadeHasARule(t *testing.T) {
	makefile := content(t, "Makefile")
	var rules []string
	for _, rule := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(makefile, -1) {
		rules = append(rules, rule[1])
	}
	phony := regexp.MustCompile(`(?m)^\.PHONY: (.*)$`).FindAllStringSubmatch(makefile, -1)
	if len(rules) == 0 || len(phony) != 1 {
		t.Fatalf("got %d rules and %d lists of .PHONY; want some, and one", len(rules), len(phony))
	}
	for name := range strings.FieldsSeq(phony[0][1]) {
		if !slices.Contains(rules, name) {
			t.Errorf(".PHONY names %q; want a rule for it", name)
		}
	}
	told := regexp.MustCompile("`make ([a-z-]+)")
	for _, document := range []string{"README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CONFORMANCE.md", "RELEASE.md", "benchmarks/README.md"} {
		for _, named := range told.FindAllStringSubmatch(content(t, document), -1) {
			if !slices.Contains(rules, named[1]) {
				t.Errorf("%s tells people to make %q; want a rule for it", document, named[1])
			}
		}
	}
}

func content(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
