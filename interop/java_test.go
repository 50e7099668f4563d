//go:build interop

package interop_test

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Keycloak comes from Maven Central, which has no lock file, so its hash is here.
const (
	keycloakVersion = "26.7.3"
	keycloakHash    = "27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f"
	oldestJava      = 17 // that Keycloak starts on
	mavenCopies     = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
)

// installKeycloak returns a folder with Keycloak, built for start --optimized.
// Its error says what this machine lacks.
func installKeycloak(t *testing.T) (dir string, err error) {
	t.Helper()
	java, err := installJava()
	if err != nil {
		return "", fmt.Errorf("Keycloak needs Java %d or newer: %w", oldestJava, err)
	}
	return cachedOr(t, "keycloak", keycloakVersion, func(dir string) error {
		archive, err := fetchKeycloak(t.TempDir())
		if err != nil {
			return fmt.Errorf("Keycloak %s is not to be had from Maven: %w", keycloakVersion, err)
		}
		if err := unzip(archive, dir); err != nil {
			return err
		}
		// These options are set at build time, so that each start takes less time.
		return attempt(dir, "nice", append([]string{"-n", "10", java}, inJava(dir, "build", "--db=dev-file")...)...)
	})
}

// inJava are the arguments with which java runs Keycloak's command line, as its
// bin/kc.sh does. home is where its folders are.
func inJava(home string, command ...string) []string {
	return append([]string{
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // for a short life
		"-XX:+ExitOnOutOfMemoryError",
		"--add-opens=java.base/java.lang=ALL-UNNAMED",
		"--add-opens=java.base/java.util=ALL-UNNAMED",
		"--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
		"--add-opens=java.base/java.security=ALL-UNNAMED",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
		"-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
		"-Dpicocli.disable.closures=true",
		"-Dkc.home.dir=" + home,
		"-Djboss.server.config.dir=" + filepath.Join(home, "conf"),
		"-cp", filepath.Join(home, "lib", "quarkus-run.jar"),
		"io.quarkus.bootstrap.runner.QuarkusEntryPoint",
	}, command...)
}

// fetchKeycloak has Maven get Keycloak's archive, and compares its hash.
func fetchKeycloak(dir string) (archive string, err error) {
	maven, err := installMaven()
	if err != nil {
		return "", err
	}
	err = attempt(dir, maven, "-q", "-B", mavenCopies,
		"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+keycloakVersion+":zip", "-DoutputDirectory="+dir)
	if err != nil {
		return "", err
	}
	archive = filepath.Join(dir, "keycloak-quarkus-dist-"+keycloakVersion+".zip")
	file, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != keycloakHash {
		return "", fmt.Errorf("the SHA-256 of %s is %s; want %s", archive, got, keycloakHash)
	}
	return archive, nil
}

// unzip extracts an archive without its outermost folder.
func unzip(archive, dir string) error {
	content, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer content.Close()
	for _, entry := range content.File {
		_, name, _ := strings.Cut(entry.Name, "/")
		if entry.FileInfo().IsDir() {
			continue
		}
		if err := extract(entry, dir, name); err != nil {
			return fmt.Errorf("%s: %w", entry.Name, err)
		}
	}
	return nil
}

func extract(entry *zip.File, dir, name string) error {
	if !filepath.IsLocal(name) {
		return errors.New("it leads out of the folder")
	}
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	from, err := entry.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

// installJava finds Java, or has apt-get install it.
func installJava() (program string, err error) {
	return findOrInstall(findJava, "default-jre-headless")
}

// installMaven does the same for Maven.
func installMaven() (program string, err error) {
	return findOrInstall(func() (string, error) { return exec.LookPath("mvn") }, "maven")
}

// findOrInstall looks for a program. If it is missing, and we have the permission,
// apt-get installs its package.
func findOrInstall(find func() (string, error), name string) (program string, err error) {
	if program, err = find(); err == nil {
		return program, nil
	}
	if refused := installPackage(name); refused != nil {
		return "", fmt.Errorf("%w, and its package %s cannot be installed: %w", err, name, refused)
	}
	return find()
}

// findJava finds a Java that is new enough.
func findJava() (program string, err error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		program = filepath.Join(home, "bin", "java")
	} else if program, err = exec.LookPath("java"); err != nil {
		return "", err
	}
	words, err := exec.Command(program, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	if version := javaVersion(string(words)); version < oldestJava {
		return "", fmt.Errorf("%s is Java %d; want %d or newer", program, version, oldestJava)
	}
	return program, nil
}

// javaVersion reads the 17 of: openjdk version "17.0.15" 2025-04-15.
func javaVersion(words string) int {
	found := regexp.MustCompile(`version "([^"]+)"`).FindStringSubmatch(words)
	if found == nil {
		return 0
	}
	return major(found[1])
}

// packages ensures that only one apt-get runs at a time.
var packages sync.Mutex

// installPackage lets apt-get install a package, if we are root or can become root
// without a password.
func installPackage(name string) error {
	packages.Lock()
	defer packages.Unlock()
	var sudo []string
	if os.Getuid() != 0 {
		sudo = []string{"sudo", "-n"}
	}
	for _, arguments := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", name}} {
		words := append(append(sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"), arguments...)
		if err := attempt("", words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// attempt runs a command to its end, and returns what went wrong.
func attempt(dir, name string, arguments ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installing)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arguments...)
	cmd.Dir, cmd.WaitDelay = dir, time.Minute
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return nil
}
