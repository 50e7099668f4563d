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

// request is RFC 7662 §2.1: a form, sent by POST, that no log of URLs sees. To ask twice
// does no harm (RFC 9110 §9.2.2), but what shows who we are may be good for one time.
func (c *Client) request(ctx context.Context, token string) (fetch.Request, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	header := http.Header{"Accept": {c.accept()}}
	if err := c.authenticate(ctx, header, form); err != nil {
		return fetch.Request{}, err
	}
	return fetch.Request{URL: c.endpoint, Header: header, Form: form, Timeout: c.timeout, MaxBytes: maxAnswer,
		Again: func(ctx context.Context) (fetch.Request, error) { return c.request(ctx, token) }}, nil
}

// An authenticator adds to a request what shows who the client is. It is a
// function because no fmt verb finds the secret in one.
type authenticator func(ctx context.Context, header http.Header, form url.Values) error

// authentication expects a Config that was checked. The secret may be nil for methods
// that have none.
func (c Config) authentication(secret *clientSecret) authenticator {
	switch c.AuthMethod {
	case ClientSecretPost:
		return secretPost(c.ClientID, secret)
	case ClientSecretJWT, PrivateKeyJWT:
		return c.assertion(secret)
	case TLSClientAuth, SelfSignedTLSClientAuth:
		return idAlone(c.ClientID)
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

// basic form-encodes id and secret before it joins them (RFC 6749 §2.3.1), so
// that a colon in one of them does not move the border.
func basic(id, secret string) string {
	pair := url.QueryEscape(id) + ":" + url.QueryEscape(secret)
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

// idAlone says whose certificate it is that the connection has (RFC 8705 §2).
func idAlone(id string) authenticator {
	return func(_ context.Context, _ http.Header, form url.Values) error {
		form.Set("client_id", id)
		return nil
	}
}

var errBearerToken = errors.New("BearerToken returned something that is no bearer token (RFC 6750 §2.1)")

// bearer authorizes the call by an access token of our own (RFC 7662 §2.1).
func bearer(timeout time.Duration, source func(context.Context) (string, error)) authenticator {
	tokens := newOutsider("BearerToken", timeout, source)
	return func(ctx context.Context, header http.Header, _ url.Values) error {
		token, err := tokens.ask(ctx)
		switch {
		case err != nil:
			return err
		case !challenge.IsToken68(token): // a line break would begin another field
			return errBearerToken
		}
		header.Set("Authorization", "Bearer "+token)
		return nil
	}
}
