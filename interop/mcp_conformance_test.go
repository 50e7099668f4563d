//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// mostAgain is the most scenarios that run again if their verdicts differ. Some wait for a
// message for a moment only.
const mostAgain = 3

// TestMCPConformance runs the server scenarios of the MCP conformance suite with the
// server that the Go SDK has for it, with and without a Guard. The Guard must change no
// verdict. The suite has no scenario about authorization and cannot send a token, so the
// token is added in front of the Guard.
func TestMCPConformance(t *testing.T) {
	m := startMCP(t, mcpSetup{registration: "as asked"})
	token := m.as.issue(t, "jwt", m.url, "read")
	found := map[string]map[string][]string{}
	for _, revision := range []string{oldRevision, newRevision} {
		t.Run(revision, func(t *testing.T) {
			backend := startEverything(t, revision)
			alone := serveInFront(t, backend, nil)
			behind := serveInFront(t, backend, func(host string, next http.Handler) http.Handler {
				return withToken(token, m.guardFor(t, host).Wrap(next))
			})
			bare, guarded := suite(t, alone, "--requirements", revision), suite(t, behind, "--requirements", revision)
			differ := differing(bare, guarded)
			if len(differ) > mostAgain {
				t.Fatalf("the Guard changes the verdicts of %q", differ)
			}
			for _, scenario := range differ {
				one := []string{"--scenario", scenario, "--spec-version", revision}
				t.Logf("%s: without a Guard %q; with it %q", scenario, bare[scenario], guarded[scenario])
				bare[scenario], guarded[scenario] = suite(t, alone, one...)[scenario], suite(t, behind, one...)[scenario]
				if !slices.Equal(bare[scenario], guarded[scenario]) {
					t.Errorf("%s: without a Guard %q; with it %q", scenario, bare[scenario], guarded[scenario])
				}
			}
			found[revision] = guarded
		})
	}
	if len(found) == 2 && !t.Failed() { // -run can leave one out
		compareSection(t, "MCP.md", "TestMCPConformance", verdictTable(found))
	}
}

// guardFor makes a Guard for a server with many tools, which all need the scope read.
func (m *mcpServer) guardFor(t *testing.T, host string) *mcpauth.Guard {
	t.Helper()
	guard, err := mcpauth.New(m.validator, &mcpauth.Options{
		Policy:  accesstoken.Policy{Scopes: scopes.All("read")},
		Hosts:   []string{host},
		Origins: []string{"http://" + host},
	})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

// withToken adds a token to each request.
func withToken(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
		next.ServeHTTP(w, r)
	})
}

// startEverything starts the Go SDK's own server for the suite, and returns its URL. Only
// a stateless server speaks revision 2026-07-28.
func startEverything(t *testing.T, revision string) *url.URL {
	t.Helper()
	const name = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"
	program := filepath.Join(t.TempDir(), "everything-server")
	run(t, ".", nil, "go", "build", "-o", program, name)
	address, err := url.Parse(freeURL(t))
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "everything-server", func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, program, "-http", address.Host, fmt.Sprintf("-stateless=%t", revision == newRevision))
	})
	p.awaitListener(address.Host)
	return address
}

// serveInFront starts a proxy in front of the backend, and returns its URL. guard, if it is
// not nil, decides about the requests. The proxy reads each body before it connects, because
// the backend can answer and close the connection before the body is sent.
func serveInFront(t *testing.T, backend *url.URL, guard func(host string, next http.Handler) http.Handler) string {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	web.Config.Handler = &httputil.ReverseProxy{
		FlushInterval: -1, // streams
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.Out.Host = r.In.Host
		},
	}
	web.Config.Handler = readFirst(web.Config.Handler)
	if guard != nil {
		web.Config.Handler = guard(web.Listener.Addr().String(), web.Config.Handler)
	}
	web.Start()
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return web.URL + "/mcp"
}

func readFirst(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// differing returns the scenarios whose verdicts differ.
func differing(a, b map[string][]string) (scenarios []string) {
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, scenario := range slices.Sorted(maps.Keys(all)) {
		if !slices.Equal(a[scenario], b[scenario]) {
			scenarios = append(scenarios, scenario)
		}
	}
	return scenarios
}

// suite runs scenarios, and returns the checks of each with their verdicts.
func suite(t *testing.T, url string, which ...string) (verdicts map[string][]string) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(installMCP(t), "node_modules/@modelcontextprotocol/conformance/dist/index.js")
	ctx, cancel := context.WithTimeout(t.Context(), starting)
	defer cancel()
	cmd := exec.CommandContext(ctx, installNode(t), append([]string{program, "server", "--url", url, "--output-dir", dir}, which...)...)
	out, err := cmd.CombinedOutput() // the exit code tells of verdicts
	files, globErr := filepath.Glob(filepath.Join(dir, "server-*", "checks.json"))
	if globErr != nil || len(files) == 0 {
		t.Fatalf("the suite has written no verdicts: %v, %v\n%s", err, globErr, out)
	}
	verdicts = map[string][]string{}
	for _, file := range files {
		scenario := scenarioOf.FindStringSubmatch(filepath.Base(filepath.Dir(file)))[1]
		verdicts[scenario] = readChecks(t, file)
	}
	return verdicts
}

var scenarioOf = regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$`)

func readChecks(t *testing.T, file string) (lines []string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var checks []struct{ ID, Status string }
	if err := json.Unmarshal(content, &checks); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, check := range checks {
		lines = append(lines, check.ID+" "+check.Status)
	}
	slices.Sort(lines)
	return lines
}

// verdictTable writes a row for each scenario and a column for each revision.
func verdictTable(found map[string]map[string][]string) string {
	revisions, scenarios := slices.Sorted(maps.Keys(found)), map[string]bool{}
	for _, verdicts := range found {
		for scenario := range verdicts {
			scenarios[scenario] = true
		}
	}
	var w strings.Builder
	fmt.Fprintf(&w, "| | %s |\n|---|%s\n", strings.Join(revisions, " | "), strings.Repeat("---|", len(revisions)))
	for _, scenario := range slices.Sorted(maps.Keys(scenarios)) {
		fmt.Fprintf(&w, "| %s |", scenario)
		for _, revision := range revisions {
			fmt.Fprintf(&w, " %s |", verdictOf(found[revision][scenario]))
		}
		w.WriteString("\n")
	}
	return w.String()
}

// verdictOf summarizes the checks of a scenario.
func verdictOf(checks []string) string {
	passed, failed := 0, 0
	for _, check := range checks {
		switch {
		case strings.HasSuffix(check, " SUCCESS"):
			passed++
		case strings.HasSuffix(check, " FAILURE"):
			failed++
		}
	}
	switch {
	case checks == nil:
		return "–"
	case failed > 0:
		return fmt.Sprintf("%d of %d checks fail", failed, passed+failed)
	case passed == 0:
		return "checks nothing"
	}
	return "passes"
}
