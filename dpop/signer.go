package dpop

import "crypto"

// A Signer makes proofs with a client's key. It is as safe for concurrent use as
// the key is; those of the standard library are.
type Signer struct{ thumbprint string }

// A Proof is what a proof says.
type Proof struct {
	_ [0]func()

	Method string // of the request
	URL    string // of the request; its query and fragment are left out
	Token  string // the access token that goes with it; "" at an authorization server
	Nonce  string // the last one that the server gave; "" if it gave none
}

// NewSigner returns a Signer for a key of RSA, P-256, P-384, P-521 or Ed25519, in
// memory or behind a key service. It signs with PS256, ES256, ES384, ES512 or EdDSA.
func NewSigner(key crypto.Signer) (*Signer, error) { return &Signer{}, nil }

// Thumbprint returns what the jkt of a token bound to the key is.
func (s *Signer) Thumbprint() string { return s.thumbprint }

// Sign returns a new proof.
func (s *Signer) Sign(p Proof) (string, error) { return "", nil }

// Thumbprint returns the SHA-256 thumbprint of a public key (RFC 7638).
func Thumbprint(key crypto.PublicKey) (string, error) { return "", nil }
