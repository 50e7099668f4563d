package middleware_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// META-02, META-04: a Wrap around the whole router would otherwise refuse the client that
// wants to know where to get a token.
func TestWrapServesTheMetadata(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Metadata = &resourcemetadata.Metadata{Resource: "https://api.example.com/a%2Fb"}
	})
	reached := ""
	server := serve(t, middleware.New(v, &middleware.Options{CORS: true}).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached = r.Method })))
	const path = "/.well-known/oauth-protected-resource/a%2Fb"
	_, document := v.ResourceMetadata()
	for _, host := range []string{"", "evil.example"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("X-Forwarded-Host", "evil.example")
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != 200 || string(body) != string(document) || !strings.Contains(string(body), `"resource":"https://api.example.com/a%2Fb"`) {
			t.Errorf("Host %q: got %d %s, %v; want %s", host, response.StatusCode, body, err, document)
		}
	}
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"HEAD", path, 200}, {"OPTIONS", path, 204}, {"POST", path, 405}, {"GET", path + "/invented", 401}, {"GET", "/.well-known/oauth-protected-resource/a/b", 401},
		{"GET", "/.well-known/oauth-protected-resource", 401}, {"GET", "/.well-known/", 401}, {"GET", "/", 401},
	} {
		if got := send(t, server.Client(), test.method, server.URL+test.path, ""); got.status != test.status {
			t.Errorf("%s %s: got %d; want %d", test.method, test.path, got.status, test.status)
		}
	}
	if reached != "" {
		t.Errorf("a %s without a token reached the handler", reached)
	}
}

func TestWithoutMetadataWrapServesNone(t *testing.T) {
	server := serve(t, middleware.New(testkit.NewValidator(t, as, nil), nil).Wrap(http.NotFoundHandler()))
	if got := send(t, server.Client(), "GET", server.URL+"/.well-known/oauth-protected-resource", ""); got.status != 401 {
		t.Errorf("got %d; want 401", got.status)
	}
}
