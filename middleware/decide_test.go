package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A route inside a Wrap is a decision of its own, and so is the refusal of a handler.
func TestDecisionsAreToldWithTheTransport(t *testing.T) {
	told := new(testkit.Told)
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.OnDecide = told.OnDecide })
	auth, optional := middleware.New(v, nil), middleware.New(v, &middleware.Options{Optional: true})
	denies := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { auth.Refuse(w, r, accesstoken.Deny("CLOSED", nil)) })
	get := func(handler http.Handler, authorization string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	token := bearer("a")
	get(auth.Wrap(auth.Require(scopes.All("a")).Wrap(denies)), token)
	told.Want(t, `"alice" by "signature" over "net/http": accepted`, `"alice" by "check" over "net/http": accepted`,
		`"alice" by "check" over "net/http": CLOSED`)
	get(auth.Require(scopes.All("b")).Wrap(denies), token)
	told.Want(t, `"alice" by "cache" over "net/http": SCOPE_INSUFFICIENT`)
	get(auth.Wrap(denies), "Basic eA==")
	told.Want(t, `"" by "" over "net/http": SCHEME_UNSUPPORTED`)
	get(optional.Wrap(http.NotFoundHandler()), "")
	told.Want(t)
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(token[len("Bearer "):])); err != nil {
		t.Error(err)
	}
	told.Want(t, `"alice" by "cache" over "": accepted`)
}
