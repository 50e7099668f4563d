package echoauth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// Over Echo, a caller without a token is asked about once, however many Wraps there are.
func TestACallerWithoutAToken(t *testing.T) {
	var calls atomic.Int32
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Authenticate = func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
			calls.Add(1)
			if r.Header.Get("X-Api-Key") == "" {
				return accesstoken.Identity{}, nil
			}
			return accesstoken.Identity{Issuer: "api-keys", Subject: "svc-7", Scopes: scopes.Parse("a"), Expiry: time.Now().Add(time.Minute)}, nil
		}
	})
	auth, optional := echoauth.New(v, nil), echoauth.New(v, &echoauth.Options{Optional: true})
	whoami := func(c echo.Context) error {
		claims, _ := accesstoken.FromContext(c.Request().Context())
		return c.String(http.StatusOK, claims.Issuer+" "+claims.Subject)
	}
	check := func(c echo.Context) error {
		claims, err := auth.Check(c)
		if err != nil {
			return auth.Refuse(c, err)
		}
		return c.String(http.StatusOK, claims.Subject)
	}
	e := newEcho()
	e.GET("/a", whoami, auth.Wrap, auth.Require(scopes.All("a")).Wrap, auth.EndWithToken().Wrap)
	e.GET("/b", whoami, auth.Wrap, auth.Require(scopes.All("b")).Wrap)
	e.GET("/optional", whoami, optional.Wrap)
	e.GET("/check", check)
	for _, test := range []struct {
		path, key, token string
		status           int
		body, control    string // body "" is any
		calls            int32
	}{
		{"/a", "k", "", 200, "api-keys svc-7", "private", 1},
		{"/a", "", "", 401, "", "no-store", 1},
		{"/a", "k", "Bearer junk", 401, "", "no-store", 0},
		{"/a", "k", bearer("a"), 200, as.URL + " alice", "", 0},
		{"/b", "k", "", 403, "", "no-store", 1},
		{"/optional", "k", "", 200, "api-keys svc-7", "private", 1},
		{"/optional", "", "", 200, " ", "private", 1},
		{"/check", "k", "", 200, "svc-7", "", 1},
		{"/check", "", "", 401, "", "no-store", 1},
	} {
		calls.Store(0)
		r := httptest.NewRequest(http.MethodGet, test.path, nil)
		if test.key != "" {
			r.Header.Set("X-Api-Key", test.key)
		}
		if test.token != "" {
			r.Header.Set("Authorization", test.token)
		}
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != test.status || test.body != "" && w.Body.String() != test.body || w.Header().Get("Cache-Control") != test.control || calls.Load() != test.calls {
			t.Errorf("%s, key %q, token %.12q: got %d %q, Cache-Control %q, %d calls; want %d %q, %q, %d", test.path, test.key, test.token,
				w.Code, w.Body, w.Header().Get("Cache-Control"), calls.Load(), test.status, test.body, test.control, test.calls)
		}
	}
}
