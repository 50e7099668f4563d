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

// fiberCheck calls Check, and uses Fiber's adaptor only to write the refusal. You
// should not use adaptor.HTTPMiddleware(auth.Wrap) instead. It refuses bad tokens
// too, but it loses the claims of good ones, because it copies only the values that
// were set with context.WithValue. Also, if a request has two Authorization fields,
// the adaptor passes on only one.
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

// authorization returns a request with the parts that Check reads for a bearer token.
// It passes on all Authorization fields, because a request with two must be refused.
// It copies their values, because Fiber reuses the memory for the next request.
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
