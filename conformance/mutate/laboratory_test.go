package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestTheFirstFailingTestIsNamed(t *testing.T) {
	for _, test := range []struct{ name, output, want string }{
		{"a test", "--- FAIL: TestA (0.00s)\n    a_test.go:7: got\nFAIL\n", "TestA"},
		{"a subtest", "--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\n        --- FAIL: TestA/b/c (0.00s)\n    --- FAIL: TestA/d (0.00s)\n", "TestA/b/c"},
		{"two tests", "--- FAIL: TestA (0.00s)\n--- FAIL: TestB (0.00s)\n    --- FAIL: TestB/c (0.00s)\n", "TestA"},
		{"a panic in a test", "--- FAIL: TestA (0.00s)\npanic: nil map [recovered]\n", "TestA"},
		{"a panic elsewhere", "panic: nil map\n\ngoroutine 9 [running]:\n", "by a panic"},
		{"no end", "panic: test timed out after 1s\n\trunning tests:\n\t\tTestA (1s)\n", "by timeout"},
	} {
		if got := failing(test.output); got != test.want {
			t.Errorf("%s: got %q; want %q", test.name, got, test.want)
		}
	}
}

// sample is a module with a check that a test needs, and one that no test needs.
var sample = map[string]string{
	"go.mod": "module sample\n\ngo 1.26\n",
	"sample.go": `package sample

type kind uint8

const short kind = 1

func refuses(name string) bool {
	switch name {
	case "seven":
		return true
	}
	switch kind(len(name)) {
	case short:
		return true
	}
	return name == "eight" || name == "nine"
}
`,
	"sample_test.go": `package sample

import "testing"

func TestSevenEightAndShortNamesAreRefused(t *testing.T) {
	if !refuses("seven") || !refuses("eight") || !refuses("x") || refuses("one") {
		t.Error("got the wrong answer")
	}
}

func TestNothing(t *testing.T) {}
`,
}

// unpack writes the sample with one of its files changed.
func unpack(t *testing.T, changed, content string) (top string, all []mutant) {
	t.Helper()
	top = t.TempDir()
	for name, original := range sample {
		if name == changed {
			original = content
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(original), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := find("sample.go", []byte(sample["sample.go"]), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return top, all
}

func TestAMutantIsKilledByATestThatNeedsItsCheck(t *testing.T) {
	top, all := unpack(t, "", "")
	l, err := newLaboratory(t.Context(), top, 2, all, all, map[string][]stage{".": {root}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	verdicts, err := l.tryAll(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed := named(".") + " TestSevenEightAndShortNamesAreRefused"
	want := map[string]string{
		`sample.go refuses removed: "seven"`:         killed,
		`sample.go refuses removed: short`:           killed,
		`sample.go refuses removed: name == "eight"`: killed,
		`sample.go refuses removed: name == "nine"`:  "SURVIVED",
	}
	for _, v := range verdicts {
		if v.String() != want[v.id()] {
			t.Errorf("%s: got %v; want %s", v.id(), v, want[v.id()])
		}
	}
	if len(verdicts) != len(want) {
		t.Errorf("got %d verdicts; want %d", len(verdicts), len(want))
	}
	for name, content := range sample {
		if got, err := os.ReadFile(filepath.Join(top, name)); err != nil || string(got) != content {
			t.Errorf("%s: got %s, %v; want it as it was", name, got, err)
		}
	}
}

// Of the tests, those are run first that reach the mutant, and in the end all.
func TestTheTestsThatReachAMutantAreRunFirst(t *testing.T) {
	top, all := unpack(t, "", "")
	l, err := newLaboratory(t.Context(), top, 1, all, all, map[string][]stage{".": {root}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, m := range all {
		var runs []string
		for _, trial := range l.trialsOf(m) {
			runs = append(runs, trial.run)
		}
		if want := []string{"^(TestSevenEightAndShortNamesAreRefused)$", ""}; !slices.Equal(runs, want) {
			t.Errorf("%s: got the runs %q; want %q", m.id(), runs, want)
		}
	}
}

func TestASubtestIsRunByItself(t *testing.T) {
	got := trialOf(root, unit{test: "TestA", sub: "b#01", took: time.Second}).run
	if want := "^(TestA)$/^b#01$"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// If the tests fail without a mutant, a verdict means nothing.
func TestNothingIsTriedWhileTheTestsFail(t *testing.T) {
	for name, content := range map[string]string{
		"they fail":           "package sample\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Error() }\n",
		"they do not compile": "package sample\n\nfunc TestA(\n",
	} {
		top, all := unpack(t, "sample_test.go", content)
		l, err := newLaboratory(t.Context(), top, 2, all, all, map[string][]stage{".": {root}})
		if err == nil {
			l.close()
			t.Errorf("%s: got a laboratory; want an error", name)
		}
	}
}
