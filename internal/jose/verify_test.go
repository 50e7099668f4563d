package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func TestDefaultAlgorithms(t *testing.T) {
	want := "[RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 Ed25519 EdDSA]"
	got := jose.DefaultAlgorithms()
	if fmt.Sprint(got) != want {
		t.Errorf("got %v; want %s", got, want)
	}
	for _, alg := range got {
		if !jose.Supported(alg) {
			t.Errorf("%s: got unsupported; want supported", alg)
		}
	}
	got[0] = "none"
	if jose.DefaultAlgorithms()[0] != "RS256" {
		t.Error("a caller can change the list for other callers")
	}
}

func TestSupportedIsExact(t *testing.T) {
	for _, alg := range []string{
		"", "none", "None", "NONE", "noNE", "HS256", "HS384", "HS512", "rs256", "RS256 ", " RS256", "RS1", "ES256K", "Ed448", "ed25519",
		"eddsa", "RSA-OAEP", "dir", "RS256\x00", "ML-DSA", "ML-DSA-2", "ml-dsa-44", "ML-DSA-44-ES256", "HashML-DSA-44", "SLH-DSA-SHA2-128s",
	} {
		if jose.Supported(alg) || jose.Fits(alg, rsaKey().Public()) {
			t.Errorf("%q: got supported; want unsupported", alg)
		}
	}
}

// Every algorithm verifies under its own kind of key, and under no other.
func TestVerifyCrossTable(t *testing.T) {
	kind := func(alg string) string {
		switch alg {
		case "ES256", "ES384", "ES512":
			return alg
		case "Ed25519", "EdDSA":
			return "Ed25519"
		}
		return "RSA"
	}
	for _, signed := range algorithms() {
		token := mustParse(t, sign(t, signed.method, signed.key, `{"alg":"`+signed.name+`"}`, `{}`))
		for _, other := range algorithms() {
			fits := kind(signed.name) == kind(other.name)
			var want error
			if !fits {
				want = jose.ErrAlgorithm
			}
			if got := token.Verify(other.key.Public()); !errors.Is(got, want) {
				t.Errorf("%s under the key of %s: got %v; want %v", signed.name, other.name, got, want)
			}
			if got := jose.Fits(signed.name, other.key.Public()); got != fits {
				t.Errorf("Fits(%s, the key of %s): got %v; want %v", signed.name, other.name, got, fits)
			}
		}
	}
}

// No signature is good under another alg, because the header's alg is signed as well,
// and each alg has its own hash and padding.
func TestVerifyUnderAnotherName(t *testing.T) {
	for _, signed := range algorithms() {
		for _, named := range algorithms() {
			want := jose.ErrSignature
			same := signed.method == named.method
			if !same && !jose.Fits(named.name, signed.key.Public()) {
				want = jose.ErrAlgorithm
			}
			if same {
				want = nil // EdDSA and Ed25519 are two names of one algorithm
			}
			token := mustParse(t, sign(t, signed.method, signed.key, `{"alg":"`+named.name+`"}`, `{}`))
			if got := token.Verify(signed.key.Public()); !errors.Is(got, want) {
				t.Errorf("signed with %s, named %s: got %v; want %v", signed.name, named.name, got, want)
			}
		}
	}
}

func TestVerifyUnderAnotherKey(t *testing.T) {
	for _, test := range []struct {
		algorithm
		other crypto.PublicKey
	}{
		{algorithm{"RS256", jwt.SigningMethodRS256, rsaKey()}, newRSA(2048).Public()},
		{algorithm{"PS256", jwt.SigningMethodPS256, rsaKey()}, newRSA(2048).Public()},
		{algorithm{"ES256", jwt.SigningMethodES256, p256()}, newEC(elliptic.P256()).Public()},
		{algorithm{"EdDSA", jwt.SigningMethodEdDSA, edKey()}, must(newEd25519())},
	} {
		token := mustParse(t, sign(t, test.method, test.key, `{"alg":"`+test.name+`"}`, `{}`))
		if err := token.Verify(test.other); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: got %v; want %v", test.name, err, jose.ErrSignature)
		}
	}
}

