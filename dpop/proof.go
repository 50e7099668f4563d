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
	mostBytes = 8 << 10    // of a proof; one by an RSA key of 4096 bits has 1900
	mostID    = 512        // bytes of jti
)

// The faults of a proof. They are made once: a stranger can have them by the million.
var (
	errNone      = fault("expected a DPoP header field; there is none")
	errSeveral   = fault("expected one DPoP header field; there are several")
	errSize      = fault("expected at most 8192 bytes")
	errForm      = fault("expected a JWS of three parts in base64url, with JSON objects of unique names in the first two")
	errType      = fault("expected the typ dpop+jwt")
	errHeader    = fault("expected none of crit, b64, zip and enc in the header")
	errAlgorithm = fault("expected an alg among those accepted, and one of the key")
	errJWK       = fault("expected a sound public key in jwk, without private members")
	errCostly    = fault("expected an RSA key of at most 4096 bits, with an exponent of at most 2^17")
	errClaims    = fault("expected jti, of 512 bytes at most, htm, htu and ath as strings and iat as a date, and nonce, exp and nbf likewise if they are there")
	errMethod    = fault("expected the htm to be the method of the request")
	errTarget    = fault("expected the htu to be one of our URLs with the path of the request")
	errHash      = fault("expected the ath to be that of the access token")
	errTime      = fault("expected an iat of this time, and none of exp and nbf to rule it out")
	errSignature = fault("expected a signature by the key in jwk")
)

func fault(expected string) error { return fmt.Errorf("%w: %s", ErrProof, expected) }

// A proof is one that was taken apart, and is not yet to be believed.
type proof struct {
	*signer
	claims

	known  bool   // the header has stood over a good signature before
	header string // encoded
	token  jose.Token
}

// A signer is what a header says of who signs.
type signer struct {
	jose.Header
	key        crypto.PublicKey
	thumbprint string
	client     [16]byte // the beginning of the thumbprint
}

// claims are those of RFC 9449 §4.2, and exp and nbf.
type claims struct {
	id, method, url, tokenHash, nonce string
	issuedAt, expiry, notBefore       time.Time
}

// open reads the one proof there has to be as far as its header. Two in one line,
// with a comma between them, are no proof.
func (v *Verifier) open(lines []string) (p proof, err error) {
	switch {
	case len(lines) == 0:
		return p, errNone
	case len(lines) > 1:
		return p, errSeveral
	case len(lines[0]) > mostBytes:
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
			// No critical extension is understood here (RFC 7515 §4.1.11), no JWT
			// may have b64 (RFC 7797 §7), and the others belong to JWE.
			return errHeader
		}
		return nil // what else names or carries a key, such as jku, is not looked at
	})
	switch {
	case errors.Is(err, errHeader):
		return nil, errHeader
	case err != nil:
		return nil, errForm
	// typ is a media type: its case does not matter, and "application/" may stand
	// before it (RFC 7515 §4.1.9).
	case !s.HasMediaType(proofType):
		return nil, errType
	case !slices.Contains(v.algorithms, s.Algorithm):
		return nil, errAlgorithm
	}
	return s, s.read(jwk)
}

// read reads the key.
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

// The bounds of an RSA key of a proof. Any client can bring a new key with each
// proof, and the cost of a signature grows with the square of the one and with the
// length of the other.
const (
	mostModulus  = 4096 // bits
	mostExponent = 1 << 17
)

func isCostly(key crypto.PublicKey) bool {
	known, ok := key.(*rsa.PublicKey)
	return ok && (known.N.BitLen() > mostModulus || known.E > mostExponent)
}

// The memory for signers is bounded. One is at most as large as its header, and what
// stands around its key.
const (
	signerBytes = 8 << 20
	signerSize  = 600
)

// remember keeps the signer of a proof whose signature is good and whose key is the
// token's.
func (v *Verifier) remember(p *proof) {
	if p.known {
		return
	}
	kept := *p.signer
	kept.Header = jose.Header{Algorithm: strings.Clone(p.Algorithm)} // a part of the header would keep all of it
	v.signers.Put(v.signers.KeyOf(p.header), &kept, signerSize+len(p.header))
}

// readClaims reads the payload.
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

// verify expects that the claims were read.
func (p *proof) verify() error {
	p.token.Header = &p.signer.Header
	if p.token.Verify(p.key) != nil {
		return errSignature
	}
	return nil
}
