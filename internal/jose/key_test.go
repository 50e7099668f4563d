package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

// Each point on the list of small order verifies messages under one signature that
// was never made for them.
func TestPointsOfSmallOrderAreDangerous(t *testing.T) {
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1 // R is the identity, S is zero
	for _, point := range jose.SmallOrder {
		for _, sign := range []byte{0, 0x80} {
			key := must(hex.DecodeString(point))
			key[31] |= sign
			if jose.CheckKey(ed25519.PublicKey(key)) == nil {
				t.Errorf("%x: got nil; want it refused", key)
			}
			if sign != 0 && point[:2] != "26" && point[:2] != "c7" && point[:2] != "00" && point[:2] != "ed" {
				continue // x is zero, and some decoders reject a negative zero
			}
			verified := 0
			for i := range 400 {
				if ed25519.Verify(key, fmt.Append(nil, i), forged) {
					verified++
				}
			}
			if verified < 20 {
				t.Errorf("%x: verified %d of 400 unsigned messages; want many, or it is on the list in vain", key, verified)
			}
		}
	}
}

// The key of RFC 7638 §3.1 and its thumbprint, that of RFC 8037 appendix A.3, and
// that of RFC 9449 §4.1 with the jkt of §6.1.
func TestThumbprintsOfRFCs(t *testing.T) {
	for want, jwk := range map[string]string{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I": `{"y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","crv":"P-256","kty":"EC"}`,
	} {
		key, err := jose.ReadJWK(jwk)
		if err != nil {
			t.Errorf("%s: got %v; want a key", jwk, err)
			continue
		}
		if got, err := jose.Thumbprint(key); got != want || err != nil {
			t.Errorf("%s: got %s, %v; want %s", jwk, got, err, want)
		}
	}
}

// b64 encodes bytes for a JWK.
func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		for range 300 { // one coordinate in 256 begins with a zero
			checkRoundTrip(t, must(ecdsa.GenerateKey(curve, rand.Reader)).Public())
		}
	}
	checkRoundTrip(t, must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).Public())
	checkRoundTrip(t, rsaKey().Public())
	checkRoundTrip(t, &rsa.PublicKey{N: rsaKey().N, E: 3})
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	checkRoundTrip(t, public)
}

func checkRoundTrip(t *testing.T, key crypto.PublicKey) {
	t.Helper()
	written, err := jose.WriteJWK(key)
	if err != nil {
		t.Fatalf("%T: %v", key, err)
	}
	read, err := jose.ReadJWK(written)
	if err != nil || !jose.Contains([]crypto.PublicKey{key}, read) {
		t.Errorf("%s: got %v, %v; want the same key", written, read, err)
	}
}

