package project_test

import (
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// longestFunction is how many lines a function may have, from its first to its last.
const longestFunction = 60

func TestFunctionsAreShort(t *testing.T) {
	isCode := func(name string) bool { return isGo(name) && !isTest(name) }
	for _, name := range files(t, isCode) {
		tree, positions := parse(t, name)
		if ast.IsGenerated(tree) {
			continue
		}
		for _, declared := range tree.Decls {
			function, ok := declared.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first, last := positions.Position(function.Pos()), positions.Position(function.End())
			if lines := last.Line - first.Line + 1; lines > longestFunction {
				t.Errorf("%s: %s has %d lines; want at most %d", first, function.Name.Name, lines, longestFunction)
			}
		}
	}
}

// mostPairs is how many pairs of files of the root package may name each other in
// both directions. Such a pair has to be read together.
const mostPairs = 5

// TestFilesOfTheRootReadInOneDirection counts the pairs in which each file uses
// something that the other declares: a type, a function, a method, a variable, a
// constant or a field.
func TestFilesOfTheRootReadInOneDirection(t *testing.T) {
	used := usesBetweenFiles(t)
	var pairs []string
	for use := range used {
		if use[0] < use[1] && used[[2]string{use[1], use[0]}] != "" {
			back := [2]string{use[1], use[0]}
			pairs = append(pairs, use[0]+" uses "+used[use]+" of "+use[1]+", which uses "+used[back])
		}
	}
	slices.Sort(pairs)
	for _, pair := range pairs {
		t.Log(pair)
	}
	if len(pairs) > mostPairs {
		t.Errorf("%d pairs of files of the root package use each other; want at most %d", len(pairs), mostPairs)
	}
	if len(used) < 20 {
		t.Errorf("found %d uses between files; want those of a whole package", len(used))
	}
}

// usesBetweenFiles returns, by user and used file, the name of one thing that is used.
func usesBetweenFiles(t *testing.T) map[[2]string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(top, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	positions := token.NewFileSet()
	var trees []*ast.File
	for _, name := range slices.DeleteFunc(names, isTest) {
		trees = append(trees, parseInto(t, positions, name))
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	checker := types.Config{Importer: importer.ForCompiler(positions, "gc", exportData(t))}
	if _, err := checker.Check(module, positions, trees, info); err != nil {
		t.Fatal(err)
	}
	uses := map[[2]string]string{}
	for user, used := range info.Uses {
		if used.Pkg() == nil || used.Pkg().Path() != module || isLocal(used) {
			continue
		}
		from, to := positions.Position(user.Pos()).Filename, positions.Position(used.Pos()).Filename
		if use := [2]string{filepath.Base(from), filepath.Base(to)}; from != to && (uses[use] == "" || user.Name < uses[use]) {
			uses[use] = user.Name
		}
	}
	return uses
}

// isLocal reports what is declared within a function, or is a package's name.
func isLocal(used types.Object) bool {
	switch object := used.(type) {
	case *types.PkgName, *types.Label:
		return true
	case *types.Var:
		return !object.IsField() && object.Parent() != object.Pkg().Scope()
	}
	return used.Parent() != nil && used.Parent() != used.Pkg().Scope()
}

// exportData finds the compiled form of what the root package imports.
func exportData(t *testing.T) func(importPath string) (io.ReadCloser, error) {
	t.Helper()
	command := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	command.Dir = top
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	compiled := map[string]string{}
	for line := range strings.Lines(string(out)) {
		importPath, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		compiled[importPath] = file
	}
	return func(importPath string) (io.ReadCloser, error) { return os.Open(compiled[importPath]) }
}
