package dpop

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// A Signer makes proofs with a client's key. It is safe for concurrent use if the key
// is, as the standard library's keys are.
type Signer struct {
	thumbprint string
	header     string // encoded
	sign       func(input string) ([]byte, error)
}

// A Proof holds the values that go into a proof.
type Proof struct {
	_ [0]func()

	Method string // of the request
	URL    string // of the request; its query and fragment are left out
	Token  string // the access token that is sent along; "" for an authorization server
	Nonce  string // the last nonce from the server; "" if the server sent none
}

// proofHeader is the header of a proof (RFC 9449 §4.2).
type proofHeader struct {
	Type      string          `json:"typ"`
	Algorithm string          `json:"alg"`
	Key       json.RawMessage `json:"jwk"`
}

// proofClaims are the claims of a proof (RFC 9449 §4.2).
type proofClaims struct {
	ID        string `json:"jti"`
	Method    string `json:"htm"`
	URL       string `json:"htu"`
	IssuedAt  int64  `json:"iat"`
	TokenHash string `json:"ath,omitempty"`
	Nonce     string `json:"nonce,omitempty"`
}

// signerAlgorithms are the algorithms of a Signer, which uses the first that fits its
// key.
var signerAlgorithms = []string{"ES256", "ES384", "ES512", "EdDSA", "PS256"}

// NewSigner returns a Signer for an RSA, P-256, P-384, P-521 or Ed25519 key, in
// memory or behind a key service. It signs with PS256, ES256, ES384, ES512 or EdDSA,
// respectively.
func NewSigner(key crypto.Signer) (*Signer, error) {
	public := publicKey(key)
	jwk, err := jose.WriteJWK(public)
	if err != nil {
		return nil, fmt.Errorf("dpop: the key cannot sign proofs: %w", err)
	}
	thumbprint, err := Thumbprint(public)
	if err != nil {
		return nil, err
	}
	for _, algorithm := range signerAlgorithms {
		if jose.Fits(algorithm, public) {
			header := part(proofHeader{proofType, algorithm, json.RawMessage(jwk)})
			sign := func(input string) ([]byte, error) { return jose.Sign(key, algorithm, input) }
			return &Signer{thumbprint, header, sign}, nil
		}
	}
	return nil, errors.New("dpop: the key cannot sign proofs: expected an RSA, P-256, P-384, P-521 or Ed25519 key")
}

// publicKey returns nil if the key is unusable. For example, a nil *rsa.PrivateKey is
// a crypto.Signer whose Public method panics.
func publicKey(key crypto.Signer) (public crypto.PublicKey) {
	defer func() {
		if recover() != nil {
			public = nil
		}
	}()
	return key.Public()
}

// Thumbprint returns the jkt of tokens that are bound to the key.
func (s *Signer) Thumbprint() string { return s.thumbprint }

// Sign returns a new proof. Each request needs its own proof, and so does each retry.
func (s *Signer) Sign(p Proof) (string, error) {
	if p.Method == "" {
		return "", errors.New("dpop: Proof.Method is empty; expected the method of the request")
	}
	if _, err := normalize(p.URL); err != nil {
		return "", fmt.Errorf("dpop: Proof.URL: %w", err)
	}
	claims := proofClaims{
		ID:       rand.Text(), // at least 128 bits
		Method:   p.Method,
		URL:      target(p.URL),
		IssuedAt: time.Now().Unix(),
		Nonce:    p.Nonce,
	}
	if p.Token != "" {
		claims.TokenHash = hashOf(p.Token)
	}
	input := s.header + "." + part(claims)
	signature, err := s.sign(input)
	if err != nil {
		return "", fmt.Errorf("dpop: the key could not sign the proof: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// target returns the URL for the htu. The URL is not normalised, because some servers
// compare the htu as a text. An empty path becomes /, because the request will have
// that path.
func target(url string) string {
	if end := strings.IndexAny(url, "?#"); end >= 0 {
		url = url[:end]
	}
	if _, authority, _ := strings.Cut(url, "://"); !strings.Contains(authority, "/") {
		url += "/"
	}
	return url
}

// part encodes one part of a JWS. Marshalling these structs cannot fail.
func part(v any) string {
	text, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(text)
}

// hashOf returns the ath of a token (RFC 9449 §4.2).
func hashOf(token string) string {
	digest := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// Thumbprint returns the SHA-256 thumbprint of a public key (RFC 7638), in the form
// of cnf.jkt.
func Thumbprint(key crypto.PublicKey) (string, error) {
	thumbprint, err := jose.Thumbprint(key)
	if err != nil {
		return "", fmt.Errorf("dpop: the key has no thumbprint: %w", err)
	}
	return thumbprint, nil
}
