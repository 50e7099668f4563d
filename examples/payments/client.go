package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

var (
	rent   = order{"950.00", "EUR", "DE02120300000000202051"}
	higher = order{"9500.00", "EUR", "DE02120300000000202051"}
	other  = order{"950.00", "EUR", "DE02500105170137075030"}
)

// A client orders payments, and knows nothing of authorization_details.
type client struct {
	url   string
	token func(details any) string // asks the authorization server, and there alice, for a token with the details
}

// orderAll sends all orders and prints each result. It returns an error if a result is not
// the expected one.
func orderAll(ctx context.Context, out io.Writer, as *accesstokentest.Server, url string) error {
	defer http.DefaultClient.CloseIdleConnections()
	var deviations []error
	for _, kind := range []struct {
		name  string
		issue func(accesstokentest.Claims) string
	}{{"JWT", as.Token}, {"opaque", as.Opaque}} {
		c := &client{url: url, token: func(details any) string { return kind.issue(accesstokentest.Claims{"authorization_details": details}) }}
		expect := func(name string, token string, sent order, want string) (next string) {
			got, details, err := c.order(ctx, token, sent)
			if err != nil || got != want {
				deviations = append(deviations, fmt.Errorf("%s: %s: got %s, %v; want %s", kind.name, name, got, err, want))
			}
			fmt.Fprintf(out, "%-7s %-44s %s\n", kind.name, name, got)
			return c.token(details)
		}
		const insufficient = "401 insufficient_authorization"
		first := expect("a token without details", c.token([]any{}), rent, insufficient)
		second := expect("with what the policy has asked for", first, rent, insufficient)
		expect("with what the handler has asked for", second, rent, "201")
		expect("the same token, for a higher amount", second, higher, insufficient)
		next := expect("the same token, for another creditor", second, other, insufficient)
		expect("with what the handler has asked for", next, other, "201")
		expect("that token, for the first creditor", next, rent, insufficient)
	}
	return errors.Join(deviations...)
}

// order sends an order. It returns the status, with the error of the challenge, and the
// details that the next token should have.
func (c *client) order(ctx context.Context, token string, sent order) (status string, details json.RawMessage, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(encode(sent)))
	if err != nil {
		return "", nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", nil, err
	}
	challenge := response.Header.Get("WWW-Authenticate")
	var remediation struct {
		Details json.RawMessage `json:"authorization_details"`
	}
	if text := param(challenge, "authorization_remediation"); text != "" {
		decoded, err := base64.RawURLEncoding.DecodeString(text)
		if err == nil {
			err = json.Unmarshal(decoded, &remediation)
		}
		if err != nil {
			return "", nil, err
		}
	}
	if remediation.Details == nil {
		remediation.Details = json.RawMessage("[]")
	}
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", param(challenge, "error"))), remediation.Details, nil
}

// param returns a parameter of a challenge.
func param(challenge, name string) string {
	_, rest, _ := strings.Cut(challenge, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func encode(o order) []byte {
	text, _ := json.Marshal(o) // texts can always be written
	return text
}
