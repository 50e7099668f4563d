package echo5auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/echo5auth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/resourcemetadata"
)

// META-02: Use refuses requests before there is a route.
func TestWrapServesTheMetadata(t *testing.T) {
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Metadata = &resourcemetadata.Metadata{} })
	_, document := v.ResourceMetadata()
	e := newEcho()
	e.Use(echo5auth.New(v, nil).Wrap)
	for path, want := range map[string]int{
		"/.well-known/oauth-protected-resource":          200,
		"/.well-known/oauth-protected-resource/invented": 401,
		"/": 401,
	} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want || (w.Body.String() == string(document)) != (want == 200) {
			t.Errorf("%s: got %d %q; want %d", path, w.Code, w.Body, want)
		}
	}
}
