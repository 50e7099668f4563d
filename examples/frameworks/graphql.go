package main

import (
	"context"
	"net/http"

	"github.com/graph-gophers/graphql-go"
	"github.com/graph-gophers/graphql-go/relay"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// onGraphQL serves all queries at one endpoint. The middleware checks what every
// query needs, and answers 401 or 403 if that is missing. The scopes that a field
// needs are known only when the query is executed, so the field's resolver checks
// them.
func onGraphQL(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, nil)
	schema := graphql.MustParseSchema(`type Query { hello: String!, secret: String }`, &query{v})
	mux := http.NewServeMux()
	mux.Handle("POST /graphql", auth.Require(scopes.All("graphql")).Wrap(&relay.Handler{Schema: schema}))
	return mux
}

type query struct{ validator *accesstoken.Validator }

// Hello resolves for every caller that passes the middleware.
func (query) Hello(ctx context.Context) (string, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the endpoint is not behind Wrap
		return "", accesstoken.CredentialsMissing
	}
	return "hello " + claims.Subject, nil
}

var readSecret = accesstoken.Policy{Scopes: scopes.All("secret:read")}

// Secret requires the scope secret:read in addition.
func (q *query) Secret(ctx context.Context) (*string, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the endpoint is not behind Wrap
		return nil, accesstoken.CredentialsMissing
	}
	if err := q.validator.Check(ctx, claims, readSecret); err != nil {
		return nil, fieldError{q.validator.Refuse(ctx, err).Public()}
	}
	secret := "the secret of " + claims.Subject
	return &secret, nil
}

// A fieldError is a refusal in the errors of a GraphQL response. Do not return the
// *accesstoken.Error itself, because the client would see its text, which is meant
// for the log.
type fieldError struct{ public accesstoken.Public }

func (e fieldError) Error() string { return e.public.Text }

// Extensions returns the refusal's reason and scope in a form that programs can read.
func (e fieldError) Extensions() map[string]any {
	return map[string]any{"reason": e.public.Reason, "scope": e.public.Params["scope"]}
}
