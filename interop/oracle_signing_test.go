//go:build interop

package interop_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // for signatures that no server may accept
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// The kids of the authorization server's keys.
const (
	rsaKey       = "rsa"
	secondRSAKey = "rsa-2"
	p256Key      = "p-256"
	secondP256   = "p-256-2"
	p384Key      = "p-384"
	ed25519Key   = "ed25519"
)

// keyOf is the key that is signed with.
var keyOf = map[string]string{"RS256": rsaKey, "PS256": rsaKey, "ES256": p256Key, "ES384": p384Key, "EdDSA": ed25519Key}

// signingKeys makes the keys that the authorization server signs with, and as many
// others with the same names that are not published.
func signingKeys(t *testing.T) (published, unpublished map[string]crypto.Signer) {
	t.Helper()
	made := []map[string]crypto.Signer{{}, {}}
	for _, keys := range made {
		for _, kid := range []string{rsaKey, secondRSAKey} {
			keys[kid] = must(rsa.GenerateKey(rand.Reader, 2048))
		}
		for _, kid := range []string{p256Key, secondP256} {
			keys[kid] = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		}
		keys[p384Key] = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
		_, edwards, err := ed25519.GenerateKey(rand.Reader)
		keys[ed25519Key] = must(edwards, err)
	}
	return made[0], made[1]
}

// must unwraps results that cannot be errors, because the keys are good.
func must[V any](value V, err error) V {
	if err != nil {
		panic(err)
	}
	return value
}

func encode(text []byte) string { return base64.RawURLEncoding.EncodeToString(text) }

// quote writes a JSON string.
func quote(text string) string { return string(must(json.Marshal(text))) }

// jwkOf writes a key as a JWK (RFC 7518 §6, RFC 8037 §2).
func jwkOf(kid string, key crypto.Signer, private bool) map[string]string {
	jwk := map[string]string{"kid": kid, "use": "sig"}
	number := func(n *big.Int) string { return encode(n.Bytes()) }
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		point := must(key.PublicKey.Bytes()) // 4, then x and y
		half := len(point) / 2
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", key.Params().Name, encode(point[1:1+half]), encode(point[1+half:])
		if private {
			jwk["d"] = encode(must(key.Bytes()))
		}
	case ed25519.PrivateKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(key.Public().(ed25519.PublicKey))
		if private {
			jwk["d"] = encode(key.Seed())
		}
	case *rsa.PrivateKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", number(key.N), number(big.NewInt(int64(key.E)))
		if private {
			jwk["d"], jwk["p"], jwk["q"] = number(key.D), number(key.Primes[0]), number(key.Primes[1])
			jwk["dp"], jwk["dq"], jwk["qi"] = number(key.Precomputed.Dp), number(key.Precomputed.Dq), number(key.Precomputed.Qinv)
		}
	}
	return jwk
}

// hashes are those of the algorithms, by the end of the name.
var hashes = map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}

func digest(hash crypto.Hash, input string) []byte {
	h := hash.New()
	h.Write([]byte(input))
	return h.Sum(nil)
}

// seal signs with an algorithm of RFC 7518 §3 or RFC 8037. For HMAC the key is a secret.
func seal(algorithm string, key any, input string) []byte {
	if edwards, ok := key.(ed25519.PrivateKey); ok {
		return ed25519.Sign(edwards, []byte(input))
	}
	hash := hashes[algorithm[2:]]
	switch algorithm[:2] {
	case "HS":
		mac := hmac.New(hash.New, key.([]byte))
		mac.Write([]byte(input))
		return mac.Sum(nil)
	case "RS":
		return must(rsa.SignPKCS1v15(nil, key.(*rsa.PrivateKey), hash, digest(hash, input)))
	case "PS":
		return sealPSS(key.(*rsa.PrivateKey), hash, rsa.PSSSaltLengthEqualsHash, input)
	}
	r, s := signPoint(key.(*ecdsa.PrivateKey), hash, input)
	return joined(r, s, (key.(*ecdsa.PrivateKey).Params().BitSize+7)/8)
}

func sealPSS(key *rsa.PrivateKey, hash crypto.Hash, salt int, input string) []byte {
	return must(rsa.SignPSS(rand.Reader, key, hash, digest(hash, input), &rsa.PSSOptions{SaltLength: salt}))
}

func signPoint(key *ecdsa.PrivateKey, hash crypto.Hash, input string) (r, s *big.Int) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest(hash, input))
	if err != nil {
		panic(err)
	}
	return r, s
}

// joined writes r and s with the given number of bytes each (RFC 7518 §3.4).
func joined(r, s *big.Int, size int) []byte {
	return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
}

