package spiffeauth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
)

// numbered adds members to the bundle of a document.
func numbered(document []byte, members string) string {
	return strings.TrimSuffix(string(document), "}") + members + "}"
}

// A clock lets a Bundle read when the test says so.
type clock struct {
	pauses chan time.Duration
	next   chan time.Time
}

func newClock() *clock { return &clock{make(chan time.Duration), make(chan time.Time)} }

func (c *clock) after(pause time.Duration) <-chan time.Time {
	c.pauses <- pause
	return c.next
}

// read waits until a reading is over, and returns the pause that follows.
func (c *clock) read() time.Duration { return <-c.pauses }

// wantPause wants about a pause, which is shortened at random by up to a tenth.
func wantPause(t *testing.T, name string, got, want time.Duration) {
	t.Helper()
	if got > want || got < want*9/10 {
		t.Errorf("%s: got a pause of %v; want %v", name, got, want)
	}
}

// An endpoint serves a bundle.
type endpoint struct {
	mu     sync.Mutex
	status int
	body   string
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w.Header().Set("Location", "https://example.com")
	w.WriteHeader(e.status)
	_, _ = w.Write([]byte(e.body))
}

func (e *endpoint) answer(status int, body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.body = status, body
}

// The bundle is fetched when the trust domain suggests it, within bounds. An older one,
// and what is not a bundle, replaces nothing.
func TestABundleEndpoint(t *testing.T) {
	e, c := &endpoint{}, newClock()
	server := httptest.NewTLSServer(e)
	defer server.Close()
	ours, theirs := documentOf("jwt-svid", as), documentOf("jwt-svid", others)
	e.answer(200, numbered(ours, `,"spiffe_sequence":5`))
	b, err := spiffeauth.NewBundleAt(spiffeauth.BundleConfig{TrustDomain: domain, URL: server.URL, HTTPClient: server.Client(), Logger: quiet}, c.after)
	if err != nil {
		t.Fatal(err)
	}
	v := unwarmed(t, b.Issuer())
	wantPause(t, "without a hint", c.read(), 5*time.Minute)
	token := good()
	if got := reasonOf(t, v, token); got != "OK" {
		t.Errorf("got %s; want it accepted", got)
	}
	for _, step := range []struct {
		name   string
		status int
		body   string
		pause  time.Duration
		want   accesstoken.Reason
	}{
		{"an older sequence", 200, numbered(theirs, `,"spiffe_sequence":4`), time.Second, "OK"},
		{"an outage", 503, "", 2 * time.Second, "OK"},
		{"a redirect", 302, string(theirs), 4 * time.Second, "OK"},
		{"no bundle", 200, "<html>", 8 * time.Second, "OK"},
		{"a hint that is too short", 200, numbered(ours, `,"spiffe_refresh_hint":1,"spiffe_sequence":5`), 30 * time.Second, "OK"},
		{"a hint that is too long", 200, numbered(ours, `,"spiffe_refresh_hint":1000000`), time.Hour, "OK"},
		{"a hint", 200, numbered(ours, `,"spiffe_refresh_hint":600,"spiffe_sequence":6`), 10 * time.Minute, "OK"},
		{"keys without use", 200, string(keysOf(as)), 5 * time.Minute, accesstoken.KeyNotFound},
		{"other keys", 200, string(theirs), 5 * time.Minute, accesstoken.KeyNotFound},
		{"the keys again", 200, string(ours), 5 * time.Minute, "OK"},
		{"an older sequence, after bundles without one", 200, numbered(theirs, `,"spiffe_sequence":5`), time.Second, "OK"},
		{"no keys", 200, `{"keys":[]}`, 5 * time.Minute, accesstoken.KeyNotFound},
	} {
		e.answer(step.status, step.body)
		c.next <- time.Time{}
		wantPause(t, step.name, c.read(), step.pause)
		if got := reasonOf(t, v, token); got != step.want {
			t.Errorf("%s: got %s; want %s", step.name, got, step.want)
		}
	}
	_ = b.Close()
	if got := reasonOf(t, v, token); got != accesstoken.KeysUnavailable {
		t.Errorf("after Close: got %s; want KEYS_UNAVAILABLE", got)
	}
}

// A file is read again every 10 s, and sooner while it cannot be read.
func TestABundleInAFile(t *testing.T) {
	name, c := filepath.Join(t.TempDir(), "bundle.json"), newClock()
	b, err := spiffeauth.NewBundleAt(spiffeauth.BundleConfig{TrustDomain: domain, File: name, Logger: quiet}, c.after)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	v := unwarmed(t, b.Issuer())
	wantPause(t, "no file", c.read(), time.Second)
	if got := reasonOf(t, v, good()); got != accesstoken.KeysUnavailable {
		t.Errorf("no file: got %s; want KEYS_UNAVAILABLE", got)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.next <- time.Time{}
	}
	write(string(documentOf("jwt-svid", as)))
	wantPause(t, "a file", c.read(), 10*time.Second)
	if got := reasonOf(t, v, good()); got != "OK" {
		t.Errorf("a file: got %s; want it accepted", got)
	}
	write(`{"keys":[]}` + strings.Repeat(" ", 1<<20))
	wantPause(t, "a file that is too large", c.read(), time.Second)
	if got := reasonOf(t, v, good()); got != "OK" {
		t.Errorf("a file that is too large: got %s; want the bundle before", got)
	}
}

func TestTheFaultsOfABundleConfig(t *testing.T) {
	for n, config := range []spiffeauth.BundleConfig{
		{}, {TrustDomain: domain}, {TrustDomain: domain, URL: "https://a", File: "a"}, {TrustDomain: "example.org", File: "a"}, {TrustDomain: domain + "/a", File: "a"},
		{TrustDomain: domain, URL: "http://a.example"}, {TrustDomain: domain, URL: "a"}, {TrustDomain: domain, File: "a", UsableFor: -1},
	} {
		if b, err := spiffeauth.NewBundle(config); err == nil || b != nil {
			t.Errorf("%d: got %v, %v; want a fault", n, b, err)
		}
	}
	b, err := spiffeauth.NewBundle(spiffeauth.BundleConfig{TrustDomain: domain, File: "nowhere", Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close: got %v; want nil", fmt.Sprint(err))
	}
}
