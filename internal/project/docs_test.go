package project_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A block is a fenced block of a page.
type block struct {
	page string // from the root of the repository
	line int    // of the block's first line
	text string
}

func (b block) place() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// pages returns the pages below a folder, from the root of the repository.
func pages(t *testing.T, folder string) (names []string) {
	t.Helper()
	isPage := func(name string) bool {
		return strings.HasPrefix(name, top+"/"+folder+"/") && strings.HasSuffix(name, ".md")
	}
	for _, name := range files(t, isPage) {
		names = append(names, strings.TrimPrefix(name, top+"/"))
	}
	if len(names) == 0 {
		t.Fatalf("there are no pages below %s", folder)
	}
	return names
}

// blocks returns the blocks of a page that are in the language.
func blocks(t *testing.T, page, language string) (found []block) {
	t.Helper()
	text := content(t, page)
	for _, at := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatchIndex(text, -1) {
		found = append(found, block{page, 1 + strings.Count(text[:at[2]], "\n"), text[at[2]:at[3]]})
	}
	return found
}

// Code that readers copy must compile, and a configuration must be valid. If it is not,
// the page may lack a field that the profile requires.
func TestTheDocumentsCompile(t *testing.T) {
	root, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	w := workshop{root: root, dir: t.TempDir(), overlay: map[string]string{}}
	built := map[string]bool{}
	for _, page := range pages(t, "docs") {
		for _, b := range blocks(t, page, "go") {
			if strings.HasPrefix(b.text, "// Before: ") {
				continue // another library's: benchmarks/compare/verify compiles it
			}
			if file := b.source(); file != "" {
				b.quotes(t, file)
				continue
			}
			if formatted, err := format.Source([]byte(b.text)); err != nil || string(formatted) != b.text {
				t.Errorf("%s: %v; want it as gofmt has it:\n%s", b.place(), err, formatted)
			}
			w.add(t, b)
			built[page] = built[page] || b.isConfig()
		}
	}
	for _, page := range issuerPages(t) {
		if !built[page] {
			t.Errorf("%s has no block with \"config := \"", page)
		}
	}
	w.build(t)
}

// issuerPages are the pages about one issuer each.
func issuerPages(t *testing.T) []string {
	t.Helper()
	return slices.DeleteFunc(pages(t, "docs/issuers"), func(page string) bool { return path.Base(page) == "README.md" })
}

// isConfig reports whether a block makes a configuration.
func (b block) isConfig() bool { return strings.Contains("\n"+b.text, "\nconfig := ") }

// isDeclarations reports whether a block has only declarations, as at the top of a file.
func (b block) isDeclarations() bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+b.text, parser.SkipObjectResolution)
	return err == nil
}

// importable are the packages that a fragment can use without an import.
var importable = []string{
	"context", "crypto", "errors", "fmt", "log", "log/slog", "net", "net/http", "os", "slices", "time",
	module, module + "/introspection", module + "/jwks", module + "/scopes", module + "/dialect", module + "/resourcemetadata",
	module + "/middleware", module + "/middleware/echoauth", module + "/grpcauth",
	"github.com/labstack/echo/v4", "github.com/golang-jwt/jwt/v5", "google.golang.org/grpc", "google.golang.org/grpc/codes", "google.golang.org/grpc/status",
	"google.golang.org/genproto/googleapis/rpc/errdetails",
}

// given are the variables that a fragment can use, as if it were in a handler or main.
const given = "claims accesstoken.Claims, validator *accesstoken.Validator, auth *middleware.Middleware, " +
	"mux *http.ServeMux, w http.ResponseWriter, r *http.Request, ctx context.Context, err error"

// A workshop has the blocks of all pages as packages. By an overlay, the go command sees
// them in a folder of the module that does not exist, so nothing is written there.
type workshop struct {
	root, dir string
	overlay   map[string]string // the real file for each path that the go command sees
	programs  []string          // the packages that are pages' own programs
	tests     []string          // the packages that are pages' own tests
	calls     []string          // the calls that make the configurations
	fragments int
}

