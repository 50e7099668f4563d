package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/discovery"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		source discovery.Source
		want   []string
	}{
		{discovery.Source{Issuer: "https://a.example"}, []string{
			"https://a.example/.well-known/oauth-authorization-server",
			"https://a.example/.well-known/openid-configuration",
		}},
		{discovery.Source{Issuer: "https://a.example/"}, []string{
			"https://a.example/.well-known/oauth-authorization-server",
			"https://a.example/.well-known/openid-configuration",
		}},
		{discovery.Source{Issuer: "https://a.example:8443/tenant/1"}, []string{
			"https://a.example:8443/.well-known/oauth-authorization-server/tenant/1",
			"https://a.example:8443/.well-known/openid-configuration/tenant/1",
			"https://a.example:8443/tenant/1/.well-known/openid-configuration",
		}},
		{discovery.Source{Issuer: "https://a.example/a%2Fb/"}, []string{
			"https://a.example/.well-known/oauth-authorization-server/a%2Fb",
			"https://a.example/.well-known/openid-configuration/a%2Fb",
			"https://a.example/a%2Fb/.well-known/openid-configuration",
		}},
		{discovery.Source{Issuer: "https://a.example", MetadataURL: "https://b.example/m?p=1"}, []string{"https://b.example/m?p=1"}},
	} {
		if got := c.source.URLs(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q; want %q", c.source.Issuer, got, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		source discovery.Source
		want   int
	}{
		{discovery.Source{Issuer: "https://a.example/tenant"}, 0},
		{discovery.Source{Issuer: "http://localhost"}, 0},
		{discovery.Source{Issuer: "http://a.example", AllowHTTP: true}, 0},
		{discovery.Source{Issuer: "https://a.example", MetadataURL: "https://b.example/m?p=1"}, 0},
		{discovery.Source{}, 1},
		{discovery.Source{Issuer: "https://a.example?"}, 1},
		{discovery.Source{Issuer: "http://a.example", MetadataURL: "b"}, 2},
	} {
		if got := c.source.Faults(); len(got) != c.want {
			t.Errorf("%+v: got %v; want %d faults", c.source, got, c.want)
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
	after  string
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

func TestRead(t *testing.T) {
	keys := discovery.Metadata{Issuer: "ISSUER", JWKSURI: "https://a.example/jwks"}
	whole := keys
	whole.IntrospectionEndpoint = "https://a.example/introspect"
	all := []string{oauth, inserted, appended}
	for _, c := range []struct {
		name  string
		pages map[string]page
		want  discovery.Metadata
		asked []string
		err   error
	}{
		{"the first place", map[string]page{oauth: {body: good}}, whole, all[:1], nil},
		{"the second place", map[string]page{inserted: {body: good}}, whole, all[:2], nil},
		{"the third place", map[string]page{appended: {body: good}}, whole, all, nil},
		{"a web page first", map[string]page{oauth: {body: "<html>"}, inserted: {body: good}}, whole, all[:2], nil},
		{"another issuer first", map[string]page{oauth: {body: `{"issuer":"https://evil.example","jwks_uri":"https://evil.example/jwks"}`}, inserted: {body: good}}, whole, all[:2], nil},
		{"too large first", map[string]page{oauth: {body: good + strings.Repeat(" ", 256<<10)}, inserted: {body: good}}, whole, all[:2], nil},
		{"a redirect first", map[string]page{oauth: {status: 302, body: good}, inserted: {body: good}}, whole, all[:2], nil},
		{"an error first", map[string]page{oauth: {status: 500, body: good}, inserted: {body: good}}, whole, all[:2], nil},
		{"without keys first", map[string]page{oauth: {body: `{"issuer":"ISSUER"}`}, appended: {body: good}}, whole, all, nil},
		{"without keys only", map[string]page{oauth: {body: `{"issuer":"ISSUER"}`}}, discovery.Metadata{Issuer: "ISSUER"}, all, nil},
		{"absent members as null", map[string]page{oauth: {body: `{"issuer":"ISSUER","jwks_uri":"https://a.example/jwks","introspection_endpoint":null}`}}, keys, all[:1], nil},
		{"introspection over plain http", map[string]page{oauth: {body: strings.Replace(good, "https://a.example/introspect", "http://a.example/introspect", 1)}}, keys, all[:1], nil},

		{"nowhere", nil, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"no issuer", map[string]page{oauth: {body: `{"jwks_uri":"https://a.example/jwks"}`}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"an issuer that is no string", map[string]page{oauth: {body: `{"issuer":["ISSUER"],"jwks_uri":"https://a.example/jwks"}`}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"an issuer twice", map[string]page{oauth: {body: `{"issuer":"https://evil.example",` + good[1:]}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"ISSUER in capitals", map[string]page{oauth: {body: strings.Replace(good, `"issuer"`, `"Issuer"`, 1)}}, discovery.Metadata{}, all, discovery.ErrUnavailable},
		{"a connection cut off", map[string]page{oauth: {status: -1}, inserted: {body: good}}, discovery.Metadata{}, nil, discovery.ErrUnavailable},
		{"another issuer", map[string]page{appended: {body: `{"issuer":"https://evil.example","jwks_uri":"https://a.example/jwks"}`}}, discovery.Metadata{}, all, discovery.ErrMismatch},
		{"a slash more", map[string]page{oauth: {body: strings.Replace(good, "ISSUER", "ISSUER/", 1)}}, discovery.Metadata{}, all, discovery.ErrMismatch},
		{"keys over plain http", map[string]page{oauth: {body: strings.Replace(good, "https://a.example/jwks", "http://a.example/jwks", 1)}}, discovery.Metadata{}, all, discovery.ErrMismatch},
		{"keys in a file", map[string]page{oauth: {body: strings.Replace(good, "https://a.example/jwks", "file:///jwks", 1)}}, discovery.Metadata{}, all, discovery.ErrMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, asked, err := read(t, c.pages)
			if got != c.want || !errors.Is(err, c.err) || (c.err == nil) != (err == nil) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
			if c.err == discovery.ErrUnavailable && errors.Is(err, discovery.ErrMismatch) || c.err == discovery.ErrMismatch && errors.Is(err, discovery.ErrUnavailable) {
				t.Errorf("got %v; want one kind of error", err)
			}
			if c.asked != nil && !slices.Equal(asked, c.asked) {
				t.Errorf("asked %q; want %q", asked, c.asked)
			}
			if c.asked == nil && slices.Contains(asked, inserted) {
				t.Errorf("asked %q; want no place after a broken connection", asked)
			}
		})
	}
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
