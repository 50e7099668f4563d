//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A page is a web page on an origin of its own, with a script that is an MCP client.
type page struct {
	origin string
	mux    *http.ServeMux
}

func servePage(t *testing.T) *page {
	t.Helper()
	p := &page{mux: http.NewServeMux()}
	web := httptest.NewServer(p.mux)
	t.Cleanup(web.Close)
	p.origin = web.URL
	p.mux.Handle("GET /node_modules/", http.FileServer(http.Dir(installMCP(t))))
	p.mux.Handle("GET /", http.FileServer(http.Dir("testdata/mcp")))
	return p
}

// run opens the page in Chromium, and returns what its script writes.
func (p *page) run(t *testing.T, arguments ...string) (lines []said) {
	t.Helper()
	ended := make(chan result, 1)
	p.mux.HandleFunc("GET /arguments", func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(arguments) })
	p.mux.HandleFunc("POST /end", func(w http.ResponseWriter, r *http.Request) {
		var end result
		if err := json.NewDecoder(r.Body).Decode(&end); err != nil {
			end.Error = err.Error()
		}
		ended <- end
	})
	ctx, cancel := context.WithTimeout(t.Context(), starting)
	defer cancel()
	chromium := start(t, "chromium", func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, chromiumName(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
			"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0",
			"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), p.origin+"/page.html")
	})
	defer chromium.stop()
	select {
	case end := <-ended:
		lines = parseSaid(t, "the page", slices.Values(end.Lines))
		if end.Error != "" {
			lines = append(lines, said{Error: end.Error})
		}
		return lines
	case <-chromium.ended:
		t.Fatalf("chromium ended first: %v", chromium.err)
	case <-ctx.Done():
		t.Fatal("the script did not end")
	}
	return nil
}

// chromiumName is the program's name on this machine.
func chromiumName() string {
	names := []string{"chromium", "chromium-browser", "google-chrome"}
	if n := slices.IndexFunc(names, installed); n >= 0 {
		return names[n]
	}
	return ""
}

// A result is how a script ended.
type result struct {
	Lines []string
	Error string
}

// TestMCPPage has a client in a web page log in and step up, in Chromium, which asks with
// preflights whether it may send each kind of request.
func TestMCPPage(t *testing.T) {
	if err := provide("chromium", func() bool { return chromiumName() != "" }); err != nil {
		t.Logf("no web page is tried on this machine: %v", err)
		return
	}
	p, b := servePage(t), startBrowser(t)
	m := startMCP(t, mcpSetup{registration: "as asked", page: p.origin})
	lines := p.run(t, m.url, b.url, grants, "legacy", "page")
	expectAnswers(t, lines)
	steps := untilLastCall(t, m.agrees(t, b, lines))
	expectSteps(t, steps)
	slices.Sort(m.preflights)
	preflights := strings.Join(slices.Compact(m.preflights), "\n")
	t.Logf("\n%s\npreflights:\n%s", text(steps), preflights)
	if !t.Failed() {
		compareSection(t, "MCP.md", "TestMCPPage", "```text\n"+text(steps)+"```\n\nPreflights, all answered with success:\n\n```text\n"+preflights+"\n```\n")
	}
}
