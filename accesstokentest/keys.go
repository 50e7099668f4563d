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

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// defaultAlgorithm is the one that RFC 9068 §2.1 makes every server support.
const defaultAlgorithm = "RS256"

// methods are the algorithms that have a key on every server, in the order in
// which the keys are published.
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
	{"Ed25519", jwt.SigningMethodEdDSA}, // RFC 9864: the same keys and signatures
}

func algorithms() []string {
	var algs []string
	for _, m := range methods {
		algs = append(algs, m.alg)
	}
	return algs
}

// Rotate makes new keys for every algorithm. They sign and are published from
// now on; the old ones stay published. It takes as long as an RSA key does.
//
// Where publication is to lag behind, as it does with a cache in between,
// [Server.Break] goes on with the old set; the example shows it. Where it is to
// come first, the test makes its tokens before it rotates.
func (s *Server) Rotate() {
	keys := newKeyring()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = keys
	s.publish(slices.Concat(s.published, keys))
}

// Withdraw ends the publication of all keys that no longer sign.
func (s *Server) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publish(s.current)
}

// Replace makes new keys under the key IDs of those that sign, as a server does
// that gives every key the same name. They sign from now on and take the places
// of their predecessors in what is published. It takes as long as an RSA key
// does.
func (s *Server) Replace() {
	keys := newKeyring()
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

// publish replaces what is published. s.mu is held.
func (s *Server) publish(keys keyring) {
	s.behind.keys, s.published = s.published, keys
}

// A node is a server among several that stand behind one address.
type node struct {
	keys  keyring // what it publishes
	every int     // it answers one request of so many; 0: none
	count int     // of requests
}

// Lag lets one of n nodes be behind: of n requests for the key set the first is
// answered with the set as it was before the last [Server.Rotate],
// [Server.Withdraw] or [Server.Replace], the others with the present one. 1 stands
// for every request, and 0 ends it. Before any of these the two sets are the same.
//
//	as.Rotate()
//	as.Lag(2) // a node that was not told, behind a balancer that takes turns
//
// What [Server.Keys] returns, and what signs, is not affected.
func (s *Server) Lag(n int) {
	if n < 0 {
		s.fatalf("accesstokentest: Lag: got %d nodes; want 1 or more, or 0 to end it", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind.every, s.behind.count = n, 0
}

// keysOfANode returns what the node publishes that a request comes to.
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

// Keys returns the public keys as they are published, the oldest first: one for
// each of RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA and Ed25519.
// Each has its own key ID and names its algorithm, but all of RSA share one
// 2048-bit key.
func (s *Server) Keys() []jwkset.JWK {
	s.mu.RLock()
	published := s.published
	s.mu.RUnlock()
	return published.public()
}

// KeyID returns the ID of the key that signs with alg at present.
func (s *Server) KeyID(alg string) string {
	return s.signingKey(alg).kid
}

// signingKey returns the current key for alg. What has no key of its own, HMAC
// and none, borrows the default one's name.
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

// HugeKeySet returns a key set of n public keys, distinct and valid P-256 keys
// that sign nothing: for [Fault.Body]. A set of 10,000 has 1.7 megabytes.
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

// key is one signing key.
type key struct {
	alg, kid string
	method   jwt.SigningMethod
	private  crypto.Signer
}

// public returns the key as a key set publishes it. It goes by way of JSON
// because jwkset makes no Ed25519 key with the algorithm name of RFC 9864.
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

// keyring holds one key for each algorithm, or several generations of that.
type keyring []key

func (r keyring) public() (keys []jwkset.JWK) {
	for _, k := range r {
		keys = append(keys, k.public())
	}
	return keys
}

func newKeyring() keyring {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
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

// must is for what fails only if this package is wrong.
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