// DPOP-05: private, symmetric, weak and malformed keys are rejected.
func TestWhichKeysAreRead(t *testing.T) {
	const (
		ec  = `"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"`
		okp = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	)
	rsa := func(bits int, e string) string {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return `{"kty":"RSA","n":"` + b64(n.SetBit(n, 0, 1).Bytes()) + `","e":"` + e + `"}`
	}
	even := new(big.Int).Lsh(big.NewInt(1), 2047)
	point := append(must(jose.Base64("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs")), must(jose.Base64("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"))...)
	without := func(jwk, old, new string) string { return "{" + strings.Replace(jwk, old, new, 1) + "}" }
	for _, c := range []struct {
		name, jwk string
		read      bool
	}{
		{"EC", "{" + ec + "}", true},
		{"other members of any type", "{" + ec + `,"kid":1,"use":["enc"],"x5c":["?"],"jku":{"a":1},"alg":"none"}`, true},
		{"private members written as null", "{" + ec + `,"d":null,"k":null}`, true},
		{"no object", `"` + "x" + `"`, false},
		{"null", `null`, false},
		{"an array", `[]`, false},
		{"empty", `{}`, false},
		{"kty a number", without(ec, `"EC"`, `1`), false},
		{"kty in small letters", without(ec, `"EC"`, `"ec"`), false},
		{"kty oct", `{"kty":"oct"}`, false},
		{"kty oct with its secret", `{"kty":"oct","k":"AA"}`, false},
		{"kty AKP", `{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"}`, false},
		{"secp256k1", without(ec, "P-256", "secp256k1"), false},
		{"P-224", without(ec, "P-256", "P-224"), false},
		{"the point under another curve", without(ec, "P-256", "P-384"), false},
		{"a point beside the curve", without(ec, "l8tFrhx", "l8tFrhy"), false},
		{"the point at infinity", `{"kty":"EC","crv":"P-256","x":"` + b64(make([]byte, 32)) + `","y":"` + b64(make([]byte, 32)) + `"}`, false},
		{"x with a zero before it", without(ec, "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", b64(append([]byte{0}, must(jose.Base64("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"))...))), false},
		{"x with padding", without(ec, "WBFs", "WBFs="), false},
		{"x in another spelling", without(ec, "WBFs", "WBFt"), false},
		{"x with a line break", without(ec, "WBFs", `WBFs\n`), false},
		{"a byte of x in y", `{"kty":"EC","crv":"P-256","x":"` + b64(point[:31]) + `","y":"` + b64(point[31:]) + `"}`, false},
		{"no y", `{"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs"}`, false},
		{"Ed25519", "{" + okp + "}", true},
		{"Ed25519 of 31 bytes", without(okp, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", b64(make([]byte, 31))), false},
		{"Ed25519 with padding", without(okp, "HURo", "HURo="), false},
		{"Ed25519 without x", `{"kty":"OKP","crv":"Ed25519"}`, false},
		{"Ed25519, the identity", `{"kty":"OKP","crv":"Ed25519","x":"` + b64(append([]byte{1}, make([]byte, 31)...)) + `"}`, false},
		{"X25519", without(okp, "Ed25519", "X25519"), false},
		{"Ed448", without(okp, "Ed25519", "Ed448"), false},
		{"RSA of 2048 bits", rsa(2048, "AQAB"), true},
		{"RSA of 1024 bits", rsa(1024, "AQAB"), false},
		{"RSA of 2047 bits", rsa(2047, "AQAB"), false},
		{"RSA of 8192 bits", rsa(8192, "AQAB"), true},
		{"RSA of 8193 bits", rsa(8193, "AQAB"), false},
		{"RSA with an even modulus", `{"kty":"RSA","e":"AQAB","n":"` + b64(even.Bytes()) + `"}`, false},
		{"RSA with exponent 3", rsa(2048, "Aw"), true},
		{"RSA with exponent 2^17-1", rsa(2048, b64([]byte{1, 0xff, 0xff})), true},
		{"RSA with exponent 2^17+1", rsa(2048, b64([]byte{2, 0, 1})), false},
		{"RSA with exponent 2^31-1", rsa(2048, b64([]byte{0x7f, 0xff, 0xff, 0xff})), false},
		{"RSA with exponent 1", rsa(2048, "AQ"), false},
		{"RSA with an even exponent", rsa(2048, "AQAA"), false},
		{"RSA with exponent 2^31+1", rsa(2048, b64([]byte{0x80, 0, 0, 1})), false},
		{"RSA with exponent 2^64+65537", rsa(2048, b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})), false},
		{"RSA with a zero before the exponent", rsa(2048, b64([]byte{0, 1, 0, 1})), false},
		{"RSA with a zero before the exponent 3", rsa(2048, b64([]byte{0, 3})), false},
		{"RSA without exponent", rsa(2048, ""), false},
		{"RSA with a padded exponent", rsa(2048, "Aw=="), false},
		{"RSA without modulus", `{"kty":"RSA","e":"AQAB"}`, false},
		{"RSA with a padded modulus", strings.Replace(rsa(2048, "AQAB"), `","e"`, `==","e"`, 1), false},
		{"RSA with a zero before the modulus", `{"kty":"RSA","e":"AQAB","n":"` + b64(append([]byte{0}, rsaKey().N.Bytes()...)) + `"}`, false},
	} {
		if _, err := jose.ReadJWK(c.jwk); (err == nil) != c.read {
			t.Errorf("%s: got %v; want it read: %t", c.name, err, c.read)
		}
	}
	for _, private := range strings.Fields("d p q dp dq qi oth k priv") {
		for _, value := range []string{`"c2VjcmV0"`, `""`, `1`, `[]`} {
			if _, err := jose.ReadJWK("{" + ec + `,"` + private + `":` + value + "}"); err == nil {
				t.Errorf("with %s %s: got nil; want an error", private, value)
			}
		}
	}
}

