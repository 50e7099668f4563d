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

// A client has a key, and a token that is bound to it.
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
	// An authorization server does so when the request for the token has a proof.
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

// A wire is where the thief listens.
type wire struct {
	requests int
	last     http.Header
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests++
	w.last = r.Header.Clone()
	return http.DefaultTransport.RoundTrip(r)
}

// tryAll prints what comes of each request, and returns an error if that is not what
// has to.
func (c *client) tryAll(ctx context.Context, out io.Writer, url string) error {
	signer, err := newSigner()
	if err != nil {
		return err
	}
	robber := &http.Client{Transport: newTransport(url, signer, c.token, &wire{})}
	thief := &http.Client{Transport: http.DefaultTransport}
	defer thief.CloseIdleConnections() // of everybody
	trials := []struct {
		name   string
		by     *http.Client
		path   string
		header func() http.Header
		want   string
	}{
		{"the client: asked for a nonce, it tries again", c.Client, "/hello", nil, "200"},
		{"the client: with the nonce, and a new proof", c.Client, "/hello", nil, "200"},
		{"the thief: what the client sent, again", thief, "/hello", func() http.Header { return c.wire.last }, "401 invalid_dpop_proof"},
		{"the thief: the same for another path", thief, "/secret", func() http.Header { return c.wire.last }, "401 invalid_dpop_proof"},
		{"the thief: the token without a proof", thief, "/hello", func() http.Header {
			return http.Header{"Authorization": {"DPoP " + c.token}}
		}, "401 invalid_dpop_proof"},
		{"the thief: as a bearer token", thief, "/hello", func() http.Header {
			return http.Header{"Authorization": {"Bearer " + c.token}}
		}, "401 invalid_token"},
		{"the thief: with a proof by another key", robber, "/hello", nil, "401 invalid_token"},
		{"the client: is served as before", c.Client, "/hello", nil, "200"},
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
		deviations = append(deviations, fmt.Errorf("the client sent %d requests; want three, and one of them again", c.wire.requests))
	}
	return errors.Join(deviations...)
}

// get returns the status, and the first error that a challenge names.
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
