package tokencache

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// A Key stands for a token. [KeyOf] makes keys that are the same in every process,
// [Cache.KeyOf] keys that are good for one cache only.
type Key [sha256.Size]byte

// KeyOf returns the SHA-256 digest of a token. It allocates nothing.
func KeyOf(token string) Key { return sha256.Sum256(view(token)) }

// view returns the bytes of a token without a copy, so they must not be written. A copy
// for each request would leave more bearer tokens in memory.
func view(token string) []byte { return unsafe.Slice(unsafe.StringData(token), len(token)) }

// A digest makes keys. If two tokens had the same key, one would be accepted as the
// other. So a digest must be a collision-resistant hash, or a hash with a secret key.
//
// If the hardware has AES and carry-less multiplication, the digest is GMAC (NIST SP
// 800-38D), which takes a third of the time of SHA-256. GHASH under a secret random key
// is a universal hash. The largest token, of 64 KiB, is 4096 blocks. With the block of
// its length the token is a polynomial of degree 4097 in the key. Two tokens that were
// chosen without knowledge of the key have the same tag only if the key is a root of the
// difference, so with a probability of at most 4097 in 2^128. For example, if an
// attacker sends 2^40 invented tokens while the cache is full of verified tokens (at
// most 2^18), the probability that an invented token hits is below 2^-57. A miss reveals
// next to nothing about the key, because tags never leave the process. That is also why
// the same nonce can be used for all tokens: an attacker would need to see two tags
// under one nonce to compute the key. Without that hardware GMAC is slow, and under
// GODEBUG=fips140=only it is not available, so SHA-256 is used.
type digest struct{ gmac cipher.AEAD } // nil: SHA-256

// A tag is pooled, because otherwise it would escape to the heap on every call.
type tag [16]byte

var (
	tags  = sync.Pool{New: func() any { return new(tag) }}
	nonce = make([]byte, 12)
)

// newDigest makes a digest with a new secret.
func newDigest() digest {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails: if rand.Read cannot read, it ends the program
	return digest{newGMAC(secret)}
}

// newGMAC returns nil if SHA-256 should be used instead.
func newGMAC(secret [16]byte) cipher.AEAD {
	if !(cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ || cpu.ARM64.HasAES && cpu.ARM64.HasPMULL) {
		return nil
	}
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil
	}
	gmac, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	return gmac
}

func (d digest) keyOf(token string) (key Key) {
	if d.gmac == nil {
		return KeyOf(token)
	}
	t := tags.Get().(*tag)
	d.gmac.Seal(t[:0], nonce, nil, view(token))
	copy(key[:], t[:])
	tags.Put(t)
	return key
}
