//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

const (
	listFiles  = "accesstoken.examples.drive.v1.Drive/ListFiles"
	deleteFile = "accesstoken.examples.drive.v1.Drive/DeleteFile"
)

// installGRPCTools builds grpcurl and ghz, or finds them built. Their versions
// stand in testdata/grpctools/go.mod.
func installGRPCTools(t *testing.T) (dir string) {
	t.Helper()
	return cached(t, "grpctools", fingerprint(t, "testdata/grpctools/go.mod", "testdata/grpctools/go.sum"), func(dir string) {
		run(t, "testdata/grpctools", []string{"GOBIN=" + dir, "GOWORK=off"}, "nice", "-n", "10", "go", "install", "tool")
	})
}

// A drive is the running program examples/grpc, with what its callers need.
type drive struct {
	tools       string
	addr        string
	environment []string // PATH, and the tokens by name
}

// startDrive starts the example, with the flags, for an authorization server of
// the test.
func startDrive(t *testing.T, flags ...string) *drive {
	t.Helper()
	as := accesstokentest.NewServer(t)
	dir := t.TempDir()
	program, roots := filepath.Join(dir, "drive"), filepath.Join(dir, "roots.pem")
	run(t, "../examples", []string{"GOWORK=off"}, "go", "build", "-o", program, "./grpc")
	writeRoots(t, as, roots)
	d := &drive{tools: installGRPCTools(t), addr: strings.TrimPrefix(freeURL(t), "http://")}
	d.environment = append(os.Environ(),
		"PATH="+d.tools+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TOKEN="+as.Token(accesstokentest.Claims{"scope": "files:read"}),
		"EXPIRED="+as.Token(accesstokentest.Claims{"scope": "files:read", "exp": time.Now().Add(-time.Hour).Unix()}))
	p := start(t, "examples/grpc", func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, append(flags, "-addr", d.addr, "-issuer", as.URL, "-resource", resource)...)
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+roots)
		return cmd
	})
	p.awaitListener(d.addr)
	return d
}

