package accesstokentest

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// defaultAlgorithm is the algorithm that RFC 9068 §2.1 requires every server to
// support.
const defaultAlgorithm = "RS256"

// methods are the algorithms for which every server has a key. The keys are
// published in this order.
var methods = []struct {
	alg string
	jwt.SigningMethod
}{
	{"RS256", jwt.SigningMethodRS256},
	{"RS384", jwt.SigningMethodRS384},
	{"RS512", jwt.SigningMethodRS512},
	{"PS256", jwt.SigningMethodPS256},
	{"PS384", jwt.SigningMethodPS384},
	{"PS512", jwt.SigningMethodPS512},
	{"ES256", jwt.SigningMethodES256},
	{"ES384", jwt.SigningMethodES384},
	{"ES512", jwt.SigningMethodES512},
	{"EdDSA", jwt.SigningMethodEdDSA},
	{"Ed25519", jwt.SigningMethodEdDSA}, // keys and signatures like EdDSA (RFC 9864)
}

func algorithms() []string {
	var algs []string
	for _, m := range methods {
		algs = append(algs, m.alg)
	}
	return algs
}

// Rotate makes a new key for every algorithm. From now on the new keys sign and
// are published; the old keys stay published.
//
// If the new keys should sign before they are published, as happens behind a
// cache, keep serving the old set with [Server.Break] (see the example). If they
// should be published before they sign, make your tokens before you call Rotate.
func (s *Server) Rotate() {
	keys := s.newKeyring()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = keys
	s.publish(slices.Concat(s.published, keys))
}

// Withdraw removes the keys that no longer sign from the published set.
func (s *Server) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publish(s.current)
}

// Replace makes new keys under the key IDs of the current ones, like a server
// that gives every key the same ID. From now on the new keys sign, and they take
// the places of the old keys in the published set.
func (s *Server) Replace() {
	keys := s.newKeyring()
	s.mu.Lock()
	defer s.mu.Unlock()
	published := slices.Clone(s.published)
	for i, old := range s.current {
		keys[i].kid = old.kid
		published[slices.IndexFunc(published, func(k key) bool { return k.kid == old.kid })] = keys[i]
	}
	s.current = keys
	s.publish(published)
}

// publish replaces the published set. The caller must hold s.mu.
func (s *Server) publish(keys keyring) {
	s.behind.keys, s.published = s.published, keys
}

// A node is a server that lags behind the others at the same address.
type node struct {
	keys  keyring // the keys that it publishes
	every int     // it answers one of every so many requests; 0 means none
	count int     // requests since the last call of Lag
}

// Lag simulates n servers behind a load balancer, of which one lags behind. Of
// every n requests for the key set, the first is answered with the set before the
// last [Server.Rotate], [Server.Withdraw] or [Server.Replace], and the others are
// answered with the current set. If n is 1, every request gets the earlier set; if
// n is 0, the lag ends. Before the first Rotate, Withdraw or Replace, there is no
// earlier set and Lag has no effect. For example:
//
//	as.Rotate()
//	as.Lag(2) // every second request reaches a server without the new keys
//
// Lag affects neither [Server.Keys] nor the keys that sign.
func (s *Server) Lag(n int) {
	if n < 0 {
		s.fatalf("accesstokentest: Lag: got %d nodes; want 1 or more, or 0 to end the lag", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind.every, s.behind.count = n, 0
}

// keysOfANode returns the keys for the next request, from the current set or the
// lagging set.
func (s *Server) keysOfANode() []jwkset.JWK {
	s.mu.Lock()
	keys := s.published
	if n := &s.behind; n.every > 0 {
		if n.count%n.every == 0 && n.keys != nil {
			keys = n.keys
		}
		n.count++
	}
	s.mu.Unlock()
	return keys.public()
}

// Keys returns the published public keys, the oldest first. There is one for
// each of RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA and Ed25519.
// Each has a kid and an alg of its own, but the RS and PS algorithms share one
// 2048-bit RSA key.
func (s *Server) Keys() []jwkset.JWK {
	s.mu.RLock()
	published := s.published
	s.mu.RUnlock()
	return published.public()
}

// KeyID returns the ID of the key that currently signs with alg.
func (s *Server) KeyID(alg string) string {
	return s.signingKey(alg).kid
}

// signingKey returns the current key for alg. HMAC and "none" have no key in the
// set, so for these signingKey returns the key of the default algorithm.
func (s *Server) signingKey(alg string) key {
	s.mu.RLock()
	keys := s.current
	s.mu.RUnlock()
	switch alg {
	case "none", "HS256", "HS384", "HS512":
		alg = defaultAlgorithm
	}
	for _, k := range keys {
		if k.alg == alg {
			return k
		}
	}
	s.fatalf("accesstokentest: there is no key for the algorithm %q", alg)
	return key{}
}

// HugeKeySet returns a key set of n public keys for use as [Fault.Body]. The keys
// are valid and distinct P-256 keys, but no token is signed with them. A set of
// 10,000 keys has 1.7 megabytes.
func HugeKeySet(n int) []byte {
	set := []byte(`{"keys":[`)
	for i := range n {
		if i > 0 {
			set = append(set, ',')
		}
		point := must(ecdh.P256().GenerateKey(rand.Reader)).PublicKey().Bytes() // 4, x, y (SEC 1 §2.3.3)
		x, y := base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])
		set = fmt.Appendf(set, `{"kty":"EC","use":"sig","alg":"ES256","kid":"%d","crv":"P-256","x":"%s","y":"%s"}`, i, x, y)
	}
	return append(set, "]}"...)
}

