package project_test

import (
	"go/ast"
	"go/doc"
	"go/token"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range goList(t) {
		parsed, _ := parsed(t, p.ImportPath)
		if parsed.Doc == "" {
			t.Errorf("%s has no package comment", named(p.ImportPath))
		}
	}
}

func TestEveryExportedNameIsExplained(t *testing.T) {
	for _, pkg := range public {
		p, positions := parsed(t, pkg)
		report := func(name string) { t.Errorf("%s: %s has no doc comment", named(pkg), name) }
		for _, f := range p.Funcs {
			explained(report, f.Name, f.Doc)
		}
		explainedValues(report, append(p.Consts, p.Vars...))
		for _, typ := range p.Types {
			explained(report, typ.Name, typ.Doc)
			explainedValues(report, append(typ.Consts, typ.Vars...))
			for _, f := range append(typ.Funcs, typ.Methods...) {
				explained(report, strings.TrimPrefix(typ.Name+"."+f.Name, "."), f.Doc)
			}
			explainedFields(report, typ, positions)
		}
	}
}

func explained(report func(name string), name, doc string) {
	if strings.TrimSpace(doc) == "" {
		report(name)
	}
}

// explainedValues counts a comment on a whole block for each of its names.
func explainedValues(report func(name string), values []*doc.Value) {
	for _, v := range values {
		for _, spec := range v.Decl.Specs {
			spec := spec.(*ast.ValueSpec)
			for _, name := range spec.Names {
				if name.IsExported() {
					explained(report, name.Name, v.Doc+spec.Doc.Text()+spec.Comment.Text())
				}
			}
		}
	}
}

// explainedFields counts the comment on a field also for the fields directly below it
// that it names, for example "ClientID and ClientSecret are ...".
func explainedFields(report func(name string), typ *doc.Type, positions *token.FileSet) {
	structure, ok := typ.Decl.Specs[0].(*ast.TypeSpec).Type.(*ast.StructType)
	if !ok {
		return
	}
	shared, line := "", 0
	for _, field := range structure.Fields.List {
		own := field.Doc.Text() + field.Comment.Text()
		if positions.Position(field.Pos()).Line != line+1 || own != "" {
			shared = own
		}
		line = positions.Position(field.End()).Line
		for _, name := range field.Names {
			if name.IsExported() && own == "" && !regexp.MustCompile(`\b`+name.Name+`\b`).MatchString(shared) {
				report(typ.Name + "." + name.Name)
			}
		}
	}
}

// exemplified are the calls that a new user looks up, by the names of their Examples.
var exemplified = map[string][]string{
	".": {
		"NewValidator", "Validator_Authorize", "Validator_Check", "CredentialsFrom",
		"Claims_Decode", "FromContext", "NewContext", "Deny", "Validator_Vouch", "Config_authenticate",
	},
	"jwks":                {"NewCache", "Static", "FromKeyfunc", "Cache_Keyfunc"},
	"introspection":       {"NewClient"},
	"dpop":                {"NewVerifier", "Verifier_Nonce", "NewSigner", "Thumbprint"},
	"resourcemetadata":    {"Handler", "Client_Get", "URL"},
	"scopes":              {"Parse", "All", "Any", "None"},
	"middleware":          {"New", "Middleware_Wrap", "Middleware_Require", "Middleware_RequirePolicy", "Middleware_Check"},
	"middleware/echoauth": {"New"},
	"grpcauth":            {"New"},
	"accesstokentest":     {"Start", "NewContext"},
}

func TestEveryContractCallHasARunnableExample(t *testing.T) {
	for _, pkg := range public {
		runnable := runnableExamples(t, pkg)
		for _, name := range exemplified[pkg] {
			isAbout := func(example string) bool {
				rest, ok := strings.CutPrefix(example, name)
				return ok && (rest == "" || regexp.MustCompile(`^_[a-z]`).MatchString(rest))
			}
			if !slices.ContainsFunc(runnable, isAbout) {
				t.Errorf("%s has no func Example%s with an // Output: comment", named(pkg), name)
			}
		}
	}
}

// runnableExamples returns the names of the Examples that go test runs.
func runnableExamples(t *testing.T, pkg string) (names []string) {
	t.Helper()
	var trees []*ast.File
	prefix := top + "/"
	if pkg != "." {
		prefix += pkg + "/"
	}
	inPackage := func(name string) bool {
		rest, ok := strings.CutPrefix(name, prefix)
		return ok && isTest(name) && !strings.Contains(rest, "/")
	}
	for _, name := range files(t, inPackage) {
		tree, _ := parse(t, name)
		trees = append(trees, tree)
	}
	for _, example := range doc.Examples(trees...) {
		if example.Output != "" || example.EmptyOutput {
			names = append(names, example.Name)
		}
	}
	return names
}

// longestDoc is how many lines "go doc ." may print: about two screens.
const longestDoc = 104

func TestTheDocumentationOfTheRootIsShort(t *testing.T) {
	command := exec.Command("go", "doc", ".")
	command.Dir = top
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go doc: %v", err)
	}
	if lines := strings.Count(string(out), "\n"); lines > longestDoc {
		t.Errorf("go doc . prints %d lines; want at most %d", lines, longestDoc)
	}
}
