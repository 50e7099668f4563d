package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// files are a small repository that can be released: a root module and an
// integration, which requires it by a replace.
func files() map[string]string {
	return map[string]string{
		"go.mod":                    "module github.com/accesstoken/rehearsal\n\ngo 1.26.0\n",
		"rehearsal.go":              "package rehearsal\n\nconst Name = \"rehearsal\"\n",
		"LICENSE":                   "as you like\n",
		"CHANGELOG.md":              "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- `Name`.\n\n## [0.1.0]\n\n- Old.\n",
		"integrations/other/go.mod": "module github.com/accesstoken/rehearsal/integrations/other\n\ngo 1.26.0\n\nrequire github.com/accesstoken/rehearsal v0.0.0\n\nreplace github.com/accesstoken/rehearsal => ../..\n",
		"integrations/other/a.go":   "package other\n\nimport \"github.com/accesstoken/rehearsal\"\n\nconst Name = rehearsal.Name\n",
		"examples/go.mod":           "module github.com/accesstoken/rehearsal/examples\n\ngo 1.26.0\n\nreplace github.com/accesstoken/rehearsal => ..\n",
	}
}

// commit makes a repository of the files, with tools that need no network.
func commit(t *testing.T, files map[string]string) *repository {
	t.Helper()
	r := &repository{
		top: t.TempDir(),
		sbom: func(_, file string, _ []string) error {
			return os.WriteFile(file, []byte(`{"metadata":{"component":{"version":"v0.1.1-0.2026","purl":"x@v0.1.1-0.2026"}}}`), 0o600)
		},
		diff: func(_, _, _ string) (string, string, error) { return "", "- ./x.Name: added", nil },
	}
	for name, content := range files {
		file := filepath.Join(r.top, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, r, "init", "--quiet", "--initial-branch=main")
	git(t, r, "add", ".")
	git(t, r, "commit", "--quiet", "--message=all")
	return r
}

func git(t *testing.T, r *repository, arguments ...string) string {
	t.Helper()
	out, err := r.git(append([]string{"-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgSign=false", "-c", "tag.gpgSign=false"}, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestARehearsalHasWhatAReleaseHas(t *testing.T) {
	r, out := commit(t, files()), filepath.Join(t.TempDir(), "out")
	if err := r.rehearse("v0.2.0", out); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	want := []string{
		"SHA256SUMS", "apidiff.txt", "notes.md",
		"other-v0.2.0.cdx.json", "other-v0.2.0.zip", "rehearsal-v0.2.0.cdx.json", "rehearsal-v0.2.0.zip",
		"tags.bundle", "tags.txt",
	}
	if !slices.Equal(names, want) {
		t.Errorf("got %q; want %q", names, want)
	}
	if got := read(t, filepath.Join(out, "notes.md")); got != "### Added\n\n- `Name`.\n" {
		t.Errorf("notes: got %q; want the section of the version", got)
	}
	if got, want := read(t, filepath.Join(out, "other-v0.2.0.cdx.json")), `{"metadata":{"component":{"version":"v0.2.0","purl":"x@v0.2.0"}}}`; got != want {
		t.Errorf("SBOM: got %s; want the version that is released: %s", got, want)
	}
	lines := strings.Split(strings.TrimSpace(read(t, filepath.Join(out, "tags.txt"))), "\n")
	head := git(t, r, "rev-parse", "HEAD")
	if len(lines) != 2 || lines[0] != "v0.2.0 "+head || !strings.HasPrefix(lines[1], "integrations/other/v0.2.0 ") || strings.HasSuffix(lines[1], head) {
		t.Errorf("tags: got %q; want the root where it is, then the other module on a commit of its own", lines)
	}
	if tags := git(t, r, "tag"); tags != "" || git(t, r, "status", "--porcelain") != "" {
		t.Errorf("got the tags %q and the changes %q in the repository; want it untouched", tags, git(t, r, "status", "--porcelain"))
	}
}

// A tagged module requires the other modules at the new version, and its go.sum has the
// sum of the module that will be downloaded.
func TestATaggedModuleRequiresTheTaggedVersion(t *testing.T) {
	r, out := commit(t, files()), filepath.Join(t.TempDir(), "out")
	if err := r.rehearse("v0.2.0", out); err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(out, "other-v0.2.0.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	content := func(name string) string {
		raw, err := archive.Open("github.com/accesstoken/rehearsal/integrations/other@v0.2.0/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		text := make([]byte, 1<<16)
		n, _ := raw.Read(text)
		return string(text[:n])
	}
	if got := content("go.mod"); strings.Contains(got, "replace") || !strings.Contains(got, "github.com/accesstoken/rehearsal v0.2.0") {
		t.Errorf("go.mod: got %s; want it to require v0.2.0, without a replace", got)
	}
	if got := content("go.sum"); !strings.Contains(got, "github.com/accesstoken/rehearsal v0.2.0 h1:") {
		t.Errorf("go.sum: got %s; want the sum of v0.2.0", got)
	}
}

func TestNoReleaseIsMadeOfWhatIsNotReady(t *testing.T) {
	for _, test := range []struct {
		name    string
		version string
		change  func(map[string]string)
		after   func(t *testing.T, r *repository)
		want    string
	}{
		{name: "a dirty tree", after: func(t *testing.T, r *repository) {
			if err := os.WriteFile(filepath.Join(r.top, "new.go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "the working tree has changes"},
		{name: "no section", version: "v0.3.0", want: "CHANGELOG.md has no section for v0.3.0"},
		{name: "no section for the beginning of a version", version: "v0.2.0-rc.1", want: "CHANGELOG.md has no section for v0.2.0-rc.1"},
		{name: "an empty section", change: func(all map[string]string) {
			all["CHANGELOG.md"] = "## 0.2.0\n\n## 0.1.0\n\n- Old.\n"
		}, want: "CHANGELOG.md has an empty section for v0.2.0"},
		{name: "a replace that stays", change: func(all map[string]string) {
			all["integrations/other/go.mod"] += "\nreplace example.com/fork => ../../fork\n"
		}, want: "integrations/other still replaces example.com/fork"},
		{name: "a replace in the root", change: func(all map[string]string) {
			all["go.mod"] += "\nreplace example.com/fork => ./fork\n"
		}, want: "github.com/accesstoken/rehearsal still replaces example.com/fork"},
		{name: "a module that does not compile", change: func(all map[string]string) {
			all["integrations/other/a.go"] += "\nvar _ int = Name\n"
		}, want: "go vet"},
		{name: "no version", version: "0.2.0", want: "want one such as v0.1.0"},
		{name: "a tag elsewhere", after: func(t *testing.T, r *repository) {
			git(t, r, "tag", "v0.2.0")
			git(t, r, "commit", "--quiet", "--allow-empty", "--message=more")
		}, want: "the tag v0.2.0 is already on commit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := files()
			if test.change != nil {
				test.change(all)
			}
			r := commit(t, all)
			if test.after != nil {
				test.after(t, r)
			}
			if test.version == "" {
				test.version = "v0.2.0"
			}
			err := r.rehearse(test.version, filepath.Join(t.TempDir(), "out"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v; want an error that says %q", err, test.want)
			}
		})
	}
}

// The maintainer pushes the tag, and the workflow builds the commit that it names.
func TestATagOnTheCommitItselfIsTaken(t *testing.T) {
	r := commit(t, files())
	git(t, r, "tag", "v0.2.0")
	if _, err := r.check("v0.2.0"); err != nil {
		t.Errorf("got %v; want nil", err)
	}
}

func TestTheLastTagIsTheOneBefore(t *testing.T) {
	r := commit(t, files())
	for _, step := range []struct{ tag, want string }{
		{"v0.1.0", ""}, {"v0.9.0", "v0.1.0"}, {"v0.10.0-rc.1", "v0.9.0"}, {"v0.10.0", "v0.10.0-rc.1"}, {"other", "v0.10.0"},
	} {
		git(t, r, "commit", "--quiet", "--allow-empty", "--message=more")
		git(t, r, "tag", step.tag)
		if got, err := r.lastTag(); got != step.want || err != nil {
			t.Errorf("on %s: got %q, %v; want %q", step.tag, got, err, step.want)
		}
	}
}

func TestTheClassOfAChange(t *testing.T) {
	for _, test := range []struct{ last, incompatible, all, want string }{
		{"v1.2.0", "", "", "patch"},
		{"v1.2.0", "", "- ./jwks.X: added", "minor"},
		{"v1.2.0", "- ./jwks.X: removed", "- ./jwks.X: removed", "major"},
		{"v0.2.0", "- ./jwks.X: removed", "- ./jwks.X: removed", "minor"},
		{"v1.2.0", "- ./conformance.Run: removed", "- ./conformance.Run: removed", "patch"},
	} {
		if got := classOf(test.incompatible, test.all, test.last); got != test.want {
			t.Errorf("%s, %q: got %s; want %s", test.last, test.all, got, test.want)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
