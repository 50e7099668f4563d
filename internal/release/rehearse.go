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

// rehearse builds the release in a clone, in which the modules require each other by
// the version, as they do once they are tagged.
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
		if err := c.zip(m, filepath.Join(out, m.name()+"-"+version+".zip")); err != nil {
			return err
		}
		file := absolute(filepath.Join(out, m.name()+"-"+version+".cdx.json"))
		if err := r.sbom(filepath.Join(c.top, m.folder), file, c.environment); err != nil {
			return err
		}
		if err := nameVersion(file, version); err != nil {
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
	fmt.Printf("%s is in %s; nothing was published\n", version, out)
	return nil
}

// A clone has the tags that the release will have.
type clone struct {
	repository
	version string

	// environment has a cache of modules of its own, so that the versions made here
	// are not taken for the real ones.
	environment []string
}

// tag tags the modules, each after those that it requires. The root is tagged where
// it is; the others on a commit in which they have no replace.
func (c *clone) tag(modules []module) error {
	root := modules[0]
	if len(root.Replace) > 0 {
		return fmt.Errorf("%s still has a replace of %s", root.Module.Path, root.Replace[0].Old.Path)
	}
	// "go mod tidy" of a module needs the tags of those that it requires.
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

// settle makes the go.mod that is tagged: our own modules by their version, and no
// replace.
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
		return fmt.Errorf("%s still has a replace of %s, with which it cannot be tagged", m.Module.Path, settled.Replace[0].Old.Path)
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

// isolate makes the environment in which the Go command takes our own modules from
// the clone, and all others from the cache of modules, or from where it finds them
// otherwise.
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

// zip writes what the Go command downloads as the module.
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

// nameVersion puts the version into an SBOM in place of the one that its tool made of
// the commit: it knows nothing of the tags of nested modules.
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

// writeTags writes the tags in the order in which they are pushed, each with its
// commit.
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

// absolute is for programs that run in another folder.
func absolute(name string) string {
	whole, err := filepath.Abs(name)
	if err != nil {
		return name
	}
	return whole
}
