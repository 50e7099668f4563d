package echo5auth_test

import (
	"net/http"
	"testing"

	"github.com/labstack/echo/v5"

	"github.com/accesstoken/accesstoken/conformance"
	"github.com/accesstoken/accesstoken/integrations/echo5auth"
)

// TestConformance sends the cases of the whole project through Echo v5, and compares
// what it answers with what net/http answers.
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.NetHTTP(), conformance.HTTP("Echo v5", protect))
}

func protect(r *conformance.Resource) http.Handler {
	auth := echo5auth.New(r.Validator, &echo5auth.Options{Optional: r.Optional, CORS: r.CORS})
	if !r.Optional && !r.CORS {
		auth = auth.RequirePolicy(r.Policy)
	}
	e := newEcho()
	e.Any(conformance.Path, func(c *echo.Context) error {
		if err := r.Handle(c.Request().Context(), c.Request().Body); err != nil {
			return err
		}
		return c.String(http.StatusOK, "welcome")
	}, auth.Wrap)
	return e
}
