//go:build interop

package interop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
)

// Tokens that a real server has bound to a key pass with the proof of it, and are
// worth nothing to who has stolen them. The server demands nonces, so the Transport
// has answered it before there is a token at all.
func TestDPoP(t *testing.T) {
	s := startBinding(t)
	for _, client := range []string{"key-jwt", "key-opaque"} {
		t.Run(client, func(t *testing.T) {
			rs := s.serve(t, nil, accesstoken.ForwardedCertificate{})
			signer := newSigner(t)
			token := s.issue(t, client, &dpop.Transport{Origins: []string{s.issuer}, Signer: signer, Base: s.transport()})
			caught := &catcher{base: rs.Client().Transport}
			owner := carrying(token, signer, rs.URL, caught)
			for range 2 {
				rs.expect(t, owner, "/", nil, allowed())
			}
			stolen := caught.last
			thief := rs.Client().Transport
			rs.expect(t, thief, "/", stolen, invalid(accesstoken.DPoPProofReplayed))
			rs.expect(t, thief, "/other", stolen, invalid(accesstoken.DPoPProofInvalid))
			rs.expect(t, thief, "/", http.Header{"Authorization": {"DPoP " + token}}, invalid(accesstoken.DPoPProofInvalid))
			rs.expect(t, thief, "/", http.Header{"Authorization": {"Bearer " + token}}, invalid(accesstoken.BindingRequired))
			rs.expect(t, thief, "/", http.Header{"Authorization": {"Bearer " + token}, "Dpop": stolen["Dpop"]}, invalid(accesstoken.BindingRequired))
			rs.expect(t, carrying(token, newSigner(t), rs.URL, thief), "/", nil, invalid(accesstoken.BindingMismatch))
			another := s.issue(t, client, &dpop.Transport{Origins: []string{s.issuer}, Signer: signer, Base: s.transport()})
			rs.expect(t, thief, "/", http.Header{"Authorization": {"DPoP " + another}, "Dpop": stolen["Dpop"]}, invalid(accesstoken.DPoPProofInvalid))
			rs.expect(t, owner, "/", nil, allowed())
		})
		t.Run(client+", with nonces", func(t *testing.T) {
			rs := s.serve(t, []byte(newSecret()), accesstoken.ForwardedCertificate{})
			signer := newSigner(t)
			token := s.issue(t, client, &dpop.Transport{Origins: []string{s.issuer}, Signer: signer, Base: s.transport()})
			fresh, err := signer.Sign(dpop.Proof{Method: http.MethodGet, URL: rs.URL, Token: token})
			if err != nil {
				t.Fatal(err)
			}
			rs.expect(t, rs.Client().Transport, "/", http.Header{"Authorization": {"DPoP " + token}, "Dpop": {fresh}}, invalid(accesstoken.DPoPNonceRequired))
			caught := &catcher{base: rs.Client().Transport}
			owner := carrying(token, signer, rs.URL, caught)
			for range 2 {
				rs.expect(t, owner, "/", nil, allowed())
			}
			if caught.requests != 3 {
				t.Errorf("got %d requests; want two, and one of them again", caught.requests)
			}
		})
	}
}

func newSigner(t *testing.T) *dpop.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// carrying sends a token with proofs.
func carrying(token string, signer *dpop.Signer, url string, base http.RoundTripper) http.RoundTripper {
	return &dpop.Transport{
		Origins: []string{url},
		Signer:  signer,
		Token:   func(context.Context) (string, error) { return token, nil },
		Base:    base,
	}
}

// A catcher has the header fields of the last request.
type catcher struct {
	base     http.RoundTripper
	requests int
	last     http.Header
}

func (c *catcher) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests++
	c.last = r.Header.Clone()
	return c.base.RoundTrip(r)
}
