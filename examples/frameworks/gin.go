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

// ginWrap makes net/http middleware into gin's. The claims are in the context while
// Wrap runs, so the next handler is called inside of it. If the request is refused, gin
// would call the next handler all the same unless it is aborted.
func ginWrap(auth *middleware.Middleware) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed, c.Request = true, r // with the claims in its context
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
