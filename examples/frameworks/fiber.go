package main

import (
	"net/http"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/adaptor"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func onFiber(v *accesstoken.Validator) *fiber.App {
	auth := middleware.New(v, nil)
	app := fiber.New()
	app.Use(fiberCheck(auth))
	app.Get("/hello", helloFiber)
	app.Get("/secret", fiberCheck(auth.Require(scopes.All("secret:read"))), helloFiber)
	return app
}

// fiberCheck asks by Check, and has Fiber's adaptor write the refusal only.
// adaptor.HTTPMiddleware(auth.Wrap) refuses bad tokens, too, but loses the claims
// of good ones: of a context it carries over what context.WithValue has put there,
// and nothing else. And it shows one Authorization line where there are two.
func fiberCheck(auth *middleware.Middleware) fiber.Handler {
	return func(c fiber.Ctx) error {
		claims, err := auth.Check(authorization(c))
		if err != nil {
			return adaptor.HTTPHandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, err) })(c)
		}
		c.SetContext(accesstoken.NewContext(c.Context(), claims))
		return c.Next()
	}
}

// authorization is as much of the request as is looked at: every Authorization
// line, since two of them are refused, and a copy of each, since Fiber uses the
// memory again for the next request.
func authorization(c fiber.Ctx) *http.Request {
	r := &http.Request{Method: c.Method(), Header: http.Header{}}
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderAuthorization) {
		r.Header.Add(fiber.HeaderAuthorization, string(line))
	}
	return r.WithContext(c.Context())
}

func helloFiber(c fiber.Ctx) error {
	claims, ok := accesstoken.FromContext(c.Context())
	if !ok { // the route is not behind the middleware
		return accesstoken.CredentialsMissing
	}
	return c.SendString("hello " + claims.Subject + "\n")
}
