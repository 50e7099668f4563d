package main

import (
	"context"
	"encoding/json"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// The procedures, which protoc-gen-connect-go would write.
const (
	helloProcedure  = "/accesstoken.examples.frameworks.v1.Greeter/Hello"
	secretProcedure = "/accesstoken.examples.frameworks.v1.Greeter/Secret"
	greetProcedure  = "/accesstoken.examples.frameworks.v1.Greeter/Greet" // a stream
)

// onConnect wraps the handlers of Connect, which are net/http's, in place of
// giving them an interceptor: a UnaryInterceptorFunc passes streams by, and a
// refusal costs no reading of the message. It holds for all three protocols that
// Connect speaks.
func onConnect(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, &middleware.Options{Body: connectError})
	mux := http.NewServeMux()
	mux.Handle(helloProcedure, auth.Wrap(connect.NewUnaryHandler(helloProcedure, helloConnect)))
	mux.Handle(secretProcedure, auth.Require(scopes.All("secret:read")).Wrap(connect.NewUnaryHandler(secretProcedure, helloConnect)))
	mux.Handle(greetProcedure, auth.Require(scopes.All("secret:read")).Wrap(connect.NewServerStreamHandler(greetProcedure, greetConnect)))
	return mux
}

// connectError is the body of a refusal as clients of Connect read it. Where they
// do not, in streams and over gRPC, the status tells them the code: 401 is
// unauthenticated, 403 permission_denied, 503 unavailable, and 400, which is for
// credentials that are malformed, internal.
func connectError(_ *http.Request, refused *accesstoken.Error) (contentType string, body []byte) {
	body, _ = json.Marshal(map[string]string{ // of strings: cannot fail
		"code":    connect.Code(refused.GRPCCode()).String(), // the numbers are gRPC's
		"message": refused.Public().Text,
	})
	return "application/json", body
}

func helloConnect(ctx context.Context, _ *connect.Request[emptypb.Empty]) (*connect.Response[wrapperspb.StringValue], error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the handler is not behind Wrap
		return nil, accesstoken.CredentialsMissing
	}
	return connect.NewResponse(wrapperspb.String("hello " + claims.Subject)), nil
}

func greetConnect(ctx context.Context, _ *connect.Request[emptypb.Empty], stream *connect.ServerStream[wrapperspb.StringValue]) error {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the handler is not behind Wrap
		return accesstoken.CredentialsMissing
	}
	for _, greeting := range []string{"hello ", "good bye "} {
		if err := stream.Send(wrapperspb.String(greeting + claims.Subject)); err != nil {
			return err
		}
	}
	return nil
}
