package dpop

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/accesstoken/accesstoken/internal/dryrun"
	"github.com/accesstoken/accesstoken/internal/tokencache"
)

// The kinds of refusal. Every error of [Verifier.Verify] matches exactly one of them.
// The texts quote no part of the token, the proof or a key, unless an error of the
// Store does.
var (
	// ErrProof: there is no proof or more than one, or the proof is malformed, badly
	// signed, made with an alg or key that is not accepted, or made for another
	// request, token or time.
	ErrProof = errors.New("dpop: the proof is not valid for this request")

	// ErrKey: the proof's key is not the key that the token is bound to.
	ErrKey = errors.New("dpop: the proof's key is not the key that the token is bound to")

	// ErrReplayed: a proof with this key, URL and jti was used before.
	ErrReplayed = errors.New("dpop: the proof was used before")

	// ErrNonce: the proof has no nonce, or a nonce that is not valid now. The caller
	// should send the client a nonce from [Verifier.Nonce], so that the client can
	// try again.
	ErrNonce = errors.New("dpop: the proof has no valid nonce")

	// ErrStore: the Store failed or the context ended, so it is unknown whether the
	// proof was used before, or its use cannot be remembered. Unless it matches
	// another kind, the error of the Store or the context is wrapped.
	ErrStore = errors.New("dpop: cannot determine whether the proof was used before")
)

// A Request is what a proof is checked against.
type Request struct {
	_ [0]func()

	// Method is the method of the HTTP request, as received.
	Method string

	// Path is the path of the request line, without the query and percent-encoded as
	// received. [net/url.URL.EscapedPath] returns it.
	Path string

	// Proofs are the lines of the DPoP header field, for example
	// r.Header.Values("DPoP").
	Proofs []string

	// Token is the access token, as received.
	Token string

	// Thumbprint is the jkt of the token's cnf (RFC 9449 §6.1).
	Thumbprint string
}

// A Verifier verifies proofs. It is safe for concurrent use, and starts no goroutine.
type Verifier struct {
	bases      []string // Config.URLs, normalised
	algorithms []string
	mostBytes  int // of a proof
	maxAge     time.Duration
	leeway     time.Duration
	behind     time.Duration // how far another instance's clock may be behind
	store      Store
	nonces     *nonces           // nil: no nonces are demanded
	signers    *tokencache.Cache // by their encoded header
	now        func() time.Time
	counts     *counts
}

// NewVerifier returns a Verifier, or an error that lists every fault of the Config,
// one per line.
func NewVerifier(config Config) (*Verifier, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	v := &Verifier{
		algorithms: config.Algorithms,
		mostBytes:  longest(config.Algorithms),
		maxAge:     config.MaxAge,
		leeway:     config.Leeway,
		store:      config.Store,
		nonces:     newNonces(config.NonceKey, config.NonceLifetime),
		signers:    tokencache.New(signerBytes),
		now:        config.Now,
		counts:     new(counts),
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

// Algorithms returns the accepted alg values, for the algs parameter of a challenge
// (RFC 9449 §7.1).
func (v *Verifier) Algorithms() []string { return slices.Clone(v.algorithms) }

// Nonce returns a nonce that is valid now, for the DPoP-Nonce header field (RFC 9449
// §8). If Config.NonceKey is unset, no nonces are demanded, and Nonce returns "".
func (v *Verifier) Nonce() string {
	if v.nonces == nil {
		return ""
	}
	return v.nonces.current(v.now())
}

// Verify returns nil if the proof was made for this request, this token and the
// token's key, is recent, and was not used before. If it returns nil, it has consumed
// the proof: while the proof is recent, a second call with it returns [ErrReplayed].
func (v *Verifier) Verify(ctx context.Context, r Request) error {
	err := v.verify(ctx, r)
	if !dryrun.Is(ctx) {
		v.counts.add(err)
	}
	return err
}

func (v *Verifier) verify(ctx context.Context, r Request) error {
	p, err := v.open(r.Proofs)
	if err != nil {
		return err
	}
	if !equal(p.thumbprint, r.Thumbprint) {
		return ErrKey // before the signature, because it is cheaper and reveals nothing
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
	if dryrun.Is(ctx) {
		return v.wouldUse(use)
	}
	v.remember(&p)
	return v.use(ctx, use) // last, so that a client without the key cannot fill the Store
}

// fits checks the claims against the request. It returns the key under which the use
// of the proof is remembered.
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

// end checks the times of the proof, and returns until when its use must be
// remembered. That is as long as the proof can be accepted, plus v.behind for an
// instance whose clock is behind, plus a second because a Store may round.
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

// endOfAge returns when the proof becomes too old. If nonces are demanded, the nonce
// takes the place of iat, because the time in a nonce is from our own clock (RFC 9449
// §11.1).
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

// keyOf returns the same key for proofs of one signer with the same jti and, once
// normalised, the same htu. It uses the normalised htu, not the matching entry of
// Config.URLs, because one htu can match two entries. For example, https://a/b/c
// matches https://a if the path is /b/c, and https://a/b if the path is /c. Neither
// the thumbprint nor the URL contains a NUL, so the three parts cannot run together.
func keyOf(thumbprint, url, id string) [32]byte {
	var room [1024]byte
	text := append(room[:0], thumbprint...)
	text = append(append(text, 0), url...)
	text = append(append(text, 0), id...)
	return sha256.Sum256(text)
}

// isHash reports whether hash is the ath of the token (RFC 9449 §4.2). It accepts the
// canonical encoding only.
func isHash(hash, token string) bool {
	var want [43]byte
	digest := tokencache.KeyOf(token) // SHA-256, without a copy of the token
	base64.RawURLEncoding.Encode(want[:], digest[:])
	return subtle.ConstantTimeCompare([]byte(hash), want[:]) == 1
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
