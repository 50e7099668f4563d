package dpop_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/dpop"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521     = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, 32)) })
	stranger = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
)

const (
	here  = "https://api.example.com"
	token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
)

// start is the time of all tests that move no clock.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

// members are of a JSON object. To set one to nil takes it away.
type members map[string]any

// with returns m with some members replaced.
func (m members) with(other members) members {
	m = maps.Clone(m)
	maps.Copy(m, other)
	maps.DeleteFunc(m, func(_ string, value any) bool { return value == nil })
	return m
}

// jwkOf is written here once more, and not taken from the package: what it says is
// what is tested.
func jwkOf(key crypto.PublicKey) members {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return members{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point := must(key.Bytes())
		half := len(point) / 2
		return members{"kty": "EC", "crv": key.Curve.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		return members{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
	}
	panic(fmt.Sprintf("no JWK for %T", key))
}

var jtis atomic.Int64

func claims() members {
	hash := sha256.Sum256([]byte(token))
	return members{
		"jti": fmt.Sprint("jti-", jtis.Add(1)), "htm": "GET", "htu": here + "/orders", "iat": start.Unix(), "ath": b64(hash[:]),
	}
}

func header(key crypto.Signer) members {
	return members{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwkOf(key.Public())}
}

// signed is a JWS by golang-jwt, which has no part in the package.
func signed(key crypto.Signer, header, payload any) string {
	return signedInput(key, b64(must(json.Marshal(header)))+"."+b64(must(json.Marshal(payload))), header)
}

// signedInput signs what may not be the JSON of anything.
func signedInput(key crypto.Signer, input string, header any) string {
	var method jwt.SigningMethod
	switch key := key.(type) {
	case *rsa.PrivateKey:
		method = jwt.SigningMethodPS256
		if header, ok := header.(members); ok && header["alg"] == "RS256" {
			method = jwt.SigningMethodRS256
		}
	case *ecdsa.PrivateKey:
		method = map[string]jwt.SigningMethod{"P-256": jwt.SigningMethodES256, "P-384": jwt.SigningMethodES384, "P-521": jwt.SigningMethodES512}[key.Curve.Params().Name]
	case ed25519.PrivateKey:
		method = jwt.SigningMethodEdDSA
	}
	return input + "." + b64(must(method.Sign(input, key)))
}

// good is a proof of P-256 that everything is right with.
func good(change members) string { return signed(p256(), header(p256()), claims().with(change)) }

// request is what good is for.
func request(proofs ...string) dpop.Request {
	return dpop.Request{Method: "GET", Path: "/orders", Proofs: proofs, Token: token, Thumbprint: jkt(p256())}
}

func jkt(key crypto.Signer) string { return must(dpop.Thumbprint(key.Public())) }

// verifier returns one whose clock stands still.
func verifier(t testing.TB, config dpop.Config) *dpop.Verifier {
	t.Helper()
	if config.URLs == nil {
		config.URLs = []string{here}
	}
	if config.Now == nil {
		config.Now = func() time.Time { return start }
	}
	v, err := dpop.NewVerifier(config)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var kinds = map[error]string{
	dpop.ErrProof: "ErrProof", dpop.ErrKey: "ErrKey", dpop.ErrReplayed: "ErrReplayed", dpop.ErrNonce: "ErrNonce", dpop.ErrStore: "ErrStore",
}

// kindOf names the kinds that an error matches: there has to be one.
func kindOf(err error) string {
	if err == nil {
		return "accepted"
	}
	var matched []string
	for kind, name := range kinds {
		if errors.Is(err, kind) {
			matched = append(matched, name)
		}
	}
	return strings.Join(matched, " and ")
}

// check verifies, and holds the outcome to a kind, and to a part of the error's text
// after a colon.
func check(t testing.TB, v *dpop.Verifier, r dpop.Request, want string) {
	t.Helper()
	err := v.Verify(context.Background(), r)
	kind, text, _ := strings.Cut(want, ": ")
	if got := kindOf(err); got != kind || !strings.Contains(fmt.Sprint(err), text) {
		t.Errorf("got %s (%v); want %s", got, err, want)
	}
}

// A countingStore says yes, and counts how often it is asked.
type countingStore struct {
	mu   sync.Mutex
	uses []dpop.Use
}

func (s *countingStore) Use(_ context.Context, use dpop.Use) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses = append(s.uses, use)
	return true, nil
}

// rfcPoint is the key of RFC 9449, as SEC 1 §2.3.3 writes it.
func rfcPoint() []byte {
	x, y := "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"
	decode := base64.RawURLEncoding.DecodeString
	return slices.Concat([]byte{4}, must(decode(x)), must(decode(y)))
}
