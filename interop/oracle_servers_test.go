//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The resource servers of others, in the order of the columns.
const (
	modOAuth2    = "mod_oauth2"
	expressJWT   = "express-oauth2-jwt-bearer"
	oauth4webapi = "oauth4webapi"
	spring       = "Spring Security"
)

var oracleNames = []string{modOAuth2, expressJWT, oauth4webapi, spring}

// Where Debian has Apache: not every user has that folder in PATH.
const (
	apacheProgram = "/usr/sbin/apache2"
	apacheModules = "/usr/lib/apache2/modules"
)

// An oracle is a running resource server of another project.
type oracle struct {
	name    string
	version string
	address string
	absent  error // why it does not run here
}

// startOracles starts all oracles that this machine can run.
func startOracles(t *testing.T, s *server) []oracle {
	t.Helper()
	apache, java := startApache(t, s, "bearer"), startSpring(t, s)
	return append(append([]oracle{apache}, startNodeOracles(t, s)...), java)
}

// startNodeOracles starts the two that run on Node, as oidc-provider does.
func startNodeOracles(t *testing.T, s *server) []oracle {
	t.Helper()
	dir := installNodeOracles(t)
	express, webapi := freeURL(t), freeURL(t)
	setting, err := json.Marshal(map[string]string{
		"issuer": s.issuer, "audience": resource, "express": portOf(express), "oauth4webapi": portOf(webapi),
	})
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.Open("testdata/oracles/oracles.mjs")
	if err != nil {
		t.Fatal(err)
	}
	defer script.Close()
	node := installNode(t)
	p := start(t, "oracles.mjs", func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, node, "--input-type=module", "-", string(setting))
		cmd.Dir, cmd.Stdin = dir, script
		return cmd
	})
	return []oracle{
		p.oracle(expressJWT, versionIn(t, nodeOracles[0], `"express-oauth2-jwt-bearer": "(.*)"`), express),
		p.oracle(oauth4webapi, versionIn(t, nodeOracles[0], `"oauth4webapi": "(.*)"`), webapi),
	}
}

var nodeOracles = []string{"testdata/oracles/package.json", "testdata/oracles/package-lock.json"}

