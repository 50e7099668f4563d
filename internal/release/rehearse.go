package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// rehearse builds the release in a clone. There the modules require each other at the
// new version, as they will when they are tagged.
func (r *repository) rehearse(version, out string) error {
	notes, err := r.check(version)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "release")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if scratch, err = filepath.EvalSymlinks(scratch); err != nil {
		return err
	}
	c := &clone{repository: repository{top: filepath.Join(scratch, "clone")}, version: version}
	if _, err := r.git("clone", "--quiet", "--no-hardlinks", ".", c.top); err != nil {
		return err
	}
	modules, err := c.modules()
	if err != nil {
		return err
	}
	if err := c.isolate(modules[0], scratch); err != nil {
		return err
	}
	if err := c.tag(modules); err != nil {
		return err
	}
	if err := write(out, "notes.md", notes); err != nil {
		return err
	}
	if err := c.writeTags(out, modules); err != nil {
		return err
	}
	for _, m := range modules {
		if err := c.writeModule(out, m, r); err != nil {
			return err
		}
	}
	changes, class, err := r.apiChanges(c.top)
	if err != nil {
		return err
	}
	if err := write(out, "apidiff.txt", changes+"\nsemver class: "+class+"\n"); err != nil {
		return err
	}
	if err := sums(out); err != nil {
		return err
	}
	fmt.Printf("wrote release %s to %s; nothing was published\n", version, out)
	return nil
}

// writeModule writes a module's archive and its SBOM.
func (c *clone) writeModule(out string, m module, r *repository) error {
	if err := c.zip(m, filepath.Join(out, m.name()+"-"+c.version+".zip")); err != nil {
		return err
	}
	file := absolute(filepath.Join(out, m.name()+"-"+c.version+".cdx.json"))
	if err := r.sbom(filepath.Join(c.top, m.folder), file, c.environment); err != nil {
		return err
	}
	return nameVersion(file, c.version)
}

// A clone is a clone of the repository with the tags that the release will have.
type clone struct {
	repository
	version string

	// environment has a module cache of its own, because the versions that are made
	// here should not be mistaken for the real versions.
	environment []string
}

// tag tags the modules, each one after the modules that it requires. The root is tagged
// on the present commit, and each other module on a new commit without its replace.
func (c *clone) tag(modules []module) error {
	root := modules[0]
	if len(root.Replace) > 0 {
		return fmt.Errorf("%s still replaces %s; remove the replace directive before a release", root.Module.Path, root.Replace[0].Old.Path)
	}
	// In a module, "go mod tidy" needs the tags of the modules that it requires.
	for _, m := range modules {
		if m.folder != "." {
			if err := c.settle(m, modules); err != nil {
				return err
			}
		}
		if _, err := c.git("-c", "tag.gpgSign=false", "tag", "--force", m.tag(c.version)); err != nil {
			return err
		}
	}
	return nil
}

// settle commits the go.mod to be tagged. It requires our own modules at the new
// version and has no replace.
func (c *clone) settle(m module, modules []module) error {
	folder := filepath.Join(c.top, m.folder)
	edit := []string{"mod", "edit"}
	for _, other := range modules {
		if m.requires(other) {
			edit = append(edit, "-dropreplace="+other.Module.Path, "-require="+other.Module.Path+"@"+c.version)
		}
	}
	if _, err := command(folder, nil, "go", edit...); err != nil {
		return err
	}
	settled, err := readModule(c.top, m.folder)
	if err != nil {
		return err
	}
	if len(settled.Replace) > 0 {
		return fmt.Errorf("%s still replaces %s; remove the replace directive before a release", m.Module.Path, settled.Replace[0].Old.Path)
	}
	for _, arguments := range [][]string{{"mod", "tidy"}, {"vet", "./..."}} {
		if _, err := c.goCommand(folder, arguments...); err != nil {
			return err
		}
	}
	if _, err := c.git("add", m.folder); err != nil {
		return err
	}
	_, err = c.git("-c", "user.name=release", "-c", "user.email=release@localhost", "-c", "commit.gpgSign=false",
		"commit", "--quiet", "--message", m.tag(c.version)+": require the tagged versions")
	return err
}

// isolate makes an environment in which the Go command takes our own modules from the
// clone. It takes other modules from the usual module cache or, if they are not there,
// from the usual proxy.
func (c *clone) isolate(root module, scratch string) error {
	found, err := command(c.top, nil, "go", "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return err
	}
	cache, proxy, _ := strings.Cut(found, "\n")
	c.environment = []string{
		"GOMODCACHE=" + filepath.Join(scratch, "mod"), "GOFLAGS=-modcacherw", "GOWORK=off",
		"GOPROXY=file://" + filepath.ToSlash(filepath.Join(cache, "cache", "download")) + "," + proxy,
		"GOPRIVATE=" + root.Module.Path + "," + root.Module.Path + "/*",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://" + filepath.ToSlash(c.top) + ".insteadOf", "GIT_CONFIG_VALUE_0=https://" + root.Module.Path,
	}
	return nil
}

func (c *clone) goCommand(folder string, arguments ...string) (string, error) {
	return command(folder, c.environment, "go", arguments...)
}

// zip writes the zip file that the Go command downloads for the module.
func (c *clone) zip(m module, file string) error {
	raw, err := c.goCommand(filepath.Dir(c.top), "mod", "download", "-json", m.Module.Path+"@"+c.version)
	if err != nil {
		return err
	}
	var downloaded struct{ Zip string }
	if err := json.Unmarshal([]byte(raw), &downloaded); err != nil {
		return err
	}
	content, err := os.ReadFile(downloaded.Zip)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

// nameVersion replaces the version in an SBOM. The tool writes a pseudo-version of the
// commit, because it does not know the tags of nested modules.
func nameVersion(file, version string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var bom struct {
		Metadata struct{ Component struct{ Version string } }
	}
	if err := json.Unmarshal(raw, &bom); err != nil {
		return err
	}
	if made := bom.Metadata.Component.Version; made != "" {
		raw = bytes.ReplaceAll(raw, []byte(made), []byte(version))
	}
	return os.WriteFile(file, raw, 0o644)
}

// writeTags writes the tags with their commits, in the order in which to push them.
func (c *clone) writeTags(out string, modules []module) error {
	var text strings.Builder
	for _, m := range modules {
		commit, err := c.git("rev-parse", m.tag(c.version)+"^{commit}")
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s %s\n", m.tag(c.version), commit)
	}
	if _, err := c.git("bundle", "create", "--quiet", absolute(filepath.Join(out, "tags.bundle")), "--tags", "HEAD"); err != nil {
		return err
	}
	return write(out, "tags.txt", text.String())
}

func write(out, name, text string) error {
	return os.WriteFile(filepath.Join(out, name), []byte(text), 0o644)
}

// sums writes SHA256SUMS, which covers all other files.
func sums(out string) error {
	entries, err := os.ReadDir(out)
	if err != nil {
		return err
	}
	var lines []string
	for _, entry := range entries {
		file, err := os.Open(filepath.Join(out, entry.Name()))
		if err != nil {
			return err
		}
		digest := sha256.New()
		_, err = io.Copy(digest, file)
		_ = file.Close()
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%x  %s\n", digest.Sum(nil), entry.Name()))
	}
	slices.Sort(lines)
	return write(out, "SHA256SUMS", strings.Join(lines, ""))
}

// absolute makes a path absolute for a program that runs in another folder.
func absolute(name string) string {
	whole, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	return whole
}
