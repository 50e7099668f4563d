package differential_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha512"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/jwks"
)

// The rules that every side is given.
const (
	issuer   = "https://login.example.com"
	resource = "https://api.example.com"
	leeway   = 30
	now      = 1_800_000_000
	latest   = 253_402_300_799 // 9999-12-31T23:59:59Z, the last date that is accepted
)

func clock() time.Time { return time.Unix(now, 0) }

// A world has the issuer's keys by kid, and the judges of its tokens.
type world struct {
	keys      map[string]crypto.Signer
	strangers map[string]crypto.Signer // keys that are not published, by the kid that they are used with
	ours      []*judge                 // one for each configuration
	peers     []*judge
}

// theWorld is made once: its RSA keys take a while. The keys are the same in
// every run, so that an input means the same token tomorrow.
var theWorld = sync.OnceValue(newWorld)

func newWorld() *world {
	w := &world{keys: newKeys("issuer"), strangers: newKeys("stranger")}
	w.ours = []*judge{
		{"relaxed", judgeWith(w.validator(accesstoken.Relax{Typ: true, JTI: true, ClientID: true, ScopeArray: true}))},
		{"RFC9068", judgeWith(w.validator(accesstoken.Relax{}))},
	}
	w.peers = []*judge{
		{"go-jose", newGoJOSE(w.keys)},
		{"jwx", newJWX(w.keys)},
		{"golang-jwt", newGolangJWT(w.keys)},
	}
	return w
}

func (w *world) validator(relax accesstoken.Relax) *accesstoken.Validator {
	var keys []jwkset.JWK
	for kid, key := range w.keys {
		keys = append(keys, publicJWK(kid, key))
	}
	return must(accesstoken.NewValidator(accesstoken.Config{
		Resource: resource,
		Issuers: []accesstoken.Issuer{{
			URL: issuer, Keys: jwks.Static(keys...), Relax: relax,
			Accept: func(context.Context, accesstoken.Claims) error { return nil }, // required if everything is relaxed
		}},
		Leeway: leeway * time.Second,
		Logger: slog.New(slog.DiscardHandler),
		Now:    clock,
	}))
}

// publicJWK leaves alg open: each key serves all algorithms of its kind.
func publicJWK(kid string, key crypto.Signer) jwkset.JWK {
	options := jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid}}
	members := must(jwkset.NewJWKFromKey(key.Public(), options)).Marshal()
	members.ALG = ""
	return must(jwkset.NewJWKFromMarshal(members, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{}))
}

func newKeys(name string) map[string]crypto.Signer {
	random := rand.NewChaCha8(sha512.Sum512_256([]byte(name)))
	return map[string]crypto.Signer{
		"rsa":     newRSA(random),
		"p256":    newEC(random, elliptic.P256()),
		"p384":    newEC(random, elliptic.P384()),
		"p521":    newEC(random, elliptic.P521()),
		"ed25519": ed25519.NewKeyFromSeed(bytesOf(random, ed25519.SeedSize)),
	}
}

func bytesOf(random *rand.ChaCha8, count int) []byte {
	out := make([]byte, count)
	_, _ = random.Read(out) // never fails
	return out
}

// newEC clears the first byte: the scalar has to be below the order.
func newEC(random *rand.ChaCha8, curve elliptic.Curve) *ecdsa.PrivateKey {
	scalar := bytesOf(random, (curve.Params().BitSize+7)/8)
	scalar[0] = 0
	return must(ecdsa.ParseRawPrivateKey(curve, scalar))
}

// newRSA makes a key from the given randomness. [rsa.GenerateKey] would ignore it and
// use its own.
func newRSA(random *rand.ChaCha8) *rsa.PrivateKey {
	const exponent = 65537
	p, q, one := newPrime(random), newPrime(random), big.NewInt(1)
	totient := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: exponent},
		D:         new(big.Int).ModInverse(big.NewInt(exponent), totient),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	return must(key, key.Validate())
}

// newPrime sets the two highest bits, so that the modulus has 2048.
func newPrime(random *rand.ChaCha8) *big.Int {
	for {
		candidate := bytesOf(random, 1024/8)
		candidate[0] |= 0xc0
		candidate[len(candidate)-1] |= 1
		if prime := new(big.Int).SetBytes(candidate); prime.ProbablyPrime(20) {
			return prime
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
