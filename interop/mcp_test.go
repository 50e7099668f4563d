//go:build interop

package interop_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// An mcpClient is an MCP client of another project. It knows only the URL of the server.
type mcpClient struct {
	name     string
	version  string
	revision string // of the protocol
	run      func(t *testing.T, m *mcpServer, b *browser) []said
}

// said is what a client says about itself: a request that it made, a tool's answer, or the
// error with which it ended.
type said struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	Status int    `json:"status"`
	Tool   string `json:"tool"`
	Answer string `json:"answer"`
	Error  string `json:"error"`
}

// grants are the grant types that a client registers, as most applications do.
const grants = "authorization_code refresh_token"

const (
	oldRevision = "2025-11-25"
	newRevision = "2026-07-28"
)

func mcpClients(t *testing.T) []mcpClient {
	t.Helper()
	const sdk, client = "@modelcontextprotocol/sdk", "@modelcontextprotocol/client"
	npm := func(name string) string { return versionIn(t, "testdata/mcp/package.json", `"`+name+`": "(.*)"`) }
	python := versionIn(t, "testdata/mcp/requirements.in", `mcp==(.*)`)
	goSDK := versionIn(t, "go.mod", `modelcontextprotocol/go-sdk v(.*)`)
	return []mcpClient{
		{name: "Go SDK", version: goSDK, revision: oldRevision, run: runGoClient},
		{name: "Go SDK", version: goSDK, revision: newRevision, run: runGoClient},
		{name: sdk, version: npm(sdk), revision: oldRevision, run: runNode("sdk1.mjs", "authorization_code")},
		{name: client, version: npm(client), revision: oldRevision, run: runNode("sdk2.mjs", grants, "legacy")},
		{name: client, version: npm(client), revision: newRevision, run: runNode("sdk2.mjs", grants, "auto")},
		{name: "mcp (Python)", version: python, revision: oldRevision, run: runPython("client.py", grants)},
		{name: "mcp (Python)", version: python, revision: newRevision, run: runPython("client.py", grants)},
	}
}

// TestMCP has real MCP clients log in and step up, and compares what they say with the logs
// of both servers and with MCP.md.
func TestMCP(t *testing.T) {
	var page strings.Builder
	clients, ran := mcpClients(t), 0
	for _, c := range clients {
		heading := fmt.Sprintf("%s %s, revision %s", c.name, c.version, c.revision)
		t.Run(heading, func(t *testing.T) {
			m, b := startMCP(t, mcpSetup{registration: "any scope", stateless: c.revision == newRevision}), startBrowser(t)
			lines := c.run(t, m, b)
			expectAnswers(t, lines)
			steps := untilLastCall(t, m.agrees(t, b, lines))
			t.Logf("\n%s", text(steps))
			expectSteps(t, steps)
			if last := steps[len(steps)-1]; last.revision != c.revision {
				t.Errorf("the client speaks revision %q; want %q", last.revision, c.revision)
			}
			ran++
			fmt.Fprintf(&page, "### %s\n\n```text\n%s```\n\n", heading, text(steps))
		})
	}
	if ran == len(clients) && !t.Failed() { // -run can leave some out
		compareSection(t, "MCP.md", "TestMCP", strings.TrimSuffix(page.String(), "\n"))
	}
}

// TestMCPLimits has clients that cannot step up. MCP.md says what helps.
func TestMCPLimits(t *testing.T) {
	for _, test := range []struct {
		name         string
		registration string
		run          func(t *testing.T, m *mcpServer, b *browser) []said
		want         string // in the client's error
		last         string // request
	}{
		// It has registered with the scope of the first challenge.
		{"1.x is held to its scope", "as asked", runNode("sdk1.mjs", "authorization_code"), "requested scope is not allowed", "GET /auth 303"},
		{"2.x is held to its scope", "as asked", runNode("sdk2.mjs", grants, "auto"), "requested scope is not allowed", "GET /auth 303"},
		{"Python is held to its scope", "as asked", runPython("client.py", grants), "requested scope is not allowed", "GET /auth 303"},
		// It refreshes its token, gets the same scopes again, and gives up.
		{"1.x has a refresh token", "any scope", runNode("sdk1.mjs", grants), "Server returned 403 after trying upscoping", "POST /mcp 403"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, b := startMCP(t, mcpSetup{registration: test.registration, stateless: true}), startBrowser(t)
			lines := test.run(t, m, b)
			if got := lines[len(lines)-1].Error; !strings.Contains(got, test.want) {
				t.Errorf("the client ends with %q; want %q", got, test.want)
			}
			all := m.agrees(t, b, lines)
			if got := all[len(all)-1].line(); got != test.last {
				t.Errorf("the last request is %s; want %s", got, test.last)
			}
		})
	}
}

// expectSteps checks what all clients have in common: the first request is refused, and so
// is the first call of change; after each refusal the user and the client get a token for
// this server; and the last request is the call of change, which is answered.
func expectSteps(t *testing.T, steps []step) {
	t.Helper()
	var got []string
	for _, s := range steps {
		switch {
		case s.path == "/mcp" && s.status >= 400,
			s.path == "/mcp" && strings.HasPrefix(s.operation, "tools/call"):
			got = append(got, fmt.Sprintf("%d %s", s.status, strings.TrimPrefix(s.operation, "tools/call ")))
		case s.path == "/auth", s.path == "/token":
			scope, target, _ := strings.Cut(s.operation, " for ")
			got = append(got, strings.TrimSpace(strings.Join(append([]string{s.path}, knownScopes(scope)...), " ")+" "+target))
		}
	}
	first := strings.TrimPrefix(steps[0].operation, "tools/call ")
	want := []string{"401 " + first, "/auth read /mcp", "/token", "200 look", "403 change", "/auth read write /mcp", "/token", "200 change"}
	if !slices.Equal(got, want) {
		t.Errorf("the client's way is %q; want %q", got, want)
	}
}

