package echo5auth_test

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// A program that moves from Echo v4 to v5 changes the import and the type of the
// context, and nothing else.
func TestTheAPIIsThatOfEchoauth(t *testing.T) {
	got, want := exported(t, "echo5auth.go"), exported(t, "../../middleware/echoauth/echoauth.go")
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "echo.Context", "*echo.Context")
	}
	if len(want) < 8 || !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant, as in echoauth\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// exported returns the exported functions and fields of a file, in their order.
func exported(t *testing.T, file string) (names []string) {
	t.Helper()
	positions := token.NewFileSet()
	tree, err := parser.ParseFile(positions, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	add := func(node any) {
		var text strings.Builder
		if err := printer.Fprint(&text, positions, node); err != nil {
			t.Fatal(err)
		}
		names = append(names, text.String())
	}
	ast.FileExports(tree)
	for _, declaration := range tree.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			d.Body = nil
			add(d)
		case *ast.GenDecl:
			if d.Tok != token.IMPORT {
				add(d)
			}
		}
	}
	return names
}
