package echoauth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// The adapters of one Validator know of each other, although each tells its own transport.
func TestDecisionsAreToldWithTheTransport(t *testing.T) {
	told := new(testkit.Told)
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.OnDecide = told.OnDecide })
	auth := echoauth.New(v, nil)
	e := echo.New()
	e.Use(auth.Wrap)
	e.GET("/", func(echo.Context) error { return accesstoken.Deny("CLOSED", nil) }, auth.Require(scopes.All("a")).Wrap)
	get := func(handler http.Handler, authorization string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", authorization)
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	token := bearer("a")
	get(middleware.New(v, nil).Wrap(e), token)
	told.Want(t, `"alice" by "signature" over "net/http": accepted`, `"alice" by "check" over "echo": accepted`,
		`"alice" by "check" over "echo": accepted`, `"alice" by "check" over "echo": CLOSED`)
	get(e, bearer("b"))
	told.Want(t, `"alice" by "signature" over "echo": accepted`, `"alice" by "check" over "echo": SCOPE_INSUFFICIENT`)
}
