package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha512" // crypto.SHA384 and crypto.SHA512
	"encoding/asn1"
	"errors"
	"math/big"
)

// signing has the options to pass to a crypto.Signer for each algorithm (RFC 7518
// §3.1, RFC 8037 §3.1).
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

var errNoSignature = errors.New("the crypto.Signer did not return an ECDSA signature in ASN.1")

// Sign signs the input of a JWS. golang-jwt cannot do this, because it signs with
// RSA and ECDSA keys only if they are in memory. The key of a crypto.Signer may be
// elsewhere, for example in a KMS.
func Sign(key crypto.Signer, algorithm string, input string) ([]byte, error) {
	if !Fits(algorithm, key.Public()) {
		return nil, ErrAlgorithm
	}
	signature, err := crypto.SignMessage(key, rand.Reader, []byte(input), signing[algorithm])
	if err != nil {
		return nil, err
	}
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		return fixed(signature, methods[algorithm].signature)
	}
	return signature, nil
}

// fixed converts an ECDSA signature from ASN.1 to the form of a JWS: r and s, each
// padded to half the length (RFC 7518 §3.4).
func fixed(signature []byte, length int) ([]byte, error) {
	var pair struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(signature, &pair)
	half := length / 2
	if err != nil || len(rest) > 0 || !fills(pair.R, half) || !fills(pair.S, half) {
		return nil, errNoSignature
	}
	both := make([]byte, length)
	pair.R.FillBytes(both[:half])
	pair.S.FillBytes(both[half:])
	return both, nil
}

func fills(n *big.Int, size int) bool { return n.Sign() > 0 && n.BitLen() <= 8*size }