func newEd25519() (ed25519.PublicKey, error) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	return public, err
}

// If anything in a signature is changed, it is wrong.
func TestVerifyChangedSignature(t *testing.T) {
	for _, a := range algorithms() {
		good := mustParse(t, sign(t, a.method, a.key, `{"alg":"`+a.name+`"}`, `{}`))
		length := len(good.Signature)
		for name, signature := range map[string][]byte{
			"empty":                  {},
			"nil":                    nil,
			"all zero":               make([]byte, length),
			"all ones":               slices.Repeat([]byte{0xff}, length),
			"a byte short":           good.Signature[:length-1],
			"a byte short in front":  good.Signature[1:],
			"a byte long":            append(slices.Clone(good.Signature), 0),
			"a zero byte in front":   append([]byte{0}, good.Signature...),
			"half":                   good.Signature[:length/2],
			"double":                 slices.Repeat(good.Signature, 2),
			"reversed":               reversed(good.Signature),
			"the first bit flipped":  flipped(good.Signature, 0),
			"the middle bit flipped": flipped(good.Signature, length/2),
			"the last bit flipped":   flipped(good.Signature, length-1),
		} {
			token := good
			token.Signature = signature
			if err := token.Verify(a.key.Public()); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("%s, %s: got %v; want %v", a.name, name, err, jose.ErrSignature)
			}
		}
		token := good
		token.SigningInput += "A"
		if err := token.Verify(a.key.Public()); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s, another payload: got %v; want %v", a.name, err, jose.ErrSignature)
		}
	}
}

func reversed(signature []byte) []byte {
	turned := slices.Clone(signature)
	slices.Reverse(turned)
	return turned
}

func flipped(signature []byte, at int) []byte {
	changed := slices.Clone(signature)
	changed[at] ^= 1
	return changed
}

// ECDSA signatures are R and S at their full length (RFC 7518 §3.4): no DER,
// nothing left out, no zero (CVE-2022-21449), nothing as large as the order.
func TestVerifyECDSAEncoding(t *testing.T) {
	const header = `{"alg":"ES256"}`
	input := part(header) + "." + part(`{}`)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p256(), digest[:])
	if err != nil {
		t.Fatal(err)
	}
	der := must(asn1.Marshal(struct{ R, S *big.Int }{r, s}))
	order := elliptic.P256().Params().N
	pair := func(r, s *big.Int) []byte {
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	zero := new(big.Int)
	beyond := func(n *big.Int) *big.Int { return new(big.Int).Add(n, order) }
	token := mustParse(t, input+".AAAA")
	token.Signature = pair(r, s)
	if err := token.Verify(p256().Public()); err != nil {
		t.Fatalf("R and S: got %v; want none", err)
	}
	wrong := map[string][]byte{
		"DER":                der,
		"DER cut to 64":      der[:64],
		"minimal R and S":    append(new(big.Int).Rsh(r, 8).Bytes(), s.Bytes()...),
		"r zero":             pair(zero, s),
		"s zero":             pair(r, zero),
		"both zero":          pair(zero, zero),
		"r is the order":     pair(order, s),
		"s is the order":     pair(r, order),
		"s and r":            pair(s, r),
		"63 bytes":           pair(r, s)[:63],
		"65 bytes":           append(pair(r, s), 0),
		"96 bytes, as ES384": append(make([]byte, 32), pair(r, s)...),
	}
	if more := beyond(r); more.BitLen() <= 256 {
		wrong["r beyond the order"] = pair(more, s)
	}
	if more := beyond(s); more.BitLen() <= 256 {
		wrong["s beyond the order"] = pair(r, more)
	}
	for name, signature := range wrong {
		token.Signature = signature
		if err := token.Verify(p256().Public()); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: got %v; want %v", name, err, jose.ErrSignature)
		}
	}
}