// knownScopes leaves out offline_access, which clients add, and their order.
func knownScopes(text string) (known []string) {
	for _, scope := range []string{"read", "write"} {
		if slices.Contains(strings.Fields(text), scope) {
			known = append(known, scope)
		}
	}
	return known
}

// agrees checks that both logs have what the client and the browser say, and returns all
// requests in order.
func (m *mcpServer) agrees(t *testing.T, b *browser, lines []said) (all []step) {
	t.Helper()
	ours, asked := m.withoutPreflights(t, m.log.taken(), m.accessLog(t))
	ours = slices.DeleteFunc(ours, isStream)
	var toOurs, toAS []string
	for _, line := range lines {
		s := step{by: "client", at: "server", logged: logged{method: line.Method, path: line.URL, status: line.Status}}
		switch {
		case line.Tool != "", line.Error != "":
			continue
		case strings.HasPrefix(line.URL, b.url):
			for _, seen := range b.taken() {
				seen.operation = strings.Replace(seen.operation, m.url, "for /mcp", 1)
				toAS = append(toAS, seen.line())
				all = append(all, step{"browser", "AS", seen})
			}
			continue
		case strings.HasPrefix(line.URL, m.as.issuer):
			s.at, s.path = "AS", withoutID(strings.TrimPrefix(line.URL, m.as.issuer))
			toAS = append(toAS, s.line())
		default:
			s.path = strings.TrimPrefix(line.URL, strings.TrimSuffix(m.url, "/mcp"))
			if isStream(s.logged) {
				continue
			}
			if n := len(toOurs); n < len(ours) {
				s.operation, s.revision = ours[n].operation, ours[n].revision
			}
			toOurs = append(toOurs, s.line())
		}
		all = append(all, s)
	}
	compareLogs(t, "our server", linesOf(ours), toOurs)
	compareLogs(t, "the authorization server", linesOf(asked), toAS)
	return all
}

// withoutPreflights takes the CORS preflights out of both logs, of which the script of a
// web page knows nothing. Each must have been answered with success.
func (m *mcpServer) withoutPreflights(t *testing.T, ours, asked []logged) (restOfOurs, restOfAsked []logged) {
	t.Helper()
	take := func(place string, entries []logged) []logged {
		return slices.DeleteFunc(entries, func(l logged) bool {
			if l.method != http.MethodOptions {
				return false
			}
			if l.status != http.StatusOK && l.status != http.StatusNoContent {
				t.Errorf("the preflight of %s, %s, is answered with %d", place, l.path, l.status)
			}
			m.preflights = append(m.preflights, strings.TrimSpace(fmt.Sprintf("%-6s  %-43s  %s", place, l.path, l.operation)))
			return true
		})
	}
	return take("server", ours), take("AS", asked)
}

// A step is one request of a login, by the client or the user's browser, to our server
// or the authorization server.
type step struct {
	by, at string
	logged
}

// text writes the steps, one on each line.
func text(steps []step) string {
	var w strings.Builder
	for _, s := range steps {
		line := fmt.Sprintf("%-7s  %-6s  %-4s  %-43s  %d  %s", s.by, s.at, s.method, s.path, s.status, s.operation)
		w.WriteString(strings.TrimSpace(line) + "\n")
	}
	return w.String()
}

// isStream reports a request for the stream of a session, which comes at any time.
func isStream(l logged) bool { return l.method == http.MethodGet && l.path == "/mcp" }

func linesOf(entries []logged) (lines []string) {
	for _, entry := range entries {
		lines = append(lines, entry.line())
	}
	return lines
}

// compareLogs compares the log of a server with what the client and the browser say.
func compareLogs(t *testing.T, name string, log, others []string) {
	t.Helper()
	if !slices.Equal(log, others) {
		t.Errorf("the log of %s has\n\t%s\nthe client and the browser say\n\t%s", name, strings.Join(log, "\n\t"), strings.Join(others, "\n\t"))
	}
}

// untilLastCall leaves out how a client ends its session.
func untilLastCall(t *testing.T, steps []step) []step {
	t.Helper()
	for n, s := range slices.Backward(steps) {
		if strings.HasPrefix(s.operation, "tools/call") {
			return steps[:n+1]
		}
	}
	t.Fatalf("the client has called no tool:\n%s", text(steps))
	return nil
}

// expectAnswers checks that each tool found alice and the scopes of that call.
func expectAnswers(t *testing.T, lines []said) {
	t.Helper()
	var got []string
	for _, line := range lines {
		switch {
		case line.Tool != "":
			got = append(got, line.Tool+": "+line.Answer)
		case line.Error != "":
			t.Errorf("the client ends with %s", line.Error)
		}
	}
	if want := []string{"look: alice read", "change: alice read write"}; !slices.Equal(got, want) {
		t.Errorf("the tools answered %q; want %q", got, want)
	}
}
