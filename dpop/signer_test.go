package dpop_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/dpop"
)

// What a Signer signs, golang-jwt verifies and a Verifier accepts.
func TestSignedProofsAreGood(t *testing.T) {
	for alg, key := range map[string]crypto.Signer{"ES256": p256(), "ES384": p384(), "ES512": p521(), "EdDSA": edKey(), "PS256": rsaKey()} {
		t.Run(alg, func(t *testing.T) {
			s := must(dpop.NewSigner(key))
			v := verifier(t, dpop.Config{Now: time.Now, NonceKey: make([]byte, 32)})
			rounds := map[string]int{"ES256": 300, "ES384": 50, "ES512": 20}[alg] // r or s begins with a zero now and then
			for range max(rounds, 1) {
				proof := must(s.Sign(dpop.Proof{Method: "GET", URL: here + "/orders?a=b#c", Token: token, Nonce: v.Nonce()}))
				r := request(proof)
				r.Thumbprint = s.Thumbprint()
				check(t, v, r, "accepted")
				if _, err := jwt.Parse(proof, func(*jwt.Token) (any, error) { return key.Public(), nil }, jwt.WithValidMethods([]string{alg})); err != nil {
					t.Fatalf("golang-jwt: %v", err)
				}
			}
			if s.Thumbprint() != jkt(key) {
				t.Errorf("got %s; want %s", s.Thumbprint(), jkt(key))
			}
		})
	}
}

func payloadOf(proof string) (claims map[string]any) {
	raw := must(base64.RawURLEncoding.DecodeString(strings.Split(proof, ".")[1]))
	if err := json.Unmarshal(raw, &claims); err != nil {
		panic(err)
	}
	return claims
}

func TestWhatAProofSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := must(dpop.NewSigner(edKey()))
		time.Sleep(time.Hour) // of the bubble
		proof := dpop.Proof{Method: "POST", URL: "https://API.example.com:443/a?b"}
		got := payloadOf(must(s.Sign(proof)))
		if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"htm", "htu", "iat", "jti"}) {
			t.Errorf("got %v; want ath and nonce only where there are such", names)
		}
		if got["htm"] != "POST" || got["htu"] != "https://API.example.com:443/a" || got["iat"] != float64(time.Now().Unix()) {
			t.Errorf("got %v; want the request, and the time", got)
		}
		if again := payloadOf(must(s.Sign(proof))); again["jti"] == got["jti"] || len(got["jti"].(string)) < 22 {
			t.Errorf("got jti %v and %v; want different ones of 128 bits", got["jti"], again["jti"])
		}
		proof.Token, proof.Nonce = token, `n"<>`
		got = payloadOf(must(s.Sign(proof)))
		if got["ath"] != claims()["ath"] || got["nonce"] != proof.Nonce {
			t.Errorf("got %v; want ath and nonce", got)
		}
		for url, want := range map[string]string{
			"https://h": "https://h/", "https://h?a/b": "https://h/", "http://h#/": "http://h/", "https://h/a/": "https://h/a/", "https://h:8443": "https://h:8443/",
		} {
			if got := payloadOf(must(s.Sign(dpop.Proof{Method: "GET", URL: url})))["htu"]; got != want {
				t.Errorf("%s: got %v; want %s", url, got, want)
			}
		}
	})
}

func TestWhatCannotBeSigned(t *testing.T) {
	s := must(dpop.NewSigner(edKey()))
	for name, proof := range map[string]dpop.Proof{
		"nothing": {}, "no method": {URL: here}, "no URL": {Method: "GET"}, "a path": {Method: "GET", URL: "/a"},
		"user information": {Method: "GET", URL: "https://user:secret@h/"}, "another script": {Method: "GET", URL: "https://bücher.example/"},
	} {
		if got, err := s.Sign(proof); got != "" || err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %q, %v; want an error that quotes nothing", name, got, err)
		}
	}
}

// A keyService is a crypto.Signer that answers as it is told.
type keyService struct {
	public    crypto.PublicKey
	signature []byte
	err       error
}

func (k keyService) Public() crypto.PublicKey { return k.public }

func (k keyService) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return k.signature, k.err
}

func TestKeysThatCannotSign(t *testing.T) {
	var none *rsa.PrivateKey
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, key := range map[string]crypto.Signer{
		"nil": nil, "a nil key": none, "P-224": p224, "no key": keyService{}, "RSA of no bits": keyService{public: &rsa.PublicKey{}},
	} {
		if s, err := dpop.NewSigner(key); s != nil || err == nil {
			t.Errorf("%s: got %v, %v; want an error", name, s, err)
		}
		if key == nil || key == crypto.Signer(none) {
			continue
		}
		if got, err := dpop.Thumbprint(key.Public()); got != "" || err == nil {
			t.Errorf("%s: got %q, %v; want no thumbprint", name, got, err)
		}
	}
	down := errors.New("the key service is down")
	for name, service := range map[string]keyService{
		"down": {err: down}, "no signature": {}, "no ASN.1": {signature: []byte("signature")}, "zeros": {signature: []byte{0x30, 6, 2, 1, 0, 2, 1, 0}},
		"more after it": {signature: []byte{0x30, 6, 2, 1, 1, 2, 1, 1, 0}}, "too long": {signature: append([]byte{0x30, 38, 2, 33, 1}, append(make([]byte, 32), 2, 1, 1)...)},
	} {
		service.public = p256().Public()
		got, err := must(dpop.NewSigner(service)).Sign(dpop.Proof{Method: "GET", URL: here})
		if got != "" || err == nil || service.err != nil && !errors.Is(err, down) {
			t.Errorf("%s: got %q, %v; want an error", name, got, err)
		}
	}
}
