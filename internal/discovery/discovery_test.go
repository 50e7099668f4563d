package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

func TestDISC01WhereTheMetadataIs(t *testing.T) {
	for _, c := range []struct {
		name   string
		source discovery.Source
		want   []string
	}{
		{"no path", discovery.Source{Issuer: "https://a.example"}, []string{
			"https://a.example/.well-known/oauth-authorization-server",
			"https://a.example/.well-known/openid-configuration",
		}},
		{"a slash for a path", discovery.Source{Issuer: "https://a.example/"}, []string{
			"https://a.example/.well-known/oauth-authorization-server",
			"https://a.example/.well-known/openid-configuration",
		}},
		{"a port", discovery.Source{Issuer: "https://a.example:8443"}, []string{
			"https://a.example:8443/.well-known/oauth-authorization-server",
			"https://a.example:8443/.well-known/openid-configuration",
		}},
		{"a port and a path", discovery.Source{Issuer: "https://a.example:8443/tenant/1"}, []string{
			"https://a.example:8443/.well-known/oauth-authorization-server/tenant/1",
			"https://a.example:8443/.well-known/openid-configuration/tenant/1",
			"https://a.example:8443/tenant/1/.well-known/openid-configuration",
		}},
		{"a path that ends in a slash", discovery.Source{Issuer: "https://a.example/tenant/"}, []string{
			"https://a.example/.well-known/oauth-authorization-server/tenant",
			"https://a.example/.well-known/openid-configuration/tenant",
			"https://a.example/tenant/.well-known/openid-configuration",
		}},
		{"a path with escaped characters", discovery.Source{Issuer: "https://a.example/a%2Fb%20c%3f/"}, []string{
			"https://a.example/.well-known/oauth-authorization-server/a%2Fb%20c%3f",
			"https://a.example/.well-known/openid-configuration/a%2Fb%20c%3f",
			"https://a.example/a%2Fb%20c%3f/.well-known/openid-configuration",
		}},
		{"an IPv6 address", discovery.Source{Issuer: "https://[2001:db8::1]:8443/t"}, []string{
			"https://[2001:db8::1]:8443/.well-known/oauth-authorization-server/t",
			"https://[2001:db8::1]:8443/.well-known/openid-configuration/t",
			"https://[2001:db8::1]:8443/t/.well-known/openid-configuration",
		}},
		{"a place of its own", discovery.Source{Issuer: "https://a.example", MetadataURL: "https://b.example/m?p=1"}, []string{"https://b.example/m?p=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.source.URLs(); !slices.Equal(got, c.want) {
				t.Errorf("%s: got %q; want %q", c.source.Issuer, got, c.want)
			}
		})
	}
}

func TestDISC03WhatAnIssuerMayBe(t *testing.T) {
	for _, c := range []struct {
		source discovery.Source
		want   int
	}{
		{discovery.Source{Issuer: "https://a.example/tenant"}, 0},
		{discovery.Source{Issuer: "http://localhost"}, 0},
		{discovery.Source{Issuer: "http://127.0.0.1:8080/tenant"}, 0},
		{discovery.Source{Issuer: "http://a.example", AllowHTTP: true}, 0},
		{discovery.Source{Issuer: "https://a.example", MetadataURL: "https://b.example/m?p=1"}, 0},
		{discovery.Source{}, 1},
		{discovery.Source{Issuer: "http://a.example"}, 1},
		{discovery.Source{Issuer: "https://a.example?"}, 1},
		{discovery.Source{Issuer: "https://a.example?p=1"}, 1},
		{discovery.Source{Issuer: "https://a.example#"}, 1},
		{discovery.Source{Issuer: "https://a.example/#top"}, 1},
		{discovery.Source{Issuer: "https://a.example", MetadataURL: "http://b.example/m"}, 1},
		{discovery.Source{Issuer: "a.example", MetadataURL: "b"}, 2},
		{discovery.Source{Issuer: "http://a.example", MetadataURL: "b"}, 1},
		{discovery.Source{Issuer: "http://a.example", MetadataURL: "https://b.example/m"}, 0},
		{discovery.Source{Issuer: "https://a.example/.well-known/openid-configuration"}, 1},
		{discovery.Source{Issuer: "https://a.example/tenant/.well-known/openid-configuration"}, 1},
		{discovery.Source{Issuer: "https://a.example/.well-known/oauth-authorization-server/tenant"}, 1},
		{discovery.Source{Issuer: "https://a.example/.well-known/openid-configurations"}, 0},
	} {
		if got := c.source.Faults(); len(got) != c.want {
			t.Errorf("%q, metadata at %q: got %v; want %d faults", c.source.Issuer, c.source.MetadataURL, got, c.want)
		}
	}
}

