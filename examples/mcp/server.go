package main

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// newValidator accepts the tokens of one authorization server for this MCP server, whose
// identifier is the URL of its endpoint. Clients compare the two.
func newValidator(endpoint, issuer string) (*accesstoken.Validator, error) {
	return accesstoken.NewValidator(accesstoken.Config{
		Resource: endpoint,
		Issuers:  []accesstoken.Issuer{{URL: issuer, Profile: accesstoken.Zitadel}},
		Metadata: &resourcemetadata.Metadata{Name: "Notes", Scopes: []string{"notes:read"}},
	})
}

// newServer returns the MCP server with its metadata. host is what clients send as Host.
func newServer(v *accesstoken.Validator, host string) (http.Handler, error) {
	guard, err := mcpauth.New(v, &mcpauth.Options{
		Policy: accesstoken.Policy{Scopes: scopes.All("notes:read")}, // for every request
		Tools: map[string]accesstoken.Policy{ // what a tool needs besides
			"notes_list":   {Scopes: scopes.None()},
			"notes_add":    {Scopes: scopes.All("notes:write")},
			"notes_delete": {Scopes: scopes.All("notes:write"), ACR: []string{"urn:example:mfa"}, MaxAuthAge: 5 * time.Minute},
		},
		Hosts: []string{host},
	})
	if err != nil {
		return nil, err
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "notes", Version: "1"}, &mcp.ServerOptions{SetCacheable: private})
	server.AddReceivingMiddleware(guard.Receive)
	n := &notes{of: map[string][]string{}}
	mcp.AddTool(server, &mcp.Tool{Name: "notes_list", Description: "lists your notes"}, n.list)
	mcp.AddTool(server, &mcp.Tool{Name: "notes_add", Description: "adds a note"}, n.add)
	mcp.AddTool(server, &mcp.Tool{Name: "notes_delete", Description: "deletes all your notes"}, n.delete)

	mux := http.NewServeMux()
	mux.Handle("/mcp", guard.Wrap(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})))
	mux.Handle(resourcemetadata.Pattern(v), resourcemetadata.Handler(v))
	return mux, nil
}

// private keeps caches from showing one user's answers to another.
func private(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.CacheScope = "private" }

// notes are the notes of all users, by subject.
type notes struct {
	mu sync.Mutex
	of map[string][]string
}

// A list is the answer of every tool: the caller's notes.
type list struct {
	Owner string   `json:"owner"`
	Notes []string `json:"notes"`
}

func (n *notes) list(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, list, error) {
	return n.change(ctx, func(old []string) []string { return old })
}

type note struct {
	Text string `json:"text"`
}

func (n *notes) add(ctx context.Context, _ *mcp.CallToolRequest, in note) (*mcp.CallToolResult, list, error) {
	return n.change(ctx, func(old []string) []string { return append(old, in.Text) })
}

func (n *notes) delete(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, list, error) {
	return n.change(ctx, func([]string) []string { return nil })
}

// change changes the notes of the caller of this request.
func (n *notes) change(ctx context.Context, edit func([]string) []string) (*mcp.CallToolResult, list, error) {
	claims, ok := accesstoken.FromContext(ctx)
	if !ok { // the server lacks guard.Receive
		return nil, list{}, errors.New("no caller")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[claims.Subject] = edit(n.of[claims.Subject])
	return nil, list{claims.Subject, append([]string{}, n.of[claims.Subject]...)}, nil
}
