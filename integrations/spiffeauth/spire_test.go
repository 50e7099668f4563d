//go:build spire

package spiffeauth_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// The lane make spire runs a SPIRE server and an agent, which it builds from the Go
// module proxy, in a module of their own, outside of this one.

const spireVersion = "v1.13.3"

var update = flag.Bool("update", false, "rewrite testdata/issuers/spiffe.json")

// spire is a running server with an agent.
type spire struct {
	bin, dir   string
	port       int // of the server
	bundlePort int // of its bundle endpoint
	agent      *exec.Cmd
	token      string       // with which the agent joins
	client     *http.Client // trusts the bundle endpoint
}

// buildSPIRE builds both programs once, and returns their folder.
func buildSPIRE(t *testing.T) string {
	t.Helper()
	cache := testkit.Must(os.UserCacheDir())
	bin := filepath.Join(cache, "accesstoken", "spire-"+spireVersion)
	if _, err := os.Stat(filepath.Join(bin, "spire-server")); err == nil {
		return bin
	}
	module := t.TempDir()
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module spire\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	agent, server := "github.com/spiffe/spire/cmd/spire-agent", "github.com/spiffe/spire/cmd/spire-server"
	t.Logf("building SPIRE %s into %s; this takes minutes, once", spireVersion, bin)
	for _, arguments := range [][]string{{"get", "-tool", agent + "@" + spireVersion, server + "@" + spireVersion}, {"build", "-o", bin + "/", agent, server}} {
		build := exec.CommandContext(t.Context(), "go", arguments...)
		build.Dir = module
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", arguments[0], err, output)
		}
	}
	return bin
}

const serverConfig = `
server {
	bind_address = "127.0.0.1"
	bind_port = "%[2]d"
	socket_path = "%[1]s/server.sock"
	trust_domain = "example.org"
	data_dir = "%[1]s/server"
	log_level = "WARN"
	default_jwt_svid_ttl = "10m"
	federation {
		bundle_endpoint {
			address = "127.0.0.1"
			port = %[3]d
			refresh_hint = "10m"
			profile "https_web" {
				serving_cert_file {
					cert_file_path = "%[1]s/endpoint.crt"
					key_file_path = "%[1]s/endpoint.key"
					file_sync_interval = "1h"
				}
			}
		}
	}
}
plugins {
	DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "%[1]s/server/datastore.sqlite3" } }
	NodeAttestor "join_token" { plugin_data {} }
	KeyManager "memory" { plugin_data {} }
}
`

const agentConfig = `
agent {
	data_dir = "%[1]s/agent"
	server_address = "127.0.0.1"
	server_port = "%[2]d"
	socket_path = "%[1]s/agent.sock"
	trust_domain = "example.org"
	trust_bundle_path = "%[1]s/bundle.pem"
	log_level = "WARN"
}
plugins {
	NodeAttestor "join_token" { plugin_data {} }
	KeyManager "disk" { plugin_data { directory = "%[1]s/agent" } }
	WorkloadAttestor "unix" { plugin_data {} }
}
`

func freePort() int {
	listener := testkit.Must(listenLoopback())
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// newSPIRE starts a server and an agent, and registers this process as a workload.
func newSPIRE(t *testing.T) *spire {
	t.Helper()
	s := &spire{bin: buildSPIRE(t), dir: testkit.Must(os.MkdirTemp("", "spire")), port: freePort(), bundlePort: freePort()}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) })
	for _, folder := range []string{"server", "agent"} {
		if err := os.Mkdir(filepath.Join(s.dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.write(t, "server.conf", fmt.Sprintf(serverConfig, s.dir, s.port, s.bundlePort))
	s.write(t, "agent.conf", fmt.Sprintf(agentConfig, s.dir, s.port))
	s.client = s.writeCertificate(t)
	s.start(t, "spire-server", "run", "-config", s.dir+"/server.conf")
	s.until(t, "healthcheck", "-socketPath", s.dir+"/server.sock")
	s.write(t, "bundle.pem", s.server(t, "bundle", "show"))
	s.token = strings.TrimSpace(strings.TrimPrefix(s.server(t, "token", "generate", "-spiffeID", domain+"/agent"), "Token: "))
	s.server(t, "entry", "create", "-parentID", domain+"/agent", "-spiffeID", workerID, "-selector", fmt.Sprintf("unix:uid:%d", os.Getuid()))
	s.startAgent(t)
	return s
}

func (s *spire) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs a program until the test ends.
func (s *spire) start(t *testing.T, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(filepath.Join(s.bin, program), arguments...)
	var output logBuffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end(command)
		if t.Failed() {
			t.Logf("%s said:\n%s", program, output.String())
		}
	})
	return command
}

