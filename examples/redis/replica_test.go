//go:build interop

// The tests run two instances of the program with Debian's Redis:
//
//	apt-get update && apt-get install -y --no-install-recommends redis-server
//	go test -tags interop ./redis
package main_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

const (
	resource = "https://api.example.com"
	patience = 20 * time.Second // for steps that take no time on an idle machine
)

var program string // compiled

func TestMain(m *testing.M) {
	os.Exit(compileAndRun(m))
}

func compileAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "replica")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "replica")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// A cluster holds everything that the replicas share.
type cluster struct {
	server *accesstokentest.Server
	redis  *process
	client *redis.Client // the test's own
	dir    string
	key    string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{server: accesstokentest.NewServer(t), key: newKey()}
	var err error
	if c.dir, err = os.MkdirTemp("", "redis"); err != nil { // t.TempDir is too long for a socket's name
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(c.dir) })
	c.client = redis.NewClient(&redis.Options{Network: "unix", Addr: c.socket()})
	t.Cleanup(func() {
		if err := c.client.Close(); err != nil {
			t.Error(err)
		}
	})
	c.writeRoots(t)
	c.startRedis(t)
	return c
}

func newKey() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

func (c *cluster) socket() string { return filepath.Join(c.dir, "socket") }
func (c *cluster) roots() string  { return filepath.Join(c.dir, "roots.pem") }

// writeRoots writes the certificate that the replicas must trust.
func (c *cluster) writeRoots(t *testing.T) {
	t.Helper()
	response, err := c.server.Client().Get(c.server.URL + accesstokentest.OAuthMetadataPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	block := &pem.Block{Type: "CERTIFICATE", Bytes: response.TLS.PeerCertificates[0].Raw}
	if err := os.WriteFile(c.roots(), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}

// startRedis starts an empty Redis on a Unix socket, without persistence.
func (c *cluster) startRedis(t *testing.T) {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("there is no redis-server on this machine; on Debian: apt-get update && apt-get install -y --no-install-recommends redis-server")
	}
	cmd := exec.Command(path, "--port", "0", "--unixsocket", c.socket(), "--dir", c.dir, "--save", "", "--appendonly", "no")
	c.redis = start(t, cmd)
	await(t, c.redis, "Redis is ready", func() bool { return c.client.Ping(t.Context()).Err() == nil })
}

// awaitEntries waits until Redis has exactly count entries, and returns them.
func (c *cluster) awaitEntries(t *testing.T, count int) (entries map[string]string) {
	t.Helper()
	await(t, c.redis, fmt.Sprintf("%d entries are in Redis", count), func() bool {
		entries = map[string]string{}
		for names := c.client.Scan(t.Context(), 0, "*", 0).Iterator(); names.Next(t.Context()); {
			entries[names.Val()] = c.client.Get(t.Context(), names.Val()).Val()
		}
		return len(entries) == count
	})
	return entries
}

func (c *cluster) wantAsked(t *testing.T, want int) {
	t.Helper()
	if got := c.server.Requests(accesstokentest.IntrospectionPath); got != want {
		t.Errorf("introspection requests: got %d; want %d", got, want)
	}
}

// A replica is a running instance of the program.
type replica struct {
	*process
	url string
}

func (c *cluster) startReplica(t *testing.T) *replica {
	t.Helper()
	addr := freeAddr(t)
	p := startProgram(t, addr, "REDIS_URL=unix://"+c.socket(), "STORE_KEY="+c.key, "SSL_CERT_FILE="+c.roots(),
		"ISSUER="+c.server.URL, "INTROSPECTION_ENDPOINT="+c.server.IntrospectionEndpoint())
	r := &replica{process: p, url: "http://" + addr + "/hello"}
	await(t, p, "the replica listens", func() bool {
		status, err := r.get(t, "")
		return err == nil && status == http.StatusUnauthorized
	})
	return r
}

func startProgram(t *testing.T, addr string, environment ...string) *process {
	t.Helper()
	cmd := exec.Command(program, "-addr", addr)
	cmd.Env = append(os.Environ(), "RESOURCE="+resource, "CLIENT_ID="+accesstokentest.ClientID, "CLIENT_SECRET="+accesstokentest.ClientSecret)
	cmd.Env = append(cmd.Env, environment...)
	return start(t, cmd)
}

// freeAddr returns a loopback address that is currently free.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (r *replica) get(t *testing.T, token string) (status int, err error) {
	if token == "" {
		return r.send(t, http.Header{})
	}
	return r.send(t, http.Header{"Authorization": {"Bearer " + token}})
}

// send keeps no connection, so that none outlives the test.
func (r *replica) send(t *testing.T, header http.Header) (status int, err error) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url, nil)
	if err != nil {
		return 0, err
	}
	request.Close, request.Header = true, header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

func (r *replica) expect(t *testing.T, token string, want int) {
	t.Helper()
	got, err := r.get(t, token)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %d; want %d", got, want)
	}
}

func (r *replica) awaitWarning(t *testing.T, want string) {
	t.Helper()
	await(t, r.process, fmt.Sprintf("the log has %q", want), func() bool { return strings.Contains(r.output.String(), want) })
}

func (r *replica) wantNoWarning(t *testing.T) {
	t.Helper()
	if got := r.output.String(); got != "" {
		t.Errorf("log: got %q; want none", got)
	}
}

// A process is a running Redis or replica.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	output output
}

// start starts a process, which ends with the test at the latest.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // of one that is killed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // or has ended
		<-p.ended
		if t.Failed() {
			t.Logf("the last words of %s:\n%s", cmd.Path, p.output.String())
		}
	})
	return p
}

// signal sends a signal. If the signal ends the process, it waits for the end.
func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if signal == os.Kill {
		p.awaitEnd(t)
	}
}

func (p *process) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s did not end within %v", p.cmd.Path, patience)
	}
}

// await polls the condition while the process is running.
func await(t *testing.T, p *process, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-p.ended:
			t.Fatalf("%s ended before %s", p.cmd.Path, what)
		case <-deadline.C:
			t.Fatalf("within %v, it did not come to be that %s", patience, what)
		}
	}
}

// An output collects the output of a process.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
