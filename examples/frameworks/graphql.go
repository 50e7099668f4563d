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

// onGraphQL has one endpoint for everything. What holds for all of it is the
// middleware's, and answered by 401 and 403; what a field demands is known only
// when the query is executed, and a resolver asks for it.
func onGraphQL(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, nil)
	schema := graphql.MustParseSchema(`type Query { hello: String!, secret: String }`, &query{v})
	mux := http.NewServeMux()
	mux.Handle("POST /graphql", auth.Require(scopes.All("graphql")).Wrap(&relay.Handler{Schema: schema}))
	return mux
}

type query struct{ validator *accesstoken.Validator }

// Hello is for whoever may use the endpoint.
func (query) Hello(ctx context.Context) (string, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the endpoint is not behind Wrap
		return "", accesstoken.CredentialsMissing
	}
	return "hello " + claims.Subject, nil
}

var readSecret = accesstoken.Policy{Scopes: scopes.All("secret:read")}

// Secret demands a scope of its own.
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

// A fieldError is a refusal as it is written into errors. The *accesstoken.Error
// itself is for the log: its text would go to the client.
type fieldError struct{ public accesstoken.Public }

func (e fieldError) Error() string { return e.public.Text }

// Extensions tell programs why.
func (e fieldError) Extensions() map[string]any {
	return map[string]any{"reason": e.public.Reason, "scope": e.public.Params["scope"]}
}
