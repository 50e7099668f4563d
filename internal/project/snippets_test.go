package project_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/accesstoken/accesstoken"
)

// source returns the file that a block names in its first line, as in
// "// examples/production/main.go", or "" if the block is code of its own.
func (b block) source() string {
	found := regexp.MustCompile(`^// ((?:examples|integrations|interop)/\S+\.go)\n`).FindStringSubmatch(b.text)
	if found == nil {
		return ""
	}
	return found[1]
}

// quotes reports an error if the block is not an excerpt of the file, which has tests
// in its own module. A line that is an ellipsis stands for lines that are left out.
func (b block) quotes(t *testing.T, file string) {
	t.Helper()
	_, excerpt, _ := strings.Cut(b.text, "\n")
	rest := undented(content(t, file))
	for part := range strings.SplitSeq(excerpt, "…\n") {
		_, after, found := strings.Cut(rest, undented(part))
		if !found {
			t.Errorf("%s: this is not in %s, or not in this order:\n%s", b.place(), file, part)
			return
		}
		rest = after
	}
}

// undented returns the text without the white space at the beginning of each line.
func undented(text string) string {
	return "\n" + regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(strings.Trim(text, "\n"), "") + "\n"
}

// runTests builds the tests that the pages print, and runs them. The folder that they
// are in does not exist, so each runs somewhere else.
func (w *workshop) runTests(t *testing.T, overlay string) {
	t.Helper()
	if len(w.tests) == 0 {
		t.Error("no page prints a test; want those of docs/testing.md")
		return
	}
	out := t.TempDir() + "/"
	build := exec.CommandContext(t.Context(), "go", append([]string{"test", "-c", "-vet=off", "-overlay", overlay, "-o", out}, w.tests...)...)
	build.Dir = w.root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, output)
	}
	binaries, err := filepath.Glob(out + "*.test*")
	if err != nil || len(binaries) != len(w.tests) {
		t.Fatalf("got %d test binaries, %v; want %d", len(binaries), err, len(w.tests))
	}
	for _, binary := range binaries {
		run := exec.CommandContext(t.Context(), binary, "-test.v")
		run.Dir = out
		output, err := run.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "--- PASS: ") {
			t.Errorf("a test that a page prints: got %v; want it to run and pass\n%s", err, output)
		}
	}
}

// use calls the functions that the pages declare. If a result is not as the pages say,
// use prints it, which makes the test fail.
const use = `package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
)

func use() {
	as, err := accesstokentest.Start()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer as.Close()
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com", Issuers: []accesstoken.Issuer{{URL: as.URL}}, HTTPClient: as.Client(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	auth := middleware.New(v, &middleware.Options{Body: envelope})
	mux := http.NewServeMux()
	mux.Handle("GET /me", auth.Wrap(http.HandlerFunc(me)))
	mux.HandleFunc("GET /unwrapped", me)
	e, wrap := echo.New(), echoauth.New(v, nil).Wrap
	e.GET("/me", greet, wrap)
	e.DELETE("/order", deleteOrder, wrap)
	e.GET("/unwrapped", greet)
	token := as.Token(accesstokentest.Claims{"sub": "alice"})
	expect(mux, "GET /me", token, 200, "hello alice\n")
	expect(mux, "GET /me", "", 401, ` + "`" + `{"error": {"code": "CREDENTIALS_MISSING", "message": "an access token is required"}}` + "`" + `)
	expect(mux, "GET /unwrapped", token, 500, "no claims\n")
	expect(e, "GET /me", token, 200, "hello alice\n")
	expect(e, "GET /unwrapped", token, 500, "")
	expect(e, "DELETE /order", token, 403, "")
	expect(e, "DELETE /order", as.Token(accesstokentest.Claims{"roles": []string{"clerk"}}), 204, "")

	stopped, stop := context.WithCancel(context.Background())
	stop()
	if err := serveUntilStopped(stopped, &http.Server{Addr: "127.0.0.1:0"}, v); err != nil {
		fmt.Println("serveUntilStopped:", err)
	}
	expect(mux, "GET /me", token, 503, "") // the Validator is closed
}

func expect(handler http.Handler, request, token string, status int, body string) {
	method, path, _ := strings.Cut(request, " ")
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	handler.ServeHTTP(w, r)
	if w.Code != status || body != "" && w.Body.String() != body {
		fmt.Printf("%s: got %d %s; want %d %s\n", request, w.Code, w.Body, status, body)
	}
}
`

