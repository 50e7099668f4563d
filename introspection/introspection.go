// Package introspection asks an authorization server about opaque tokens: an
// RFC 7662 client for one issuer.
//
//	client, err := introspection.NewClient(introspection.Config{
//		Endpoint:     "https://login.example.com/introspect",
//		ClientID:     "api",
//		ClientSecret: secret,
//	})
//
// Set it as an issuer's Introspection, and the validator asks it about the
// tokens of that issuer that are no JWTs. It can also be used alone.
//
// Every answer is asked for anew: nothing is cached, so a revoked token is
// refused from the next request on.
package introspection

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/scopes"
)

// The errors of [Client.Introspect] that are not a matter of trying again. All
// others mean that the endpoint gave no usable answer: validity is unknown.
var (
	// ErrClientRefused: the endpoint refuses our own credentials (RFC 7662
	// §2.3). It says nothing about the token, and somebody has to look at it.
	ErrClientRefused = errors.New("introspection: the endpoint refuses this client; check ClientID, ClientSecret and AuthMethod")

	// ErrTokenType: the token is active, and is no access token (RFC 7662 §2.1
	// lets a refresh token be introspected as well).
	ErrTokenType = errors.New("introspection: the token is active, but it is not an access token")
)

// maxAnswer bounds an answer's size in bytes.
const maxAnswer = 64 << 10

// An AuthMethod is how the client authenticates itself, by its name in the
// registry of RFC 7591 §4.2.
type AuthMethod string

// The methods.
const (
	ClientSecretBasic AuthMethod = "client_secret_basic" // the default
	ClientSecretPost  AuthMethod = "client_secret_post"
)

// Config says whom to ask, and as whom. Endpoint, ClientID and ClientSecret
// have to be set.
type Config struct {
	_ [0]func()

	// Endpoint is the introspection endpoint: an https URL, or http on a
	// loopback host.
	Endpoint string

	// ClientID and ClientSecret are the resource server's own credentials.
	ClientID     string
	ClientSecret string

	// AuthMethod says how they are sent; zero is ClientSecretBasic.
	AuthMethod AuthMethod

	// Timeout bounds one call, from dialing to the last byte; zero is 5 s.
	Timeout time.Duration

	// RequireTokenType refuses an active answer that has no token_type: some
	// servers leave it out for refresh tokens, and send it for access tokens.
	RequireTokenType bool

	// HTTPClient makes the calls; nil is a client of our own. It is copied, and
	// the copy follows no redirects: the body holds a live token and our secret.
	HTTPClient *http.Client

	// DangerouslyAllowHTTP accepts a plain http Endpoint on any host.
	DangerouslyAllowHTTP bool
}

// A Client asks one endpoint. It is safe for concurrent use and owns no
// goroutine.
type Client struct {
	config Config
	fetch  *fetch.Client
}

// NewClient checks the Config and makes a Client, without any I/O. The error
// reports every fault at once, one to a line.
func NewClient(config Config) (*Client, error) {
	if config.AuthMethod == "" {
		config.AuthMethod = ClientSecretBasic
	}
	var faults []error
	if err := fetch.CheckURL(config.Endpoint, config.DangerouslyAllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("introspection: Endpoint: %w", err))
	}
	if config.ClientID == "" || config.ClientSecret == "" {
		faults = append(faults, errors.New("introspection: ClientID or ClientSecret is empty; the endpoint must know who asks (RFC 7662 §2.1)"))
	}
	if config.AuthMethod != ClientSecretBasic && config.AuthMethod != ClientSecretPost {
		faults = append(faults, fmt.Errorf("introspection: AuthMethod %q is not supported; use %s or %s", config.AuthMethod, ClientSecretBasic, ClientSecretPost))
	}
	if config.Timeout < 0 {
		faults = append(faults, fmt.Errorf("introspection: Timeout is %v; leave it zero for 5 s", config.Timeout))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return &Client{config: config, fetch: fetch.New(config.HTTPClient)}, nil
}

// String names the endpoint, and keeps the secret.
func (c *Client) String() string {
	return "introspection.Client(" + fetch.Redact(c.config.Endpoint) + ")"
}

