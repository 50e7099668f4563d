//go:build interop

package interop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	starting = 3 * time.Minute  // of a server, on a busy machine: Keycloak took 19 to 33 s on two cores
	ending   = 10 * time.Second // of a server, after an interrupt
)

// A process is the process of a running server.
type process struct {
	t      *testing.T
	name   string
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // how it ended
	output output
}

// start starts a server, which ends with the test at the latest.
func start(t *testing.T, name string, prepare func(ctx context.Context) *exec.Cmd) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: t, name: name, cancel: cancel, ended: make(chan struct{})}
	cmd := prepare(ctx)
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = ending
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatalf("%s did not start: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Logf("the last words of %s:\n%s", name, p.output.String())
		}
	})
	return p
}

// stop ends the server and waits for its end.
func (p *process) stop() {
	p.cancel()
	<-p.ended
}

// await waits for the server's metadata to name the issuer, and reads it.
func (p *process) await(url, issuer string) (metadata map[string]any) {
	p.t.Helper()
	deadline := time.NewTimer(starting)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		metadata, err := readJSON(p.t, url)
		if err == nil && metadata["issuer"] == issuer {
			return metadata
		}
		select {
		case <-again.C:
		case <-p.ended:
			p.t.Fatalf("%s ended before it was ready: %v", p.name, p.err)
		case <-deadline.C:
			p.t.Fatalf("%s was not ready within %v: issuer %v, %v", p.name, starting, metadata["issuer"], err)
		}
	}
}

// awaitListener waits until the server listens at the address.
func (p *process) awaitListener(address string) {
	p.t.Helper()
	deadline := time.NewTimer(starting)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-again.C:
		case <-p.ended:
			p.t.Fatalf("%s ended before it was ready: %v", p.name, p.err)
		case <-deadline.C:
			p.t.Fatalf("%s was not ready within %v: %v", p.name, starting, err)
		}
	}
}

// readJSON gets a document.
func readJSON(t *testing.T, url string) (document map[string]any, err error) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	err = json.NewDecoder(response.Body).Decode(&document)
	return document, err
}

// freeURL returns a loopback URL whose port is not in use at the moment.
func freeURL(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

// portOf returns the port of such a URL.
func portOf(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }

// An output keeps the end of what a server has written.
type output struct {
	mu   sync.Mutex
	text []byte
}

const mostOutput = 32 << 10

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	o.text = o.text[max(0, len(o.text)-mostOutput):]
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}
