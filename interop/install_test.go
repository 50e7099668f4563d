//go:build interop

package interop_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The versions of the servers are in testdata/hydra/go.mod and
// testdata/oidc-provider/package.json. The hashes of their dependencies are in the files
// beside these.
const (
	nodeVersion = "24.21.0" // installed from npm if Node is missing or too old
	oldestNode  = 24        // that has ML-DSA; oidc-provider supports 22
	installing  = 15 * time.Minute
)

// installHydra builds Hydra, or finds it built.
func installHydra(t *testing.T) (program string) {
	t.Helper()
	dir := cached(t, "hydra", fingerprint(t, "testdata/hydra/main.go", "testdata/hydra/go.mod", "testdata/hydra/go.sum"), func(dir string) {
		run(t, "testdata/hydra", []string{"CGO_ENABLED=1", "GOWORK=off"}, // its store in memory is SQLite
			"nice", "-n", "10", "go", "build", "-tags", "sqlite,json1", "-o", filepath.Join(dir, "hydra"), ".")
	})
	return filepath.Join(dir, "hydra")
}

// installOIDCProvider returns a folder in which a script finds oidc-provider.
func installOIDCProvider(t *testing.T) (dir string) {
	t.Helper()
	files := []string{"testdata/oidc-provider/package.json", "testdata/oidc-provider/package-lock.json"}
	return cached(t, "oidc-provider", fingerprint(t, files...), func(dir string) {
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		run(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
}

// installNode returns the machine's own Node if it is new enough, and otherwise
// the one that npm has.
func installNode(t *testing.T) (program string) {
	t.Helper()
	version, err := exec.Command("node", "--version").Output()
	if err == nil && major(string(version)) >= oldestNode {
		return "node"
	}
	architecture := strings.NewReplacer("amd64", "x64").Replace(runtime.GOARCH)
	name := "node-" + runtime.GOOS + "-" + architecture
	dir := cached(t, "node", nodeVersion, func(dir string) {
		run(t, dir, nil, "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", name+"@"+nodeVersion)
	})
	return filepath.Join(dir, "node_modules", name, "bin", "node")
}

// major reads the 20 of v20.1.2; 0 is what it cannot read.
func major(version string) int {
	number, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	n, _ := strconv.Atoi(number)
	return n
}

// cached returns a folder that install has filled, now or in an earlier run.
func cached(t *testing.T, name, version string, install func(dir string)) string {
	t.Helper()
	dir, err := cachedOr(t, name, version, func(dir string) error {
		install(dir)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// cachedOr is cached, for an install that may find that it is impossible. The
// folder appears under its name only when it is complete.
func cachedOr(t *testing.T, name, version string, install func(dir string) error) (dir string, err error) {
	t.Helper()
	root, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	root = filepath.Join(root, "accesstoken-interop")
	dir = filepath.Join(root, name+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	building, err := os.MkdirTemp(root, ".installing-"+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(building) // of what has failed; otherwise it is gone
	began := time.Now()
	if err := install(building); err != nil {
		return "", err
	}
	if err := os.Rename(building, dir); err != nil {
		if _, other := os.Stat(dir); other != nil { // no other run has made it meanwhile
			return "", err
		}
	}
	t.Logf("installed %s in %v", dir, time.Since(began).Round(time.Second))
	return dir, nil
}

// fingerprint returns a hash of the contents of some files.
func fingerprint(t *testing.T, files ...string) string {
	t.Helper()
	sum := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// run runs a command to its end.
func run(t *testing.T, dir string, environment []string, name string, arguments ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), installing)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}
