package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/accesstoken/accesstoken/examples/quickstart/issuer"
	"github.com/accesstoken/accesstoken/examples/quickstart/owner"
)

// newTransport returns the transport of the SDK's own client. The client knows the URL of the
// MCP server and what it was registered with. At the first 401 it finds the authorization
// server, sends the user there, and redeems the code (with PKCE). After a 403 it does so
// again, with the scopes that it had and those that the challenge names.
func newTransport(endpoint string, registered issuer.Client, user *owner.Owner, client *http.Client) (*mcp.StreamableClientTransport, error) {
	handler, err := auth.NewAuthorizationCodeHandler(&auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: &oauthex.ClientCredentials{
			ClientID: registered.ID, ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: registered.Secret},
		},
		RedirectURL: registered.RedirectURI,
		Client:      client,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return visit(ctx, *user, args.URL)
		},
	})
	if err != nil {
		return nil, err
	}
	return &mcp.StreamableClientTransport{Endpoint: endpoint, HTTPClient: client, OAuthHandler: stepUp{handler}}, nil
}

// A stepUp adds step-up authentication (RFC 9470) to the SDK's handler of refusals, which in
// v1.8.0 logs the user in again, but not as the challenge demands.
type stepUp struct{ auth.OAuthHandler }

type demandKey struct{}

// Authorize gets a new token after a refusal. The SDK then repeats the request once, so a
// client that is refused again gives up.
func (s stepUp) Authorize(ctx context.Context, r *http.Request, refused *http.Response) error {
	challenges, err := oauthex.ParseWWWAuthenticate(refused.Header.Values("WWW-Authenticate"))
	if err != nil {
		return errors.Join(err, refused.Body.Close())
	}
	demand := url.Values{}
	for _, challenge := range challenges {
		for _, name := range []string{"acr_values", "max_age"} {
			if value := challenge.Params[name]; value != "" {
				demand.Set(name, value)
			}
		}
	}
	return s.OAuthHandler.Authorize(context.WithValue(ctx, demandKey{}, demand), r, refused)
}

// visit sends the user to the authorization server, and returns what the browser brings
// back. A real client opens a browser, and listens at its redirect URI.
func visit(ctx context.Context, user owner.Owner, target string) (*auth.AuthorizationResult, error) {
	if demand, _ := ctx.Value(demandKey{}).(url.Values); len(demand) > 0 {
		target += "&" + demand.Encode()
	}
	var answer url.Values
	user.OnRequest = func(u *url.URL) { answer = u.Query() }
	if _, _, err := user.Visit(ctx, target); err != nil {
		return nil, err
	}
	if answer.Get("code") == "" {
		return nil, fmt.Errorf("the authorization server sent no code; error is %q", answer.Get("error"))
	}
	return &auth.AuthorizationResult{Code: answer.Get("code"), State: answer.Get("state"), Iss: answer.Get("iss")}, nil
}
