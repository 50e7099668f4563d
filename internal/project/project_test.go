package project_test

import (
	"encoding/json"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/accesstoken/accesstoken"
	top    = "../.." // the root of the repository
)

// public are the packages that users import.
var public = []string{
	".", "jwks", "introspection", "dpop", "scopes", "dialect", "resourcemetadata", "middleware", "middleware/echoauth", "grpcauth", "accesstokentest",
}

// A listed package is a package in the output of go list. Import paths of our own
// packages are shortened, for example to "jwks", or "." for the root.
type listed struct {
	ImportPath    string
	Imports, Deps []string
}

// goList lists every package of the root module. Test files do not count.
func goList(t *testing.T) []listed {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "./...")
	command.Dir = top
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p listed
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		p.ImportPath = short(p.ImportPath)
		for _, list := range [][]string{p.Imports, p.Deps} {
			for i := range list {
				list[i] = short(list[i])
			}
		}
		packages = append(packages, p)
	}
	return packages
}

func short(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// named returns the name of a package for messages.
func named(short string) string {
	if short == "." {
		return "the root package"
	}
	return short
}

// parsed returns the documentation of a package, with the examples of its test files. It
// is parsed again each time, because the caller may change the tree.
func parsed(t *testing.T, pkg string) (*doc.Package, *token.FileSet) {
	t.Helper()
	files := token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(top, pkg, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var trees []*ast.File
	for _, name := range names {
		tree, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		trees = append(trees, tree)
	}
	p, err := doc.NewFromFiles(files, trees, path.Join(module, pkg))
	if err != nil {
		t.Fatal(err)
	}
	return p, files
}

// files returns the paths of the repository's files, of all modules and relative to the
// root, for which keep returns true.
func files(t *testing.T, keep func(name string) bool) (names []string) {
	t.Helper()
	skipped := []string{".git", "node_modules"}
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skipped, entry.Name()):
			return filepath.SkipDir
		case entry.Type().IsRegular() && keep(name):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func isGo(name string) bool   { return strings.HasSuffix(name, ".go") }
func isTest(name string) bool { return strings.HasSuffix(name, "_test.go") }

// parse parses one file.
func parse(t *testing.T, name string) (*ast.File, *token.FileSet) {
	t.Helper()
	files := token.NewFileSet()
	return parseInto(t, files, name), files
}

// parseInto parses one file of several that belong together.
func parseInto(t *testing.T, files *token.FileSet, name string) *ast.File {
	t.Helper()
	tree, err := parser.ParseFile(files, name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
