package accesstokentest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
)

var _ accesstokentest.TB = (*testing.T)(nil)
var _ accesstokentest.TB = (*testing.B)(nil)
var _ accesstokentest.TB = (*testing.F)(nil)

// get returns the status, the content type and the body at path.
func get(t *testing.T, as *accesstokentest.Server, path string) (int, string, []byte) {
	t.Helper()
	res, err := as.Client().Get(as.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), body
}

func TestServerListensOnLoopbackOverTLS(t *testing.T) {
	as := accesstokentest.NewServer(t)
	u, err := url.Parse(as.URL)
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "https" || u.Hostname() != "127.0.0.1" || u.Path != "" {
		t.Errorf("got URL %q; want https on 127.0.0.1 without a path", as.URL)
	}
	if _, err := (&http.Client{Timeout: 5 * time.Second}).Get(as.URL); err == nil {
		t.Error("a client that does not trust the server was served")
	}
}

func TestClientTrustsOtherServers(t *testing.T) {
	as, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	res, err := as.Client().Get(other.JWKSURI())
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if client, again := as.Client(), as.Client(); client != again {
		t.Error("Client returns a new client each time")
	}
}

func TestMetadata(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, path := range []string{accesstokentest.OAuthMetadataPath, accesstokentest.OpenIDMetadataPath} {
		status, contentType, body := get(t, as, path)
		if status != http.StatusOK || contentType != "application/json" {
			t.Errorf("%s: got %d %s; want 200 application/json", path, status, contentType)
		}
		var metadata struct {
			Issuer                string   `json:"issuer"`
			JWKSURI               string   `json:"jwks_uri"`
			IntrospectionEndpoint string   `json:"introspection_endpoint"`
			AuthorizationEndpoint string   `json:"authorization_endpoint"`
			TokenEndpoint         string   `json:"token_endpoint"`
			ResponseTypes         []string `json:"response_types_supported"`
			SubjectTypes          []string `json:"subject_types_supported"`
			Algorithms            []string `json:"id_token_signing_alg_values_supported"`
		}
		if err := json.Unmarshal(body, &metadata); err != nil {
			t.Fatal(err)
		}
		if metadata.Issuer != as.URL {
			t.Errorf("%s: got issuer %q; want %q", path, metadata.Issuer, as.URL)
		}
		if metadata.JWKSURI != as.JWKSURI() {
			t.Errorf("%s: got jwks_uri %q; want %q", path, metadata.JWKSURI, as.JWKSURI())
		}
		if metadata.IntrospectionEndpoint != as.IntrospectionEndpoint() {
			t.Errorf("%s: got introspection_endpoint %q; want %q", path, metadata.IntrospectionEndpoint, as.IntrospectionEndpoint())
		}
		if metadata.AuthorizationEndpoint == "" || metadata.TokenEndpoint == "" ||
			len(metadata.ResponseTypes) == 0 || len(metadata.SubjectTypes) == 0 || len(metadata.Algorithms) == 0 {
			t.Errorf("%s: a required member is missing: %s", path, body)
		}
	}
}

func TestMetadataIsACopy(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Metadata()["issuer"] = "https://evil.example"
	if got := as.Metadata()["issuer"]; got != as.URL {
		t.Errorf("got issuer %q; want %q", got, as.URL)
	}
}

func TestHandleReplacesAndRestores(t *testing.T) {
	as := accesstokentest.NewServer(t)
	path := accesstokentest.JWKSPath

	as.Handle(path, http.RedirectHandler("/elsewhere", http.StatusFound))
	as.Handle("/elsewhere", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "junk") }))
	if _, _, body := get(t, as, path); string(body) != "junk" {
		t.Errorf("replaced: got %q; want junk", body)
	}

	as.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Delayed", "yes")
		as.Endpoint(path).ServeHTTP(w, r)
	}))
	if _, contentType, _ := get(t, as, path); contentType != "application/jwk-set+json" {
		t.Errorf("wrapped: got content type %q; want application/jwk-set+json", contentType)
	}

	as.Handle(path, nil)
	as.Handle("/elsewhere", nil)
	if _, contentType, _ := get(t, as, path); contentType != "application/jwk-set+json" {
		t.Errorf("restored: got content type %q; want application/jwk-set+json", contentType)
	}
	if status, _, _ := get(t, as, "/elsewhere"); status != http.StatusNotFound {
		t.Errorf("removed: got status %d; want 404", status)
	}

	if got := as.Requests(path); got != 3 {
		t.Errorf("got %d requests at %s; want 3", got, path)
	}
	if got := as.Requests("/elsewhere"); got != 2 {
		t.Errorf("got %d requests at /elsewhere; want 2", got)
	}
	if got := as.Requests("/never"); got != 0 {
		t.Errorf("got %d requests at /never; want 0", got)
	}
}

func TestCloseEndsAHangingHandler(t *testing.T) {
	as, err := accesstokentest.Start()
	if err != nil {
		t.Fatal(err)
	}
	hanging := make(chan struct{})
	as.Handle(accesstokentest.JWKSPath, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(hanging)
		<-r.Context().Done()
	}))
	var client sync.WaitGroup
	client.Go(func() {
		if res, err := as.Client().Get(as.JWKSURI()); err == nil {
			res.Body.Close()
		}
	})
	<-hanging
	as.Close()
	as.Close()
	client.Wait()
}

func TestCloseEndsEveryGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 3 {
		as, err := accesstokentest.Start()
		if err != nil {
			t.Fatal(err)
		}
		get(t, as, accesstokentest.JWKSPath)
		as.Close()
		if conn, err := net.Dial("tcp", strings.TrimPrefix(as.URL, "https://")); err == nil {
			conn.Close()
			t.Error("the port is still open after Close")
		}
	}
	// The transport's own goroutines see the closed connection a moment later.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	stacks := make([]byte, 1<<20)
	t.Fatalf("got %d goroutines; want %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func TestConcurrentUse(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 5 {
				token := as.Token(nil)
				opaque := as.Opaque(accesstokentest.Claims{"scope": "orders:read"})
				introspect(t, as, token)
				introspect(t, as, opaque)
				as.Revoke(opaque)
				get(t, as, accesstokentest.JWKSPath)
				get(t, as, accesstokentest.OAuthMetadataPath)
				as.Handle("/fault", http.NotFoundHandler())
				get(t, as, "/fault")
				as.Handle("/fault", nil)
				as.Requests("/fault")
				as.Sign(map[string]any{"alg": "ES256"}, nil)
				as.Keys()
			}
		})
	}
	users.Go(as.Rotate)
	users.Go(as.Withdraw)
	users.Wait()
	if got := as.Requests(accesstokentest.JWKSPath); got != 20 {
		t.Errorf("got %d requests for keys; want 20", got)
	}
}

// recorder is a TB that records its failure. Like a test, it does not return
// from Fatalf.
type recorder struct {
	failure  string
	cleanups []func()
}

func (*recorder) Helper()            {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestImpossibleRequestEndsTheTest(t *testing.T) {
	cases := map[string]func(*accesstokentest.Server){
		`no key for the algorithm "RS257"`:                        func(as *accesstokentest.Server) { as.KeyID("RS257") },
		`no key for the algorithm "HS257"`:                        func(as *accesstokentest.Server) { as.SignRaw("HS257", nil, nil) },
		`claims cannot be written as JSON`:                        func(as *accesstokentest.Server) { as.Token(accesstokentest.Claims{"f": func() {}}) },
		`header cannot be written as JSON`:                        func(as *accesstokentest.Server) { as.Sign(map[string]any{"f": func() {}}, nil) },
		`TokenOf: the Dialect has faults: Types is set but empty`: func(as *accesstokentest.Server) { as.TokenOf(&dialect.Dialect{Types: []string{}}, nil) },
		`Kind: Is("v") has no values`: func(as *accesstokentest.Server) {
			as.TokenOf(&dialect.Dialect{Kind: []dialect.Mark{dialect.Is("v")}}, nil)
		},
		`TokenOf: the Dialect is nil`: func(as *accesstokentest.Server) { as.TokenOf(nil, nil) },
		`Handle: the path "jwks"`:     func(as *accesstokentest.Server) { as.Handle("jwks", nil) },
		`Break: the path "jwks"`:      func(as *accesstokentest.Server) { as.Break("jwks", accesstokentest.Fault{}) },
		`Fault.Status is 103`:         func(as *accesstokentest.Server) { as.Break("/jwks", accesstokentest.Fault{Status: 103}) },
		`Fault.Status is 1000`:        func(as *accesstokentest.Server) { as.Break("/jwks", accesstokentest.Fault{Status: 1000}) },
	}
	for want, impossible := range cases {
		t.Run(want, func(t *testing.T) {
			tb := new(recorder)
			var test sync.WaitGroup
			test.Go(func() { impossible(accesstokentest.NewServer(tb)) })
			test.Wait()
			if !strings.Contains(tb.failure, want) {
				t.Errorf("got failure %q; want %q in it", tb.failure, want)
			}
			if len(tb.cleanups) != 1 {
				t.Fatalf("got %d clean-ups; want 1", len(tb.cleanups))
			}
			tb.cleanups[0]()
		})
	}
}

func TestImpossibleRequestPanicsWithoutATest(t *testing.T) {
	as, err := accesstokentest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer as.Close()
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, `no key for the algorithm "RS257"`) {
			t.Errorf("got panic %q; want a sentence about RS257", got)
		}
	}()
	as.KeyID("RS257")
}

func BenchmarkStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		as, err := accesstokentest.Start()
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		as.Close()
		b.StartTimer()
	}
}

// Servers reuse the RSA keys of closed ones, which must never be those of an open one.
func TestNoTwoOpenServersShareAKey(t *testing.T) {
	thumbprints := func(as *accesstokentest.Server) map[string]bool {
		found := map[string]bool{}
		for _, key := range as.Keys() {
			marshaled := key.Marshal()
			found[marshaled.N+marshaled.X+marshaled.Y] = true
		}
		return found
	}
	share := func(a, b *accesstokentest.Server) bool {
		inB := thumbprints(b)
		for key := range thumbprints(a) {
			if inB[key] {
				return true
			}
		}
		return false
	}
	var open []*accesstokentest.Server
	for range 3 {
		as, err := accesstokentest.Start()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(as.Close)
		as.Rotate()
		open = append(open, as)
	}
	gone := thumbprints(open[0])
	open[0].Close()
	open[0].Close()
	open[0] = accesstokentest.NewServer(t)
	open = append(open, accesstokentest.NewServer(t))
	for i, a := range open {
		for _, b := range open[:i] {
			if share(a, b) {
				t.Errorf("%s and %s have a key in common; want none", a.URL, b.URL)
			}
		}
	}
	reused := false
	for key := range thumbprints(open[0]) {
		reused = reused || gone[key]
	}
	if !reused {
		t.Error("the keys of the closed server are lost; want one of them in the next server")
	}
}
