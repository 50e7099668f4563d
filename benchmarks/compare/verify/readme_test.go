package verify_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of the peers in README.md")

// The table is between these lines.
const begin, end = "<!-- begin: peers -->\n", "<!-- end: peers -->\n"

// If a peer has a new version or another configuration, README.md must say so.
func TestReadmeListsThePeers(t *testing.T) {
	content, err := os.ReadFile("README.md")
	must(t, err)
	before, rest, opened := strings.Cut(string(content), begin)
	got, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("README.md has no lines %q and %q", begin, end)
	}
	want := "\n" + peerTable(t) + "\n"
	if *update {
		must(t, os.WriteFile("README.md", []byte(before+begin+want+end+after), 0o644))
		return
	}
	if got != want {
		t.Errorf("README.md lists the peers as\n%s\nwant\n%s\nwhich go test -update writes", got, want)
	}
}

func peerTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintln(&out, "| peer | versions | set up by | accepts all the same |")
	fmt.Fprintln(&out, "|---|---|---|---|")
	for _, p := range listed() {
		accepts := strings.Join(p.accepts, ", ")
		if accepts == "" {
			accepts = "–"
		}
		fmt.Fprintf(&out, "| **%s** | %s | %s | %s |\n", p.name, versions(t, p.modules), p.how, accepts)
	}
	return out.String()
}

// listed returns the peers of all benchmarks, without duplicates.
func listed() []peer {
	all := slices.Clone(peers)
	for _, c := range carriers {
		all = append(all, c.peers...)
	}
	return slices.DeleteFunc(append(all, caches...), func(p peer) bool { return p.how == "" })
}

// versions returns the versions that go.mod selects.
func versions(t *testing.T, modules []string) string {
	t.Helper()
	format := `{{.Path}} {{if .Replace}}(this checkout){{else}}{{.Version}}{{end}}`
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-m", "-f", format}, modules...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go list -m: %v\n%s", err, out)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", ")
}
