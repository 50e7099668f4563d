package jwks_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/jwks"
)

const (
	issuer  = "https://login.example.com"
	keysURL = "https://login.example.com/jwks"
)

var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })
	newECKey = func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type members map[string]any

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk writes a public key as a JWK; more adds members, or removes one by nil.
func jwk(key crypto.PublicKey, kid string, more members) members {
	m := members{}
	switch key := key.(type) {
	case *rsa.PublicKey:
		m = members{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(key.Bytes())[1:]
		m = members{"kty": "EC", "crv": key.Params().Name, "x": b64(point[:len(point)/2]), "y": b64(point[len(point)/2:])}
	case ed25519.PublicKey:
		m = members{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
	}
	if kid != "" {
		m["kid"] = kid
	}
	for name, value := range more {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return m
}

func document(keys ...members) string {
	if keys == nil {
		keys = []members{}
	}
	return string(must(json.Marshal(map[string]any{"keys": keys})))
}

// ec returns a document with a fresh P-256 key under each kid.
func ec(kids ...string) string {
	var keys []members
	for _, kid := range kids {
		keys = append(keys, jwk(&newECKey().PublicKey, kid, nil))
	}
	return document(keys...)
}

// A server is an http.RoundTripper that answers like an issuer: it works
// within synctest bubbles, where sockets do not.
type server struct {
	mu     sync.Mutex
	pages  map[string]page // by URL
	delay  time.Duration   // before the page is chosen
	after  time.Duration   // and after that
	panics bool
	asked  []string // URLs, in order
	sent   []http.Header
	times  []time.Time
}

type page struct {
	status int // zero: 200, or 304 for a request that has the ETag
	body   string
	header http.Header
	err    error
}

func serve(body string) *server {
	return &server{pages: map[string]page{keysURL: {body: body}}}
}

func (s *server) set(url string, p page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[url] = p
}

func (s *server) publish(body string) { s.set(keysURL, page{body: body}) }

// slow makes requests wait.
func (s *server) slow(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// late makes answers arrive that much after they were made.
func (s *server) late(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.after = d
}

// fetches counts the requests for a URL.
func (s *server) fetches(url string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.asked {
		if asked == url {
			n++
		}
	}
	return n
}

// last returns the header of the last request.
func (s *server) last() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[len(s.sent)-1]
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked, s.sent, s.times = append(s.asked, r.URL.String()), append(s.sent, r.Header.Clone()), append(s.times, time.Now())
	delay, panics := s.delay, s.panics
	s.mu.Unlock()
	if panics {
		panic("round trip")
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	s.mu.Lock()
	p, ok := s.pages[r.URL.String()]
	after := s.after
	s.mu.Unlock()
	if after > 0 {
		<-time.After(after)
	}
	switch {
	case !ok:
		p.status = http.StatusNotFound
	case p.err != nil:
		return nil, p.err
	case p.status == 0 && p.header.Get("ETag") != "" && p.header.Get("ETag") == r.Header.Get("If-None-Match"):
		p.status, p.body = http.StatusNotModified, ""
	case p.status == 0:
		p.status = http.StatusOK
	}
	if p.header == nil {
		p.header = http.Header{}
	}
	return &http.Response{StatusCode: p.status, Header: p.header, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// open makes a cache over s that is closed with the test.
func open(t *testing.T, s *server, change func(*jwks.Config)) *jwks.Cache {
	t.Helper()
	config := jwks.Config{URL: keysURL, HTTPClient: &http.Client{Transport: s}, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&config)
	}
	cache, err := jwks.NewCache(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return cache
}

// atOnce makes one answer enough for a key to be dropped.
func atOnce(c *jwks.Config) { c.WithdrawAfter = -1 }

func warm(t *testing.T, cache *jwks.Cache) {
	t.Helper()
	if err := cache.Warm(t.Context()); err != nil {
		t.Fatalf("Warm: got %v; want nil", err)
	}
}

// The three outcomes of asking for a key.
const (
	found       = "found"
	notThere    = "not there"
	unavailable = "unavailable"
)

func outcome(keys []crypto.PublicKey, err error) string {
	switch {
	case err != nil:
		return unavailable
	case len(keys) == 0:
		return notThere
	}
	return found
}

// ask wants one of the three outcomes for kid with ES256.
func ask(t *testing.T, cache *jwks.Cache, kid, want string) {
	t.Helper()
	keys, _, err := cache.Keys(context.Background(), kid, "ES256")
	if got := outcome(keys, err); got != want {
		t.Errorf("Keys(%.20q): got %s (%v); want %s", kid, got, err, want)
	}
}

// A lockedBuffer takes log lines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all lines but the one about a server that is a RoundTripper, as that
// of these tests is.
func (b *lockedBuffer) String() string {
	var others strings.Builder
	for line := range strings.Lines(b.whole()) {
		if !strings.Contains(line, "dead connections") {
			others.WriteString(line)
		}
	}
	return others.String()
}

func (b *lockedBuffer) whole() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *lockedBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// checkLeaks fails if goroutines of this package outlive the test's own
// clean-up. Call it first, so that it runs last.
func checkLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for range 100 { // Close has waited; only the very end of a goroutine may still be under way
			if leaked() == "" {
				return
			}
			runtime.Gosched()
		}
		t.Errorf("goroutine left behind:\n%s", leaked())
	})
}

func leaked() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "accesstoken/jwks.") || strings.Contains(stack, "internal/fetch.") {
			return stack
		}
	}
	return ""
}