// P-521 needs 66 bytes for each number, the first of which is 0 or 1: leaving
// them out would be a second spelling.
func TestVerifyES512FullLength(t *testing.T) {
	token := mustParse(t, sign(t, jwt.SigningMethodES512, p521(), `{"alg":"ES512"}`, `{}`))
	if len(token.Signature) != 132 {
		t.Fatalf("got %d bytes; want 132", len(token.Signature))
	}
	token.Signature = slices.Concat(token.Signature[1:66], token.Signature[67:])
	if err := token.Verify(p521().Public()); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("130 bytes: got %v; want %v", err, jose.ErrSignature)
	}
}

func TestVerifyPSSSaltLength(t *testing.T) {
	for _, a := range []struct {
		name string
		hash crypto.Hash
	}{{"PS256", crypto.SHA256}, {"PS384", crypto.SHA384}, {"PS512", crypto.SHA512}} {
		for _, salt := range []int{1, 20, 32, 48, 64, rsa.PSSSaltLengthAuto} { // signing, auto is the longest
			input := part(`{"alg":"`+a.name+`"}`) + "." + part(`{}`)
			h := a.hash.New()
			h.Write([]byte(input))
			signature, err := rsa.SignPSS(rand.Reader, rsaKey(), a.hash, h.Sum(nil), &rsa.PSSOptions{SaltLength: salt})
			var want error
			if salt != a.hash.Size() {
				want = jose.ErrSignature
			}
			if got := mustParse(t, input+"."+part(must(signature, err))).Verify(rsaKey().Public()); !errors.Is(got, want) {
				t.Errorf("%s, salt of %d: got %v; want %v", a.name, salt, got, want)
			}
		}
	}
}

// The RSA public key does not work as an HMAC secret, in any form that an attacker
// may guess (RFC 8725 §2.1).
func TestVerifyHMACConfusion(t *testing.T) {
	public := rsaKey().Public().(*rsa.PublicKey)
	der := must(x509.MarshalPKIXPublicKey(public))
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for name, secret := range map[string][]byte{
		"DER": der, "PEM": block, "PKCS #1": x509.MarshalPKCS1PublicKey(public), "modulus": public.N.Bytes(), "empty": nil,
	} {
		for _, alg := range []string{"HS256", "RS256"} {
			input := part(`{"alg":"`+alg+`"}`) + "." + part(`{}`)
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(input))
			token := mustParse(t, input+"."+part(mac.Sum(nil)))
			for _, key := range []crypto.PublicKey{public, secret, string(secret)} {
				if err := token.Verify(key); err == nil {
					t.Errorf("%s of the %s under a %T: got no error; want one", alg, name, key)
				}
			}
		}
	}
}

func TestVerifyNone(t *testing.T) {
	for _, alg := range []string{`"none"`, `"None"`, `"NONE"`, `"noNE"`, `""`, `null`, `0`, `["RS256"]`, `{"alg":"RS256"}`} {
		for _, signature := range []string{"", "AA", part(make([]byte, 256))} {
			token := mustParse(t, part(`{"alg":`+alg+`}`)+"."+part(`{}`)+"."+signature)
			for _, key := range []crypto.PublicKey{nil, rsaKey().Public(), p256().Public(), edKey().Public(), []byte{}, jwt.UnsafeAllowNoneSignatureType} {
				if err := token.Verify(key); !errors.Is(err, jose.ErrAlgorithm) {
					t.Errorf("alg %s under a %T: got %v; want %v", alg, key, err, jose.ErrAlgorithm)
				}
			}
		}
	}
	for _, a := range algorithms() {
		token := mustParse(t, part(`{"alg":"`+a.name+`"}`)+"."+part(`{}`)+".")
		if err := token.Verify(a.key.Public()); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s without a signature: got %v; want %v", a.name, err, jose.ErrSignature)
		}
	}
}