// A member is a member of a JSON object, with its JSON texts.
type member struct{ name, value string }

// An object is a JSON object whose members keep their order.
type object []member

// readObject splits an encoded object into its members.
func readObject(t *testing.T, part string) (o object) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
		o = append(o, member{quote(name.(string)), string(value)})
	}
	return o
}

func (o object) String() string {
	var members []string
	for _, m := range o {
		members = append(members, m.name+":"+m.value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func (o object) index(name string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.name == quote(name) })
}

// get returns the JSON text of a member, or "" if it is absent.
func (o object) get(name string) string {
	if i := o.index(name); i >= 0 {
		return o[i].value
	}
	return ""
}

// text returns a member that is a string.
func (o object) text(name string) (text string) {
	if err := json.Unmarshal([]byte(o.get(name)), &text); err != nil {
		panic(fmt.Sprintf("%s: %v", name, err))
	}
	return text
}

// with replaces a member, or adds it at the end.
func (o object) with(name, value string) object {
	if i := o.index(name); i >= 0 {
		changed := slices.Clone(o)
		changed[i].value = value
		return changed
	}
	return o.and(name, value)
}

// and adds a member at the end, also a second one of that name.
func (o object) and(name, value string) object {
	return append(slices.Clone(o), member{quote(name), value})
}

// after puts a member in front.
func (o object) after(name, value string) object {
	return append(object{{quote(name), value}}, o...)
}

// without leaves a member out.
func (o object) without(name string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.name == quote(name) })
}

// named writes the name of a member in another way.
func (o object) named(name, written string) object {
	changed := slices.Clone(o)
	changed[o.index(name)].name = written
	return changed
}

// A base is a good token of the authorization server, and all that is needed to make
// changed tokens from it.
type base struct {
	algorithm      string
	token          string
	header, claims object
	other          string // as good, and for another audience
	id             string // an ID token
	opaque         string
	refresh        string
	bound          [2]string // access tokens that are bound to the key, where token is a proof

	published, unpublished map[string]crypto.Signer
}

// bases asks for a token under each algorithm.
func bases(t *testing.T, s *server, published, unpublished map[string]crypto.Signer) (list []*base) {
	t.Helper()
	user, opaque := s.logIn(t, "app"), s.issue(t, "opaque", resource, "read")
	for _, algorithm := range []string{"RS256", "PS256", "ES256"} {
		b := &base{
			algorithm: algorithm, published: published, unpublished: unpublished,
			token: s.issue(t, "jwt-"+algorithm, resource, "read write"),
			other: s.issue(t, "jwt-"+algorithm, otherResource, "read write"),
			id:    user.ID, opaque: opaque, refresh: user.Refresh,
		}
		parts := strings.Split(b.token, ".")
		b.header, b.claims = readObject(t, parts[0]), readObject(t, parts[1])
		if got := b.header.text("kid"); got != keyOf[algorithm] {
			t.Fatalf("%s: the token's kid is %q; want %q", algorithm, got, keyOf[algorithm])
		}
		list = append(list, b)
	}
	return list
}

func (b *base) key() crypto.Signer    { return b.published[keyOf[b.algorithm]] }
func (b *base) input() string         { return b.token[:strings.LastIndexByte(b.token, '.')] }
func (b *base) parts() []string       { return strings.Split(b.token, ".") }
func (b *base) signature() []byte     { return must(base64.RawURLEncoding.DecodeString(b.parts()[2])) }
func (b *base) end(s []byte) string   { return b.input() + "." + encode(s) }
func (b *base) rsa() *rsa.PrivateKey  { return b.key().(*rsa.PrivateKey) }
func (b *base) ec() *ecdsa.PrivateKey { return b.key().(*ecdsa.PrivateKey) }

// second is the kid of the other published key of the same type.
func (b *base) second() string {
	return map[string]string{rsaKey: secondRSAKey, p256Key: secondP256}[keyOf[b.algorithm]]
}

// sign makes a token of two texts.
func (b *base) sign(header, claims string) string {
	return b.signed(encode([]byte(header)) + "." + encode([]byte(claims)))
}

// signed signs two texts that are already encoded.
func (b *base) signed(input string) string { return b.signedBy(b.algorithm, b.key(), input) }

func (b *base) signedBy(algorithm string, key any, input string) string {
	return input + "." + encode(seal(algorithm, key, input))
}

// signedAs makes a token whose header and signature are of an algorithm.
func (b *base) signedAs(algorithm string, header object, key any) string {
	input := encode([]byte(header.with("alg", quote(algorithm)).String())) + "." + b.parts()[1]
	return b.signedBy(algorithm, key, input)
}
