package project_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// The package's documentation lists the checks in their order. If a page has such a
// list, it has to be the same, word for word.
func TestThePagesQuoteTheListOfChecks(t *testing.T) {
	list := checksOf(t, "doc.go", `//  `)
	if len(list) < 10 {
		t.Fatalf("doc.go lists %d checks; want them all, numbered from 1", len(list))
	}
	for _, page := range []string{"README.md", "ARCHITECTURE.md", "SECURITY.md"} {
		got := checksOf(t, page, "")
		for i, check := range list {
			if i >= len(got) || got[i] != check {
				t.Errorf("%s: check %d: want, as doc.go has it: %q", page, i+1, check)
			}
		}
		if len(got) > len(list) {
			t.Errorf("%s has %d checks more than doc.go: %q", page, len(got)-len(list), got[len(list):])
		}
	}
}

// checksOf returns the longest list of a file whose lines are numbered from 1 and
// follow each other.
func checksOf(t *testing.T, file, prefix string) (longest []string) {
	t.Helper()
	var list []string
	for line := range strings.Lines(content(t, file)) {
		next := fmt.Sprintf("%s%d. ", prefix, len(list)+1)
		text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), next)
		if !ok {
			list = nil
			continue
		}
		if list = append(list, text); len(list) > len(longest) {
			longest = list
		}
	}
	return longest
}

// The README quotes the profiles' own texts about what they relax and demand.
func TestTheReadmeNamesTheProfilesThatTakeIDTokens(t *testing.T) {
	var takers, names []string
	for line := range strings.Lines(content(t, "testdata/profiles.txt")) {
		name, _, _ := strings.Cut(line, " ")
		if strings.Contains(line, "ID tokens are accepted as credentials") {
			takers = append(takers, "`"+name+"`")
		}
		if name != "RFC9068" {
			names = append(names, "`"+name+"`")
		}
	}
	readme := strings.Join(strings.Fields(content(t, "README.md")), " ")
	last := len(takers) - 1
	want := "For " + strings.Join(takers[:last], ", ") + " and " + takers[last] + ", ID tokens are the credentials; every other profile refuses its issuer's ID tokens."
	if !strings.Contains(readme, want) {
		t.Errorf("README.md: want %q", want)
	}
	listed := regexp.MustCompile("there are profiles: ((?:`\\w+`(?:, | and )?)+)").FindStringSubmatch(readme)
	if listed == nil {
		t.Fatal("README.md does not list the profiles")
	}
	for _, name := range names {
		if !strings.Contains(listed[1], name) {
			t.Errorf("README.md does not name the profile %s", name)
		}
	}
}
