package main

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func onGin(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, nil)
	r := gin.New()
	r.Use(ginWrap(auth))
	r.GET("/hello", helloGin)
	r.GET("/secret", ginWrap(auth.Require(scopes.All("secret:read"))), helloGin)
	return r
}

// ginWrap turns net/http middleware into gin middleware. The next handler is called
// inside Wrap, because the claims are in the context only while Wrap runs. If the
// request is refused, you must abort the gin context; otherwise gin would still call
// the next handler.
func ginWrap(auth *middleware.Middleware) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed, c.Request = true, r // its context holds the claims
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}

func helloGin(c *gin.Context) {
	claims, ok := accesstoken.FromContext(c.Request.Context())
	if !ok { // the route is not behind the middleware
		c.AbortWithStatus(http.StatusInternalServerError)
		return
	}
	c.String(http.StatusOK, "hello %s\n", claims.Subject)
}
