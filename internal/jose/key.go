package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"errors"
	"slices"
)

// The reasons for which a key is of no use. They name no value of it: what is in
// there may be secret.
var (
	ErrPrivate   = errors.New("it carries private key material and must be considered disclosed")
	ErrSymmetric = errors.New("it is symmetric; a shared secret has no place in a key set")
	ErrKeyValues = errors.New("its key values are missing or wrong")

	errRSASize  = errors.New("its RSA modulus is not of 2048 to 8192 bits and odd")
	errExponent = errors.New("its RSA exponent is not odd, or not from 3 to 2^17")
	errSmall    = errors.New("it is an Ed25519 point of small order, under which others can sign")
)

// CheckKey gives the reason for which a key is of no use, where there is a
// better one than its type.
func CheckKey(key crypto.PublicKey) error {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return checkRSA(key)
	case *ecdsa.PublicKey:
		if key == nil || key.Curve == nil {
			return ErrKeyValues
		}
	case ed25519.PublicKey:
		return checkEd25519(key)
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return ErrPrivate
	case []byte:
		return ErrSymmetric
	}
	return nil
}

// Bounds of RSA keys. A verification takes time with the square of the modulus
// and the length of the exponent: one of 8192 bits costs 16 of 2048, and an
// exponent of 2^31-1 more than 3 of the usual 65537.
const (
	shortestRSA = 2048
	longestRSA  = 8192
	largeRSA    = 4096
	maxExponent = 1 << 17
)

// IsLarge reports an RSA key of more than 4096 bits. A caller should try at most
// one such key for a signature.
func IsLarge(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && k != nil && k.N != nil && k.N.BitLen() > largeRSA
}

// checkRSA bounds the modulus from below for strength (RFC 7518 §3.3), and from
// above, as the exponent, for the time a verification takes.
func checkRSA(key *rsa.PublicKey) error {
	switch {
	case key == nil || key.N == nil:
		return ErrKeyValues
	case key.N.BitLen() < shortestRSA || key.N.BitLen() > longestRSA || key.N.Bit(0) == 0:
		return errRSASize
	case key.E < 3 || key.E > maxExponent || key.E%2 == 0:
		return errExponent
	}
	return nil
}

// smallOrder lists the y coordinates, sign bit cleared, of the Ed25519 points
// of order 1, 2, 4 and 8, the last two of them written above the modulus. Under
// such a key a signature verifies for every eighth message at the least.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// checkEd25519 looks at the length first: crypto/ed25519 panics on another one.
func checkEd25519(key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return ErrKeyValues
	}
	y := bytes.Clone(key)
	y[len(y)-1] &= 0x7f
	if slices.Contains(smallOrder, hex.EncodeToString(y)) {
		return errSmall
	}
	return nil
}