// writeRoots writes the certificate that the program is to trust.
func writeRoots(t *testing.T, as *accesstokentest.Server, name string) {
	t.Helper()
	response, err := as.Client().Get(as.URL + accesstokentest.OAuthMetadataPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	block := &pem.Block{Type: "CERTIFICATE", Bytes: response.TLS.PeerCertificates[0].Raw}
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shell runs a command line as the README has it, in the folder examples.
func (d *drive) shell(t *testing.T, line string) (output string, exit int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), starting)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", strings.ReplaceAll(line, "127.0.0.1:8090", d.addr))
	cmd.Dir, cmd.Env = "../examples", d.environment
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// The commands in the README of the examples have the output that it shows.
func TestGRPCToolsPrintWhatTheReadmeShows(t *testing.T) {
	readme, err := os.ReadFile("../examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## grpcurl and ghz\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := regexp.MustCompile("(?m)^\\$ ((?:grpcurl|ghz) .*)\n((?:[^$`].*\n)+)").FindAllStringSubmatch(section, -1)
	if !found || len(shown) < 5 {
		t.Fatalf("got %d commands with their output in that section; want 5 at least", len(shown))
	}
	d := startDrive(t, "-reflection")
	for _, command := range shown {
		got, _ := d.shell(t, command[1])
		if got := trimmed(got); got != trimmed(command[2]) {
			t.Errorf("$ %s\n%s\nwant, as the README says,\n%s", command[1], got, trimmed(command[2]))
		}
	}
}

// trimmed leaves out empty lines, and the spaces at the ends of others.
func trimmed(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// grpcurl ends with 64 and the code of the call. Reflection is closed here, as it
// should be, so it reads the .proto, and that of the details where it is given.
func TestGrpcurlSeesTheCodes(t *testing.T) {
	d := startDrive(t)
	own := t.TempDir()
	if err := os.MkdirAll(filepath.Join(own, "google/rpc"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"google/rpc/error_details.proto": `package google.rpc; message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`,
		"unknown.proto":                  `package accesstoken.examples.drive.v1; message Any {} service Drive { rpc Unknown(Any) returns (Any); }`,
		"nobody.proto":                   `package nobody; message Any {} service Nobody { rpc Call(Any) returns (Any); }`,
		"health.proto":                   `package grpc.health.v1; message Request {} message Response { int32 status = 1; } service Health { rpc Check(Request) returns (Response); }`,
	} {
		if err := os.WriteFile(filepath.Join(own, name), []byte(`syntax = "proto3"; `+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, file, token, method string
		exit                      int
		says                      string
	}{
		{"no token", "drive.proto", "", listFiles, 64 + 16, "Message: an access token is required"},
		{"no token, and the details", "drive.proto -proto google/rpc/error_details.proto", "", listFiles, 64 + 16, `"reason": "CREDENTIALS_MISSING"`},
		{"no token of ours", "drive.proto", "a.b.c", listFiles, 64 + 16, "Message: the access token is invalid"},
		{"two in one line", "drive.proto", "a.b.c, Bearer a.b.c", listFiles, 64 + 16, "Message: the credentials are malformed"},
		{"expired", "drive.proto", "$EXPIRED", listFiles, 64 + 16, "Message: the access token expired"},
		{"a scope that is missing", "drive.proto", "$TOKEN", deleteFile, 64 + 7, "Message: the access token lacks a required scope"},
		{"a good token", "drive.proto", "$TOKEN", listFiles, 0, `"owner": "alice"`},
		{"an unknown method", "unknown.proto", "$TOKEN", "accesstoken.examples.drive.v1.Drive/Unknown", 64 + 7, "Message: access is denied"},
		{"an unknown service", "nobody.proto", "$TOKEN", "nobody.Nobody/Call", 64 + 7, "Message: access is denied"},
		{"health, which is open", "health.proto", "", "grpc.health.v1.Health/Check", 0, `"status": 1`},
	} {
		line := "grpcurl -plaintext -import-path drivepb -import-path ../proto -import-path '" + own + "' -proto " + test.file
		if test.token != "" {
			line += ` -H "authorization: Bearer ` + test.token + `"`
		}
		got, exit := d.shell(t, line+" 127.0.0.1:8090 "+test.method)
		if exit != test.exit || !strings.Contains(got, test.says) {
			t.Errorf("%s: got exit status %d and\n%s\nwant %d and %q", test.name, exit, got, test.exit, test.says)
		}
	}
	if got, exit := d.shell(t, "grpcurl -plaintext 127.0.0.1:8090 list"); exit == 0 || !strings.Contains(got, "PermissionDenied desc = access is denied") {
		t.Errorf("reflection: got exit status %d and\n%s\nwant a refusal", exit, got)
	}
}

// With many concurrent calls, each one has the same answer as a single call.
func TestGhzSeesTheCodes(t *testing.T) {
	d := startDrive(t)
	const calls = 2000
	for token, want := range map[string]map[string]int{
		"$TOKEN":   {"OK": calls},
		"$EXPIRED": {"Unauthenticated": calls},
		"none":     {"Unauthenticated": calls},
	} {
		for method, right := range map[string]map[string]int{listFiles: want, deleteFile: denied(want)} {
			line := `ghz --insecure --import-paths drivepb,../proto --proto drivepb/drive.proto -c 20 -n 2000 --format json -m '{"authorization":"Bearer '"` + token + `"'"}'`
			if token == "none" {
				line, _, _ = strings.Cut(line, " -m ")
			}
			got, _ := d.shell(t, line+" --call "+method+" 127.0.0.1:8090")
			var report struct {
				StatusCodes map[string]int `json:"statusCodeDistribution"`
			}
			if err := json.Unmarshal([]byte(got), &report); err != nil || !maps.Equal(report.StatusCodes, right) {
				t.Errorf("%s, %s: got %v, %v; want %v\n%s", method, token, report.StatusCodes, err, right, got[:min(len(got), 1000)])
			}
		}
	}
}

// denied returns the results of calls that are good except for a missing scope.
func denied(codes map[string]int) map[string]int {
	if calls, ok := codes["OK"]; ok {
		return map[string]int{"PermissionDenied": calls}
	}
	return codes
}
