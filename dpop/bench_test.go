package dpop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
)

// BenchmarkVerify is a verification whose proof is new and whose key is known, beside
// the bare cryptography of it and one whose key is not known.
func BenchmarkVerify(b *testing.B) {
	digest := sha256.Sum256([]byte("header.payload"))
	signature := must(ecdsa.SignASN1(nil, p256(), digest[:]))
	b.Run("alg=ES256/bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !ecdsa.VerifyASN1(&p256().PublicKey, digest[:], signature) {
				b.Fatal("not verified")
			}
		}
	})
	for _, c := range []struct {
		name string
		key  crypto.Signer
	}{{"ES256", p256()}, {"EdDSA", edKey()}, {"PS256", rsaKey()}} {
		proof := signed(c.key, header(c.key).with(members{"alg": c.name}), claims())
		r := request(proof)
		r.Thumbprint = jkt(c.key)
		b.Run("alg="+c.name+"/key=known", func(b *testing.B) { verify(b, r) })
	}
	b.Run("alg=ES256/key=known/goroutines=many", func(b *testing.B) {
		v, r := verifier(b, dpop.Config{Store: yes{}}), request(good(nil))
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				check(b, v, r, "accepted")
			}
		})
	})
	b.Run("alg=ES256/key=unknown", func(b *testing.B) {
		r := request(good(nil))
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			v := verifier(b, dpop.Config{Store: yes{}})
			b.StartTimer()
			check(b, v, r, "accepted")
		}
	})
	b.Run("alg=ES256/forged", func(b *testing.B) {
		v, r := verifier(b, dpop.Config{}), request(good(nil)+"A")
		b.ReportAllocs()
		for b.Loop() {
			check(b, v, r, "ErrProof")
		}
	})
}

func verify(b *testing.B, r dpop.Request) {
	v := verifier(b, dpop.Config{Store: yes{}})
	b.ReportAllocs()
	for b.Loop() {
		if err := v.Verify(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}

// yes is a Store that takes no time.
type yes struct{}

func (yes) Use(context.Context, dpop.Use) (bool, error) { return true, nil }
