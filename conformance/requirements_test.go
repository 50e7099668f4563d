package conformance

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A requirement is something that a resource server should do. It is shown by the cases
// that name it or by tests, or it has the reason why it is done differently.
type requirement struct {
	ID        string   `json:"id"`
	Level     string   `json:"level"` // MUST, SHOULD or MAY
	Own       bool     `json:"own"`   // the level is this project's decision, because no specification sets it
	Text      string   `json:"text"`
	Source    string   `json:"source"`    // RFC and section
	Tests     []string `json:"tests"`     // tests for what a case cannot show: "path/of/package TestName", "." for the root
	Different string   `json:"different"` // why it is not done, or done in another way
}

// listed are the groups of requirements, in the order of the document.
var listed = []struct{ name, title string }{
	{"OUT", "Outcomes"},
	{"BEARER", "Bearer tokens: RFC 6750, OAuth 2.1 §5"},
	{"FIELD", "Tokens in a field of their own"},
	{"META", "Resource metadata (RFC 9728)"},
	{"MCP", "MCP servers (2026-07-28), with integrations/mcpauth"},
	{"STEP", "Step-up authentication (RFC 9470)"},
	{"RAR", "Authorization details (RFC 9396)"},
	{"ACT", "Delegation (RFC 8693)"},
	{"OWN", "Callers that the application authenticates by itself"},
	{"HTTP", "HTTP: transports and browsers"},
	{"SCOPE", "Scopes"},
	{"JOSE", "Signed tokens: RFC 7515 to 7519, 8725"},
	{"JWK", "Keys: RFC 7517"},
	{"CLAIM", "Claims: RFC 7519"},
	{"AT", "JWT access tokens: RFC 9068"},
	{"PRESET", "Issuers that differ"},
	{"INTRO", "Introspection: RFC 7662, RFC 9701"},
	{"DISC", "Discovery: RFC 8414, OpenID Connect Discovery"},
	{"DPOP", "Proof of possession: RFC 9449"},
	{"MTLS", "Client certificates: RFC 8705, RFC 9440"},
	{"FAPI", "FAPI 2.0 Security Profile"},
	{"OPS", "Operation, limits, privacy"},
	{"GRPC", "gRPC"},
	{"SVID", "JWT-SVIDs of SPIFFE"},
}

func (r requirement) group() string { return strings.TrimRight(r.ID, "-0123456789") }

var loadedRequirements []requirement

func requirements(t *testing.T) []requirement {
	t.Helper()
	if loadedRequirements == nil {
		loadedRequirements = load[[]requirement](t, "testdata/requirements.json")
	}
	return loadedRequirements
}

// TestRequirementsAreWellMade checks the order and the members of the requirements.
func TestRequirementsAreWellMade(t *testing.T) {
	form := regexp.MustCompile(`^[A-Z]+-\d\d$`)
	last, seen := 0, map[string]bool{}
	for _, r := range requirements(t) {
		place := slices.IndexFunc(listed, func(g struct{ name, title string }) bool { return g.name == r.group() })
		if place < last || !form.MatchString(r.ID) || seen[r.ID] {
			t.Errorf("%s: got an id that is misspelt, there twice, or not in its group", r.ID)
		}
		last, seen[r.ID] = max(last, place), true
		if !slices.Contains([]string{"MUST", "SHOULD", "MAY"}, r.Level) {
			t.Errorf("%s: got the level %q; want MUST, SHOULD or MAY", r.ID, r.Level)
		}
		if !strings.HasSuffix(r.Text, ".") || r.Source == "" {
			t.Errorf("%s: got %q, source %q; want a sentence and a source", r.ID, r.Text, r.Source)
		}
	}
	for _, g := range listed {
		if !seen[g.name+"-01"] {
			t.Errorf("%s: got no requirement; want some", g.name)
		}
	}
}

// TestEveryRequirementIsShown checks that each requirement has a case, an existing test,
// or a reason why it is done differently.
func TestEveryRequirementIsShown(t *testing.T) {
	cases := casesByID(t)
	for _, r := range requirements(t) {
		if cases[r.ID].total() == 0 && len(r.Tests) == 0 && r.Different == "" {
			t.Errorf("%s: got nothing that shows it; want cases, tests, or why it is different", r.ID)
		}
		for _, name := range r.Tests {
			if fileOf(t, name) == "" {
				t.Errorf("%s: no test that go test runs is called %q", r.ID, name)
			}
		}
	}
}

// A tally counts cases.
type tally struct{ accepted, refused int }

func (c tally) total() int { return c.accepted + c.refused }

func (c tally) plus(d tally) tally { return tally{c.accepted + d.accepted, c.refused + d.refused} }

func (c *tally) add(v vector) {
	if v.positive() {
		c.accepted++
	} else {
		c.refused++
	}
}

func casesByID(t *testing.T) map[string]tally {
	t.Helper()
	count := map[string]tally{}
	for _, g := range groups(t) {
		for _, v := range g.vectors {
			for _, id := range v.ids() {
				c := count[id]
				c.add(v)
				count[id] = c
			}
		}
	}
	return count
}

// top is the root of the repository, seen from here.
const top = ".."

// fileOf returns the file, seen from the root, in which the test is, or "".
func fileOf(t *testing.T, test string) string {
	t.Helper()
	directory, name, _ := strings.Cut(test, " ")
	if testsByDirectory[directory] == nil {
		testsByDirectory[directory] = testsOf(t, directory)
	}
	return testsByDirectory[directory][name]
}

var testsByDirectory = map[string]map[string]string{}

// testsOf maps the tests and fuzz targets of a package to their files. It ignores files
// that a build tag excludes.
func testsOf(t *testing.T, directory string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(top, directory, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, file := range files {
		matches, err := build.Default.MatchFile(filepath.Split(file))
		if err != nil {
			t.Fatal(err)
		}
		if !matches {
			continue
		}
		for _, name := range testsIn(t, file) {
			found[name] = filepath.ToSlash(strings.TrimPrefix(file, top+string(filepath.Separator)))
		}
	}
	return found
}

var testName = regexp.MustCompile(`^(Test|Fuzz)[A-Z]`)

func testsIn(t *testing.T, file string) (names []string) {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, declaration := range tree.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if ok && function.Recv == nil && testName.MatchString(function.Name.Name) {
			names = append(names, function.Name.Name)
		}
	}
	return names
}

// TestNamedTestsAreLookedUp is the test of the test.
func TestNamedTestsAreLookedUp(t *testing.T) {
	for name, want := range map[string]string{
		"conformance TestNamedTestsAreLookedUp": "conformance/requirements_test.go",
		". TestOneTokenEndToEnd":                "validator_test.go",
		"conformance TestNothing":               "",
		"conformance must":                      "",
		"nowhere TestNamedTestsAreLookedUp":     "",
		"benchmarks TestRatioSmoke":             "", // behind a build tag
	} {
		if got := fileOf(t, name); got != want {
			t.Errorf("%s: got %q; want %q", name, got, want)
		}
	}
}
