package introspection

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/accesstoken/accesstoken/internal/challenge"
	"github.com/accesstoken/accesstoken/internal/fetch"
)

// request makes the request of RFC 7662 §2.1. The request is a form sent by POST, so the
// token is not in the URL, which servers log. Sending the form twice does no harm (RFC
// 9110 §9.2.2), but Again authenticates anew, because a client assertion can be used only
// once.
func (c *Client) request(ctx context.Context, token string) (fetch.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	header := http.Header{"Accept": {c.accept()}}
	if err := c.authenticate(ctx, header, form); err != nil {
		return fetch.Request{}, err
	}
	return fetch.Request{URL: c.endpoint, Header: header, Form: form, Timeout: c.timeout, MaxBytes: maxAnswer,
		Again: func(ctx context.Context) (fetch.Request, error) { return c.request(ctx, token) }}, nil
}

// An authenticator adds the client's credential to a request. It is a function
// because no fmt verb prints the secret that a function holds.
type authenticator func(ctx context.Context, header http.Header, form url.Values) error

// authentication expects a checked Config. The secret may be nil if the method uses none.
func (c Config) authentication(secret *clientSecret) authenticator {
	switch c.AuthMethod {
	case ClientSecretPost:
		return secretPost(c.ClientID, secret)
	case ClientSecretJWT, PrivateKeyJWT:
		return c.assertion(secret)
	case TLSClientAuth, SelfSignedTLSClientAuth:
		return idOnly(c.ClientID)
	case Bearer:
		return bearer(c.Timeout, c.BearerToken)
	}
	return secretBasic(c.ClientID, secret)
}

func secretPost(id string, secret *clientSecret) authenticator {
	return func(ctx context.Context, _ http.Header, form url.Values) error {
		value, err := secret.get(ctx)
		if err != nil {
			return err
		}
		form.Set("client_id", id)
		form.Set("client_secret", value)
		return nil
	}
}

func secretBasic(id string, secret *clientSecret) authenticator {
	return func(ctx context.Context, header http.Header, _ url.Values) error {
		value, err := secret.get(ctx)
		if err != nil {
			return err
		}
		header.Set("Authorization", basic(id, value))
		return nil
	}
}

// basic form-encodes id and secret before it joins them with a colon (RFC 6749 §2.3.1),
// so an id that contains a colon cannot be split in the wrong place. For example, the id
// "a:b" becomes "a%3Ab".
func basic(id, secret string) string {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// idOnly sends the client_id that belongs to the connection's certificate (RFC 8705 §2).
func idOnly(id string) authenticator {
	return func(_ context.Context, _ http.Header, form url.Values) error {
		form.Set("client_id", id)
		return nil
	}
}

var errBearerToken = errors.New("BearerToken returned a value that is not a bearer token (RFC 6750 §2.1)")

// bearer authorizes the call with an access token of the resource server's own (RFC 7662
// §2.1).
func bearer(timeout time.Duration, source func(context.Context) (string, error)) authenticator {
	tokens := newCallback("BearerToken", timeout, source)
	return func(ctx context.Context, header http.Header, _ url.Values) error {
		token, err := tokens.run(ctx)
		switch {
		case err != nil:
			return err
		case !challenge.IsToken68(token): // for example, a line break would inject a header field
			return errBearerToken
		}
		header.Set("Authorization", "Bearer "+token)
		return nil
	}
}