const unreal = "docs/unreal" // the folder that does not exist

// add adds a block. If it has a package clause, it is a test or a program; otherwise it
// has declarations, or is the body of a function.
func (w *workshop) add(t *testing.T, b block) {
	t.Helper()
	at := fmt.Sprintf("//line %s:%d\n", filepath.Join(w.root, b.page), b.line)
	if regexp.MustCompile(`^package \w+_test\n`).MatchString(b.text) {
		name := fmt.Sprintf("%s/tests%d", unreal, len(w.tests))
		w.tests = append(w.tests, "./"+name)
		w.write(t, name+"/docs_test.go", at+b.text)
		return
	}
	if strings.HasPrefix(b.text, "package ") {
		name := fmt.Sprintf("%s/program%d", unreal, len(w.programs))
		w.programs = append(w.programs, "./"+name)
		w.write(t, name+"/main.go", at+b.text)
		return
	}
	name := fmt.Sprintf("fragment%d", w.fragments)
	w.fragments++
	head, tail := "func "+name+"("+given+") {\n{\n", "}\n}\n"
	switch {
	case b.isDeclarations():
		head, tail = "", ""
	case b.isConfig():
		head, tail = "func "+name+"() accesstoken.Config {\n", "return config\n}\n"
		w.calls = append(w.calls, fmt.Sprintf("construct(%q, %s())\n", b.place(), name))
	}
	w.write(t, unreal+"/fragments/"+name+".go", "package main\n"+imports(head+b.text)+head+at+b.text+tail)
}

// imports returns an import of each package that the text uses.
func imports(text string) (lines string) {
	text = regexp.MustCompile(`(?m)(^|\s)//.*$`).ReplaceAllString(text, "")
	for _, p := range importable {
		name := path.Base(strings.TrimSuffix(strings.TrimSuffix(p, "/v4"), "/v5"))
		if regexp.MustCompile(`(^|[^/\w])` + name + `\.`).MatchString(text) {
			lines += fmt.Sprintf("import %q\n", p)
		}
	}
	return lines
}

func (w *workshop) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(w.dir, strings.ReplaceAll(name, "/", "_"))
	w.overlay[filepath.Join(w.root, name)] = file
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// constructor makes a Validator from each configuration. This causes no request, because
// a Validator fetches keys only when a token comes. A warning counts as a mistake on the
// page, because readers copy it.
const constructor = `package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/accesstoken/accesstoken"
)

func main() {
	use()
	%s}

func construct(place string, config accesstoken.Config) {
	config.Logger = slog.New(slog.NewTextHandler(os.Stdout, nil)).With("page", place)
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		fmt.Printf("%%s: %%v\n", place, err)
		return
	}
	_ = v.Close()
}
`

// build compiles everything at once, and runs the code that makes the Validators.
func (w *workshop) build(t *testing.T) {
	t.Helper()
	w.write(t, unreal+"/fragments/use.go", use)
	w.write(t, unreal+"/fragments/main.go", fmt.Sprintf(constructor, strings.Join(w.calls, "\t")))
	overlay, err := json.Marshal(map[string]any{"Replace": w.overlay})
	if err != nil {
		t.Fatal(err)
	}
	replaced := filepath.Join(w.dir, "overlay.json")
	if err := os.WriteFile(replaced, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir() + "/"
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-overlay", replaced, "-o", out, "./" + unreal + "/fragments"}, w.programs...)...)
	build.Dir = w.root
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, said)
	}
	w.runTests(t, replaced)
	run := exec.CommandContext(t.Context(), out+"fragments")
	run.Env = append(os.Environ(), "CLIENT_SECRET=secret") // which the pages read
	said, err := run.CombinedOutput()
	if err != nil || len(said) > 0 {
		t.Errorf("got %v; these configurations are invalid:\n%s", err, said)
	}
}