// Each page is in an index, because readers would not find it otherwise.
func TestTheIndexOfTheDocumentsHasEveryPage(t *testing.T) {
	index := content(t, "docs/README.md")
	for _, page := range pages(t, "docs") {
		name := strings.TrimPrefix(page, "docs/")
		if page != "docs/README.md" && filepath.Dir(name) == "." && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md does not link to %s", name)
		}
	}
	if !strings.Contains(index, "](issuers/README.md)") {
		t.Error("docs/README.md does not link to issuers/README.md")
	}
}

// documents are the pages of the repository that new users read.
func documents(t *testing.T) []string {
	t.Helper()
	return append(pages(t, "docs"), "README.md", "llms.txt", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md",
		"CHANGELOG.md", "examples/README.md", "examples/grpc/README.md", "benchmarks/README.md", "interop/README.md")
}

// Links lead to existing pages and headings.
func TestTheLinksOfTheDocumentsResolve(t *testing.T) {
	links := 0
	for _, page := range documents(t) {
		for _, found := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(withoutCode(content(t, page)), -1) {
			links++
			if fault := resolve(t, page, found[1]); fault != "" {
				t.Errorf("%s links to %s: %s", page, found[1], fault)
			}
		}
	}
	if links < 100 {
		t.Errorf("got %d links; want those of all documents", links)
	}
}

// withoutCode returns the text without its fenced blocks.
func withoutCode(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// The addresses of this repository: its files as pages and as plain text, and its
// packages.
const (
	blob      = "https://github.com/accesstoken/accesstoken/blob/main/"
	raw       = "https://raw.githubusercontent.com/accesstoken/accesstoken/main/"
	reference = "https://pkg.go.dev/" + module
)

// resolve returns what is wrong with a link, or "". A link to another site counts as
// good, because this test must not need the network.
func resolve(t *testing.T, page, link string) string {
	t.Helper()
	target, anchor, _ := strings.Cut(link, "#")
	file := filepath.Join(filepath.Dir(page), target)
	for _, prefix := range []string{blob, raw} {
		if rest, ok := strings.CutPrefix(target, prefix); ok {
			file, target = rest, rest
		}
	}
	switch {
	case strings.HasPrefix(target, reference):
		return resolvePackage(strings.Trim(strings.TrimPrefix(target, reference), "/"))
	case strings.Contains(target, "://"):
		return ""
	case target == "":
		file = page
	}
	info, err := os.Stat(filepath.Join(top, file))
	switch {
	case err != nil:
		return "there is no such file"
	case anchor == "" || info.IsDir() || filepath.Ext(file) != ".md":
		return ""
	case !slices.Contains(anchors(content(t, file)), anchor):
		return "there is no such heading"
	}
	return ""
}

// resolvePackage returns what is wrong with the path of a package on pkg.go.dev, or "".
func resolvePackage(path string) string {
	sources, err := filepath.Glob(filepath.Join(top, path, "*.go"))
	if err != nil || len(sources) == 0 {
		return "there is no such package"
	}
	return ""
}

// anchors returns what a link can name in a page: its headings, as GitHub writes them,
// and the anchors that the page sets itself.
func anchors(text string) (names []string) {
	for _, found := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCode(text), -1) {
		name := strings.ToLower(regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(found[1], ""))
		name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
		names = append(names, strings.ReplaceAll(name, " ", "-"))
	}
	for _, found := range regexp.MustCompile(`<a (?:id|name)="([^"]+)">`).FindAllStringSubmatch(text, -1) {
		names = append(names, found[1])
	}
	return names
}

