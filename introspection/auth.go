package introspection

import (
	"encoding/base64"
	"net/http"
	"net/url"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

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
