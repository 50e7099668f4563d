package conformance

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// TestNoSpellingOfAPathGetsAroundARule is HTTP-09: without the scope, none of these paths
// reaches the handler that needs it, although another route accepts any token.
func TestNoSpellingOfAPathGetsAroundARule(t *testing.T) {
	s := earth.play(t, vector{})
	var entered atomic.Int64
	plain := earth.token(t, recipe{Claims: members(`{"scope": "other"}`)})
	admin := earth.token(t, recipe{Claims: members(`{"scope": "admin"}`)})
	paths := []string{
		"/admin", "/admin/", "//admin", "///admin//", "/./admin", "/x/../admin", "/admin/../admin", "/admin/x/..",
		"/%61dmin", "/%2e/admin", "/x/%2e%2e/admin", "/%2fadmin", "/admin%2f", "/admin%2fx", "/x%2f..%2fadmin", "/x/..%2fadmin",
		"/admin;a=b", "/admin%00", "/admin%20", "/admin%3f", "/ADMIN", "/admin?x=/open", "/open/../admin/",
	}
	for name, router := range map[string]http.Handler{"net/http": muxWith(s.validator, &entered), "Echo": echoWith(s.validator, &entered)} {
		server := serve(router)
		t.Cleanup(server.Close)
		for _, client := range []*http.Client{earth.network.clients[""].http1, earth.network.clients[""].http2} {
			for _, method := range []string{"GET", "HEAD", "POST"} {
				for _, path := range paths {
					visit(t, client, server, method, path, plain)
					if entered.Swap(0) != 0 {
						t.Errorf("%s: %s %s: the handler ran; want it closed to this token", name, method, path)
					}
				}
			}
			visit(t, client, server, "GET", "/admin", admin)
			if entered.Swap(0) != 1 {
				t.Errorf("%s: GET /admin: the handler did not run; want it open to its own token", name)
			}
		}
	}
}

func muxWith(v *accesstoken.Validator, entered *atomic.Int64) http.Handler {
	auth := middleware.New(v, nil)
	closed := auth.Require(scopes.All("admin")).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered.Add(1) }))
	mux := http.NewServeMux()
	mux.Handle("/admin", closed)
	mux.Handle("/admin/", closed)
	mux.Handle("/", auth.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	return mux
}

func echoWith(v *accesstoken.Validator, entered *atomic.Int64) http.Handler {
	auth := echoauth.New(v, nil)
	e := echo.New()
	e.Use(auth.Wrap)
	closed := func(c echo.Context) error { entered.Add(1); return c.NoContent(http.StatusOK) }
	e.Any("/admin", closed, auth.Require(scopes.All("admin")).Wrap)
	e.Any("/admin/*", closed, auth.Require(scopes.All("admin")).Wrap)
	e.Any("/*", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	return e
}

// visit sends the path as it is written.
func visit(t *testing.T, client *http.Client, server *httptest.Server, method, path, token string) {
	t.Helper()
	sent, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	where, query, _ := strings.Cut(path, "?")
	sent.URL = &url.URL{Scheme: sent.URL.Scheme, Host: sent.URL.Host, Opaque: where, RawQuery: query}
	if strings.HasPrefix(where, "//") {
		sent.URL = must(url.Parse(server.URL + path)) // an opaque one would be a host
	}
	sent.Header.Set("Authorization", "Bearer "+token)
	got, err := client.Transport.RoundTrip(sent)
	if err != nil {
		t.Fatalf("%s %s: got %v; want an answer", method, path, err)
	}
	_, _ = io.Copy(io.Discard, got.Body)
	_ = got.Body.Close()
}

// TestATokenInATrailerIsNoCredential checks that a token in a trailer is ignored, because
// a trailer arrives after the decision (RFC 9110 §6.5.1). Over HTTP/2, net/http's server
// does not even accept such a trailer.
func TestATokenInATrailerIsNoCredential(t *testing.T) {
	s := earth.play(t, vector{})
	stage := earth.set(t, s)
	e := expectation{outcome: outcomes["NOCRED"], reason: accesstoken.CredentialsMissing, wire: string(accesstoken.CredentialsMissing)}
	for _, name := range []string{"net/http over HTTP/1.1", "Echo"} {
		i := slices.IndexFunc(earth.transports, func(c transport) bool { return c.name == name })
		server := earth.transports[i].server
		sent, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/resource", io.NopCloser(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		sent.Trailer = http.Header{"Authorization": {"Bearer " + earth.token(t, recipe{})}}
		got, err := earth.network.clients[""].http1.Do(sent)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		e.checkHTTP(t, answer{transport: server.URL, status: got.StatusCode, header: got.Header})
		e.checkTold(t, server.URL, s.told(), "")
	}
	if ran := len(stage.ran()); ran != 0 {
		t.Errorf("the handler ran %d times; want none", ran)
	}
}