// A weak key, or a value that is not a public key of the algorithm, verifies nothing
// and causes no panic, because a key source may be the application's own code.
func TestVerifyRefusesKeys(t *testing.T) {
	weak := newRSA1024(t)
	wide := uint32(math.MaxUint32) // as an int of 32 bits it is negative
	with := func(n *big.Int, e int) *rsa.PublicKey { return &rsa.PublicKey{N: n, E: e} }
	n := rsaKey().N
	bits := func(length uint) *big.Int { // of exactly this length, and odd
		return new(big.Int).Or(new(big.Int).Lsh(big.NewInt(1), length-1), big.NewInt(1))
	}
	point := func(x, y int64) *ecdsa.PublicKey {
		//lint:ignore SA1019 the constructors of crypto/ecdsa refuse to make what is tested here
		return &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(x), Y: big.NewInt(y)}
	}
	for _, test := range []struct {
		name, alg string
		key       crypto.PublicKey
	}{
		{"nil", "RS256", nil},
		{"RSA of 1024 bits", "RS256", weak},
		{"RSA of 1024 bits, PSS", "PS256", weak},
		{"RSA of 2047 bits", "RS256", with(bits(2047), 65537)},
		{"RSA of 8193 bits", "RS256", with(bits(8193), 65537)},
		{"RSA of 16384 bits", "RS256", with(bits(16384), 65537)},
		{"RSA, exponent 0", "RS256", with(n, 0)},
		{"RSA, exponent 1", "RS256", with(n, 1)},
		{"RSA, exponent 2", "RS256", with(n, 2)},
		{"RSA, even exponent", "RS256", with(n, 65536)},
		{"RSA, exponent of 32 bits", "RS256", with(n, int(wide))},
		{"RSA, negative exponent", "RS256", with(n, -65537)},
		{"RSA, negative modulus", "RS256", with(new(big.Int).Neg(n), 65537)},
		{"RSA, even modulus", "RS256", with(new(big.Int).Lsh(big.NewInt(1), 2047), 65537)},
		{"RSA as a value", "RS256", *rsaKey().Public().(*rsa.PublicKey)},
		{"RSA private", "RS256", rsaKey()},
		{"RSA, nil", "RS256", (*rsa.PublicKey)(nil)},
		{"RSA, zero", "RS256", &rsa.PublicKey{}},
		{"EC as a value", "ES256", *p256().Public().(*ecdsa.PublicKey)},
		{"EC private", "ES256", p256()},
		{"EC, nil", "ES256", (*ecdsa.PublicKey)(nil)},
		{"EC, zero", "ES256", &ecdsa.PublicKey{}},
		{"EC without a point", "ES256", &ecdsa.PublicKey{Curve: elliptic.P256()}},
		{"EC off the curve", "ES256", point(1, 1)},
		{"EC at infinity", "ES256", point(0, 0)},
		{"EC on P-224", "ES256", newEC(elliptic.P224()).Public()},
		{"EC on P-384", "ES256", p384().Public()},
		{"EC on P-521", "ES256", p521().Public()},
		{"EC on P-256", "ES512", p256().Public()},
		{"EC on P-256", "ES384", p256().Public()},
		{"Ed25519 of 31 bytes", "EdDSA", ed25519.PublicKey(make([]byte, 31))},
		{"Ed25519 of 33 bytes", "Ed25519", ed25519.PublicKey(make([]byte, 33))},
		{"Ed25519, empty", "EdDSA", ed25519.PublicKey{}},
		{"Ed25519, nil", "EdDSA", ed25519.PublicKey(nil)},
		{"Ed25519 private", "EdDSA", edKey()},
		{"Ed25519 as bytes", "EdDSA", []byte(edKey().Public().(ed25519.PublicKey))},
		{"a pointer to Ed25519", "EdDSA", new(ed25519.PublicKey)},
		{"a string", "EdDSA", "key"},
	} {
		t.Run(test.name+" for "+test.alg, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("got the panic %v; want an error", p)
				}
			}()
			for _, length := range []int{0, 64, 96, 128, 132, 256, 1024, 1025, 2048} {
				signature := slices.Repeat([]byte{1}, length)
				token := mustParse(t, part(`{"alg":"`+test.alg+`"}`)+"."+part(`{}`)+"."+part(signature))
				if err := token.Verify(test.key); err == nil {
					t.Errorf("a signature of %d bytes: got no error; want one", length)
				}
			}
		})
	}
}

