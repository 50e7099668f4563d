package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
)

// A client holds a token that is bound to its key.
type client struct {
	*http.Client
	token string
	wire  *wire
}

func newClient(as *accesstokentest.Server, url string) (*client, error) {
	signer, err := newSigner()
	if err != nil {
		return nil, err
	}
	// If a token request carries a proof, an authorization server binds the token to the proof's key like this.
	token := as.Token(accesstokentest.Claims{"cnf": map[string]any{"jkt": signer.Thumbprint()}})
	wire := &wire{}
	return &client{&http.Client{Transport: newTransport(url, signer, token, wire)}, token, wire}, nil
}

func newTransport(url string, signer *dpop.Signer, token string, wire *wire) *dpop.Transport {
	return &dpop.Transport{
		Origins: []string{url},
		Signer:  signer,
		Token:   func(context.Context) (string, error) { return token, nil },
		Base:    wire,
	}
}

func newSigner() (*dpop.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return dpop.NewSigner(key)
}

// A wire counts the client's requests and keeps the header of the last one, which the
// thief can read.
type wire struct {
	requests int
	last     http.Header
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests++
	w.last = r.Header.Clone()
	return http.DefaultTransport.RoundTrip(r)
}

// tryAll sends all requests and prints each result. It returns an error if a result is
// not the expected one.
func (c *client) tryAll(ctx context.Context, out io.Writer, url string) error {
	signer, err := newSigner()
	if err != nil {
		return err
	}
	thiefWithKey := &http.Client{Transport: newTransport(url, signer, c.token, &wire{})}
	thief := &http.Client{Transport: http.DefaultTransport}
	defer thief.CloseIdleConnections() // all three clients share the transport
	trials := []struct {
		name   string
		by     *http.Client
		path   string
		header func() http.Header
		want   string
	}{
		{"the client: gets a nonce and retries with it", c.Client, "/hello", nil, "200"},
		{"the client: makes a new proof with the nonce", c.Client, "/hello", nil, "200"},
		{"the thief: replays the client's request", thief, "/hello", func() http.Header { return c.wire.last }, "401 invalid_dpop_proof"},
		{"the thief: replays the proof at another path", thief, "/secret", func() http.Header { return c.wire.last }, "401 invalid_dpop_proof"},
		{"the thief: sends the token without a proof", thief, "/hello", func() http.Header {
			return http.Header{"Authorization": {"DPoP " + c.token}}
		}, "401 invalid_dpop_proof"},
		{"the thief: sends the token as a bearer token", thief, "/hello", func() http.Header {
			return http.Header{"Authorization": {"Bearer " + c.token}}
		}, "401 invalid_token"},
		{"the thief: signs a proof with a different key", thiefWithKey, "/hello", nil, "401 invalid_token"},
		{"the client: is still served", c.Client, "/hello", nil, "200"},
	}
	var deviations []error
	for _, t := range trials {
		header := http.Header{}
		if t.header != nil {
			header = t.header()
		}
		got, err := get(ctx, t.by, url+t.path, header)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-46s %s\n", t.name, got)
		if got != t.want {
			deviations = append(deviations, fmt.Errorf("%s: got %s; want %s", t.name, got, t.want))
		}
	}
	if c.wire.requests != 4 {
		deviations = append(deviations, fmt.Errorf("the client sent %d requests; want 4: three requests and one retry", c.wire.requests))
	}
	return errors.Join(deviations...)
}

// get sends a request and returns the response's status, followed by the error in its
// first WWW-Authenticate line, if any.
func get(ctx context.Context, by *http.Client, url string, header http.Header) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	r.Header = header
	response, err := by.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(response.Header.Get("WWW-Authenticate"), `error="`)
	name, _, _ := strings.Cut(rest, `"`)
	return strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", name)), nil
}
