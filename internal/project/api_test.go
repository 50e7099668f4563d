package project_test

import (
	"bytes"
	"errors"
	"flag"
	"go/ast"
	"go/doc"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the listings in testdata/api")

// If an exported name is added, removed or changed, this should be a decision, so the
// commit has to change the listing as well.
func TestAPIChangesAreNoticed(t *testing.T) {
	for _, pkg := range public {
		p, _ := parsed(t, pkg)
		name := filepath.Join(top, "testdata/api", path.Join(path.Dir(pkg), p.Name)+".txt")
		got := listing(p)
		if *update {
			write(t, name, got)
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if diff := difference(strings.Split(strings.TrimSpace(string(text)), "\n"), got); diff != "" {
			t.Errorf("the API of %s changed:\n%sif that is meant: go test ./internal/project -update", named(pkg), diff)
		}
	}
}

// The exported names of a package should fit on one screen, because readers skip longer
// lists.
func TestPackagesStaySmall(t *testing.T) {
	for _, pkg := range public {
		p, _ := parsed(t, pkg)
		count, limit := len(p.Funcs)+len(p.Types), 20
		for _, typ := range p.Types {
			count += len(typ.Funcs)
		}
		if pkg == "." {
			limit = 40
		}
		if count > limit {
			t.Errorf("%s exports %d types and functions; want at most %d", named(pkg), count, limit)
		}
	}
}

func write(t *testing.T, name string, lines []string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// difference returns the lines that only one side has.
func difference(old, now []string) string {
	var diff strings.Builder
	for _, line := range old {
		if line != "" && !slices.Contains(now, line) {
			diff.WriteString("\t- " + line + "\n")
		}
	}
	for _, line := range now {
		if !slices.Contains(old, line) {
			diff.WriteString("\t+ " + line + "\n")
		}
	}
	return diff.String()
}

// listing has one line for each exported name, field and method, sorted.
// Names of parameters are left out, because a change of one breaks no caller.
func listing(p *doc.Package) []string {
	lines := append(values(p.Consts), values(p.Vars)...)
	lines = append(lines, functions(p.Funcs)...)
	for _, typ := range p.Types {
		lines = append(lines, members(typ)...)
		lines = append(lines, values(typ.Consts)...)
		lines = append(lines, values(typ.Vars)...)
		lines = append(lines, functions(typ.Funcs)...)
		lines = append(lines, functions(typ.Methods)...)
	}
	slices.Sort(lines)
	return lines
}

func functions(functions []*doc.Func) (lines []string) {
	for _, f := range functions {
		line := "func " + f.Name
		if f.Recv != "" {
			line = "method (" + f.Recv + ") " + f.Name
		}
		lines = append(lines, line+strings.TrimPrefix(text(f.Decl.Type), "func"))
	}
	return lines
}

func values(values []*doc.Value) (lines []string) {
	for _, v := range values {
		var typ ast.Expr // valid until the next type, because an iota list states it once
		for _, spec := range v.Decl.Specs {
			spec := spec.(*ast.ValueSpec)
			if spec.Type != nil || len(spec.Values) > 0 {
				typ = spec.Type
			}
			for i, name := range spec.Names {
				if !name.IsExported() {
					continue
				}
				line := v.Decl.Tok.String() + " " + name.Name
				if typ != nil {
					line += " " + text(typ)
				}
				if v.Decl.Tok == token.CONST && i < len(spec.Values) {
					line += " = " + text(spec.Values[i])
				}
				lines = append(lines, line)
			}
		}
	}
	return lines
}

func members(typ *doc.Type) (lines []string) {
	spec := typ.Decl.Specs[0].(*ast.TypeSpec)
	head := "type " + typ.Name + " "
	switch underlying := spec.Type.(type) {
	case *ast.StructType:
		lines = append(fields(head+"struct", underlying.Fields), head+"struct")
	case *ast.InterfaceType:
		lines = append(fields(head+"interface", underlying.Methods), head+"interface")
	default:
		lines = []string{head + text(spec.Type)}
	}
	return lines
}

func fields(head string, list *ast.FieldList) (lines []string) {
	for _, field := range list.List {
		if len(field.Names) == 0 {
			lines = append(lines, head+", "+text(field.Type))
		}
		for _, name := range field.Names {
			if name.IsExported() {
				lines = append(lines, head+", "+name.Name+" "+text(field.Type))
			}
		}
	}
	return lines
}

// text prints a type or a value on one line.
func text(node ast.Expr) string {
	ast.Inspect(node, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncType); ok {
			f.Params, f.Results = nameless(f.Params), nameless(f.Results)
		}
		return true
	})
	var out bytes.Buffer
	if err := printer.Fprint(&out, token.NewFileSet(), node); err != nil {
		return err.Error()
	}
	return out.String()
}

// nameless turns (a, b string) into (string, string).
func nameless(list *ast.FieldList) *ast.FieldList {
	if list == nil {
		return nil
	}
	bare := &ast.FieldList{}
	for _, field := range list.List {
		for range max(1, len(field.Names)) {
			bare.List = append(bare.List, &ast.Field{Type: field.Type})
		}
	}
	return bare
}
