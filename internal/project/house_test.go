package project_test

import (
	"go/ast"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// If a field is added later, this must not break a literal or change the meaning of ==.
func TestUnkeyedLiteralsAreImpossible(t *testing.T) {
	settings := []any{
		accesstoken.Config{}, accesstoken.Issuer{}, accesstoken.Policy{},
		jwks.Config{}, introspection.Config{},
		dpop.Config{}, dpop.Request{}, dpop.Use{}, dpop.Proof{},
		middleware.Options{}, echoauth.Options{}, grpcauth.Options{},
		accesstokentest.Fault{}, dialect.Dialect{}, accesstoken.Resource{},
		resourcemetadata.Metadata{}, resourcemetadata.Signer{}, resourcemetadata.Client{},
	}
	for _, value := range settings {
		typ := reflect.TypeOf(value)
		first := typ.Field(0)
		if first.Name != "_" || first.Type != reflect.TypeFor[[0]func()]() {
			t.Errorf("the first field of %v is %s %v; want _ [0]func()", typ, first.Name, first.Type)
		}
	}
}

// selections returns the places of qualifier.name in a file, for any of the names. If
// qualifier is empty, any qualifier matches.
func selections(t *testing.T, file, qualifier string, names ...string) (places []string) {
	t.Helper()
	tree, positions := parse(t, file)
	ast.Inspect(tree, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, selector.Sel.Name) {
			return true
		}
		if x, ok := selector.X.(*ast.Ident); ok && (qualifier == "" || x.Name == qualifier) {
			places = append(places, positions.Position(selector.Pos()).String())
		}
		return true
	})
	return places
}

// Only one place reads the clock, because two times in one decision could contradict
// each other.
func TestTheRootPackageReadsTheClockInOnePlace(t *testing.T) {
	var places []string
	inRoot := func(name string) bool { return filepath.Dir(name) == top && isGo(name) && !isTest(name) }
	for _, file := range files(t, inRoot) {
		places = append(places, selections(t, file, "time", "Now")...)
	}
	if len(places) != 1 {
		t.Errorf("time.Now is in %q; want one place", places)
	}
}

// If a file imports testing/synctest, Sleep only moves the clock of a bubble.
func TestNoTestSleeps(t *testing.T) {
	hasBubbles := func(file string) bool {
		tree, _ := parse(t, file)
		return slices.ContainsFunc(tree.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
	}
	for _, file := range slices.DeleteFunc(files(t, isTest), hasBubbles) {
		for _, place := range selections(t, file, "time", "Sleep") {
			t.Errorf("%s: a test that sleeps is slow or wrong: use testing/synctest, a clock of its own, or wait for the event", place)
		}
	}
}

func TestNoTestIsSkipped(t *testing.T) {
	for _, file := range files(t, isTest) {
		for _, place := range selections(t, file, "", "Skip", "Skipf", "SkipNow") {
			t.Errorf("%s: a skipped test shows nothing: run it, or put it behind a build tag", place)
		}
	}
}

// "go build" in the folder of a command leaves a program there, which "git add" would take.
func TestNoFileIsAProgram(t *testing.T) {
	for _, name := range files(t, func(name string) bool { return filepath.Ext(name) == "" }) {
		start := make([]byte, 4)
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadFull(file, start)
		_ = file.Close()
		if err == nil && (string(start) == "\x7fELF" || string(start) == "\xcf\xfa\xed\xfe") {
			t.Errorf("%s is a program; remove it", name)
		}
	}
}

// The files must not contain paths of one machine.
func TestNoFileNamesAMachine(t *testing.T) {
	absolute := regexp.MustCompile(`(^|[\s"'` + "`" + `=(:])/(work|root|tmp|home|Users)/`)
	isText := func(name string) bool {
		binary := []string{".test", ".out", ".prof", ".png", ".gitignore"} // in the last one a slash is the root of the repository
		return !slices.Contains(binary, filepath.Ext(name))
	}
	for _, name := range files(t, isText) {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			if absolute.MatchString(line) {
				t.Errorf("%s:%d names a path of one machine: %s", name, i+1, strings.TrimSpace(line))
			}
		}
	}
}

func TestReadmeHasTheTwoCommands(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"go run -C examples ./quickstart", "go test ./..."} {
		if !strings.Contains(string(readme), command) {
			t.Errorf("README.md does not say %q", command)
		}
	}
}

// The README's program is copied by readers, so it must compile, be short, and be
// visible without scrolling.
func TestReadmeProgramCompiles(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	above, rest, _ := strings.Cut(string(readme), "```go\n")
	program, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("README.md has no Go program")
	}
	_, body, _ := strings.Cut(program, "func main() {\n")
	if lines := strings.Count(body, "\n") - 1; lines > 15 {
		t.Errorf("main has %d lines; want at most 15", lines)
	}
	if end := strings.Count(above+program, "\n") + 2; end > 40 {
		t.Errorf("the program ends in line %d; want it within the first 40", end)
	}
	if install := "go get " + module + "\n"; !strings.Contains(above, install) {
		t.Errorf("README.md has no %q above its program", install)
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, file)
	build.Dir = top // its imports are those of this module
	if output, err := build.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, output)
	}
}