// installNodeOracles returns a folder in which a script finds their packages.
func installNodeOracles(t *testing.T) (dir string) {
	t.Helper()
	return cached(t, "oracles-node", fingerprint(t, nodeOracles...), func(dir string) {
		if err := copyFiles(dir, nodeOracles...); err != nil {
			t.Fatal(err)
		}
		run(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
}

// startApache starts Apache httpd with mod_oauth2, both from the distribution. It
// takes tokens under one scheme: bearer or dpop.
func startApache(t *testing.T, s *server, scheme string) oracle {
	t.Helper()
	err := provide("apache2-bin libapache2-mod-oauth2", func() bool {
		_, missing := os.Stat(filepath.Join(apacheModules, "mod_oauth2.so"))
		return missing == nil && installed(apacheProgram)
	})
	if err != nil {
		return oracle{name: modOAuth2, absent: err}
	}
	template, err := os.ReadFile("testdata/oracles/httpd.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir, url := t.TempDir(), freeURL(t)
	config := strings.NewReplacer("{FOLDER}", dir, "{MODULES}", apacheModules, "{LISTEN}", strings.TrimPrefix(url, "http://"),
		"{KEYS}", s.endpoint(t, "jwks_uri"), "{ISSUER}", s.issuer, "{SCHEME}", scheme, "{AUDIENCE}", resource).Replace(string(template))
	if err := os.WriteFile(filepath.Join(dir, "httpd.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, modOAuth2, func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, apacheProgram, "-D", "FOREGROUND", "-d", dir, "-f", filepath.Join(dir, "httpd.conf"))
	})
	return p.oracle(modOAuth2, debianVersions("libapache2-mod-oauth2", "liboauth2-0", "libcjose0"), url)
}

// startSpring builds the resource server of testdata/oracles/spring, or finds it
// built, and starts it.
func startSpring(t *testing.T, s *server) oracle {
	t.Helper()
	err := provide("maven openjdk-17-jdk-headless", func() bool { return installed("mvn") && installed("java") })
	if err != nil {
		return oracle{name: spring, absent: err}
	}
	jar, err := buildSpring(t)
	if err != nil {
		return oracle{name: spring, absent: err}
	}
	url := freeURL(t)
	p := start(t, spring, func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, "java", "-XX:TieredStopAtLevel=1", "-jar", jar,
			"--server.address=127.0.0.1", "--server.port="+portOf(url), "--issuer="+s.issuer, "--audience="+resource, "--logging.level.root=error")
	})
	return p.oracle(spring, "Spring Boot "+versionIn(t, "testdata/oracles/spring/pom.xml", "<version>(.*)</version>\n    <relativePath"), url)
}

// buildSpring returns the built program.
func buildSpring(t *testing.T) (jar string, err error) {
	t.Helper()
	const source = "src/main/java/oracle"
	pom, program := "testdata/oracles/spring/pom.xml", filepath.Join("testdata/oracles/spring", source, "Oracle.java")
	dir, err := cachedIf("oracles-spring", fingerprint(t, pom, program), func(dir string) error {
		err := errors.Join(os.MkdirAll(filepath.Join(dir, source), 0o755), copyFiles(dir, pom), copyFiles(filepath.Join(dir, source), program))
		if err != nil {
			return err
		}
		repository := filepath.Join(dir, "repository")
		defer os.RemoveAll(repository) // the program has in it what it needs
		return runs(dir, "nice", "-n", "10", "mvn", "-q", "-B", "-Dmaven.repo.local="+repository, "package")
	})
	return filepath.Join(dir, "target", "oracle.jar"), err
}

// oracle waits until the oracle answers a request without a token, which it has
// to refuse.
func (p *process) oracle(name, version, url string) oracle {
	p.t.Helper()
	deadline := time.NewTimer(starting)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	o := oracle{name: name, version: version, address: strings.TrimPrefix(url, "http://")}
	for {
		status, err := ask(p.t.Context(), o.address, get(o.address))
		if err == nil && status >= 400 && status < 500 {
			return o
		}
		select {
		case <-again.C:
		case <-p.ended:
			p.t.Fatalf("%s ended before it was ready: %v", name, p.err)
		case <-deadline.C:
			p.t.Fatalf("%s was not ready within %v: status %d, %v; want it to refuse a request without a token", name, starting, status, err)
		}
	}
}

// versionIn finds a version in a file that pins it.
func versionIn(t *testing.T, file, pattern string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(pattern).FindSubmatch(content)
	if found == nil {
		t.Fatalf("%s pins no version that matches %s", file, pattern)
	}
	return string(found[1])
}

// debianVersions asks the package manager. It leaves out Debian's own part, which
// security updates change.
func debianVersions(packages ...string) string {
	var versions []string
	for _, name := range packages {
		version, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
		if err != nil {
			version = []byte("unknown")
		}
		upstream, _, _ := strings.Cut(string(version), "-")
		versions = append(versions, name+" "+upstream)
	}
	return strings.Join(versions, ", ")
}

// provide installs Debian packages if they are missing and we have the permission.
func provide(packages string, complete func() bool) error {
	if complete() {
		return nil
	}
	if !installed("apt-get") {
		return fmt.Errorf("%s: not installed, and there is no apt-get to install them", packages)
	}
	apt := []string{"apt-get", "-qq"}
	if os.Geteuid() != 0 {
		apt = append([]string{"sudo", "-n"}, apt...)
	}
	install := append(slices.Clone(apt), "install", "-y", "--no-install-recommends")
	for _, command := range [][]string{append(apt, "update"), append(install, strings.Fields(packages)...)} {
		if err := runs(".", command...); err != nil {
			return err
		}
	}
	if !complete() {
		return fmt.Errorf("%s: installed, and still not found", packages)
	}
	return nil
}

func installed(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// runs is run for a command that may be impossible on this machine.
func runs(dir string, command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installing)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}

// cachedIf is cached for an install that may be impossible on this machine.
func cachedIf(name, version string, install func(dir string) error) (dir string, err error) {
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
	if err := install(building); err != nil {
		return "", err
	}
	return dir, os.Rename(building, dir)
}

// copyFiles copies files into a folder.
func copyFiles(dir string, files ...string) error {
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