// Format prints what String returns, under every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Introspect asks whether a token is active and what it stands for. An inactive
// token is no error: the Response says so, and nothing else. An error that is
// neither [ErrClientRefused] nor [ErrTokenType] means that nothing is known of
// the token; if the endpoint said when to come back, the error has a method
// RetryAfter() time.Duration. No error contains the token or the secret.
func (c *Client) Introspect(ctx context.Context, token string) (Response, error) {
	request := c.request(token)
	answer, err := c.fetch.Do(ctx, request)
	if err != nil {
		return Response{}, fmt.Errorf("introspection: %w", err)
	}
	if err := refusedClient(answer); err != nil {
		return Response{}, err
	}
	if answer.Status != http.StatusOK {
		return Response{}, fmt.Errorf("introspection: %w", request.StatusError(answer))
	}
	response, err := read(answer)
	if err != nil {
		return Response{}, fmt.Errorf("introspection: %s: %w", fetch.Redact(c.config.Endpoint), err)
	}
	if response.Active && !c.isAccessToken(response.TokenType) {
		return Response{}, ErrTokenType
	}
	return response, nil
}

// request is RFC 7662 §2.1: a form, sent by POST, that no log of URLs sees.
func (c *Client) request(token string) fetch.Request {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	header := http.Header{"Accept": {"application/json"}}
	if c.config.AuthMethod == ClientSecretPost {
		form.Set("client_id", c.config.ClientID)
		form.Set("client_secret", c.config.ClientSecret)
	} else {
		header.Set("Authorization", basic(c.config.ClientID, c.config.ClientSecret))
	}
	return fetch.Request{URL: c.config.Endpoint, Header: header, Form: form, Timeout: c.config.Timeout, MaxBytes: maxAnswer}
}

// basic form-encodes id and secret before it joins them (RFC 6749 §2.3.1), so
// that a colon in one of them does not move the border.
func basic(id, secret string) string {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// refusedClient finds out whether it is us whom the endpoint refuses: by 401 or
// 403 (RFC 7662 §2.3), or by invalid_client, which some send with a 400 (RFC
// 6749 §5.2).
func refusedClient(answer fetch.Response) error {
	if answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden {
		return ErrClientRefused
	}
	if answer.Status != http.StatusBadRequest {
		return nil
	}
	var code string
	_ = jose.Object(answer.Body, func(name, value []byte) error {
		if string(name) == "error" {
			code, _ = jose.String(value)
		}
		return nil
	})
	if code == "invalid_client" || code == "unauthorized_client" {
		return ErrClientRefused
	}
	return nil
}

// isAccessToken judges token_type (RFC 7662 §2.2). The names of RFC 8693 §3 are
// accepted beside those of RFC 6749 §7.1.
func (c *Client) isAccessToken(tokenType string) bool {
	switch strings.ToLower(tokenType) {
	case "":
		return !c.config.RequireTokenType
	case "bearer", "dpop", "access_token", "urn:ietf:params:oauth:token-type:access_token":
		return true
	}
	return false
}

// A Response is an introspection answer (RFC 7662 §2.2). If Active is false,
// everything else is zero. Members that the server left out are zero. Only
// their types are checked: whether the token is for you, and whether it has
// ended, is left to you (RFC 7662 §4).
type Response struct {
	Active    bool
	Scope     scopes.Set
	ClientID  string
	TokenType string
	Expiry    time.Time
	IssuedAt  time.Time
	NotBefore time.Time
	Subject   string
	Audience  []string
	Issuer    string
	ID        string

	// Raw is the answer as it came, for the members that have no field here.
	Raw json.RawMessage
}

// read takes nothing for an answer that does not say true or false.
func read(answer fetch.Response) (Response, error) {
	if !isJSON(answer.Header.Get("Content-Type")) {
		return Response{}, errors.New("the answer is not JSON by its Content-Type")
	}
	var active string
	err := jose.Object(answer.Body, func(name, value []byte) error {
		if string(name) == "active" {
			active = string(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return Response{}, err
	case active == "false":
		return Response{}, nil
	case active != "true":
		return Response{}, errors.New(`expected "active" to be true or false`)
	}
	return readActive(answer.Body)
}

func readActive(body []byte) (Response, error) {
	claims, err := jose.ReadClaims(body)
	switch {
	case err != nil:
		return Response{}, err
	case claims.Fault != "":
		return Response{}, fmt.Errorf("expected %q to have the type of RFC 7662 §2.2", claims.Fault)
	case claims.ScopeList != nil:
		return Response{}, errors.New(`expected "scope" to be a string`)
	}
	return Response{
		Active:    true,
		Scope:     scopes.Parse(claims.Scope),
		ClientID:  claims.ClientID,
		TokenType: claims.TokenType,
		Expiry:    claims.Expiry,
		IssuedAt:  claims.IssuedAt,
		NotBefore: claims.NotBefore,
		Subject:   claims.Subject,
		Audience:  claims.Audience,
		Issuer:    claims.Issuer,
		ID:        claims.ID,
		Raw:       body,
	}, nil
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}
