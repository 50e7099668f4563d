package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The tools that "go run" and "go install" fetch. To update one, change its version here.
const (
	cyclonedxTool = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0"
	apidiffTool   = "golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4"
)

// cyclonedx writes the SBOM of the module in the folder. The tool is built in the usual
// environment, but runs in the given environment, which finds the tags of the clone.
func cyclonedx(folder, file string, environment []string) error {
	bin, err := os.MkdirTemp("", "cyclonedx")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	if _, err := command(folder, []string{"GOBIN=" + bin}, "go", "install", cyclonedxTool); err != nil {
		return err
	}
	_, err = command(folder, environment, filepath.Join(bin, "cyclonedx-gomod"), "mod", "-json", "-type", "library", "-output", file, ".")
	return err
}

// apiChanges returns the changes in the API of the checkout since the last tag, and
// their semver class: major, minor or patch. Before v1 a breaking change is minor.
func (r *repository) apiChanges(checkout string) (text, class string, err error) {
	last, err := r.lastTag()
	if err != nil {
		return "", "", err
	}
	if last == "" {
		return "The API cannot be compared, because there is no earlier tag.", "minor", nil
	}
	was, err := os.MkdirTemp("", "api")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(was)
	if _, err := r.git("clone", "--quiet", "--no-hardlinks", "--branch", last, ".", filepath.Join(was, "clone")); err != nil {
		return "", "", err
	}
	root, err := readModule(r.top, ".")
	if err != nil {
		return "", "", err
	}
	incompatible, all, err := r.diff(filepath.Join(was, "clone"), checkout, root.Module.Path)
	if err != nil {
		return "", "", err
	}
	return "Since " + last + ":\n" + all, classOf(incompatible, all, last), nil
}

func classOf(incompatible, all, last string) string {
	switch {
	case promised(incompatible) && !strings.HasPrefix(last, "v0."):
		return "major"
	case promised(all):
		return "minor"
	}
	return "patch"
}

// unpromised are packages whose API may change with any release.
var unpromised = []string{"- ./conformance", "- ./benchmarks"}

// promised reports whether some change is in a package whose API should stay stable.
func promised(changes string) bool {
	for line := range strings.Lines(changes) {
		if strings.HasPrefix(line, "- ") && !slices.ContainsFunc(unpromised, func(p string) bool { return strings.HasPrefix(line, p) }) {
			return true
		}
	}
	return false
}

// lastTag returns the newest tag of the root module, or "" if there is no tag. If a tag
// is on the commit that is checked out, it belongs to this release and is skipped.
func (r *repository) lastTag() (string, error) {
	listed, err := r.git("-c", "versionsort.suffix=-", "tag", "--list", "v*", "--sort=-version:refname")
	if err != nil {
		return "", err
	}
	here, err := r.git("tag", "--points-at", "HEAD")
	if err != nil {
		return "", err
	}
	for tag := range strings.FieldsSeq(listed) {
		if semver.MatchString(tag) && !slices.Contains(strings.Fields(here), tag) {
			return tag, nil
		}
	}
	return "", nil
}

// apidiff compares the exported names of two checkouts of a module.
func apidiff(was, is, module string) (incompatible, all string, err error) {
	old := filepath.Join(filepath.Dir(was), "api.export")
	if _, err := command(was, nil, "go", "run", apidiffTool, "-m", "-w", old, module); err != nil {
		return "", "", err
	}
	if incompatible, err = command(is, nil, "go", "run", apidiffTool, "-m", "-incompatible", old, module); err != nil {
		return "", "", err
	}
	all, err = command(is, nil, "go", "run", apidiffTool, "-m", old, module)
	return incompatible, all, err
}
