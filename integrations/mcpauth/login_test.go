package mcpauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/integrations/mcpauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// An authority is an authorization server at which users log in at once. It issues tokens for
// the resource and the scopes that a client asks for.
func authority(t *testing.T) *accesstokentest.Server {
	t.Helper()
	as := accesstokentest.NewServer(t)
	metadata := as.Metadata()
	metadata["code_challenge_methods_supported"] = []string{"S256"}
	metadata["grant_types_supported"] = []string{"authorization_code"}
	as.Handle(accesstokentest.OAuthMetadataPath, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(metadata)
	}))
	as.Handle("/token", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": as.Token(accesstokentest.Claims{"aud": r.FormValue("resource"), "scope": r.FormValue("code")}),
			"token_type":   "Bearer", "expires_in": 300,
		})
	}))
	return as
}

// either trusts the certificates of both servers.
type either struct {
	as     *accesstokentest.Server
	server *httptest.Server
}

func (e either) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.String(), e.as.URL+"/") {
		return e.as.Client().Transport.RoundTrip(r)
	}
	return e.server.Client().Transport.RoundTrip(r)
}

// login connects the SDK's client, which knows only the URL of the endpoint, to a server whose
// identifier is at the path, and calls two tools that need different scopes. It returns how
// often the user was asked, for which resource and scopes.
func login(t *testing.T, identifier string) (asked []string, err error) {
	t.Helper()
	as := authority(t)
	server := httptest.NewUnstartedServer(nil)
	host := server.Listener.Addr().String()
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.Resource = "https://" + host + identifier
		c.Metadata = &resourcemetadata.Metadata{Scopes: []string{"mcp"}}
	})
	guard, err := mcpauth.New(v, &mcpauth.Options{
		Policy: accesstoken.Policy{Scopes: scopes.All("mcp")},
		Tools:  map[string]accesstoken.Policy{"read": {Scopes: scopes.None()}, "delete": {Scopes: scopes.All("files:write")}},
		Hosts:  []string{host},
	})
	if err != nil {
		t.Fatal(err)
	}
	tools := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	tools.AddReceivingMiddleware(guard.Receive)
	for _, name := range []string{"read", "delete"} {
		mcp.AddTool(tools, &mcp.Tool{Name: name}, func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{}, nil, nil
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", guard.Wrap(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return tools }, &mcp.StreamableHTTPOptions{Stateless: true})))
	mux.Handle(resourcemetadata.Pattern(v), resourcemetadata.Handler(v))
	server.Config.Handler = mux
	server.StartTLS()
	t.Cleanup(server.Close)

	client := &http.Client{Transport: either{as, server}}
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: &oauthex.ClientCredentials{ClientID: "app"},
		RedirectURL:         "http://127.0.0.1/callback",
		Client:              client,
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			u, err := url.Parse(args.URL)
			if err != nil {
				return nil, err
			}
			q := u.Query()
			if strings.HasPrefix(args.URL, as.URL+"/") { // otherwise it was not the metadata that led here
				asked = append(asked, strings.TrimPrefix(q.Get("resource"), "https://"+host)+" "+q.Get("scope"))
			}
			return &auth.AuthorizationResult{Code: q.Get("scope"), State: q.Get("state")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil).Connect(t.Context(),
		&mcp.StreamableClientTransport{Endpoint: server.URL + "/mcp", HTTPClient: client, OAuthHandler: handler}, nil)
	if err != nil {
		return asked, err
	}
	t.Cleanup(func() { _ = session.Close() })
	return asked, errors.Join(call(t, session, "read"), call(t, session, "delete"))
}

// META-11: the identifier of an MCP server is the URL of its endpoint, because clients compare
// the two (RFC 9728 §3.3). A tool that needs more has the user asked once more.
func TestAClientThatKnowsOnlyTheURLLogsIn(t *testing.T) {
	asked, err := login(t, "/mcp")
	if want := "/mcp mcp, /mcp mcp files:write"; err != nil || strings.Join(asked, ", ") != want {
		t.Errorf("got %q, %v; want %q", asked, err, want)
	}
}

// The client does not believe metadata of another identifier, and finds no authorization server.
// Of the origin alone it believes what is at the well-known place of the origin, but not
// because a challenge leads there.
func TestAClientRefusesAnotherIdentifier(t *testing.T) {
	for _, identifier := range []string{"/other", "/mcp/"} {
		if asked, err := login(t, identifier); err == nil || len(asked) != 0 {
			t.Errorf("%s: got %q, %v; want the client to refuse", identifier, asked, err)
		}
	}
	server := httptest.NewUnstartedServer(nil)
	origin := "https://" + server.Listener.Addr().String()
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Resource, c.Metadata = origin, &resourcemetadata.Metadata{} })
	server.Config.Handler = resourcemetadata.Handler(v)
	server.StartTLS()
	defer server.Close()
	place, _ := v.ResourceMetadata()
	if _, err := oauthex.GetProtectedResourceMetadata(t.Context(), place, origin+"/mcp", server.Client()); err == nil {
		t.Error("the origin as the identifier, by a challenge of /mcp: got no error; want a refusal")
	}
	if _, err := oauthex.GetProtectedResourceMetadata(t.Context(), place, origin, server.Client()); err != nil {
		t.Errorf("the origin as the identifier, for the origin: got %v; want it believed", err)
	}
}
