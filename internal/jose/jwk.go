package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

var (
	errKeyObject = errors.New("it is not a JSON object whose members have their RFC 7517 types")
	errKeyType   = errors.New("it is not RSA, EC on P-256, P-384 or P-521, Ed25519 or ML-DSA")
)

// ReadJWK reads a public key that a client sends along with a signature, for example
// in a DPoP proof. value is a member's value as [Object] returns it. The key must be
// in the only form that RFC 7518 §6, RFC 8037 §2 or RFC 9964 gives it, because a thumbprint is
// computed over that form (RFC 7638 §3). This is stricter than package jwks, which
// accepts, for example, a modulus with leading zeros. Members that are not part of a
// key, such as kid, are ignored.
func ReadJWK(value string) (crypto.PublicKey, error) {
	var k jwk
	if err := eachMember(value, k.read); err != nil {
		return nil, whyNot(err)
	}
	key, err := k.public()
	if err == nil {
		err = CheckKey(key)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// whyNot keeps the errors for private and symmetric keys, and replaces any other
// error.
func whyNot(err error) error {
	if errors.Is(err, ErrPrivate) || errors.Is(err, ErrSymmetric) {
		return err
	}
	return errKeyObject
}

// AKP is the kty of keys whose alg says what their values mean (RFC 9964). [ReadAKP]
// reads those of ML-DSA.
const AKP = "AKP"

// A jwk has the members of the supported key types. alg and pub are empty if they are
// not strings, because only a kty of AKP reads them.
type jwk struct{ kty, crv, x, y, n, e, alg, pub string }

// read keeps a member of a public key. If the member is private or symmetric, it
// returns an error, because the JWK is then not a public key.
func (k *jwk) read(name, value string) (err error) {
	if value == "null" { // some serializers write this for an absent member
		return nil
	}
	switch name {
	case "kty":
		err = member(&k.kty, value)
	case "crv":
		err = member(&k.crv, value)
	case "x":
		err = member(&k.x, value)
	case "y":
		err = member(&k.y, value)
	case "n":
		err = member(&k.n, value)
	case "e":
		err = member(&k.e, value)
	case "alg":
		k.alg, _ = String(value)
	case "pub":
		k.pub, _ = String(value)
	case "d", "p", "q", "dp", "dq", "qi", "oth", "priv": // RFC 7518 §6.2.2, §6.3.2; RFC 8037 §2; RFC 9964
		return ErrPrivate
	case "k": // RFC 7518 §6.4.1
		return ErrSymmetric
	}
	return err
}

func member(to *string, value string) (err error) {
	var ok bool
	if *to, ok = String(value); !ok {
		return errKeyObject
	}
	return nil
}

func (k *jwk) public() (crypto.PublicKey, error) {
	switch {
	case k.kty == "oct":
		return nil, ErrSymmetric
	case k.kty == "RSA":
		return k.rsa()
	case k.kty == "EC" && curves[k.crv] != nil:
		return k.ec(curves[k.crv])
	case k.kty == "OKP" && k.crv == "Ed25519":
		return k.ed25519()
	case k.kty == AKP:
		return ReadAKP(k.alg, k.pub)
	}
	return nil, errKeyType
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

// ec requires coordinates of full length (RFC 7518 §6.2.1.2).
func (k *jwk) ec(curve elliptic.Curve) (crypto.PublicKey, error) {
	x, errX := Base64(k.x)
	y, errY := Base64(k.y)
	size := (curve.Params().BitSize + 7) / 8
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, ErrKeyValues
	}
	const uncompressed = 4 // SEC 1 §2.3.3
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{uncompressed}, x...), y...))
	if err != nil {
		return nil, ErrKeyValues // not a point on the curve
	}
	return key, nil
}

// rsa requires numbers without leading zeros (RFC 7518 §6.3.1).
func (k *jwk) rsa() (crypto.PublicKey, error) {
	n, errN := Base64(k.n)
	e, errE := Base64(k.e)
	if errN != nil || errE != nil || len(n) == 0 || len(e) == 0 || n[0] == 0 || e[0] == 0 {
		return nil, ErrKeyValues
	}
	if len(e) > 3 { // far beyond maxExponent, and too much for an int of 32 bits
		return nil, errExponent
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, nil
}

func (k *jwk) ed25519() (crypto.PublicKey, error) {
	x, err := Base64(k.x)
	if err != nil {
		return nil, ErrKeyValues
	}
	return ed25519.PublicKey(x), nil
}

// WriteJWK returns the public key as a JWK with only its required members. This is
// the form over which a thumbprint is computed (RFC 7638 §3).
func WriteJWK(key crypto.PublicKey) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"e":"%s","kty":"RSA","n":"%s"}`, encode(big.NewInt(int64(key.E)).Bytes()), encode(key.N.Bytes())), nil
	case *ecdsa.PublicKey:
		return writeEC(key)
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"crv":"Ed25519","kty":"OKP","x":"%s"}`, encode(key)), nil
	}
	return writeAKP(key)
}

func writeEC(key *ecdsa.PublicKey) (string, error) {
	name := key.Curve.Params().Name
	if curves[name] == nil || !isCurve(name)(key) {
		return "", errKeyType
	}
	point, err := key.Bytes()
	if err != nil {
		return "", ErrKeyValues
	}
	encode := base64.RawURLEncoding.EncodeToString
	x, y := point[1:1+len(point)/2], point[1+len(point)/2:]
	return fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, name, encode(x), encode(y)), nil
}

// Thumbprint returns the SHA-256 thumbprint of a public key (RFC 7638) in base64url.
func Thumbprint(key crypto.PublicKey) (string, error) {
	form, err := WriteJWK(key)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(form))
	return base64.RawURLEncoding.EncodeToString(digest[:]), nil
}

// Base64 decodes base64url without padding, and accepts only its canonical form.
func Base64(text string) ([]byte, error) {
	raw := make([]byte, strict.DecodedLen(len(text)))
	n, err := decode(raw, text)
	return raw[:n], err
}

// Split splits a JWS for a caller that reads the header itself. It returns the
// encoded header; [Token.Open] decodes the rest.
func Split(jws string) (header string, t Token, err error) {
	header, rest, _ := strings.Cut(jws, ".")
	payload, signature, found := strings.Cut(rest, ".")
	if !found || strings.Contains(signature, ".") {
		return "", Token{}, ErrNotJWT
	}
	return header, Token{SigningInput: jws[:len(header)+1+len(payload)], raw: jws, headerLength: len(header)}, nil
}
