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
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
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
	config = config.withDefaults()
	if err := config.check(); err != nil {
		return nil, err
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