func TestOnlySoundKeysAreWritten(t *testing.T) {
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader)).Public()
	//lint:ignore SA1019 there is no other way to a point off the curve
	beside := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)}
	for _, key := range []crypto.PublicKey{
		nil, "key", beside, []byte("secret"), rsaKey(), p224, (*rsa.PublicKey)(nil), (*ecdsa.PublicKey)(nil), &rsa.PublicKey{}, &ecdsa.PublicKey{}, &ecdsa.PublicKey{Curve: elliptic.P256()},
		ed25519.PublicKey{}, &rsa.PublicKey{N: big.NewInt(15), E: 3},
	} {
		if got, err := jose.Thumbprint(key); got != "" || err == nil {
			t.Errorf("%T: got %q, %v; want an error", key, got, err)
		}
	}
}

func TestWhyAKeyIsOfNoUse(t *testing.T) {
	for name, c := range map[string]struct{ got, want error }{
		"an RSA private key":     {jose.CheckKey(rsaKey()), jose.ErrPrivate},
		"an EC private key":      {jose.CheckKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))), jose.ErrPrivate},
		"an Ed25519 private key": {jose.CheckKey(ed25519.NewKeyFromSeed(make([]byte, 32))), jose.ErrPrivate},
		"a secret":               {jose.CheckKey([]byte("secret")), jose.ErrSymmetric},
		"an EC key of no curve":  {jose.CheckKey(&ecdsa.PublicKey{}), jose.ErrKeyValues},
		"a JWK with d":           {second(jose.ReadJWK(`{"kty":"EC","d":""}`)), jose.ErrPrivate},
		"a JWK with k":           {second(jose.ReadJWK(`{"kty":"EC","k":""}`)), jose.ErrSymmetric},
		"a JWK of kty oct":       {second(jose.ReadJWK(`{"kty":"oct"}`)), jose.ErrSymmetric},
		"a JWK without values":   {second(jose.ReadJWK(`{"kty":"EC","crv":"P-256"}`)), jose.ErrKeyValues},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: got %v; want %v", name, c.got, c.want)
		}
	}
	for _, jwk := range []string{`[]`, `1`, `{"kty":1}`, `{"kty":"EC","crv":{}}`, `{"x":1}`, `{"y":1}`, `{"n":1}`, `{"e":1}`} {
		if _, err := jose.ReadJWK(jwk); err == nil || !strings.Contains(err.Error(), "RFC 7517 types") {
			t.Errorf("%s: got %v; want it to speak of types", jwk, err)
		}
	}
}

func second(_ crypto.PublicKey, err error) error { return err }

// A keyService is a crypto.Signer with a configured answer.
type keyService struct {
	public    crypto.PublicKey
	signature []byte
	err       error
}

func (k keyService) Public() crypto.PublicKey { return k.public }

func (k keyService) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return k.signature, k.err
}

