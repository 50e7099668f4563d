package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheListGivesEachSurvivorAReason(t *testing.T) {
	got, err := parseSurvivors("# text\n\na.go f never: x\n\tone line\n\tand another\nb.go g never: y\n\tz\n")
	want := []survivor{{"a.go f never: x", "one line and another"}, {"b.go g never: y", "z"}}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	for name, text := range map[string]string{
		"no reason":              "a.go f never: x\nb.go g never: y\n\tz\n",
		"the same id twice":      "a\n\tx\na\n\ty\n",
		"a reason for no mutant": "\tx\n",
	} {
		if got, err := parseSurvivors(text); err == nil {
			t.Errorf("%s: got %q; want an error", name, got)
		}
	}
}

// If this fails, the code has changed: look where the check is now.
func TestTheListNamesMutantsOfThisSource(t *testing.T) {
	listed, err := readSurvivors("survivors.txt")
	if err != nil {
		t.Fatal(err)
	}
	all, err := collect("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range gone(all, listed) {
		t.Error(fault)
	}
}

func TestTheCommandFailsWhenTheListIsWrong(t *testing.T) {
	m := mutant{file: "a.go", function: "f", operator: "never", check: "x"}
	excused := []survivor{{m.id(), "it is checked twice"}}
	for _, test := range []struct {
		name, by string
		listed   []survivor
		want     string
	}{
		{"killed, not listed", "p TestA", nil, ""},
		{"survives, listed", "", excused, ""},
		{"survives, not listed", "", nil, "no test needs this check"},
		{"killed, listed", "p TestA", excused, "remove it"},
		{"listed, of an older source", "p TestA", []survivor{{"b.go f never: y", "gone"}}, "no longer has this mutant"},
	} {
		err := complaints([]mutant{m}, []verdict{{mutant: m, by: test.by}}, test.listed)
		if got := err != nil; got != (test.want != "") || got && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v; want %q", test.name, err, test.want)
		}
	}
}

func TestTheTableHasARowForEachMutantAndTheReasonsOfSurvivors(t *testing.T) {
	m := mutant{file: "internal/a.go", function: "f", operator: "removed", check: "x || y"}
	verdicts := []verdict{{mutant: m, by: "p TestA", took: time.Second}, {mutant: m, by: "p " + byTimeout}, {mutant: m}}
	var out strings.Builder
	printTable(&out, verdicts, []survivor{{m.id(), "it is checked twice"}})
	for _, want := range []string{
		"| internal | f | `x \\|\\| y` | removed | p TestA | 1.0 s |\n",
		"| p by timeout | 0.0 s |\n",
		"3 mutants: 2 killed (1 of them by timeout), 1 survived; 1s of work\n",
		"survived: internal/a.go f removed: x || y\n\tit is checked twice\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got\n%s\nwant %q in it", &out, want)
		}
	}
}
