package conformance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
)

// dpopProof is a proof with the members that RFC 9449 §4.2 requires if a token is sent
// along. The library makes neither the proof nor the thumbprints.
var dpopProof = form{goodProofHeader, goodProofClaims, "ES256", "jwk", func(alg string) string { return `"raw:{${public:` + alg + `}}"` }}

func goodProofHeader() map[string]jsontext.Value {
	return members(`{"typ": "dpop+jwt", "alg": "ES256"}`)
}

func goodProofClaims() map[string]jsontext.Value {
	return members(`{"jti": "${canary}-${next}", "htm": "${htm}", "htu": "${htu}", "iat": "now", "ath": "${ath}"}`)
}

// A target is the request that a proof is made for.
type target struct{ method, path string }

// target returns the method and path of the request. A gRPC call is a POST in HTTP/2.
func (v vector) target(c transport) target {
	if c.http {
		return target{v.method(), c.path}
	}
	return target{"POST", c.path}
}

// proof makes a DPoP proof from a recipe.
func (w *world) proof(t *testing.T, x texts, r recipe) string {
	t.Helper()
	if r.Literal != nil {
		return x.expand(*r.Literal)
	}
	if r.Signer == "" {
		r.Signer = "sender"
	}
	f := dpopProof
	if r.Signer != "sender" {
		f.key = func(string) string { return `"raw:{${public:` + r.Signer + `}}"` }
	}
	return mutated(t, w.compact(x, r, f), r)
}

var made atomic.Int64