// A signature verifies with the algorithm that made it, and with no other.
func TestSign(t *testing.T) {
	for _, a := range algorithms() {
		signature, err := jose.Sign(a.key, a.name, "header.payload")
		token := jose.Token{Header: &jose.Header{Algorithm: a.name}, SigningInput: "header.payload", Signature: signature}
		if err != nil || token.Verify(a.key.Public()) != nil {
			t.Errorf("%s: got %v, and %v from Verify; want a good signature", a.name, err, token.Verify(a.key.Public()))
		}
	}
	if _, err := jose.Sign(rsaKey(), "ES256", ""); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("got %v; want ErrAlgorithm", err)
	}
	down := errors.New("down")
	public := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).Public()
	if _, err := jose.Sign(keyService{public, nil, down}, "ES256", ""); !errors.Is(err, down) {
		t.Errorf("got %v; want what the key said", err)
	}
	number := func(size int) []byte { return append([]byte{2, byte(size), 1}, make([]byte, size-1)...) }
	for name, c := range map[string]struct {
		der  []byte
		good bool
	}{
		"of one byte each":  {[]byte{0x30, 6, 2, 1, 1, 2, 1, 1}, true},
		"of 32 bytes each":  {append([]byte{0x30, 68}, append(number(32), number(32)...)...), true},
		"r of 33 bytes":     {append([]byte{0x30, 38}, append(number(33), 2, 1, 1)...), false},
		"s of 33 bytes":     {append([]byte{0x30, 38, 2, 1, 1}, number(33)...), false},
		"r of zero":         {[]byte{0x30, 6, 2, 1, 0, 2, 1, 1}, false},
		"s of zero":         {[]byte{0x30, 6, 2, 1, 1, 2, 1, 0}, false},
		"s negative":        {[]byte{0x30, 6, 2, 1, 1, 2, 1, 0xff}, false},
		"more after it":     {[]byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}, false},
		"nothing":           {nil, false},
		"r and s by itself": {make([]byte, 64), false},
	} {
		got, err := jose.Sign(keyService{public, c.der, nil}, "ES256", "")
		if (err == nil) != c.good || c.good && len(got) != 64 {
			t.Errorf("a signature %s: got %d bytes, %v; want it good: %t", name, len(got), err, c.good)
		}
	}
}

func TestSplit(t *testing.T) {
	header, token, err := jose.Split("a.YQ.Yg")
	if header != "a" || token.SigningInput != "a.YQ" || err != nil || token.Open() != nil || token.Payload != "a" || string(token.Signature) != "b" {
		t.Errorf("got %q, %+v, %v; want the parts", header, token, err)
	}
	for _, jws := range []string{"", "a", "a.b", "a.b.c.d", "a.b.c."} {
		if _, _, err := jose.Split(jws); !errors.Is(err, jose.ErrNotJWT) {
			t.Errorf("%q: got %v; want ErrNotJWT", jws, err)
		}
	}
}

func TestAnRSAKeyOfMoreThan4096BitsIsLarge(t *testing.T) {
	modulus := func(bits uint) *big.Int { return new(big.Int).SetBit(new(big.Int), int(bits)-1, 1) }
	for name, test := range map[string]struct {
		key  crypto.PublicKey
		want bool
	}{
		"2048 bits":             {&rsa.PublicKey{N: modulus(2048), E: 65537}, false},
		"4096 bits":             {&rsa.PublicKey{N: modulus(4096), E: 65537}, false},
		"4097 bits":             {&rsa.PublicKey{N: modulus(4097), E: 65537}, true},
		"8192 bits":             {&rsa.PublicKey{N: modulus(8192), E: 65537}, true},
		"without a modulus":     {&rsa.PublicKey{}, false},
		"a nil RSA key":         {(*rsa.PublicKey)(nil), false},
		"an EC key":             {&ecdsa.PublicKey{Curve: elliptic.P521()}, false},
		"not a key":             {"a key", false},
		"no key, not even that": {nil, false},
	} {
		if got := jose.IsLarge(test.key); got != test.want {
			t.Errorf("%s: got %v; want %v", name, got, test.want)
		}
	}
}
