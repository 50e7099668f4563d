//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// runNode returns how a client of testdata/mcp runs on Node.
func runNode(script string, arguments ...string) func(*testing.T, *mcpServer, *browser) []said {
	return func(t *testing.T, m *mcpServer, b *browser) []said {
		program := append([]string{"--input-type=module", "-", m.url, b.url}, arguments...)
		return saidBy(t, script, installMCP(t), installNode(t), program...)
	}
}

// runPython returns how a client of testdata/mcp runs on Python.
func runPython(script string, arguments ...string) func(*testing.T, *mcpServer, *browser) []said {
	return func(t *testing.T, m *mcpServer, b *browser) []said {
		return saidBy(t, script, ".", installPython(t), append([]string{"-", m.url, b.url}, arguments...)...)
	}
}

// saidBy runs a script of testdata/mcp to its end, and reads what it writes.
func saidBy(t *testing.T, script, dir, program string, arguments ...string) (lines []said) {
	t.Helper()
	source, err := os.Open(filepath.Join("testdata/mcp", script))
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	ctx, cancel := context.WithTimeout(t.Context(), starting)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, arguments...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, source, &stderr
	out, err := cmd.Output()
	lines = parseSaid(t, script, strings.Lines(string(out)))
	if err != nil {
		lines = append(lines, said{Error: fmt.Sprintf("%v: %s", err, stderr.String())})
	}
	return lines
}

// parseSaid reads the lines of a client.
func parseSaid(t *testing.T, name string, texts iter.Seq[string]) (lines []said) {
	t.Helper()
	for text := range texts {
		var line said
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("%s writes %q", name, text)
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// installMCP returns a folder in which a script finds the packages of npm.
func installMCP(t *testing.T) (dir string) {
	t.Helper()
	files := []string{"testdata/mcp/package.json", "testdata/mcp/package-lock.json"}
	return cached(t, "mcp-node", fingerprint(t, files...), func(dir string) {
		if err := copyFiles(dir, files...); err != nil {
			t.Fatal(err)
		}
		run(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
}

// installPython returns a Python with the packages of PyPI.
func installPython(t *testing.T) (program string) {
	t.Helper()
	err := provide("python3-venv", func() bool { return exec.Command("python3", "-c", "import ensurepip").Run() == nil })
	if err != nil {
		t.Fatal(err)
	}
	const requirements = "testdata/mcp/requirements.txt"
	dir := cached(t, "mcp-python", fingerprint(t, requirements), func(dir string) {
		run(t, ".", nil, "python3", "-m", "venv", dir)
		run(t, ".", nil, filepath.Join(dir, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", requirements)
	})
	return filepath.Join(dir, "bin", "python")
}

// runGoClient runs the client of the Go SDK.
func runGoClient(t *testing.T, m *mcpServer, b *browser) []said {
	seen := &seenTransport{}
	client := &http.Client{Transport: seen}
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		DynamicClientRegistrationConfig: &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName: "go", RedirectURIs: []string{redirectURI}, TokenEndpointAuthMethod: "none", GrantTypes: strings.Fields(grants),
			},
		},
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return askBrowser(ctx, client, b.url, args.URL)
		},
		Client: client,
	})
	if err != nil {
		t.Fatal(err)
	}
	transport := &mcp.StreamableClientTransport{Endpoint: m.url, HTTPClient: client, OAuthHandler: handler}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "go", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		seen.add(said{Error: err.Error()})
		return seen.lines()
	}
	for _, tool := range []string{"look", "change"} {
		result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
		if err != nil {
			seen.add(said{Error: err.Error()})
			break
		}
		seen.add(said{Tool: tool, Answer: result.Content[0].(*mcp.TextContent).Text})
	}
	if err := session.Close(); err != nil {
		t.Error(err)
	}
	return seen.lines()
}

// askBrowser has the user log in.
func askBrowser(ctx context.Context, client *http.Client, browser, page string) (*auth.AuthorizationResult, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, browser+"?"+url.Values{"url": {page}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	callback, err := url.Parse(string(body))
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the browser answers %s: %s", response.Status, body)
	}
	query := callback.Query()
	return &auth.AuthorizationResult{Code: query.Get("code"), State: query.Get("state"), Iss: query.Get("iss")}, nil
}

// A seenTransport remembers the requests of the Go client.
type seenTransport struct {
	mu  sync.Mutex
	all []said
}

func (s *seenTransport) add(line said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, line)
}

func (s *seenTransport) lines() []said {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

func (s *seenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		s.add(said{Method: r.Method, URL: r.URL.String(), Status: response.StatusCode})
	}
	return response, err
}