func TestAMetadataURLAsIssuerIsToldWhatToWrite(t *testing.T) {
	for place, want := range map[string]string{
		"https://a.example/.well-known/openid-configuration":               "https://a.example",
		"https://a.example/tenant/.well-known/openid-configuration":        "https://a.example/tenant",
		"https://a.example/.well-known/oauth-authorization-server/tenant":  "https://a.example/tenant",
		"https://a.example/.well-known/openid-configuration/tenant/second": "https://a.example/tenant/second",
	} {
		faults := discovery.Source{Issuer: place}.Faults()
		if len(faults) != 1 || !strings.HasSuffix(faults[0].Error(), fmt.Sprintf("probably %q", want)) {
			t.Errorf("%s: got %v; want a fault that proposes %q", place, faults, want)
		}
	}
}

const (
	oauth    = "/.well-known/oauth-authorization-server/tenant"
	inserted = "/.well-known/openid-configuration/tenant"
	appended = "/tenant/.well-known/openid-configuration"
)

type page struct {
	status int
	body   string
	after  string // Retry-After
	to     string // Location
}

// read reads the metadata of an issuer with these pages; ISSUER in a body
// stands for it. It returns the paths asked for as well.
func read(t *testing.T, pages map[string]page) (discovery.Metadata, []string, error) {
	t.Helper()
	var mu sync.Mutex
	var asked []string
	var issuer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		p, ok := pages[r.URL.Path]
		switch {
		case !ok:
			p.status = http.StatusNotFound
		case p.status == 0:
			p.status = http.StatusOK
		case p.status < 0:
			panic(http.ErrAbortHandler)
		}
		if p.after != "" {
			w.Header().Set("Retry-After", p.after)
		}
		if p.to != "" {
			w.Header().Set("Location", p.to)
		}
		w.WriteHeader(p.status)
		fmt.Fprint(w, strings.ReplaceAll(p.body, "ISSUER", issuer))
	}))
	defer server.Close()
	issuer = server.URL + "/tenant"
	client := fetch.New(server.Client())
	m, err := discovery.Read(context.Background(), client, discovery.Source{Issuer: issuer})
	m.Issuer = strings.ReplaceAll(m.Issuer, issuer, "ISSUER")
	mu.Lock()
	defer mu.Unlock()
	return m, asked, err
}

const good = `{"issuer":"ISSUER","jwks_uri":"https://a.example/jwks","introspection_endpoint":"https://a.example/introspect","response_types_supported":["code"]}`

// What good says.
var (
	whole = discovery.Metadata{Issuer: "ISSUER", JWKSURI: "https://a.example/jwks", IntrospectionEndpoint: "https://a.example/introspect"}
	keys  = discovery.Metadata{Issuer: "ISSUER", JWKSURI: "https://a.example/jwks"}
	all   = []string{oauth, inserted, appended}
)

// but is good with one thing changed.
func but(old, new string) string {
	if !strings.Contains(good, old) {
		panic("there is no " + old)
	}
	return strings.Replace(good, old, new, 1)
}

// A reading is what comes of some pages.
type reading struct {
	name  string
	pages map[string]page
	want  discovery.Metadata
	asked []string
	err   error
}

func (c reading) check(t *testing.T) {
	t.Helper()
	got, asked, err := read(t, c.pages)
	if got != c.want || !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
		t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
	}
	if errors.Is(err, discovery.ErrMismatch) && errors.Is(err, discovery.ErrUnavailable) {
		t.Errorf("got %v; want one kind of error", err)
	}
	if asked = slices.Compact(asked); !slices.Equal(asked, c.asked) { // net/http repeats a GET that met a connection just closed
		t.Errorf("asked %q; want %q", asked, c.asked)
	}
}