// Each profile has a page, which quotes the text of the profile about what it relaxes
// and demands.
func TestThePagesQuoteTheProfiles(t *testing.T) {
	quoted := map[string]string{}
	for _, page := range issuerPages(t) {
		text, names := content(t, page), map[string]bool{}
		for _, quote := range regexp.MustCompile(`(?m)(?:^> .*\n)+`).FindAllString(text, -1) {
			line := strings.Join(strings.Fields(strings.ReplaceAll("\n"+quote, "\n> ", " ")), " ")
			name, _, _ := strings.Cut(line, " ")
			quoted[line], names[name] = page, true
		}
		for _, set := range regexp.MustCompile(`(?m)^\s*Profile: +accesstoken\.(\w+),|"profile": "(\w+)"`).FindAllStringSubmatch(text, -1) {
			if name := set[1] + set[2]; !names[name] {
				t.Errorf("%s has a block with the profile %s, but does not quote its text", page, name)
			}
		}
	}
	for line := range strings.Lines(content(t, "testdata/profiles.txt")) {
		line = strings.TrimSuffix(line, "\n")
		if quoted[line] == "" {
			t.Errorf("no page of docs/issuers quotes this: %s", line)
		}
		delete(quoted, line)
	}
	for line, page := range quoted {
		t.Errorf("%s has a quotation that is not in any profile: %s", page, line)
	}
}

func TestTheIndexHasEveryIssuer(t *testing.T) {
	index := content(t, "docs/issuers/README.md")
	for _, page := range issuerPages(t) {
		if !strings.Contains(index, "]("+path.Base(page)+")") {
			t.Errorf("docs/issuers/README.md does not link to %s", path.Base(page))
		}
	}
}

// The foot of each page and the index say whether such tokens have been seen. If make
// interop has run with an issuer, there is a record of its tokens.
func TestThePagesSayWhatWasRun(t *testing.T) {
	index := content(t, "docs/issuers/README.md")
	for _, page := range issuerPages(t) {
		foot, how := "Written from the vendor's documentation; nothing here was run against it", "| from documentation |\n"
		_, said, _ := strings.Cut(content(t, page), "\n---\n\n")
		if software := recorded(t, page); software != "" {
			foot, how = "Checked against "+software+" by `make "+lane(page)+"`", "| run |\n"
		} else if source := regexp.MustCompile("^Written from the source of [^;]+; nothing here was run against it").FindString(said); source != "" {
			foot, how = source, "| from source |\n"
		}
		if !strings.HasPrefix(said, foot) {
			t.Errorf("%s: want at its foot, below a line: %s", page, foot)
		}
		for row := range strings.Lines(index) {
			if strings.Contains(row, "]("+path.Base(page)+")") && strings.HasPrefix(row, "|") && !strings.HasSuffix(row, how) {
				t.Errorf("docs/issuers/README.md: want %q at the end of %s", how, row)
			}
		}
	}
}

// lane returns the target of make that runs the software of a page.
func lane(page string) string {
	if path.Base(page) == "spiffe.md" {
		return "spire"
	}
	return "interop"
}

// recorded returns the name of the software whose tokens the page's record has, or "" if
// there is no record, or a synthetic one.
func recorded(t *testing.T, page string) string {
	t.Helper()
	name := strings.TrimSuffix(path.Base(page), ".md") + ".json"
	text, err := os.ReadFile(filepath.Join(top, "testdata/issuers", name))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	var record struct {
		Software  string `json:"software"`
		Synthetic string `json:"synthetic"`
	}
	if err == nil {
		err = json.Unmarshal(text, &record)
	}
	if err != nil || record.Software == "" {
		t.Fatalf("testdata/issuers/%s: got %q, %v; want the software's name and version", name, record.Software, err)
	}
	if record.Synthetic != "" {
		return ""
	}
	return record.Software
}
