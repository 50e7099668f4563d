package project_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// workflows returns the text of each workflow by its path.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, file := range files(t, func(name string) bool { return strings.HasPrefix(name, top+"/.github/workflows/") }) {
		all[filepath.Base(file)] = content(t, strings.TrimPrefix(file, top+"/"))
	}
	if len(all) < 5 {
		t.Fatalf("got %d workflows; want those of CI, pull requests, nights, weeks and releases", len(all))
	}
	return all
}

// Actions are named by commits, because a tag can be moved. dependabot reads and writes
// the comment.
func TestActionsArePinnedToACommit(t *testing.T) {
	pinned := regexp.MustCompile(`^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	commits := map[string]string{}
	for file, text := range workflows(t) {
		for _, use := range regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`).FindAllStringSubmatch(text, -1) {
			if !pinned.MatchString(use[1]) {
				t.Errorf("%s: got %q; want owner/action@commit # v1.2.3", file, use[1])
				continue
			}
			name, commit, _ := strings.Cut(use[1], "@")
			if commits[name] == "" {
				commits[name] = commit
			}
			if commits[name] != commit {
				t.Errorf("%s: got %s at %s; want the same commit everywhere: %s", file, name, commit, commits[name])
			}
		}
	}
}

// A workflow may only read, unless a job lists what it writes. Each job has a time limit.
// The token of the run is not left in the checkout, except in the job that pushes tags.
func TestWorkflowsAskForLittle(t *testing.T) {
	for file, text := range workflows(t) {
		if !strings.Contains(text, "\npermissions: read-all\n") {
			t.Errorf("%s: want permissions: read-all for the whole workflow", file)
		}
		if jobs, limits := strings.Count(text, "    runs-on:"), strings.Count(text, "    timeout-minutes:"); jobs == 0 || jobs != limits {
			t.Errorf("%s: got %d jobs and %d limits of time; want one for each", file, jobs, limits)
		}
		checkouts := strings.Count(text, "uses: actions/checkout@")
		if file == "release.yml" {
			checkouts--
		}
		if safe := strings.Count(text, "persist-credentials: false"); safe != checkouts {
			t.Errorf("%s: got %d checkouts without the token; want %d", file, safe, checkouts)
		}
	}
}

// If a workflow runs a make target, the target has a rule. Each lane that make check
// leaves out runs in some workflow.
func TestWorkflowsRunEveryLane(t *testing.T) {
	makefile, made := content(t, "Makefile"), map[string]bool{}
	for file, text := range workflows(t) {
		for _, line := range regexp.MustCompile(`\bmake ((?:[a-z-]+ ?)+)`).FindAllStringSubmatch(text, -1) {
			for name := range strings.FieldsSeq(line[1]) {
				if made[name] = true; !strings.Contains(makefile, "\n"+name+":") {
					t.Errorf("%s makes %q; want a rule for it", file, name)
				}
			}
		}
	}
	for _, lane := range []string{"check", "interop", "differential", "fuzz", "mutate", "soak", "browser", "govulncheck", "workflows", "apidiff", "release-rehearsal"} {
		if !made[lane] {
			t.Errorf("no workflow runs make %s", lane)
		}
	}
}

func TestDependabotKnowsEveryModule(t *testing.T) {
	known := content(t, ".github/dependabot.yml")
	modules := files(t, func(name string) bool { return filepath.Base(name) == "go.mod" })
	for _, file := range modules {
		folder := strings.TrimPrefix(filepath.Dir(file), top)
		if folder == "" {
			folder = "/"
		}
		if !strings.Contains(known, "directory: "+folder+"\n") {
			t.Errorf("dependabot.yml does not know %s", folder)
		}
	}
	if got := strings.Count(known, "package-ecosystem: gomod"); got != len(modules) {
		t.Errorf("dependabot.yml has %d modules; want %d", got, len(modules))
	}
}

// RELEASE.md lists what the rehearsal builds, and has the commands that run the tool.
func TestReleaseSaysHow(t *testing.T) {
	text := content(t, "RELEASE.md")
	for _, file := range files(t, func(name string) bool { return strings.HasSuffix(name, "/go.mod") }) {
		if folder, ok := strings.CutPrefix(filepath.Dir(file), top+"/integrations/"); ok && !strings.Contains(text, "/integrations/"+folder+"@v0.1.0") {
			t.Errorf("RELEASE.md does not say how to check the release of integrations/%s", folder)
		}
	}
	for _, want := range []string{"make release-rehearsal VERSION=v0.1.0", "tags.txt", "notes.md", "apidiff.txt", "SHA256SUMS", ".cdx.json", "integrations/"} {
		if !strings.Contains(text, want) {
			t.Errorf("RELEASE.md does not say %q", want)
		}
	}
}
