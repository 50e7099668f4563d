package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A repository is the repository to release. Its tools are fields, so that a test can
// replace them and needs no network.
type repository struct {
	top  string                                                             // its folder
	sbom func(folder, file string, environment []string) error              // writes the SBOM of the module in the folder
	diff func(was, is, module string) (incompatible, all string, err error) // compares the API of two checkouts
}

var semver = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// check returns an error if the version cannot be released from this tree. It runs
// before anything is built, and returns the text of the release.
func (r *repository) check(version string) (notes string, err error) {
	if !semver.MatchString(version) {
		return "", fmt.Errorf("the version is %q; want one such as v0.1.0", version)
	}
	changed, err := r.git("status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changed != "" {
		return "", fmt.Errorf("the working tree has changes; commit or remove them\n%s", changed)
	}
	if err := r.checkTag(version); err != nil {
		return "", err
	}
	changelog, err := os.ReadFile(filepath.Join(r.top, "CHANGELOG.md"))
	if err != nil {
		return "", err
	}
	return section(string(changelog), version)
}

// checkTag accepts a tag that does not exist yet. If the tag exists, it must be on the
// commit that is checked out, as in the release workflow, which runs when a maintainer
// has pushed it.
func (r *repository) checkTag(version string) error {
	tagged, err := r.git("rev-parse", "--verify", "--quiet", version+"^{commit}")
	if err != nil {
		return nil
	}
	if head, err := r.git("rev-parse", "HEAD"); err != nil || head != tagged {
		return fmt.Errorf("the tag %s is already on commit %.12s, which is not checked out", version, tagged)
	}
	return nil
}

// section returns the changelog's section about the version.
func section(changelog, version string) (string, error) {
	heading := regexp.MustCompile(`(?m)^## \[?` + regexp.QuoteMeta(strings.TrimPrefix(version, "v")) + `\]?( .*)?$`)
	at := heading.FindStringIndex(changelog)
	if at == nil {
		return "", fmt.Errorf("CHANGELOG.md has no section for %s; want the heading ## [%s] - and the date", version, strings.TrimPrefix(version, "v"))
	}
	text, _, _ := strings.Cut(changelog[at[1]:], "\n## ")
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("CHANGELOG.md has an empty section for %s", version)
	}
	return text + "\n", nil
}

// A module is a module that gets a tag.
type module struct {
	Module  struct{ Path string }
	Replace []struct {
		Old struct{ Path, Version string }
	}
	Require []struct{ Path string }

	folder string // relative to the top folder; "." is the root module
}

// tag returns the tag under which the Go command finds the version.
func (m module) tag(version string) string {
	if m.folder == "." {
		return version
	}
	return m.folder + "/" + version
}

// name returns the module's name in names of files.
func (m module) name() string { return path.Base(m.Module.Path) }

// modules returns the modules to tag: the root and those in integrations/. If a module
// requires another, it comes after the required module. Modules elsewhere are only for
// work on this repository, and are not released.
func (r *repository) modules() (all []module, err error) {
	listed, err := r.git("ls-files", "go.mod", "integrations/*go.mod")
	if err != nil {
		return nil, err
	}
	for file := range strings.FieldsSeq(listed) {
		m, err := readModule(r.top, path.Dir(file))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortStableFunc(all, func(a, b module) int {
		switch {
		case a.requires(b):
			return 1
		case b.requires(a):
			return -1
		}
		return strings.Compare(a.folder, b.folder)
	})
	if len(all) == 0 || all[0].folder != "." {
		return nil, errors.New("the root has no go.mod, or requires a module that requires it")
	}
	return all, nil
}

func (m module) requires(other module) bool {
	for _, r := range m.Require {
		if r.Path == other.Module.Path {
			return true
		}
	}
	return false
}

func readModule(top, folder string) (m module, err error) {
	raw, err := command(filepath.Join(top, folder), nil, "go", "mod", "edit", "-json")
	if err != nil {
		return m, err
	}
	m.folder = folder
	return m, json.Unmarshal([]byte(raw), &m)
}

func (r *repository) git(arguments ...string) (string, error) {
	return command(r.top, nil, "git", arguments...)
}

// command runs a program and returns its output. If the program fails, the error
// contains everything that it printed.
func command(folder string, environment []string, name string, arguments ...string) (string, error) {
	c := exec.Command(name, arguments...)
	c.Dir = folder
	c.Env = append(os.Environ(), environment...)
	var complaint strings.Builder
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(arguments, " "), err, out, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}
