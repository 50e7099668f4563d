package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// survivorsFile lists the mutants that may survive. Below each id is its reason, in
// indented lines.
const survivorsFile = "conformance/mutate/survivors.txt"

// A survivor is a mutant that no test kills, and the reason why that is acceptable.
type survivor struct{ id, reason string }

func readSurvivors(file string) ([]survivor, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseSurvivors(string(text))
}

func parseSurvivors(text string) (listed []survivor, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		said := strings.TrimSpace(line)
		switch {
		case said == "" || strings.HasPrefix(line, "#"):
		case line[0] != '\t':
			listed = append(listed, survivor{id: line})
		case len(listed) == 0:
			return nil, fmt.Errorf("%s: an indented reason comes before the first id", survivorsFile)
		default:
			last := &listed[len(listed)-1]
			last.reason = strings.TrimSpace(last.reason + " " + said)
		}
	}
	return listed, faultsOf(listed)
}

func faultsOf(listed []survivor) error {
	var faults []error
	seen := map[string]bool{}
	for _, s := range listed {
		if s.reason == "" {
			faults = append(faults, fmt.Errorf("%s has no reason for %q", survivorsFile, s.id))
		}
		if seen[s.id] {
			faults = append(faults, fmt.Errorf("%s has a duplicate entry for %q", survivorsFile, s.id))
		}
		seen[s.id] = true
	}
	return errors.Join(faults...)
}

// reasonFor returns why the mutant may survive, or "".
func reasonFor(listed []survivor, id string) string {
	for _, s := range listed {
		if s.id == id {
			return s.reason
		}
	}
	return ""
}

// gone returns an error for each listed mutant that the present source does not have.
func gone(all []mutant, listed []survivor) (faults []error) {
	for _, s := range listed {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.id() == s.id }) {
			faults = append(faults, fmt.Errorf("the source no longer has this mutant; remove it from %s: %s", survivorsFile, s.id))
		}
	}
	return faults
}

// complaints compares the verdicts with the list.
func complaints(all []mutant, verdicts []verdict, listed []survivor) error {
	faults := gone(all, listed)
	for _, v := range verdicts {
		known := reasonFor(listed, v.id()) != ""
		switch {
		case v.by == "" && !known:
			faults = append(faults, fmt.Errorf("no test needs this check: %s", v.id()))
		case v.by != "" && known:
			faults = append(faults, fmt.Errorf("a test kills this mutant now; remove it from %s: %s", survivorsFile, v.id()))
		}
	}
	return errors.Join(faults...)
}