type key struct {
	alg, kid string
	method   jwt.SigningMethod
	private  crypto.Signer
}

// public returns the key as a JWK. It converts by way of JSON, because jwkset
// cannot make an Ed25519 key with the algorithm name of RFC 9864.
func (k key) public() jwkset.JWK {
	options := jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: k.kid, USE: jwkset.UseSig}}
	if k.method != jwt.SigningMethodEdDSA {
		options.Metadata.ALG = jwkset.ALG(k.alg)
	}
	jwk := must(jwkset.NewJWKFromKey(k.private.Public(), options))
	members := jwk.Marshal()
	members.ALG = jwkset.ALG(k.alg)
	return must(jwkset.NewJWKFromMarshal(members, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{}))
}

// keyring holds one key for each algorithm, or several such generations, the
// oldest first.
type keyring []key

func (r keyring) public() (keys []jwkset.JWK) {
	for _, k := range r {
		keys = append(keys, k.public())
	}
	return keys
}

// spareKeys has the RSA keys of servers that were closed. Generating an RSA key takes
// most of the time of NewServer, so a new server gets a spare key if there is one. Two
// servers that are open never share a key, and every keyring has key IDs of its own.
var spareKeys struct {
	sync.Mutex
	rsa []*rsa.PrivateKey
}

// rsaKey returns an RSA key that no other open server has. The server must be closed to
// make the key a spare one. The caller must not hold s.mu.
func (s *Server) rsaKey() *rsa.PrivateKey {
	spareKeys.Lock()
	defer spareKeys.Unlock()
	var key *rsa.PrivateKey
	if last := len(spareKeys.rsa) - 1; last >= 0 {
		key, spareKeys.rsa = spareKeys.rsa[last], spareKeys.rsa[:last]
	} else {
		key = must(rsa.GenerateKey(rand.Reader, 2048))
	}
	s.rsaKeys = append(s.rsaKeys, key)
	return key
}

// spareRSAKeys makes the keys of a closed server spare ones.
func (s *Server) spareRSAKeys() {
	spareKeys.Lock()
	defer spareKeys.Unlock()
	spareKeys.rsa = append(spareKeys.rsa, s.rsaKeys...)
	s.rsaKeys = nil
}

func (s *Server) newKeyring() keyring {
	rsaKey := s.rsaKey()
	var keys keyring
	for _, m := range methods {
		keys = append(keys, key{
			alg:     m.alg,
			kid:     m.alg + "-" + rand.Text()[:10],
			method:  m.SigningMethod,
			private: newPrivateKey(m.SigningMethod, rsaKey),
		})
	}
	return keys
}

func newPrivateKey(method jwt.SigningMethod, rsaKey *rsa.PrivateKey) crypto.Signer {
	switch method {
	case jwt.SigningMethodES256:
		return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	case jwt.SigningMethodES384:
		return must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	case jwt.SigningMethodES512:
		return must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	case jwt.SigningMethodEdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	default:
		return rsaKey
	}
}

// must panics if err is not nil, which only a bug in this package can cause.
func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("accesstokentest: %v", err))
	}
	return v
}

// compact joins header, payload and the signature over both (RFC 7515 §7.1).
func compact(header, payload []byte, sign func(string) ([]byte, error)) (string, error) {
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := sign(input)
	if err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

func (s *Server) marshal(what string, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		s.fatalf("accesstokentest: the %s cannot be written as JSON: %v", what, err)
	}
	return b
}