// Readers copy the examples, so these must check the second result of FromContext. If
// it is ignored, a handler that was mounted without a Wrap serves everyone with the zero
// Claims.
func TestEveryExampleLooksAtOK(t *testing.T) {
	isExample := func(name string) bool {
		return strings.HasSuffix(name, ".md") || filepath.Base(name) == "example_test.go" ||
			strings.HasPrefix(name, top+"/examples/") && isGo(name) && !isTest(name)
	}
	ignored := regexp.MustCompile(`(?m)^.*, _ :?= (\w+\.)?FromContext\(.*$`)
	for _, name := range files(t, isExample) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range ignored.FindAllString(string(text), -1) {
			t.Errorf("%s does not look at ok: %s", name, strings.TrimSpace(line))
		}
	}
}

// reasons returns every Reason that the package declares.
func reasons(t *testing.T) (found []accesstoken.Reason) {
	t.Helper()
	for _, text := range regexp.MustCompile(`(?m)^\t\w+ +Reason = "([A-Z_]+)"`).FindAllStringSubmatch(content(t, "reason.go"), -1) {
		found = append(found, accesstoken.Reason(text[1]))
	}
	if len(found) < 30 {
		t.Fatalf("reason.go declares %d reasons; want them all", len(found))
	}
	return found
}

// Users search for the text of a refusal, so each Reason has a row with an anchor. The
// row quotes the real log line and answer.
func TestThePageOfRefusalsHasEveryReason(t *testing.T) {
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	page, rows := content(t, "docs/refusals.md"), 0
	for row := range strings.Lines(page) {
		if strings.HasPrefix(row, "| <a id=") {
			rows++
		}
	}
	all := reasons(t)
	if rows != len(all) {
		t.Errorf("docs/refusals.md has %d rows with an anchor; want one for each of %d reasons", rows, len(all))
	}
	for _, reason := range all {
		words := strings.ToLower(strings.ReplaceAll(string(reason), "_", " "))
		want := fmt.Sprintf("| <a id=%q></a>`%s` | `%s: …` | %s | ", strings.ToLower(string(reason)), reason, words, answer(t, v, reason))
		if reason == accesstoken.TokenInvalid || reason == accesstoken.Unavailable { // no *Error has these
			want = fmt.Sprintf("| <a id=%q></a>`%s` | – | – | ", strings.ToLower(string(reason)), reason)
		}
		if !strings.Contains(page, "\n"+want) {
			t.Errorf("docs/refusals.md: want a row that begins with\n%s", want)
		}
	}
}

// answer returns how the page writes the answer to a refusal, over HTTP and gRPC.
func answer(t *testing.T, v *accesstoken.Validator, reason accesstoken.Reason) string {
	t.Helper()
	refused := v.Refuse(t.Context(), reason)
	words := strings.ToLower(strings.ReplaceAll(string(reason), "_", " "))
	if refused.Reason == reason && !strings.HasPrefix(refused.Error(), "accesstoken: "+words) {
		t.Errorf("%s: the log says %q; want the reason in words first", reason, refused)
	}
	http := strconv.Itoa(refused.HTTPStatus())
	if code := refused.Public().Params["error"]; code != "" {
		http += " `" + code + "`"
	}
	return fmt.Sprintf("%s; %s `%s`", http, upper(codes.Code(refused.GRPCCode()).String()), refused.Public().Reason)
}

// upper writes PermissionDenied as PERMISSION_DENIED.
func upper(name string) string {
	return strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_$2"))
}

