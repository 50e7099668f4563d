package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sourceOf returns a file with a function that has this result and body.
func sourceOf(result, body string) []byte {
	return []byte("package p\nfunc (r *reader[T]) check(a, b bool, n int) " + result + " {\n" + body + "\n}\n")
}

// mutations returns, for each mutant of such a file, its operator, its check,
// and the text that replaces it.
func mutations(t *testing.T, result, body string) (lines []string) {
	t.Helper()
	source := sourceOf(result, body)
	found, functions, err := find("dir/file.go", source, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(functions, []string{"reader.check"}) {
		t.Errorf("got functions %q; want reader.check", functions)
	}
	for _, m := range found {
		change := m.before + string(source[m.start:m.end]) + m.after
		lines = append(lines, strings.TrimPrefix(m.id(), "dir/file.go reader.check ")+" → "+change)
	}
	return lines
}

func TestEachOperatorChangesItsCheck(t *testing.T) {
	for _, test := range []struct {
		name, result, body string
		want               []string
	}{
		{"a condition that refuses", "error", "if a { return errType }\nreturn nil", []string{
			"never: a → (!$ && (a))",
		}},
		{"a condition that adds a fault", "", "if a { f.add(1) }", []string{
			"never: a → (!$ && (a))",
		}},
		{"a condition that accepts", "error", "if a { return nil }\nreturn nil", []string{
			"inverted: a → ((a) != $)",
		}},
		{"alternatives, one of them with two conditions of its own", "error", "if a || (b && a) || b { return errType }\nreturn nil", []string{
			"removed: a → (!$ && (a))",
			"removed: (b && a) → (!$ && ((b && a)))",
			"removed: b → (!$ && (b))",
		}},
		{"demands that stand together", "error", "if a && (b && a) { return nil }\nreturn nil", []string{
			"removed: a → ($ || (a))",
			"removed: b → ($ || (b))",
			"removed: a #2 → ($ || (a))",
		}},
		{"the cases of a switch without a tag", "error", "switch { case a: return errType; case b: }\nreturn nil", []string{
			"never: a → (!$ && (a))",
			"inverted: b → ((b) != $)",
		}},
		{"the values of a case", "error", "switch s { case x, \"y\": return errType }\nreturn nil", []string{
			"removed: x → mutantCase($, x)",
			"removed: \"y\" → mutantCase($, \"y\")",
		}},
		{"numbers", "error", "switch n { case 1, 2: f() }\nreturn nil", []string{
			"removed: 1, 2 → if !$ { f() }",
		}},
		{"types", "error", "switch x.(type) { case int, string: f(); g() }\nreturn nil", []string{
			"removed: int, string → if !$ { f(); g() }",
		}},
		{"an upper bound", "error", "if n  > 4 { return errType }\nreturn nil", []string{
			"never: n  > 4 → (!$ && (n  > 4))",
			"boundary: n  > 4 → (n  > 4 || $ && n == 4)",
		}},
		{"a lower bound", "error", "if n <= 4 { return errType }\nreturn nil", []string{
			"never: n <= 4 → (!$ && (n <= 4))",
			"boundary: n <= 4 → (n <= 4 && !($ && n == 4))",
		}},
		{"no bound: a length is never below zero", "error", "if n > 0 { return errType }\nreturn nil", []string{
			"never: n > 0 → (!$ && (n > 0))",
		}},
		{"a moment", "error", "if now.Before(end) { return errType }\nreturn nil", []string{
			"never: now.Before(end) → (!$ && (now.Before(end)))",
			"boundary: now.Before(end) → (now.Before(end) || $ && !now.After(end))",
		}},
		{"a truth value that is returned", "(int, bool)", "return n, f(a)", []string{
			"always: f(a) → ($ || (f(a)))",
		}},
		{"truth values that are returned and joined", "bool", "return a || b", []string{
			"removed: a → (!$ && (a))",
			"removed: b → (!$ && (b))",
		}},
		{"truth values that are kept", "", "x := a || b\ny = T{c: a && b}", []string{
			"removed: a → (!$ && (a))",
			"removed: b → (!$ && (b))",
			"removed: a #2 → ($ || (a))",
			"removed: b #2 → ($ || (b))",
		}},
		{"a verdict", "*Error", "return f(n)", []string{
			"dropped: f(n) → func() *Error { verdict := (f(n)); if $ { return nil }; return verdict }()",
		}},
		{"a verdict under a condition that lets go on", "error", "if err == nil { return f(n) }\nreturn nil", []string{
			"never: err == nil → (!$ && (err == nil))",
			"dropped: f(n) → func() error { verdict := (f(n)); if $ { return nil }; return verdict }()",
		}},
		{"what a function inside returns", "", "g(func() bool { return f(n) })", []string{
			"always: f(n) → ($ || (f(n)))",
		}},
		{"a clamp", "", "g(min(n, 4))", []string{
			"unbounded: min(n, 4) → mutantUnbounded($, n, min(n, 4))",
		}},
		{"not the condition of a loop, but what is in it", "", "for n < 4 { for a { if b { f() } } }", []string{
			"inverted: b → ((b) != $)",
		}},
		{"a check in two lines", "error", "if f( // why\n\ta) { return errType }\nreturn nil", []string{
			"never: f( a) → (!$ && (f( // why\n\ta)))",
		}},
		{"nothing is decided", "(bool, error)", "return a, nil", nil},
	} {
		if got := mutations(t, test.result, test.body); !slices.Equal(got, test.want) {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", test.name, strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
		}
	}
}

func TestAllMutantsAreWrittenIntoTheSourceEachInItsPlace(t *testing.T) {
	source := sourceOf("bool", "if n > 4 {\n\treturn false\n}\nreturn a && f(b || a)")
	found, _, err := find("file.go", source, nil, 6)
	if err != nil {
		t.Fatal(err)
	}
	want := string(sourceOf("bool", "if (((n > 4 || mutantIs(8) && n == 4)) != mutantIs(7)) {\n\treturn false\n}\n"+
		"return (mutantIs(9) || (a)) && (mutantIs(10) || (f(b || a)))"))
	if got := string(instrument(source, found)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAFunctionCanBeLeftOut(t *testing.T) {
	source := []byte("package p\nfunc (t T) f(a bool) { if a {} }\nfunc g(a bool) { if a {} }\n")
	found, functions, err := find("f.go", source, []string{"T.f"}, 0)
	if err != nil || len(found) != 1 || found[0].function != "g" || len(functions) != 2 {
		t.Errorf("got %v of %v, %v; want the mutant of g, of two functions", found, functions, err)
	}
}

// Each id names only one mutant, because the list of survivors would otherwise excuse others.
func TestTheTargetsHaveMutantsWithIDsOfTheirOwn(t *testing.T) {
	all, err := collect("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.id()] || strings.Contains(m.id(), "\n") {
			t.Errorf("got the id %q twice or in two lines; want it once, in one", m.id())
		}
		seen[m.id()] = true
		if len(stages[path.Dir(m.file)]) == 0 {
			t.Errorf("%s: no tests are run for it; add its folder to stages", m.id())
		}
	}
	for _, one := range targets {
		if !slices.ContainsFunc(all, func(m mutant) bool { return m.file == one.file }) {
			t.Errorf("%s has no mutants; remove it from targets", one.file)
		}
	}
	if len(all) < 100 {
		t.Errorf("got %d mutants; want at least 100", len(all))
	}
}

func TestMutantsAreChosenByTheirIDs(t *testing.T) {
	all := []mutant{{file: "a.go", function: "f", operator: "never", check: "x"}, {file: "b.go", function: "f", operator: "never", check: "x"}}
	if got := matching(all, regexp.MustCompile(`^a\.go f never`)); len(got) != 1 || got[0].file != "a.go" {
		t.Errorf("got %v; want the mutant of a.go", got)
	}
}

func TestMutantsAreChosenByTheirPackagesAndFiles(t *testing.T) {
	all := []mutant{{file: "a.go"}, {file: "p/a.go"}, {file: "p/b.go"}, {file: "p/q/a.go"}}
	for only, want := range map[string][]string{
		"":          {"a.go", "p/a.go", "p/b.go", "p/q/a.go"},
		".":         {"a.go"},
		"./p":       {"p/a.go", "p/b.go"},
		"p/b.go, .": {"p/b.go", "a.go"},
		"./p/q/":    {"p/q/a.go"},
		"./r":       nil,
		"p,r":       nil,
	} {
		chosen, err := within(all, only)
		var got []string
		for _, m := range chosen {
			got = append(got, m.file)
		}
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("-only %q: got %q, %v; want %q", only, got, err, want)
		}
	}
}
