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

// The reasons why a key cannot be used. Their texts contain no value of the key,
// because it may be secret.
var (
	ErrPrivate   = errors.New("it carries private key material and must be considered disclosed")
	ErrSymmetric = errors.New("it is symmetric; a shared secret has no place in a key set")
	ErrKeyValues = errors.New("its key values are missing or wrong")

	errRSASize  = errors.New("its RSA modulus is even, or not 2048 to 8192 bits long")
	errExponent = errors.New("its RSA exponent is even, or not from 3 to 2^17")
	errSmall    = errors.New("it is an Ed25519 point of small order, for which signatures can be forged")
)

// CheckKey returns the reason why a key cannot be used, or nil. It also returns nil
// if it does not know the key's type, so the caller should check the type.
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

// Bounds of RSA keys, in bits except for the exponent. The time of a verification
// grows with the square of the modulus' length and with the length of the exponent.
// For example, 8192 bits take 16 times as long as 2048, and an exponent of 2^31-1
// takes more than 3 times as long as the usual 65537.
const (
	shortestRSA = 2048
	longestRSA  = 8192
	largeRSA    = 4096
	maxExponent = 1 << 17
)

// IsLarge reports whether the key is an RSA key of more than 4096 bits. A caller
// should try at most one such key for a signature.
func IsLarge(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return ok && k != nil && k.N != nil && k.N.BitLen() > largeRSA
}

// checkRSA requires a minimum length of the modulus for strength (RFC 7518 §3.3). It
// limits the modulus and the exponent because of the time that a verification takes.
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

// smallOrder lists the y coordinates, with the sign bit cleared, of the Ed25519
// points of order 1, 2, 4 and 8. The last two entries are 0 and 1 again, written
// non-canonically as p and p+1. If a key is one of these points, one signature
// verifies for at least one message in eight.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// checkEd25519 checks the length first, because crypto/ed25519 panics if the length
// is wrong.
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
