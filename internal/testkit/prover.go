package testkit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
)

// A Prover is a client with a key, and with a token that is bound to that key.
type Prover struct {
	signer   *dpop.Signer
	verifier *dpop.Verifier
	token    string
}

// NewProver makes a Prover, and a verifier that demands nonces.
func NewProver(t testing.TB, as *accesstokentest.Server, scope string) *Prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{Resource}, NonceKey: bytes.Repeat([]byte("k"), 32)})
	if err != nil {
		t.Fatal(err)
	}
	token := as.Token(accesstokentest.Claims{"scope": scope, "cnf": map[string]any{"jkt": signer.Thumbprint()}})
	return &Prover{signer, verifier, token}
}

// Config changes the Config of NewValidator so that proofs are verified.
func (p *Prover) Config(config *accesstoken.Config) { config.DPoP = p.verifier }

// Fields returns the header fields of a GET of / with a new proof: names and values in
// turn.
func (p *Prover) Fields(t testing.TB, nonce string) []string {
	t.Helper()
	proof, err := p.signer.Sign(dpop.Proof{Method: http.MethodGet, URL: Resource + "/", Token: p.token, Nonce: nonce})
	if err != nil {
		t.Fatal(err)
	}
	return []string{"Authorization", "DPoP " + p.token, "DPoP", proof}
}

// Nonce returns a nonce that the verifier accepts now.
func (p *Prover) Nonce() string { return p.verifier.Nonce() }
