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

// The procedures. In your program, protoc-gen-connect-go generates them.
const (
	helloProcedure  = "/accesstoken.examples.frameworks.v1.Greeter/Hello"
	secretProcedure = "/accesstoken.examples.frameworks.v1.Greeter/Secret"
	greetProcedure  = "/accesstoken.examples.frameworks.v1.Greeter/Greet" // a stream
)

// onConnect wraps Connect's handlers, which are net/http handlers. You should prefer
// this to an interceptor for two reasons. A UnaryInterceptorFunc does not cover
// streams, and it runs only after the message has been read. Wrap works for all three
// protocols that Connect supports.
func onConnect(v *accesstoken.Validator) http.Handler {
	auth := middleware.New(v, &middleware.Options{Body: connectError})
	mux := http.NewServeMux()
	mux.Handle(helloProcedure, auth.Wrap(connect.NewUnaryHandler(helloProcedure, helloConnect)))
	mux.Handle(secretProcedure, auth.Require(scopes.All("secret:read")).Wrap(connect.NewUnaryHandler(secretProcedure, helloConnect)))
	mux.Handle(greetProcedure, auth.Require(scopes.All("secret:read")).Wrap(connect.NewServerStreamHandler(greetProcedure, greetConnect)))
	return mux
}

// connectError returns the body of a refusal in the form that Connect clients read.
// In streams and over gRPC, clients do not read this body and derive the code from the
// HTTP status. Then 401 becomes unauthenticated, 403 permission_denied and 503
// unavailable. If the credentials are malformed, the status is 400, which becomes
// internal.
func connectError(_ *http.Request, refused *accesstoken.Error) (contentType string, body []byte) {
	body, _ = json.Marshal(map[string]string{ // strings always marshal
		"code":    connect.Code(refused.GRPCCode()).String(), // Connect uses the numbers of gRPC
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