// The page counts the lines that a change of library saves.
func TestThePageOfOtherLibrariesCountsItsLines(t *testing.T) {
	page := content(t, "docs/coming-from.md")
	sections := strings.Split(page, "\n## From ")[1:]
	if len(sections) < 5 {
		t.Fatalf("docs/coming-from.md has %d sections; want one for each library", len(sections))
	}
	for _, section := range sections {
		name, _, _ := strings.Cut(section, "\n")
		programs := regexp.MustCompile("(?ms)^```go\n(?:// Before: [^\n]*\n)?(package main\n.*?)^```$").FindAllStringSubmatch(section, -1)
		if len(programs) != 2 {
			t.Errorf("docs/coming-from.md: %s has %d programs; want one before and one after", name, len(programs))
			continue
		}
		row := fmt.Sprintf("| [%s](#from-%s) | %d | %d |\n", name, strings.ReplaceAll(name, " ", "-"),
			strings.Count(programs[0][1], "\n"), strings.Count(programs[1][1], "\n"))
		if !strings.Contains(page, row) {
			t.Errorf("docs/coming-from.md: want the row %s", row)
		}
	}
}

// programs are the folders of examples/ that have a program.
func programs(t *testing.T) (folders []string) {
	t.Helper()
	for _, name := range files(t, func(name string) bool { return filepath.Base(name) == "main.go" }) {
		folder := strings.TrimPrefix(filepath.Dir(name), top+"/")
		if filepath.Dir(folder) == "examples" {
			folders = append(folders, folder)
		}
	}
	if len(folders) < 10 {
		t.Fatalf("got the programs %q; want all of examples/", folders)
	}
	return folders
}

// llms.txt, which programs read instead of people, is complete: it lists every page,
// every example program and every public package.
func TestTheIndexForProgramsIsComplete(t *testing.T) {
	index := content(t, "llms.txt")
	if !regexp.MustCompile(`^# \S+\n\n> .+`).MatchString(index) {
		t.Error("llms.txt: want a title, and then a summary as a quote")
	}
	for _, page := range pages(t, "docs") {
		if !strings.Contains(index, "]("+raw+page+")") {
			t.Errorf("llms.txt does not link to %s", raw+page)
		}
	}
	for _, folder := range programs(t) {
		if !strings.Contains(index, "]("+raw+folder+"/") {
			t.Errorf("llms.txt does not link to a file of %s", folder)
		}
	}
	for _, pkg := range public {
		if want := strings.TrimSuffix(reference+"/"+pkg, "/."); !strings.Contains(index, "]("+want+")") {
			t.Errorf("llms.txt does not link to %s", want)
		}
	}
}

// The two programs from which a new service can start are short, because readers read
// only short ones.
func TestTheWholeProgramsAreShort(t *testing.T) {
	for folder, most := range map[string]int{"examples/production": 120, "examples/refresh": 150} {
		lines := 0
		for _, name := range files(t, func(name string) bool { return filepath.Dir(name) == top+"/"+folder && isGo(name) }) {
			lines += strings.Count(content(t, strings.TrimPrefix(name, top+"/")), "\n")
		}
		if lines == 0 || lines > most {
			t.Errorf("%s has %d lines with its tests; want at most %d", folder, lines, most)
		}
	}
}

// The README's figures come from benchmarks/README.md, and its badge has the Go version
// that the module needs.
func TestTheReadmeTakesItsFiguresFromTheBenchmarks(t *testing.T) {
	readme, measured := content(t, "README.md"), content(t, "benchmarks/README.md")
	figures := regexp.MustCompile(`[0-9.]+ (?:ns|µs|ms)\b`).FindAllString(readme, -1)
	for _, figure := range figures {
		if !strings.Contains(measured, "("+figure+")") && !strings.Contains(measured, "| "+figure+" |") {
			t.Errorf("README.md says %q; want a figure of benchmarks/README.md, which make bench has rewritten", figure)
		}
	}
	if len(figures) == 0 {
		t.Error("README.md has no figure; want what a token costs")
	}
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(content(t, "go.mod"))
	if release == nil || !strings.Contains(readme, "badge/go-"+release[1]+"%2B-") {
		t.Errorf("README.md: want a badge with the Go of go.mod, %q", release)
	}
}
