package mcpauth_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

func Example() {
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://mcp.example.com/mcp",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
		Metadata: &resourcemetadata.Metadata{Scopes: []string{"mcp"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()
	server := mcp.NewServer(&mcp.Implementation{Name: "files", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "search", Description: "finds files"}, search)
	mux := http.NewServeMux()

	guard, err := mcpauth.New(validator, &mcpauth.Options{
		Policy: accesstoken.Policy{Scopes: scopes.All("mcp")},
		Tools: map[string]accesstoken.Policy{
			"search": {Scopes: scopes.None()},
			"delete": {Scopes: scopes.All("files:write")},
		},
		Hosts: []string{"mcp.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	server.AddReceivingMiddleware(guard.Receive)
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
	mux.Handle("/mcp", guard.Wrap(handler))
	mux.Handle(resourcemetadata.Pattern(validator), resourcemetadata.Handler(validator))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "https://mcp.example.com/mcp", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer realm="https://mcp.example.com/mcp", scope="mcp", resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
}

func ExampleGuard_Seal() {
	validator, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://mcp.example.com/mcp",
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer validator.Close()
	guard, err := mcpauth.New(validator, &mcpauth.Options{
		Policy:      accesstoken.Policy{Scopes: scopes.All("mcp")},
		Hosts:       []string{"mcp.example.com"},
		SealSecrets: [][]byte{[]byte("32 random bytes from a secret store")},
	})
	if err != nil {
		log.Fatal(err)
	}

	// In a tool, whose context has the caller.
	ctx := accesstokentest.NewContext(context.Background(), accesstokentest.Claims{"sub": "alice"})
	handle, err := guard.Seal(ctx, "cart", []byte("cart 7"), 24*time.Hour)
	if err != nil {
		log.Fatal(err)
	}

	// In another tool, to which the model gives the handle.
	cart, err := guard.Open(ctx, "cart", handle)
	fmt.Println(string(cart), err)

	// The model of another user.
	ctx = accesstokentest.NewContext(context.Background(), accesstokentest.Claims{"sub": "bob"})
	_, err = guard.Open(ctx, "cart", handle)
	fmt.Println(errors.Is(err, accesstoken.PolicyDenied))
	// Output:
	// cart 7 <nil>
	// true
}

func search(ctx context.Context, request *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok {
		return nil, nil, errors.New("no caller")
	}
	log.Print("a search for ", claims.Subject)
	return &mcp.CallToolResult{}, nil, nil
}
