package echoauth_test

import (
	"net/http"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// META-02: Use refuses requests before there is a route.
func TestWrapServesTheMetadata(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Metadata = &resourcemetadata.Metadata{} })
	_, document := v.ResourceMetadata()
	e := newEcho()
	e.Use(echoauth.New(v, nil).Wrap)
	server := serve(t, e)
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/.well-known/oauth-protected-resource", 200, string(document)},
		{"HEAD", "/.well-known/oauth-protected-resource", 200, ""},
		{"OPTIONS", "/.well-known/oauth-protected-resource", 204, ""},
	} {
		got := send(t, server.Client(), test.method, server.URL+test.path, "")
		if got.status != test.status || got.body != test.body || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s %s: got %d %q; want %d %q", test.method, test.path, got.status, got.body, test.status, test.body)
		}
	}
	for _, path := range []string{"/.well-known/oauth-protected-resource/invented", "/"} {
		if got := send(t, server.Client(), http.MethodGet, server.URL+path, ""); got.status != 401 {
			t.Errorf("%s: got %d; want 401", path, got.status)
		}
	}
}
