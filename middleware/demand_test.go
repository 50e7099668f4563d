package middleware_test

import (
	"testing"

	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A token for one validator is none for another, nor are their scopes.
func TestTheScopesOfAnotherValidatorAreNotAskedFor(t *testing.T) {
	outer := middleware.New(testkit.NewValidator(t, as, nil), nil)
	inner := middleware.New(testkit.NewValidator(t, as, nil), nil)
	handler := outer.Require(scopes.All("a")).Wrap(inner.Require(scopes.All("b")).Wrap(new(counter)))
	if got, want := get(t, handler).challenge(), `Bearer realm="https://api.example.com", scope="a"`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
