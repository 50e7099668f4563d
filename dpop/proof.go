package dpop

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

const (
	proofType = "dpop+jwt" // RFC 9449 §4.2
	mostBytes = 8 << 10    // of a proof; with an RSA key of 4096 bits it has about 1900
	mostMLDSA = 16 << 10   // of a proof, if ML-DSA is listed; with ML-DSA-87 it has about 11100
	mostID    = 512        // bytes of jti
)

// The faults of a proof. They are allocated once, because an unauthenticated client
// can cause millions of them.
var (
	errNone      = fault("the request has no DPoP header field")
	errSeveral   = fault("the request has several DPoP header fields; expected one")
	errSize      = fault("expected a proof of at most 8192 bytes, or of 16384 if Config.Algorithms has ML-DSA")
	errForm      = fault("expected a JWS of three parts in base64url, with JSON objects of unique names in the first two")
	errType      = fault("expected the typ dpop+jwt")
	errHeader    = fault("expected none of crit, b64, zip and enc in the header")
	errAlgorithm = fault("expected an alg that is in Config.Algorithms and fits the key in jwk")
	errJWK       = fault("expected a valid public key in jwk, without private members")
	errCostly    = fault("expected an RSA key of at most 4096 bits, with an exponent of at most 2^17")
	errClaims    = fault("expected the strings jti (at most 512 bytes), htm, htu and ath and the number iat, and, if present, a string nonce and numbers exp and nbf")
	errMethod    = fault("expected the htm to be the method of the request")
	errTarget    = fault("expected the htu to be one of Config.URLs plus the path of the request")
	errHash      = fault("expected the ath to be the hash of the access token")
	errTime      = fault("expected a recent iat, no exp in the past and no nbf in the future; check both clocks")
	errSignature = fault("expected a signature by the key in jwk")
)

func fault(expected string) error { return fmt.Errorf("%w: %s", ErrProof, expected) }

// A proof is a parsed proof whose signature need not have been verified yet.
type proof struct {
	*signer
	claims

	known  bool   // a proof with this header had a valid signature before
	header string // encoded
	token  jose.Token
}

// A signer is the content of a proof's header: the algorithm and the key.
type signer struct {
	jose.Header
	key        crypto.PublicKey
	thumbprint string
	client     [16]byte // the first half of the thumbprint, decoded
}

// claims are the claims of RFC 9449 §4.2, and exp and nbf.
type claims struct {
	id, method, url, tokenHash, nonce string
	issuedAt, expiry, notBefore       time.Time
}

// longest returns the most bytes that a proof can have with these algorithms. It is no
// more than needed, because any client can make the server read that much.
func longest(algorithms []string) int {
	if slices.ContainsFunc(algorithms, func(alg string) bool { return strings.HasPrefix(alg, "ML-DSA-") }) {
		return mostMLDSA
	}
	return mostBytes
}

// open parses the only proof of a request, as far as its header. Two proofs in one
// line, with a comma between them, are malformed.
func (v *Verifier) open(lines []string) (p proof, err error) {
	switch {
	case len(lines) == 0:
		return p, errNone
	case len(lines) > 1:
		return p, errSeveral
	case len(lines[0]) > v.mostBytes:
		return p, errSize
	}
	if p.header, p.token, err = jose.Split(lines[0]); err != nil {
		return p, errForm
	}
	if p.signer, p.known = v.signers.Get(v.signers.KeyOf(p.header)).(*signer); !p.known {
		p.signer, err = v.readSigner(p.header)
	}
	return p, err
}

