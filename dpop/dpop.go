package dpop

import (
	"context"
	"errors"
	"slices"
	"time"
)

// The kinds of refusal; every error of [Verifier.Verify] matches exactly one of
// them. No text of theirs has a part of the token, the proof or a key in it.
var (
	// ErrProof: the proof is missing, there are two, it is malformed, or it is for
	// another request, token or time.
	ErrProof = errors.New("dpop: the proof is not one for this request")

	// ErrKey: the proof's key is not the one that the token is bound to.
	ErrKey = errors.New("dpop: the proof is by another key than the one that the token is bound to")

	// ErrReplayed: a proof of this key, URL and jti was used before.
	ErrReplayed = errors.New("dpop: the proof was used before")

	// ErrNonce: the proof has no nonce, or not one that is good now. The client is
	// to be given one, from [Verifier.Nonce], and asked to try again.
	ErrNonce = errors.New("dpop: the proof needs a nonce that is good now")

	// ErrStore: it could not be found out whether the proof was used before. The
	// Store's error, or the context's, is inside.
	ErrStore = errors.New("dpop: it is not known whether the proof was used before")
)

// A Request is what a proof is held against.
type Request struct {
	_ [0]func()

	// Method is the method of the HTTP request, as it came.
	Method string

	// Path is the path of the request line, percent-encoded as it came, without
	// the query: what [net/url.URL.EscapedPath] returns.
	Path string

	// Proofs are the lines of the DPoP header field.
	Proofs []string

	// Token is the access token as it came.
	Token string

	// Thumbprint is the jkt of the token's cnf (RFC 9449 §6.1).
	Thumbprint string
}

// A Verifier verifies proofs. It is safe for concurrent use, and owns no goroutine.
type Verifier struct {
	algorithms []string
	now        func() time.Time
}

// NewVerifier returns a Verifier, or an error that reports every fault of the
// Config, one per line.
func NewVerifier(config Config) (*Verifier, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	return &Verifier{algorithms: config.Algorithms, now: config.Now}, nil
}

// Algorithms returns the accepted alg values, for the algs of a challenge (§7.1).
func (v *Verifier) Algorithms() []string { return slices.Clone(v.algorithms) }

// Nonce returns a nonce that is good now, for the DPoP-Nonce header field (§8); ""
// if none are demanded.
func (v *Verifier) Nonce() string { return "" }

// Verify returns nil for a proof that was made for this request, this token and the
// token's key, that is of this time, and that was not used before. It uses the proof
// up: a second call with the same one returns [ErrReplayed].
func (v *Verifier) Verify(ctx context.Context, r Request) error { return ErrProof }
