package differential_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/asn1"
	"math/big"
	"slices"
)

// changeSignature changes the bytes of a good signature, in ways of its kind.
func changeSignature(_ *world, c *choices, d *draft) {
	kinds := []func(*choices, *draft) func([]byte) []byte{anySignature}
	switch {
	case d.algorithm.kid == "rsa":
		kinds = append(kinds, rsaSignature)
	case d.algorithm.hash == 0:
		kinds = append(kinds, edSignature)
	default:
		kinds = append(kinds, ecSignature, ecSignature)
	}
	change := pick(c, kinds)(c, d)
	d.signature = append(d.signature, func(raw []byte) []byte { return change(slices.Clone(raw)) })
}

func anySignature(c *choices, _ *draft) func([]byte) []byte {
	at, bit := c.below(512), c.below(8)
	return pick(c, []func([]byte) []byte{
		func(s []byte) []byte { return append(s, 0) },
		func(s []byte) []byte { return s[:max(0, len(s)-1)] },
		func(s []byte) []byte { return append([]byte{0}, s...) },
		func(s []byte) []byte { return nil },
		func(s []byte) []byte { clear(s); return s },
		func(s []byte) []byte { return append(s, s...) },
		func(s []byte) []byte {
			if len(s) > 0 {
				s[at%len(s)] ^= 1 << bit
			}
			return s
		},
	})
}

// rsaSignature plays with the representative: any s + kN would verify, if its
// range were not looked at (RFC 8017 §5.2.2).
func rsaSignature(c *choices, d *draft) func([]byte) []byte {
	modulus := d.key.Public().(*rsa.PublicKey).N
	times := int64(1 + c.below(2))
	return func(s []byte) []byte {
		n := new(big.Int).Add(new(big.Int).SetBytes(s), new(big.Int).Mul(modulus, big.NewInt(times)))
		return fixed(n, len(s))
	}
}

// edSignature adds the order to S (RFC 8032 §5.1.7), or takes another R.
func edSignature(c *choices, _ *draft) func([]byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	times := int64(1 + c.below(8))
	return func(s []byte) []byte {
		if len(s) != 64 {
			return s
		}
		tail := slices.Clone(s[32:])
		slices.Reverse(tail)
		n := fixed(new(big.Int).Add(new(big.Int).SetBytes(tail), new(big.Int).Mul(order, big.NewInt(times))), 32)
		slices.Reverse(n)
		return append(s[:32], n[:32]...)
	}
}

func ecSignature(c *choices, d *draft) func([]byte) []byte {
	order := d.key.Public().(*ecdsa.PublicKey).Params().N
	change := pick(c, []func(r, s *big.Int) ([]byte, []byte){
		func(r, s *big.Int) ([]byte, []byte) { return pair(r, new(big.Int).Sub(order, s), d.algorithm.size) }, // as good
		func(r, s *big.Int) ([]byte, []byte) { return pair(new(big.Int), s, d.algorithm.size) },
		func(r, s *big.Int) ([]byte, []byte) { return pair(r, new(big.Int), d.algorithm.size) },
		func(r, s *big.Int) ([]byte, []byte) { return pair(order, order, d.algorithm.size) },
		func(r, s *big.Int) ([]byte, []byte) { return pair(new(big.Int).Add(r, order), s, d.algorithm.size) },
		func(r, s *big.Int) ([]byte, []byte) { return pair(r, new(big.Int).Add(s, order), d.algorithm.size) },
		func(r, s *big.Int) ([]byte, []byte) { return pair(s, r, d.algorithm.size) },
		func(r, s *big.Int) ([]byte, []byte) { return pair(r, s, 66) },
		func(r, s *big.Int) ([]byte, []byte) { return must(asn1.Marshal(struct{ R, S *big.Int }{r, s})), nil },
	})
	return func(raw []byte) []byte {
		half := len(raw) / 2
		r, s := change(new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:]))
		return append(r, s...)
	}
}

func pair(r, s *big.Int, size int) ([]byte, []byte) { return fixed(r, size), fixed(s, size) }
