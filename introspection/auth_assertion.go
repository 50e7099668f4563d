package introspection

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // crypto.SHA384 and crypto.SHA512
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2

	// assertionLife is enough for one request, even if the server's clock is a little
	// ahead. An attacker who steals an assertion can use it no longer than that.
	assertionLife = 60 * time.Second
)

// assertion sends a new JWT with each request (RFC 7523 §2.2). The client_id beside it is
// optional (RFC 7521 §4.2). It is sent because some servers find the client only by its
// client_id.
func (c Config) assertion(secret *clientSecret) authenticator {
	id := c.ClientID
	sign := c.bySecret(secret)
	if c.AuthMethod == PrivateKeyJWT {
		sign = newCallback(string(c.AuthMethod), c.Timeout, c.byKey()).run
	}
	return func(ctx context.Context, _ http.Header, form url.Values) error {
		jwt, err := sign(ctx)
		if err != nil {
			return err
		}
		form.Set("client_id", id)
		form.Set("client_assertion_type", assertionType)
		form.Set("client_assertion", jwt)
		return nil
	}
}

// The header of an assertion. If the same key signs other kinds of JWT, the typ tells
// the assertion apart from them (draft-ietf-oauth-rfc7523bis).
type assertionHeader struct {
	Type      string `json:"typ"`
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid,omitempty"`
}

// The claims of an assertion (RFC 7523 §3). The audience is the issuer, as one string,
// and never an endpoint. Otherwise a malicious server could name an honest server's
// endpoint as its own, and replay our assertion there (draft-ietf-oauth-rfc7523bis).
type assertionClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
	ID       string `json:"jti"`
}

// byKey returns a function that makes an assertion and signs it with ClientKey.
func (c Config) byKey() func(context.Context) (string, error) {
	key, algorithm := c.ClientKey, c.keyAlgorithm()
	unsigned := c.unsigned(algorithm)
	return func(context.Context) (string, error) {
		input := unsigned()
		signature, err := signJWS(key, algorithm, []byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(signature), err
	}
}

// bySecret returns a function that makes an assertion and signs it with HS256. The bytes
// of the client secret are the HMAC key (OpenID Connect Core §10.1).
func (c Config) bySecret(secret *clientSecret) func(context.Context) (string, error) {
	unsigned := c.unsigned("HS256")
	return func(ctx context.Context) (string, error) {
		value, err := secret.get(ctx)
		if err != nil {
			return "", err
		}
		input := unsigned()
		mac := hmac.New(sha256.New, []byte(value))
		mac.Write([]byte(input))
		return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
	}
}

// unsigned returns a function that makes the header and claims of an assertion.
func (c Config) unsigned(algorithm string) func() string {
	id, issuer := c.ClientID, c.Issuer
	header := part(assertionHeader{Type: "client-authentication+jwt", Algorithm: algorithm, KeyID: c.ClientKeyID})
	return func() string {
		now := time.Now()
		return header + "." + part(assertionClaims{
			Issuer:   id,
			Subject:  id,
			Audience: issuer,
			IssuedAt: now.Unix(),
			Expiry:   now.Add(assertionLife).Unix(),
			ID:       rand.Text(), // at least 128 random bits, because a server refuses an ID that it has seen
		})
	}
}

// part encodes one part of a JWS. Marshal cannot fail on structs of strings and numbers.
func part(v any) string {
	text, _ := json.Marshal(v)
	return base64.RawURLEncoding.EncodeToString(text)
}

// keyAlgorithm returns ClientKeyAlgorithm if it is set, or else the default for the key.
// If the FAPI 2.0 Security Profile allows algorithms for the key (§5.4.1), the default is
// the best known of these algorithms. If the key fits no algorithm, the result is empty.
func (c Config) keyAlgorithm() string {
	key := publicKey(c.ClientKey)
	algorithms := []string{"PS256", "ES256", "ES384", "ES512", "EdDSA"}
	if c.ClientKeyAlgorithm != "" {
		algorithms = []string{c.ClientKeyAlgorithm}
	}
	for _, algorithm := range algorithms {
		if jose.Fits(algorithm, key) {
			return algorithm
		}
	}
	return ""
}

// publicKey returns nil if Public panics, as it does, for example, for a nil
// *rsa.PrivateKey in a crypto.Signer.
func publicKey(key crypto.Signer) (public crypto.PublicKey) {
	defer func() {
		if recover() != nil {
			public = nil
		}
	}()
	return key.Public()
}

// signing has the crypto.Signer options for each algorithm (RFC 7518 §3.1, RFC 8037
// §3.1).
var signing = map[string]crypto.SignerOpts{
	"RS256":   crypto.SHA256,
	"RS384":   crypto.SHA384,
	"RS512":   crypto.SHA512,
	"PS256":   &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256},
	"PS384":   &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA384},
	"PS512":   &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA512},
	"ES256":   crypto.SHA256,
	"ES384":   crypto.SHA384,
	"ES512":   crypto.SHA512,
	"Ed25519": crypto.Hash(0),
	"EdDSA":   crypto.Hash(0),
}

// signJWS is here because golang-jwt signs only with keys in memory, but a crypto.Signer
// may keep its key elsewhere, for example in an HSM.
func signJWS(key crypto.Signer, algorithm string, input []byte) ([]byte, error) {
	signature, err := crypto.SignMessage(key, rand.Reader, input, signing[algorithm])
	if err != nil {
		return nil, err
	}
	if public, ok := key.Public().(*ecdsa.PublicKey); ok {
		return fixed(signature, (public.Curve.Params().BitSize+7)/8)
	}
	return signature, nil
}

// A malformedSignature has its own type because callback.call shows only an error's type.
type malformedSignature struct{}

func (malformedSignature) Error() string { return "the signer returned no ASN.1 ECDSA signature" }

// fixed converts an ASN.1 ECDSA signature to r and s of size bytes each, the form of a
// JWS (RFC 7518 §3.4).
func fixed(signature []byte, size int) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &pair)
	if err != nil || len(rest) > 0 || !fits(pair.R, size) || !fits(pair.S, size) {
		return nil, malformedSignature{}
	}
	both := make([]byte, 2*size)
	pair.R.FillBytes(both[:size])
	pair.S.FillBytes(both[size:])
	return both, nil
}

func fits(n *big.Int, size int) bool { return n.Sign() > 0 && n.BitLen() <= 8*size }