func TestRead(t *testing.T) {
	for _, c := range []reading{
		{"the first place", map[string]page{oauth: {body: good}}, whole, all[:1], nil},
		{"the second place", map[string]page{inserted: {body: good}}, whole, all[:2], nil},
		{"the third place", map[string]page{appended: {body: good}}, whole, all, nil},
		{"a web page first", map[string]page{oauth: {body: "<html>"}, inserted: {body: good}}, whole, all[:2], nil},
		{"an error first", map[string]page{oauth: {status: 500, body: good}, inserted: {body: good}}, whole, all[:2], nil},
		{"without keys first", map[string]page{oauth: {body: `{"issuer":"ISSUER"}`}, appended: {body: good}}, whole, all, nil},
		{"without keys only", map[string]page{oauth: {body: `{"issuer":"ISSUER"}`}}, discovery.Metadata{Issuer: "ISSUER"}, all, nil},
		{"absent members as null", map[string]page{oauth: {body: but(`"https://a.example/introspect"`, "null")}}, keys, all[:1], nil},

		{"nowhere", nil, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"a connection cut off first", map[string]page{oauth: {status: -1}, inserted: {body: good}}, whole, all[:2], nil},
		{"a connection cut off, and nothing elsewhere", map[string]page{oauth: {status: -1}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"without keys first, and an error", map[string]page{oauth: {body: `{"issuer":"ISSUER"}`}, inserted: {status: 503}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"without keys first, and too many requests", map[string]page{oauth: {body: `{"issuer":"ISSUER"}`}, inserted: {status: 429}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"another issuer's first, and an error", map[string]page{oauth: {body: but("ISSUER", "https://other.example")}, appended: {status: 500}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"another issuer's first, and one cut off", map[string]page{oauth: {body: but("ISSUER", "https://other.example")}, appended: {status: -1}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"another issuer's first, and good ones", map[string]page{oauth: {body: but("ISSUER", "https://other.example")}, appended: {body: good}}, whole, all, nil},
		{"keys in a file", map[string]page{oauth: {body: but("https://a.example/jwks", "file:///jwks")}}, discovery.Metadata{}, all, discovery.ErrMismatch},
		{"keys of user and password", map[string]page{oauth: {body: but("https://a.example/jwks", "https://a.example@evil.example/jwks")}}, discovery.Metadata{}, all, discovery.ErrMismatch},
		{"keys at the end of a long way", map[string]page{oauth: {body: but("/jwks", "/"+strings.Repeat("x", 2048))}}, discovery.Metadata{}, all, discovery.ErrMismatch},
		{"introspection at the end of a long way", map[string]page{oauth: {body: but("/introspect", "/"+strings.Repeat("x", 2048))}}, keys, all[:1], nil},
	} {
		t.Run(c.name, c.check)
	}
}

// All places are on one host: one that cannot be reached is not tried thrice.
func TestAHostThatCannotBeReachedIsDialledOnce(t *testing.T) {
	dialled := 0
	client := fetch.New(&http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		dialled++
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}}})
	_, err := discovery.Read(t.Context(), client, discovery.Source{Issuer: "https://a.example"})
	if !errors.Is(err, discovery.ErrUnavailable) || dialled != 1 {
		t.Errorf("got %v after %d attempts; want ErrUnavailable after 1", err, dialled)
	}
}

func TestDISC02NothingIsUsedOfAnotherIssuersDocument(t *testing.T) {
	for name, issuer := range map[string]string{
		"the honest issuer, named by somebody else": `"https://honest.example"`,
		"a slash more":            `"ISSUER/"`,
		"a path more":             `"ISSUER/2"`,
		"a path with a dot":       `"ISSUER/."`,
		"a tenant in capitals":    `"ISSUER/../Tenant"`,
		"an empty query":          `"ISSUER?"`,
		"an empty fragment":       `"ISSUER#"`,
		"a space before":          `" ISSUER"`,
		"a zero byte after":       `"ISSUER\u0000"`,
		"an escaped slash after":  `"ISSUER%2F"`,
		"two, parted by a space":  `"ISSUER ISSUER"`,
		"with the scheme doubled": `"http:ISSUER"`,
	} {
		t.Run(name, func(t *testing.T) {
			bad := page{body: but(`"ISSUER"`, issuer)}
			for _, place := range all {
				reading{pages: map[string]page{place: bad}, asked: all, err: discovery.ErrMismatch}.check(t)
			}
			reading{pages: map[string]page{oauth: bad, inserted: bad, appended: bad}, asked: all, err: discovery.ErrMismatch}.check(t)
			reading{pages: map[string]page{oauth: bad, inserted: {body: good}}, want: whole, asked: all[:2]}.check(t)
		})
	}
	for _, c := range []reading{
		{"no issuer", map[string]page{oauth: {body: but(`"issuer":"ISSUER",`, "")}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"null", map[string]page{oauth: {body: but(`"ISSUER"`, "null")}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"a list", map[string]page{oauth: {body: but(`"ISSUER"`, `["ISSUER"]`)}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"the name in capitals", map[string]page{oauth: {body: but(`"issuer"`, `"Issuer"`)}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"twice, the right one last", map[string]page{oauth: {body: `{"issuer":"https://evil.example",` + good[1:]}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"twice, the second name escaped", map[string]page{oauth: {body: `{"\u0069ssuer":"https://evil.example",` + good[1:]}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"two documents", map[string]page{oauth: {body: good + good}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
	} {
		t.Run(c.name, c.check)
	}
}

// Case matters where a URL would not mind (RFC 8414 §3.3: identical).
func TestDISC02TheIssuerIsComparedByteByByte(t *testing.T) {
	for _, pair := range [][2]string{
		{"https://a.example", "https://A.example"},
		{"https://A.example", "https://a.example"},
		{"https://a.example", "HTTPS://a.example"},
		{"https://a.example", "https://a.example/"},
		{"https://a.example/", "https://a.example"},
		{"https://a.example", "https://a.example:443"},
		{"https://a.example/t", "https://a.example/T"},
		{"https://a.example/t", "https://a.example/%74"},
	} {
		for _, at := range []string{"", "https://m.example/metadata"} {
			got, err := answering(t, discovery.Source{Issuer: pair[0], MetadataURL: at}, strings.Replace(good, "ISSUER", pair[1], 1))
			if got != (discovery.Metadata{}) || !errors.Is(err, discovery.ErrMismatch) {
				t.Errorf("configured %s, named %s: got %+v, %v; want nothing, ErrMismatch", pair[0], pair[1], got, err)
			}
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering reads the metadata where every place answers with the body: hosts
// of any name, without a network.
func answering(t *testing.T, source discovery.Source, body string) (discovery.Metadata, error) {
	t.Helper()
	client := fetch.New(&http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})})
	return discovery.Read(t.Context(), client, source)
}

func TestDISC03EndpointsAreHTTPS(t *testing.T) {
	for _, c := range []struct {
		name      string
		source    discovery.Source
		endpoints string // scheme, host and port of both
		good      bool
	}{
		{"https", discovery.Source{Issuer: "https://a.example"}, "https://b.example", true},
		{"https in capitals", discovery.Source{Issuer: "https://a.example"}, "HTTPS://b.example", true},
		{"http", discovery.Source{Issuer: "https://a.example"}, "http://a.example", false},
		{"http in capitals", discovery.Source{Issuer: "https://a.example"}, "HTTP://a.example", false},
		{"http, allowed", discovery.Source{Issuer: "https://a.example", AllowHTTP: true}, "http://b.example", true},
		{"http on loopback, of an issuer on loopback", discovery.Source{Issuer: "http://localhost"}, "http://127.0.0.1:8080", true},
		{"http elsewhere, of an issuer on loopback", discovery.Source{Issuer: "http://localhost"}, "http://a.example", false},
		{"http on loopback, read over http", discovery.Source{Issuer: "https://a.example", MetadataURL: "http://localhost/m"}, "http://localhost", true},
		{"http on loopback, read over https", discovery.Source{Issuer: "https://a.example"}, "http://localhost", false},
		{"http on ::1, read over https", discovery.Source{Issuer: "https://a.example"}, "http://[::1]:8080", false},
		{"http on loopback, read over https from loopback", discovery.Source{Issuer: "https://localhost"}, "http://localhost", false},
		{"http on loopback, read over https, allowed", discovery.Source{Issuer: "https://a.example", AllowHTTP: true}, "http://localhost", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkEndpoints(t, c.source, c.endpoints, c.good)
		})
	}
}

// checkEndpoints names a jwks_uri and an introspection_endpoint with that origin,
// one at a time, and wants them used or not.
func checkEndpoints(t *testing.T, source discovery.Source, origin string, good bool) {
	t.Helper()
	want := discovery.Metadata{Issuer: source.Issuer, JWKSURI: origin + "/jwks"}
	got, err := answering(t, source, fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, source.Issuer, want.JWKSURI))
	switch {
	case good && (got != want || err != nil):
		t.Errorf("jwks_uri: got %+v, %v; want it used", got, err)
	case !good && (got != discovery.Metadata{} || !errors.Is(err, discovery.ErrMismatch)):
		t.Errorf("jwks_uri: got %+v, %v; want ErrMismatch", got, err)
	}

	want = discovery.Metadata{Issuer: source.Issuer, IntrospectionEndpoint: origin + "/introspect"}
	got, err = answering(t, source, fmt.Sprintf(`{"issuer":%q,"introspection_endpoint":%q}`, source.Issuer, want.IntrospectionEndpoint))
	if !good {
		want.IntrospectionEndpoint = ""
	}
	if got != want || err != nil {
		t.Errorf("introspection_endpoint: got %+v, %v; want %+v", got, err, want)
	}
}

func TestDISC05TheAnswerIsBoundedAndNotRedirected(t *testing.T) {
	for _, c := range []reading{
		{"too large", map[string]page{oauth: {body: good + strings.Repeat(" ", 256<<10)}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"too large first", map[string]page{oauth: {body: good + strings.Repeat(" ", 256<<10)}, inserted: {body: good}}, whole, all[:2], nil},
		{"a redirect", map[string]page{oauth: {status: 302, to: "/elsewhere", body: good}, "/elsewhere": {body: good}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"a redirect first", map[string]page{oauth: {status: 302, to: "/elsewhere", body: good}, inserted: {body: good}}, whole, all[:2], nil},
	} {
		t.Run(c.name, c.check)
	}
}

func TestDISC05APublicClientReadsNothingInside(t *testing.T) {
	var asked atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer server.Close()
	client := fetch.NewPublic()
	defer client.Close()
	_, err := discovery.Read(t.Context(), client, discovery.Source{Issuer: server.URL})
	if !errors.Is(err, fetch.ErrNotPublic) || !errors.Is(err, discovery.ErrUnavailable) || asked.Load() {
		t.Errorf("got %v, asked %t; want ErrNotPublic and ErrUnavailable, and nothing asked", err, asked.Load())
	}
}

func TestDISC06EndpointsAreOfTheIssuersOriginIfDemanded(t *testing.T) {
	for _, c := range []struct {
		issuer, endpoints string
		good              bool
	}{
		{"https://a.example", "https://a.example", true},
		{"https://a.example/tenant", "https://a.example", true},
		{"https://a.example", "https://a.example:443", true},
		{"https://a.example", "https://a.example:", true},
		{"https://a.example:443/", "https://a.example", true},
		{"https://a.example", "HTTPS://A.Example", true},
		{"https://A.EXAMPLE", "https://a.example", true},
		{"https://a.example:8443", "https://a.example:8443", true},
		{"https://[2001:db8::A]", "https://[2001:db8::a]:443", true},
		{"http://localhost", "http://localhost:80", true},
		{"https://a.example", "https://keys.a.example", false},
		{"https://login.a.example", "https://a.example", false},
		{"https://a.example", "https://a.example.evil.example", false},
		{"https://a.example", "https://evil.example/a.example", false},
		{"https://a.example", "https://a.example.", false},
		{"https://a.example", "https://a.example:8443", false},
		{"https://a.example:8443", "https://a.example", false},
		{"https://a.example", "https://a.example:80", false},
		{"http://localhost", "http://localhost:443", false},
		{"http://localhost", "https://localhost", false},
		{"http://localhost:443", "https://localhost", false},
		{"http://localhost", "http://127.0.0.1", false},
		{"https://σ.example", "https://ς.example", false},
		{"https://a.example", "https://a.example@evil.example", false},
	} {
		t.Run(c.issuer+" and "+c.endpoints, func(t *testing.T) {
			checkEndpoints(t, discovery.Source{Issuer: c.issuer, SameOrigin: true}, c.endpoints, c.good)
		})
	}
	t.Run("not demanded", func(t *testing.T) {
		checkEndpoints(t, discovery.Source{Issuer: "https://a.example"}, "https://keys.example:8443", true)
	})
	t.Run("metadata elsewhere", func(t *testing.T) {
		source := discovery.Source{Issuer: "https://a.example", MetadataURL: "https://m.example/m", SameOrigin: true}
		checkEndpoints(t, source, "https://a.example", true)
		checkEndpoints(t, source, "https://m.example", false)
	})
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	_, _, err := read(t, map[string]page{oauth: {status: 503, after: "7"}, inserted: {status: 429, after: "9"}})
	var timed interface{ RetryAfter() time.Duration }
	if !errors.As(err, &timed) || timed.RetryAfter() != 9*time.Second {
		t.Errorf("got %v; want an error that says 9s", err)
	}
}

func TestOnlyMetadataURLIsAsked(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.NotFound(w, r)
	}))
	defer server.Close()
	source := discovery.Source{Issuer: "https://a.example", MetadataURL: server.URL + "/m?key=s3cret"}
	_, err := discovery.Read(t.Context(), fetch.New(server.Client()), source)
	if !errors.Is(err, discovery.ErrUnavailable) || asked != 1 || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v after %d requests; want ErrUnavailable after 1, without the query", err, asked)
	}
}

func TestTheCallersContextIsSeen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := discovery.Read(ctx, fetch.New(nil), discovery.Source{Issuer: "https://a.example"})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want context.Canceled", err)
	}
}
