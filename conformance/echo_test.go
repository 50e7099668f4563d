package conformance

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken/middleware/echoauth"
)

func protectEcho(r *Resource) http.Handler {
	auth := echoauth.New(r.Validator, &echoauth.Options{Optional: r.Optional, CORS: r.CORS})
	if !r.Optional && !r.CORS {
		auth = auth.RequirePolicy(r.Policy)
	}
	e := echo.New()
	e.Any(Path, func(c echo.Context) error {
		if err := r.Handle(c.Request().Context(), c.Request().Body); err != nil {
			return auth.Refuse(c, err)
		}
		return c.String(http.StatusOK, "welcome")
	}, auth.Wrap)
	return e
}