func (v *Verifier) readSigner(header string) (*signer, error) {
	raw, err := jose.Base64(header)
	if err != nil {
		return nil, errForm
	}
	s := new(signer)
	jwk := ""
	err = jose.Object(string(raw), func(name, value string) error {
		switch name {
		case "typ":
			s.Type, s.HasType = jose.String(value)
		case "alg":
			s.Algorithm, _ = jose.String(value)
		case "jwk":
			jwk = value
		case "crit", "b64", "zip", "enc":
			// No critical extension is understood here (RFC 7515 §4.1.11), a JWT must
			// not have b64 (RFC 7797 §7), and zip and enc belong to JWE.
			return errHeader
		}
		return nil // other members that name or carry a key, for example jku, are ignored
	})
	switch {
	case errors.Is(err, errHeader):
		return nil, errHeader
	case err != nil:
		return nil, errForm
	// typ is a media type, so its case does not matter and it may begin with
	// "application/" (RFC 7515 §4.1.9).
	case !s.HasMediaType(proofType):
		return nil, errType
	case !slices.Contains(v.algorithms, s.Algorithm):
		return nil, errAlgorithm
	}
	return s, s.read(jwk)
}

// read parses the key, and checks that it fits the algorithm and is not too costly.
func (s *signer) read(jwk string) (err error) {
	if s.key, err = jose.ReadJWK(jwk); err != nil {
		return errJWK
	}
	if !jose.Fits(s.Algorithm, s.key) {
		return errAlgorithm
	}
	if isCostly(s.key) {
		return errCostly
	}
	if s.thumbprint, err = jose.Thumbprint(s.key); err != nil {
		return errJWK
	}
	digest, err := jose.Base64(s.thumbprint)
	copy(s.client[:], digest)
	return err
}

// The limits on an RSA key in a proof. A client can send a new key with each proof.
// The cost of verifying grows with the square of the modulus length, and with the
// length of the exponent.
const (
	mostModulus  = 4096 // bits
	mostExponent = 1 << 17
)

func isCostly(key crypto.PublicKey) bool {
	known, ok := key.(*rsa.PublicKey)
	return ok && (known.N.BitLen() > mostModulus || known.E > mostExponent)
}

// Limits of the cache of signers, in bytes. An entry is charged the length of its
// header plus signerSize, which covers the parsed key.
const (
	signerBytes = 8 << 20
	signerSize  = 600
)

// remember caches the signer. Call it only if the signature is valid and the key is
// the token's.
func (v *Verifier) remember(p *proof) {
	if p.known {
		return
	}
	kept := *p.signer
	kept.Header = jose.Header{Algorithm: strings.Clone(p.Algorithm)} // a substring would keep the whole header alive
	v.signers.Put(v.signers.KeyOf(p.header), &kept, signerSize+len(p.header))
}

// readClaims parses the payload, and requires the claims of RFC 9449 §4.2.
func (p *proof) readClaims() error {
	if err := p.token.Open(); err != nil {
		return errForm
	}
	switch err := jose.Object(p.token.Payload, p.claims.read); {
	case errors.Is(err, errClaims):
		return errClaims
	case err != nil:
		return errForm
	case p.id == "" || len(p.id) > mostID || p.method == "" || p.url == "" || p.tokenHash == "" || p.issuedAt.IsZero():
		return errClaims
	}
	return nil
}

func (c *claims) read(name, value string) error {
	ok := true
	switch name {
	case "jti":
		c.id, ok = jose.String(value)
	case "htm":
		c.method, ok = jose.String(value)
	case "htu":
		c.url, ok = jose.String(value)
	case "ath":
		c.tokenHash, ok = jose.String(value)
	case "nonce":
		c.nonce, ok = jose.String(value)
	case "iat":
		c.issuedAt, ok = jose.NumericDate(value)
	case "exp":
		c.expiry, ok = jose.NumericDate(value)
	case "nbf":
		c.notBefore, ok = jose.NumericDate(value)
	}
	if !ok {
		return errClaims
	}
	return nil
}

// verify checks the signature. Call readClaims first.
func (p *proof) verify() error {
	p.token.Header = &p.signer.Header
	if p.token.Verify(p.key) != nil {
		return errSignature
	}
	return nil
}
