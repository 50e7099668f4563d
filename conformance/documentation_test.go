package conformance

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheRevocationDelayIsDocumented is OPS-19. It looks where an operator would: at
// the settings that cause the delay, and in the security promises of the project.
func TestTheRevocationDelayIsDocumented(t *testing.T) {
	for _, field := range []struct{ file, name string }{
		{"introspection/config.go", "CacheFor"},
		{"introspection/config.go", "DangerouslyServeStaleFor"},
		{"config.go", "AlwaysIntrospect"},
		{"policy.go", "FreshIntrospection"},
	} {
		if text := docOf(t, field.file, field.name); !strings.Contains(text, "revoke") {
			t.Errorf("%s of %s: got the comment %q; want it to tell when a revoked token is refused", field.name, field.file, text)
		}
	}
	security, err := os.ReadFile(filepath.Join(top, "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"revoked", "until it expires", "CacheFor"} {
		if !strings.Contains(string(security), word) {
			t.Errorf("SECURITY.md: got nothing about %q; want the delay of JWTs and of introspected tokens", word)
		}
	}
}

// docOf returns the comment of a field.
func docOf(t *testing.T, file, field string) (text string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, file), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok && len(f.Names) == 1 && f.Names[0].Name == field {
			text += f.Doc.Text()
		}
		return true
	})
	return text
}

// TestNoMACIsComparedByteByByte is OPS-12: code that makes a MAC must not compare in a
// time that depends on how much of it is right.
func TestNoMACIsComparedByteByByte(t *testing.T) {
	slow := []string{"bytes.Equal", "bytes.Compare", "strings.Compare", "slices.Equal", "slices.Compare", "reflect.DeepEqual"}
	makers := 0
	for _, file := range libraryFiles(t) {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tree.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"crypto/hmac"` }) {
			continue
		}
		makers++
		ast.Inspect(tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && slices.Contains(slow, x.Name+"."+s.Sel.Name) {
					t.Errorf("%s: got %s.%s beside a MAC; want hmac.Equal", file, x.Name, s.Sel.Name)
				}
			}
			return true
		})
	}
	if makers == 0 {
		t.Error("got no file that makes a MAC; want the test to have something to look at")
	}
}

// libraryFiles are the Go files of the packages that users compile.
func libraryFiles(t *testing.T) (files []string) {
	t.Helper()
	for _, directory := range []string{".", "jwks", "introspection", "scopes", "middleware", "middleware/echoauth", "grpcauth", "grpcauth/policypb", "internal/*"} {
		found, err := filepath.Glob(filepath.Join(top, directory, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, slices.DeleteFunc(found, func(name string) bool { return strings.HasSuffix(name, "_test.go") })...)
	}
	return files
}