func end(command *exec.Cmd) {
	if command.ProcessState == nil {
		_ = command.Process.Kill()
		_ = command.Wait()
	}
}

func (s *spire) startAgent(t *testing.T) {
	t.Helper()
	s.agent = s.start(t, "spire-agent", "run", "-config", s.dir+"/agent.conf", "-joinToken", s.token)
}

// server runs a command of the server, and returns its output.
func (s *spire) server(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := s.try(t.Context(), arguments...)
	if err != nil {
		t.Fatalf("spire-server %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return output
}

func (s *spire) try(ctx context.Context, arguments ...string) (string, error) {
	if arguments[len(arguments)-2] != "-socketPath" {
		arguments = append(arguments, "-socketPath", s.dir+"/server.sock")
	}
	output, err := exec.CommandContext(ctx, filepath.Join(s.bin, "spire-server"), arguments...).CombinedOutput()
	return string(output), err
}

func (s *spire) until(t *testing.T, arguments ...string) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		output, err := s.try(t.Context(), arguments...)
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("spire-server %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
}

// writeCertificate writes the certificate of the bundle endpoint, and returns a client
// that trusts it.
func (s *spire) writeCertificate(t *testing.T) *http.Client {
	t.Helper()
	certificate, pool := tlsPair(t)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	s.write(t, "endpoint.crt", encode("CERTIFICATE", certificate.Certificate[0]))
	s.write(t, "endpoint.key", encode("PRIVATE KEY", testkit.Must(x509.MarshalPKCS8PrivateKey(certificate.PrivateKey))))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

func (s *spire) source(t *testing.T) *spiffeauth.Source {
	t.Helper()
	source, err := spiffeauth.New(spiffeauth.Config{Address: "unix://" + s.dir + "/agent.sock", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	return source
}

// tokenOf returns a JWT-SVID of the agent once it knows of the workload.
func tokenOf(t *testing.T, c *spiffeauth.Credentials) string {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		text, err := c.Token(t.Context())
		if err == nil {
			return text
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(err)
		}
	}
}

// What a real agent issues is accepted by its keys, by those of a file and by those of the
// bundle endpoint, through a restart and rotations.
func TestSPIRE(t *testing.T) {
	s := newSPIRE(t)
	source := s.source(t)
	token := tokenOf(t, source.Credentials(testkit.Resource))
	v := validator(t, source.Issuer(domain))
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err != nil || claims.Subject != workerID || claims.Issuer != domain || !claims.ClientItself() || claims.Scopes().String() != "" {
		t.Fatalf("by the agent's keys: got %q of %q, %v; want it accepted", claims.Subject, claims.Issuer, err)
	}
	record(t, token)
	t.Run("for another audience", func(t *testing.T) {
		text, err := source.Credentials("https://other.example").Token(t.Context())
		if got := reasonOf(t, v, text); err != nil || got != accesstoken.AudienceMismatch {
			t.Errorf("got %s, %v; want AUDIENCE_MISMATCH", got, err)
		}
	})
	t.Run("by a file", func(t *testing.T) { s.byFile(t, token) })
	t.Run("by the bundle endpoint", func(t *testing.T) { s.byEndpoint(t, token) })
	end(s.agent)
	if got := reasonOf(t, v, token); got != "OK" {
		t.Errorf("the agent is away: got %s; want its last bundle", got)
	}
	s.startAgent(t) // until the whole test ends
	t.Run("the agent restarts", func(t *testing.T) {
		again := s.source(t)
		if got := reasonOf(t, validator(t, again.Issuer(domain)), tokenOf(t, again.Credentials(testkit.Resource))); got != "OK" {
			t.Errorf("the agent is back: got %s; want it accepted", got)
		}
	})
	t.Run("the server rotates", func(t *testing.T) { s.rotate(t, v, token) })
}

// byFile reads what spire-server prints. The keys for X509-SVIDs in it are not used.
func (s *spire) byFile(t *testing.T, token string) {
	printed := s.server(t, "bundle", "show", "-format", "spiffe")
	s.write(t, "bundle.json", printed)
	if !strings.Contains(printed, `"x509-svid"`) {
		t.Errorf("got the bundle %s; want keys for X509-SVIDs too", printed)
	}
	b, err := spiffeauth.NewBundle(spiffeauth.BundleConfig{TrustDomain: domain, File: s.dir + "/bundle.json", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := reasonOf(t, validator(t, b.Issuer()), token); got != "OK" {
		t.Errorf("got %s; want it accepted", got)
	}
}

func (s *spire) byEndpoint(t *testing.T, token string) {
	b, err := spiffeauth.NewBundle(spiffeauth.BundleConfig{
		TrustDomain: domain, URL: fmt.Sprintf("https://127.0.0.1:%d", s.bundlePort), HTTPClient: s.client, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := reasonOf(t, validator(t, b.Issuer()), token); got != "OK" {
		t.Errorf("got %s; want it accepted", got)
	}
}

// rotate has the server sign with a new key, and then revoke the old one. The agent learns
// of both, and so does the validator: new tokens pass, and old ones no longer do.
func (s *spire) rotate(t *testing.T, v *accesstoken.Validator, token string) {
	id := func(output string) string {
		found := regexp.MustCompile(`Authority ID: (\S+)`).FindStringSubmatch(output)
		if found == nil {
			t.Fatalf("got %s; want the id of a key", output)
		}
		return found[1]
	}
	old := id(s.server(t, "localauthority", "jwt", "show"))
	next := id(s.server(t, "localauthority", "jwt", "prepare"))
	s.server(t, "localauthority", "jwt", "activate", "-authorityID", next)
	if got := reasonOf(t, v, token); got != "OK" {
		t.Errorf("before the old key is revoked: got %s; want it accepted", got)
	}
	s.server(t, "localauthority", "jwt", "taint", "-authorityID", old)
	s.server(t, "localauthority", "jwt", "revoke", "-authorityID", old)
	began := time.Now()
	eventually(t, v, token, accesstoken.KeyNotFound)
	t.Logf("the old key was gone after %v", time.Since(began))
	issuer := s.source(t).Issuer(domain)
	issuer.Audience = []string{"https://fresh.example"} // for which the agent holds no token of the old key
	eventually(t, validator(t, issuer), tokenOf(t, s.source(t).Credentials("https://fresh.example")), "OK")
}

// record compares the form of a token with what was recorded, or records it.
func record(t *testing.T, token string) {
	t.Helper()
	parts := strings.Split(token, ".")
	part := func(n int) map[string]any {
		members := map[string]any{}
		if err := json.Unmarshal(testkit.Must(base64.RawURLEncoding.DecodeString(parts[n])), &members); err != nil {
			t.Fatal(err)
		}
		return members
	}
	header := part(0)
	form := map[string]any{
		"software": "SPIRE " + strings.TrimPrefix(spireVersion, "v"),
		"profile":  "SPIFFE",
		"tokens": []any{map[string]any{
			"kind": "access token, a JWT-SVID", "outcome": "OK",
			"header": map[string]any{"alg": "=" + header["alg"].(string), "kid": shapeOf(header["kid"]), "typ": "=" + header["typ"].(string)},
			"claims": shapeOf(part(1)),
		}},
	}
	if len(header) != 3 {
		t.Errorf("got the header %v; want alg, kid and typ", header)
	}
	got := append(testkit.Must(json.MarshalIndent(form, "", "  ")), '\n')
	const file = "../../testdata/issuers/spiffe.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if recorded, err := os.ReadFile(file); err != nil || !bytes.Equal(recorded, got) {
		t.Errorf("got %s\n%v; want what testdata/issuers/spiffe.json has; -update rewrites it", got, err)
	}
}

// shapeOf replaces values by their types.
func shapeOf(value any) any {
	switch value := value.(type) {
	case map[string]any:
		members := map[string]any{}
		for name, value := range value {
			members[name] = shapeOf(value)
		}
		return members
	case []any:
		list := []any{}
		for _, element := range value {
			list = append(list, shapeOf(element))
		}
		return list
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}
