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
// Nothing is cached: a revoked token is refused from the next call on. Only who
// asks about a token while a call about it is under way shares its answer.
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
	"slices"
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

// A Client asks one endpoint. It is safe for concurrent use, and owns no
// goroutine beyond the calls under way.
type Client struct {
	endpoint         string
	timeout          time.Duration
	requireTokenType bool
	authenticate     func(http.Header, url.Values) // holds the secret where no fmt verb finds it
	fetch            *fetch.Client
	calls            *calls
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
	if config.Timeout == 0 {
		config.Timeout = fetch.DefaultTimeout
	}
	return &Client{
		endpoint:         config.Endpoint,
		timeout:          config.Timeout,
		requireTokenType: config.RequireTokenType,
		authenticate:     config.authentication(),
		fetch:            fetch.New(config.HTTPClient),
		calls:            newCalls(),
	}, nil
}

// String names the endpoint, and keeps the secret.
func (c *Client) String() string {
	return "introspection.Client(" + fetch.Redact(c.endpoint) + ")"
}

// Format prints what String returns, under every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Introspect asks whether a token is active and what it stands for. An inactive
// token is no error: the Response says so, and nothing else. An error that is
// neither [ErrClientRefused] nor [ErrTokenType] means that nothing is known of
// the token; if the endpoint said when to come back, the error has a method
// RetryAfter() time.Duration. No error contains the token or the secret.
//
// Who asks about one token at the same time shares one call. It goes on when one
// of them leaves, and ends with the last; at most 64 calls are under way at once.
func (c *Client) Introspect(ctx context.Context, token string) (Response, error) {
	if err := ctx.Err(); err != nil { // nobody waits for the answer: the token stays here
		return Response{}, fmt.Errorf("introspection: %w", err)
	}
	response, err := c.calls.do(ctx, token, c.timeout, func(ctx context.Context) (Response, error) {
		return c.ask(ctx, token)
	})
	if err != nil && ctx.Err() != nil {
		return Response{}, fmt.Errorf("introspection: %w", ctx.Err())
	}
	return response, err
}

// ask makes the call.
func (c *Client) ask(ctx context.Context, token string) (Response, error) {
	request := c.request(token)
	answer, err := c.fetch.Do(ctx, request)
	switch {
	case refusesClient(answer):
		return Response{}, ErrClientRefused
	case answer.Status != 0 && answer.Status != http.StatusOK: // whatever became of its body
		return Response{}, fmt.Errorf("introspection: %w", request.StatusError(answer))
	case err != nil && ctx.Err() != nil:
		return Response{}, fmt.Errorf("introspection: %s: no answer within %v", fetch.Redact(c.endpoint), c.timeout)
	case err != nil:
		return Response{}, fmt.Errorf("introspection: %w", err)
	}
	response, err := read(answer)
	if err != nil {
		return Response{}, fmt.Errorf("introspection: %s: %w", fetch.Redact(c.endpoint), err)
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
	c.authenticate(header, form)
	return fetch.Request{URL: c.endpoint, Header: header, Form: form, Timeout: c.timeout, MaxBytes: maxAnswer}
}

// authentication is how the client shows who it is (RFC 6749 §2.3.1).
func (c Config) authentication() func(http.Header, url.Values) {
	id, secret := c.ClientID, c.ClientSecret
	if c.AuthMethod == ClientSecretPost {
		return func(_ http.Header, form url.Values) {
			form.Set("client_id", id)
			form.Set("client_secret", secret)
		}
	}
	return func(header http.Header, _ url.Values) { header.Set("Authorization", basic(id, secret)) }
}

// basic form-encodes id and secret before it joins them (RFC 6749 §2.3.1), so
// that a colon in one of them does not move the border.
func basic(id, secret string) string {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// refusesClient finds out whether it is us whom the endpoint refuses: by 401 or
// 403 (RFC 7662 §2.3), or by invalid_client, which some send with a 400 (RFC
// 6749 §5.2).
func refusesClient(answer fetch.Response) bool {
	switch answer.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return true
	case http.StatusBadRequest:
		code := errorCode(answer.Body)
		return code == "invalid_client" || code == "unauthorized_client"
	}
	return false
}

func errorCode(body []byte) (code string) {
	_ = jose.Object(body, func(name, value []byte) error {
		if string(name) == "error" {
			code, _ = jose.String(value)
		}
		return nil
	})
	return code
}

// isAccessToken judges token_type (RFC 7662 §2.2). The names of RFC 8693 §3 are
// accepted beside those of RFC 6749 §7.1.
func (c *Client) isAccessToken(tokenType string) bool {
	switch strings.ToLower(tokenType) {
	case "":
		return !c.requireTokenType
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
	Active    bool       // active
	Scope     scopes.Set // scope
	ClientID  string     // client_id
	TokenType string     // token_type: Bearer, DPoP
	Expiry    time.Time  // exp
	IssuedAt  time.Time  // iat
	NotBefore time.Time  // nbf
	Subject   string     // sub
	Audience  []string   // aud: one string or several
	Issuer    string     // iss
	ID        string     // jti

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

// clone keeps those who share an answer from sharing its memory.
func (r Response) clone() Response {
	r.Audience, r.Raw = slices.Clone(r.Audience), slices.Clone(r.Raw)
	return r
}

func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}
