package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/introspection"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// A client finds out whether a token is active. If it returns an error, it could not
// find out.
type client interface {
	lookUp(ctx context.Context, token string) (active bool, err error)
}

// An implementation is one introspection client to measure.
type implementation struct {
	name    string
	modules []string // modules whose versions are printed
	how     string   // how the client is made
	madeUp  int      // number of tokens in the flood

	// open makes a client as the implementation's own documentation recommends. If
	// the client caches, it should cache for cacheFor.
	open func(ctx context.Context, endpoint string, cacheFor time.Duration) (client, error)
}

func (i implementation) id() string { return i.name }

// The credentials of the resource server, which the endpoint ignores.
const clientID, clientSecret = "api", "secret"

var implementations = []implementation{
	{
		name:    "accesstoken-cached",
		modules: []string{"github.com/accesstoken/accesstoken"},
		how:     "`introspection.NewClient` with `CacheFor` of a minute, and of an hour in made-up",
		madeUp:  1_000_000,
		open:    openAccessToken,
	},
	{
		name:    "accesstoken",
		modules: []string{"github.com/accesstoken/accesstoken"},
		how:     "`introspection.NewClient`; nothing is cached",
		madeUp:  100_000,
		open:    openUncached,
	},
	{
		name:    "zitadel",
		modules: []string{"github.com/zitadel/oidc/v3"},
		how:     "`rs.NewResourceServerClientCredentials` with `WithStaticEndpoints`, `rs.Introspect`; its timeout is 30 s",
		madeUp:  100_000,
		open:    openZitadel,
	},
	{
		name:   "net-http",
		how:    "the standard library: `http.Client` with a `Timeout` of 5 s, `encoding/json`",
		madeUp: 100_000,
		open:   openPlain,
	},
}

type accessToken struct{ *introspection.Client }

func openAccessToken(_ context.Context, endpoint string, cacheFor time.Duration) (client, error) {
	c, err := introspection.NewClient(introspection.Config{
		Endpoint:     endpoint,
		ClientID:     clientID,
		ClientSecret: clientSecret,
		CacheFor:     cacheFor,
	})
	return accessToken{c}, err
}

func openUncached(ctx context.Context, endpoint string, _ time.Duration) (client, error) {
	return openAccessToken(ctx, endpoint, 0)
}

func (c accessToken) lookUp(ctx context.Context, token string) (bool, error) {
	response, err := c.Introspect(ctx, token)
	return response.Active, err
}

type zitadel struct{ rs.ResourceServer }

func openZitadel(ctx context.Context, endpoint string, _ time.Duration) (client, error) {
	server, err := rs.NewResourceServerClientCredentials(ctx, endpoint, clientID, clientSecret, rs.WithStaticEndpoints(endpoint, endpoint))
	return zitadel{server}, err
}

func (c zitadel) lookUp(ctx context.Context, token string) (bool, error) {
	response, err := rs.Introspect[*oidc.IntrospectionResponse](ctx, c.ResourceServer, token)
	if err != nil {
		return false, err
	}
	return response.Active, nil
}

// plain is a client as application programmers often write it by hand.
type plain struct {
	http     *http.Client
	endpoint string
}

func openPlain(_ context.Context, endpoint string, _ time.Duration) (client, error) {
	return plain{&http.Client{Timeout: 5 * time.Second}, endpoint}, nil
}

func (c plain) lookUp(ctx context.Context, token string) (bool, error) {
	form := url.Values{"token": {token}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(clientID, clientSecret)
	response, err := c.http.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("expected status 200, got %s", response.Status)
	}
	var answer struct {
		Active   bool   `json:"active"`
		Subject  string `json:"sub"`
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
		Audience string `json:"aud"`
		Expiry   int64  `json:"exp"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return false, err
	}
	return answer.Active, nil
}
