package drive

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

func echoHandler(v *accesstoken.Validator, files *files) http.Handler {
	auth := echoauth.New(v, nil)
	list := func(c echo.Context) error {
		claims, ok := accesstoken.FromContext(c.Request().Context())
		if !ok { // the route is not behind Wrap
			return accesstoken.CredentialsMissing
		}
		return c.JSON(http.StatusOK, listing{claims.Subject, files.of(claims.Subject)})
	}
	remove := func(c echo.Context) error {
		claims, ok := accesstoken.FromContext(c.Request().Context())
		if !ok { // the route is not behind Wrap
			return accesstoken.CredentialsMissing
		}
		if !files.delete(claims.Subject, c.Param("name")) {
			return c.String(http.StatusNotFound, "file not found")
		}
		return c.NoContent(http.StatusNoContent)
	}
	e := echo.New()
	e.GET("/files", list, auth.Require(scopes.All("files:read")).Wrap)
	e.DELETE("/files/:name", remove, auth.Require(scopes.All("files:write")).Wrap)
	return e
}