func TestFitsRSASizes(t *testing.T) {
	for bits, want := range map[uint]bool{1024: false, 2047: false, 2048: true, 3072: true, 4096: true, 8192: true, 8193: false, 16384: false} {
		n := new(big.Int).Or(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1))
		for _, alg := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
			if got := jose.Fits(alg, &rsa.PublicKey{N: n, E: 65537}); got != want {
				t.Errorf("%s with %d bits: got %v; want %v", alg, bits, got, want)
			}
		}
	}
	for exponent, want := range map[int64]bool{-1: false, 0: false, 1: false, 2: false, 3: true, 4: false, 17: true, 65536: false, 65537: true, 1<<17 - 1: true, 1<<17 + 1: false, 1<<31 - 1: false, 1<<31 + 1: false} {
		if got := jose.Fits("RS256", &rsa.PublicKey{N: rsaKey().N, E: int(exponent)}); got != want {
			t.Errorf("exponent %d: got %v; want %v", exponent, got, want)
		}
	}
}

func newRSA1024(t *testing.T) *rsa.PublicKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	return newRSA(1024).Public().(*rsa.PublicKey)
}

// A token signed by a weak key is refused for the key, not for the signature.
func TestVerifyWeakRSA(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	key := newRSA(1024)
	token := mustParse(t, sign(t, jwt.SigningMethodRS256, key, `{"alg":"RS256"}`, `{}`))
	if err := jwt.SigningMethodRS256.Verify(token.SigningInput, token.Signature, key.Public()); err != nil {
		t.Fatalf("the test's own token: %v", err)
	}
	if err := token.Verify(key.Public()); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("got %v; want %v", err, jose.ErrAlgorithm)
	}
}

// A key in the header is ignored (RFC 8725 §3.10).
func TestVerifyIgnoresKeysInTheHeader(t *testing.T) {
	x := part([]byte(edKey().Public().(ed25519.PublicKey)))
	header := `{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"` + x + `"},"jku":"https://evil.example/jwks"}`
	token := mustParse(t, sign(t, jwt.SigningMethodEdDSA, edKey(), header, `{}`))
	if err := token.Verify(must(newEd25519())); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("got %v; want %v", err, jose.ErrSignature)
	}
}

// S is a number below the group's order (RFC 8032 §5.1.7): adding the order
// would be a second spelling of the same signature.
func TestVerifyEd25519SBeyondTheOrder(t *testing.T) {
	good := mustParse(t, sign(t, jwt.SigningMethodEdDSA, edKey(), `{"alg":"EdDSA"}`, `{}`))
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := slices.Clone(good.Signature[32:])
	slices.Reverse(s)
	beyond := new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(beyond)
	good.Signature = slices.Concat(good.Signature[:32], beyond)
	if err := good.Verify(edKey().Public()); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("S beyond the order: got %v; want %v", err, jose.ErrSignature)
	}
}

// RSA signatures are numbers below the modulus: adding it would be a second
// spelling of the same one.
func TestVerifyRSASignatureBeyondTheModulus(t *testing.T) {
	for _, m := range []struct {
		name string
		jwt.SigningMethod
	}{{"RS256", jwt.SigningMethodRS256}, {"PS256", jwt.SigningMethodPS256}} {
		for range 20 {
			token := mustParse(t, sign(t, m.SigningMethod, rsaKey(), `{"alg":"`+m.name+`"}`, `{}`))
			beyond := new(big.Int).Add(new(big.Int).SetBytes(token.Signature), rsaKey().N)
			if beyond.BitLen() > 2048 {
				continue
			}
			token.Signature = beyond.FillBytes(make([]byte, 256))
			if err := token.Verify(rsaKey().Public()); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("%s: got %v; want %v", m.name, err, jose.ErrSignature)
			}
			break
		}
	}
}

// The work before a verification should be small compared with these times.
func BenchmarkVerify(b *testing.B) {
	for _, a := range algorithms() {
		b.Run("alg="+a.name, func(b *testing.B) {
			token := mustParse(b, sign(b, a.method, a.key, `{"alg":"`+a.name+`"}`, `{}`))
			b.ReportAllocs()
			for b.Loop() {
				if err := token.Verify(a.key.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