func (x texts) ofProof(word, argument string) string {
	switch word {
	case "htm":
		return x.at.method
	case "htu":
		return resource + x.at.path
	case "path":
		return x.at.path
	case "next":
		return fmt.Sprint("n", made.Add(1))
	case "nonce":
		return x.w.nonce(argument)
	}
	digest := sha256.Sum256([]byte(x.token))
	if argument != "" {
		return hex.EncodeToString(digest[:])
	}
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// nonce returns a nonce. If which is "", the nonce is good; if it is "old" or "early",
// its time is wrong; and "another" is a nonce of another server.
func (w *world) nonce(which string) string {
	config := w.nonces
	switch which {
	case "old":
		config.Now = func() time.Time { return w.now.Add(-20 * time.Minute) }
	case "early":
		config.Now = func() time.Time { return w.now.Add(20 * time.Minute) }
	case "another":
		config.NonceKey = bytes.Repeat([]byte("x"), 32)
	}
	return must(dpop.NewVerifier(config)).Nonce()
}

// keyText returns the thumbprint of a client's key, or for "public" its members
// without braces. The argument is the algorithm of a key of the sender, by default
// ES256, or "thief".
func (w *world) keyText(word, argument string) string {
	owner, alg := w.sender, argument
	if argument == "thief" {
		owner, alg = w.thief, "ES256"
	}
	if !slices.Contains(signable[:11], alg) {
		alg = "ES256" // for "none" and HS256 there is no public key
	}
	key := w.publicOf(keyID{owner, alg})
	if word == "public" {
		return key
	}
	digest := sha256.Sum256([]byte("{" + key + "}"))
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// publicOf returns the members over which a thumbprint is computed, in the order of
// RFC 7638 §3.2.
func (w *world) publicOf(id keyID) string {
	for _, key := range id.of.Keys() {
		if key.Marshal().ALG.String() != id.alg {
			continue
		}
		all := members(string(must(json.Marshal(key.Marshal()))))
		var some []string
		for _, name := range []string{"crv", "e", "kty", "n", "x", "y"} {
			if value, ok := all[name]; ok {
				some = append(some, `"`+name+`":`+string(value))
			}
		}
		return strings.Join(some, ",")
	}
	panic("conformance: no key is for " + id.alg)
}

// A certificate is a client's self-signed certificate.
type certificate struct{ tls.Certificate }

// newCertificate makes a certificate for a new key. All certificates have the same
// subject.
func newCertificate() *certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "client"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &certificate{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// text returns the certificate or its thumbprint, in the form that word names.
func (c *certificate) text(word string) string {
	der := c.Certificate.Certificate[0]
	digest := sha256.Sum256(der)
	switch word {
	case "der":
		return base64.StdEncoding.EncodeToString(der)
	case "pem":
		return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	case "sha256":
		return hex.EncodeToString(digest[:])
	}
	return base64.RawURLEncoding.EncodeToString(digest[:])
}

// offer gives the scene a DPoP verifier, if the case offers the scheme DPoP.
func (s *scene) offer(t *testing.T, w *world, c *dpopSetup, clock func() time.Time) {
	t.Helper()
	if c == nil {
		return
	}
	s.store = &countingStore{memory: dpop.NewMemory(0), down: c.Store == "down"}
	config := dpop.Config{URLs: []string{resource}, Algorithms: c.Algorithms, Store: s.store, Now: clock}
	if c.URLs != nil {
		config.URLs = c.URLs
	}
	if w.nonces = config; c.Nonces {
		config.NonceKey = bytes.Repeat([]byte("k"), 32)
		w.nonces = config
	}
	s.dpop = must(dpop.NewVerifier(config))
}

// A countingStore counts its calls.
type countingStore struct {
	memory *dpop.Memory
	down   bool
	uses   atomic.Int64
}

func (s *countingStore) Use(ctx context.Context, use dpop.Use) (bool, error) {
	s.uses.Add(1)
	if s.down {
		return true, errors.New("the store is down") // the result true must not hide the error
	}
	return s.memory.Use(ctx, use)
}

// checkUses checks that the store is called only if the token and the proof are good,
// so that only a client that can sign fills the store (DPOP-06).
func (s *scene) checkUses(t *testing.T, transport string, v vector) {
	t.Helper()
	if s.store == nil {
		return
	}
	want := int64(0)
	if v.usesProof() {
		want = 1
	}
	if got := s.store.uses.Swap(0); got != want {
		t.Errorf("%s: the store was asked %d times; want %d", transport, got, want)
	}
}

// usesProof reports whether the validator must pass the proof of the case to the replay
// store, because the token and the proof are good.
func (v vector) usesProof() bool {
	switch v.Reason {
	case accesstoken.DPoPProofReplayed, accesstoken.ReplayStoreUnavailable, accesstoken.ScopeInsufficient, accesstoken.PolicyDenied, accesstoken.StepUpRequired,
		accesstoken.AuthorizationDetailsInsufficient, "":
		return v.Proof != nil && v.scheme() == "DPoP" && v.Expect != "ANON"
	}
	return false
}

// letIn sends a request that has to be accepted.
func (s *scene) letIn(t *testing.T, stage *Resource, c transport, r request) {
	t.Helper()
	e := expectation{outcome: outcomes["OK"]}
	if s.dpop != nil {
		e.dpop = &offer{used: true, nonces: s.dpop.Nonce() != ""}
	}
	e.check(t, ask(t, c, r))
	if ran := len(stage.ran()); ran != 1 {
		t.Errorf("%s: the handler ran %d times for the first request; want once", c.name, ran)
	}
	if s.store != nil {
		s.store.uses.Store(0)
	}
}

// An offer is what challenges should contain about the scheme DPoP.
type offer struct {
	algs   string
	used   bool // the client used the scheme
	nonces bool // the server requires nonces
}

func (v vector) offer(s *scene) *offer {
	if s.dpop == nil {
		return nil
	}
	return &offer{algs: strings.Join(s.dpop.Algorithms(), " "), used: v.scheme() == "DPoP", nonces: s.dpop.Nonce() != ""}
}

// scheme returns DPoP if the client clearly uses it, and otherwise Bearer.
func (v vector) scheme() string {
	if v.Lines == nil && v.Proof != nil || len(v.Lines) == 1 && strings.HasPrefix(strings.ToLower(v.Lines[0])+" ", "dpop ") {
		return "DPoP"
	}
	return "Bearer"
}

// schemes returns the schemes of the challenges in their order. The scheme that the
// client used comes first.
func (o *offer) schemes() []string {
	switch {
	case o == nil:
		return []string{"Bearer"}
	case o.used:
		return []string{"DPoP", "Bearer"}
	}
	return []string{"Bearer", "DPoP"}
}

// givesNonce reports whether the response must have a nonce. It must if the proof lacked a
// good nonce, or if the proof had a good one and the request was accepted; then the
// response has the next nonce. In all other cases it must not (RFC 9449 §8.2, §9).
func (e expectation) givesNonce() bool {
	if e.dpop == nil {
		return false
	}
	return e.reason == accesstoken.DPoPNonceRequired || e.status == http.StatusOK && e.dpop.used && e.dpop.nonces
}

// checkNonce checks the nonce that the client gets, or that the client gets no nonce.
func (e expectation) checkNonce(t *testing.T, a answer) {
	t.Helper()
	want := 0
	if e.givesNonce() {
		want = 1
	}
	got := a.nonces()
	if len(got) != want || want > 0 && (got[0] == "" || strings.Trim(got[0], nqchar) != "") {
		t.Errorf("%s: got DPoP-Nonce %q; want %d, of NQCHAR", a.transport, got, want)
	}
}

// nonces returns the lines of DPoP-Nonce.
func (a answer) nonces() []string { return a.fields().Values("DPoP-Nonce") }

// nqchar are the characters of base64url, a subset of NQCHAR in RFC 6749.
const nqchar = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func (c *forwardedSetup) forwarded(t *testing.T) accesstoken.ForwardedCertificate {
	t.Helper()
	format, ok := map[string]accesstoken.CertificateFormat{
		"Client-Cert": accesstoken.ClientCertField, "NGINX": accesstoken.NGINXField, "Envoy": accesstoken.EnvoyField, "ALB": accesstoken.ALBField,
	}[c.Format]
	if !ok {
		t.Fatalf("no format is called %q", c.Format)
	}
	f := accesstoken.ForwardedCertificate{Format: format, Field: c.Field}
	proxies := c.Proxies
	if proxies == nil {
		proxies = []string{"127.0.0.0/8", "::1/128"}
	}
	for _, proxy := range proxies {
		f.Proxies = append(f.Proxies, netip.MustParsePrefix(proxy))
	}
	return f
}
