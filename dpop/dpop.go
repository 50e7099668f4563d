package dpop

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/tokencache"
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
	bases      []string // Config.URLs, normalised
	algorithms []string
	maxAge     time.Duration
	leeway     time.Duration
	behind     time.Duration // how far another instance's clock may be behind
	store      Store
	nonces     *nonces           // nil: none are demanded
	signers    *tokencache.Cache // by their header
	now        func() time.Time
}

// NewVerifier returns a Verifier, or an error that reports every fault of the
// Config, one per line.
func NewVerifier(config Config) (*Verifier, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	v := &Verifier{
		algorithms: config.Algorithms,
		maxAge:     config.MaxAge,
		leeway:     config.Leeway,
		store:      config.Store,
		nonces:     newNonces(config.NonceKey, config.NonceLifetime),
		signers:    tokencache.New(signerBytes),
		now:        config.Now,
	}
	for _, url := range config.URLs {
		base, err := newBase(url)
		if err != nil {
			return nil, err
		}
		v.bases = append(v.bases, base)
	}
	v.behind = v.leeway
	if v.nonces != nil {
		v.behind = max(v.leeway, slotsAfter*v.nonces.slot)
	}
	return v, nil
}

// Algorithms returns the accepted alg values, for the algs of a challenge (§7.1).
func (v *Verifier) Algorithms() []string { return slices.Clone(v.algorithms) }

// Nonce returns a nonce that is good now, for the DPoP-Nonce header field (§8); ""
// if none are demanded.
func (v *Verifier) Nonce() string {
	if v.nonces == nil {
		return ""
	}
	return v.nonces.current(v.now())
}

// Verify returns nil for a proof that was made for this request, this token and the
// token's key, that is of this time, and that was not used before. It uses the proof
// up: a second call with the same one returns [ErrReplayed].
func (v *Verifier) Verify(ctx context.Context, r Request) error {
	p, err := v.open(r.Proofs)
	if err != nil {
		return err
	}
	if !equal(p.thumbprint, r.Thumbprint) {
		return ErrKey // before the signature: it tells nothing, and costs less
	}
	if err := p.readClaims(); err != nil {
		return err
	}
	use := Use{Client: p.client, Now: v.now()}
	if use.Key, err = v.fits(&p, r); err != nil {
		return err
	}
	if use.Until, err = v.end(&p.claims, use.Now); err != nil {
		return err
	}
	if err := p.verify(); err != nil {
		return err
	}
	v.remember(&p)
	return v.use(ctx, use) // last: who cannot sign fills nothing
}

// fits holds the claims against the request, and returns the key under which the
// use of the proof is remembered.
func (v *Verifier) fits(p *proof, r Request) (key [32]byte, err error) {
	if p.method != r.Method {
		return key, errMethod
	}
	url, ok := v.find(p.url, r.Path)
	if !ok {
		return key, errTarget
	}
	if r.Token == "" || !isHash(p.tokenHash, r.Token) {
		return key, errHash
	}
	return keyOf(p.thumbprint, url, p.id), nil
}

// end tells how long the use of a proof has to be remembered, if it is one of now.
// It is as long as the proof could be accepted, and the leeway more for an instance
// whose clock is behind, and a second for what a Store rounds.
func (v *Verifier) end(c *claims, now time.Time) (end time.Time, err error) {
	end, err = v.endOfAge(c, now)
	switch {
	case err != nil:
		return end, err
	case c.notBefore.After(now.Add(v.leeway)):
		return end, errTime
	case c.expiry.IsZero():
		return end.Add(v.behind + time.Second), nil
	}
	expiry := c.expiry.Add(v.leeway)
	if !now.Before(expiry) {
		return end, errTime
	}
	if expiry.Before(end) {
		end = expiry
	}
	return end.Add(v.behind + time.Second), nil
}

// endOfAge lets the nonce, where one is demanded, take the place of iat: the time in
// it is by our own clock (RFC 9449 §11.1).
func (v *Verifier) endOfAge(c *claims, now time.Time) (end time.Time, err error) {
	if v.nonces != nil {
		end, ok := v.nonces.end(c.nonce, now)
		if !ok {
			return end, ErrNonce
		}
		return end, nil
	}
	end = c.issuedAt.Add(v.maxAge)
	if now.After(end) || c.issuedAt.After(now.Add(v.leeway)) {
		return end, errTime
	}
	return end, nil
}

// keyOf is the same for what means the same: the URL is the normalised htu, not the
// one of Config.URLs that was found, of which two can be right when a prefix of one
// is the beginning of a path under another. Neither of the first two has a NUL in it.
func keyOf(thumbprint, url, id string) [32]byte {
	var room [1024]byte
	text := append(room[:0], thumbprint...)
	text = append(append(text, 0), url...)
	text = append(append(text, 0), id...)
	return sha256.Sum256(text)
}

// isHash compares with the ath of a token in its one spelling (RFC 9449 §4.2).
func isHash(hash, token string) bool {
	var want [43]byte
	digest := tokencache.KeyOf(token) // SHA-256, without a copy of the token
	base64.RawURLEncoding.Encode(want[:], digest[:])
	return subtle.ConstantTimeCompare([]byte(hash), want[:]) == 1
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
