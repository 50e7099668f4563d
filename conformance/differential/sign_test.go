package differential_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"slices"
)

// An algorithm is a JWS algorithm with the kid of a key for it (RFC 7518 §3.1, RFC
// 9864).
type algorithm struct {
	name string
	kid  string
	hash crypto.Hash // 0 for Ed25519
	pss  bool
	size int // of r and of s, in bytes
}

// algorithms begins with the cheap ones and has them several times, because the tests
// are about reading more than about arithmetic.
var algorithms = append(
	slices.Repeat([]algorithm{
		{name: "EdDSA", kid: "ed25519"},
		{name: "ES256", kid: "p256", hash: crypto.SHA256, size: 32},
		{name: "ES256", kid: "p256", hash: crypto.SHA256, size: 32},
		{name: "Ed25519", kid: "ed25519"},
		{name: "EdDSA", kid: "ed25519"},
		{name: "ES256", kid: "p256", hash: crypto.SHA256, size: 32},
	}, 7),
	algorithm{name: "RS256", kid: "rsa", hash: crypto.SHA256},
	algorithm{name: "RS384", kid: "rsa", hash: crypto.SHA384},
	algorithm{name: "RS512", kid: "rsa", hash: crypto.SHA512},
	algorithm{name: "PS256", kid: "rsa", hash: crypto.SHA256, pss: true},
	algorithm{name: "PS384", kid: "rsa", hash: crypto.SHA384, pss: true},
	algorithm{name: "PS512", kid: "rsa", hash: crypto.SHA512, pss: true},
	algorithm{name: "ES384", kid: "p384", hash: crypto.SHA384, size: 48},
	algorithm{name: "ES512", kid: "p521", hash: crypto.SHA512, size: 66},
)

func algorithmNamed(name string) (algorithm, bool) {
	for _, a := range algorithms {
		if a.name == name {
			return a, true
		}
	}
	return algorithm{}, false
}

// sign returns the JWS signature of text. salt is the length of a PSS salt.
func (a algorithm) sign(key crypto.Signer, text string, salt int) []byte {
	digest := []byte(text)
	if a.hash != 0 {
		digest = sum(a.hash, text)
	}
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(text))
	case *ecdsa.PrivateKey:
		r, s := a.signEC(k, digest)
		return append(fixed(r, a.size), fixed(s, a.size)...)
	case *rsa.PrivateKey:
		if a.pss {
			return must(rsa.SignPSS(rand.Reader, k, a.hash, digest, &rsa.PSSOptions{SaltLength: salt}))
		}
		return must(rsa.SignPKCS1v15(nil, k, a.hash, digest))
	}
	return nil
}

// signEC signs the same way each time (RFC 6979).
func (a algorithm) signEC(key *ecdsa.PrivateKey, digest []byte) (r, s *big.Int) {
	var pair struct{ R, S *big.Int }
	must(asn1.Unmarshal(must(key.Sign(nil, digest, a.hash)), &pair))
	return pair.R, pair.S
}

// fixed writes a number into size bytes, or into as many as it needs.
func fixed(n *big.Int, size int) []byte {
	return n.FillBytes(make([]byte, max(size, (n.BitLen()+7)/8)))
}

func sum(hash crypto.Hash, text string) []byte {
	h := hash.New()
	h.Write([]byte(text))
	return h.Sum(nil)
}

// genuine reports whether the signature is good for the header's algorithm and a
// published key that fits it. It uses only the standard library. If there is no kid,
// any key may fit.
func (w *world) genuine(in *input) bool {
	a, ok := algorithmNamed(in.alg())
	if !ok || !in.compact() || in.kid() != "" && in.kid() != a.kid {
		return false
	}
	text := in.parts[0].text + "." + in.parts[1].text
	return a.verify(w.keys[a.kid].Public(), text, in.parts[2].raw, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
}

func (a algorithm) verify(key crypto.PublicKey, text string, signature []byte, salt *rsa.PSSOptions) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return a.hash == 0 && ed25519.Verify(k, []byte(text), signature)
	case *ecdsa.PublicKey:
		return len(signature) == 2*a.size && verifyEC(k, sum(a.hash, text), signature[:a.size], signature[a.size:])
	case *rsa.PublicKey:
		if a.pss {
			return rsa.VerifyPSS(k, a.hash, sum(a.hash, text), signature, salt) == nil
		}
		return rsa.VerifyPKCS1v15(k, a.hash, sum(a.hash, text), signature) == nil
	}
	return false
}

func verifyEC(key *ecdsa.PublicKey, digest, r, s []byte) bool {
	return ecdsa.Verify(key, digest, new(big.Int).SetBytes(r), new(big.Int).SetBytes(s))
}

func encode[T string | []byte](raw T) string {
	return base64.RawURLEncoding.EncodeToString([]byte(raw))
}
