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

// A Key stands for a token: [KeyOf] makes those that mean the same in every
// process, and [Cache.KeyOf] those of one cache.
type Key [sha256.Size]byte

// KeyOf returns the SHA-256 digest of a token. It allocates nothing.
func KeyOf(token string) Key { return sha256.Sum256(view(token)) }

// view returns the bytes of a token, which are read and never written. A copy for
// each request would be one more place where bearer tokens lie about.
func view(token string) []byte { return unsafe.Slice(unsafe.StringData(token), len(token)) }

// A digest makes keys. Two tokens with one key would be taken for each other, so
// it has to be a collision-resistant hash or one with a secret key.
//
// With AES and carry-less multiplication in hardware it is GMAC (NIST SP
// 800-38D): a third of the time of SHA-256. GHASH under a secret random key is a
// universal hash. The largest token, of 64 KiB, is 4096 blocks, and with the block
// of its length a polynomial of degree 4097 in the key. Two tokens that were chosen
// without knowledge of the key have one tag only if the key is a root of the
// difference, so with a probability of at most 4097 in 2^128. An attacker who sends
// 2^40 invented tokens, while as many verified ones are cached as there is room for
// (at most 2^18), hits one of them with a probability below 2^-57. A miss tells
// the attacker next to nothing about the key, because tags never leave the process.
// That is also why one nonce for all does no harm here: two tags under one nonce
// would give the key away to an attacker who sees them. Without the hardware GMAC
// is slow, and under GODEBUG=fips140=only it is not available; then it is SHA-256.
type digest struct{ gmac cipher.AEAD } // nil: SHA-256

// A tag is pooled: it would escape to the heap on every call.
type tag [16]byte

var (
	tags  = sync.Pool{New: func() any { return new(tag) }}
	nonce = make([]byte, 12)
)

// newDigest makes one with a secret of its own.
func newDigest() digest {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails: it would end the program
	return digest{newGMAC(secret)}
}

// newGMAC returns nil where SHA-256 is the better choice.
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
