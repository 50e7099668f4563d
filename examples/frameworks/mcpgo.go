package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// onMCPGo is an MCP server with the library mcp-go. Whether a request has a token with the
// scope mcp is decided in front of the library, what a tool needs inside of it. It is too late
// for a 403 there, so the result of the tool says why.
func onMCPGo(v *accesstoken.Validator) http.Handler {
	tools := map[string]accesstoken.Policy{
		"hello":  {Scopes: scopes.None()},
		"secret": {Scopes: scopes.All("secret:read")},
	}
	check := func(next server.ToolHandlerFunc) server.ToolHandlerFunc {
		return func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			claims, ok := accesstoken.FromContext(ctx)
			policy, listed := tools[request.Params.Name]
			err := error(accesstoken.Deny(accesstoken.PolicyDenied, nil))
			if ok && listed {
				err = v.Check(ctx, claims, policy)
			}
			if err != nil {
				return mcp.NewToolResultError(v.Refuse(ctx, err).Public().Text), nil
			}
			return next(ctx, request)
		}
	}
	s := server.NewMCPServer("hello", "1", server.WithToolHandlerMiddleware(check))
	for name := range tools {
		s.AddTool(mcp.NewTool(name), helloTool)
	}
	stateless := server.NewStreamableHTTPServer(s, server.WithStateLess(true)) // no session that another caller could use
	return middleware.New(v, nil).Require(scopes.All("mcp")).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.Header.Del("Authorization") // which the library hands to every tool
		stateless.ServeHTTP(w, r)
	})
}

func helloTool(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the server is not behind Wrap
		return nil, errors.New("no claims")
	}
	return mcp.NewToolResultText("hello " + claims.Subject), nil
}
