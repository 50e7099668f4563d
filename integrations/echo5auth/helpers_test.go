package echo5auth_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
)

// as is the authorization server of all tests that do not count its requests.
var as *accesstokentest.Server

func TestMain(m *testing.M) { testkit.Main(m, &as) }

// bearer returns an Authorization value with a good token that has the scopes.
func bearer(scope string) string {
	return "Bearer " + as.Token(accesstokentest.Claims{"scope": scope})
}

// newEcho returns an Echo that logs nothing.
func newEcho() *echo.Echo {
	e := echo.New()
	e.Logger = slog.New(slog.DiscardHandler)
	return e
}

// route returns an Echo with one route, /, behind the middlewares.
func route(handler echo.HandlerFunc, with ...echo.MiddlewareFunc) *echo.Echo {
	e := newEcho()
	e.Any("/", handler, with...)
	return e
}

// whoami is a handler that says who is calling.
func whoami(c *echo.Context) error {
	claims, ok := accesstoken.FromContext(c.Request().Context())
	if !ok {
		return c.String(http.StatusOK, "anonymous")
	}
	return c.String(http.StatusOK, claims.Subject+" may "+claims.Scopes().String())
}

// get sends a request with an Authorization field, unless it is "", to the handler.
func get(handler http.Handler, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// fetch sends a request with a good token, and returns the whole response.
func fetch(t testing.TB, client *http.Client, url string) (status int, body string, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", bearer(""))
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, string(read), err
}
