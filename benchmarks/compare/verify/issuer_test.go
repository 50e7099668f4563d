package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	audience  = "https://api.example.com"
	issuerURL = "https://login.example.com"

	// granted is what every token grants, and one scope of it.
	granted = "openid profile email orders:read orders:write invoices:read reports:read offline_access"
	writing = "orders:write"
)

var algorithms = []string{"RS256", "PS256", "ES256", "EdDSA"}

// A lap is the number of different tokens that each benchmark uses. The other libraries
// do not cache tokens, but should read as much memory as our validator, which needs
// tokens that it has never seen.
const lap = 1024

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // a log line would spoil the lines of a benchmark
	code := m.Run()
	if server != nil {
		server.Close()
	}
	os.Exit(code)
}

// An issuer signs with the middle one of three keys, which it publishes without
// a Cache-Control.
type issuer struct {
	alg     string
	jwksURI string
	private crypto.Signer

	sync.Mutex
	minted []string
}

const keyID = "2"

var (
	server *httptest.Server // of the key sets; started for the first issuer

	documents = http.NewServeMux()
	issuers   = map[string]*issuer{}
	opening   sync.Mutex
)

// issuerOf returns the issuer that signs with alg. It makes the keys once.
func issuerOf(tb testing.TB, alg string) *issuer {
	tb.Helper()
	opening.Lock()
	defer opening.Unlock()
	if issuers[alg] == nil {
		issuers[alg] = newIssuer(tb, alg)
	}
	return issuers[alg]
}

func newIssuer(tb testing.TB, alg string) *issuer {
	tb.Helper()
	if server == nil {
		server = httptest.NewServer(documents)
	}
	i := &issuer{alg: alg, jwksURI: server.URL + "/" + alg}
	var published jose.JSONWebKeySet
	for n, kid := range []string{"1", keyID, "3"} {
		private, err := keyOf(alg, n)
		must(tb, err)
		published.Keys = append(published.Keys, jose.JSONWebKey{Key: private.Public(), KeyID: kid, Algorithm: alg, Use: "sig"})
		if kid == keyID {
			i.private = private
		}
	}
	document, err := json.Marshal(published)
	must(tb, err)
	documents.HandleFunc("/"+alg, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(document)
	})
	return i
}

// keyOf returns the nth key for alg. RS256 and PS256 have the same ones, which
// take long to make.
func keyOf(alg string, n int) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	keys, err := rsaKeys()
	if err != nil {
		return nil, err
	}
	return keys[n], nil
}

var rsaKeys = sync.OnceValues(func() (keys [3]*rsa.PrivateKey, err error) {
	for n := range keys {
		if keys[n], err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return keys, err
		}
	}
	return keys, nil
})

// urls are the parsed URLs of the issuer and its key set.
func (i *issuer) urls(tb testing.TB) (issuer, keys *url.URL) {
	tb.Helper()
	issuer, err := url.Parse(issuerURL)
	must(tb, err)
	keys, err = url.Parse(i.jwksURI)
	must(tb, err)
	return issuer, keys
}

// sign returns a token of the form of RFC 9068, 902 bytes long with an RSA
// signature. A member of header or claims replaces the usual one; nil takes it
// away.
func (i *issuer) sign(tb testing.TB, id int, header, claims map[string]any) string {
	tb.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(i.alg), changed(jwt.MapClaims{
		"iss":          issuerURL,
		"sub":          "5f0e6a0c",
		"aud":          []string{audience, "urn:reports"},
		"exp":          now.Add(time.Hour).Unix(),
		"iat":          now.Unix(),
		"nbf":          now.Unix(),
		"jti":          fmt.Sprintf("%08d", id),
		"client_id":    "webshop",
		"scope":        granted,
		"roles":        []string{"clerk", "auditor"},
		"email":        "alice@example.com",
		"realm_access": map[string]any{"roles": []string{"user"}},
	}, claims))
	token.Header = changed(map[string]any{"alg": i.alg, "typ": "at+jwt", "kid": keyID}, header)
	signed, err := token.SignedString(i.private)
	must(tb, err)
	return signed
}

func changed[M ~map[string]any](usual M, changes map[string]any) M {
	maps.Copy(usual, changes)
	maps.DeleteFunc(usual, func(_ string, value any) bool { return value == nil })
	return usual
}

// tokens returns n different tokens.
func (i *issuer) tokens(tb testing.TB, n int) []string {
	tb.Helper()
	i.Lock()
	defer i.Unlock()
	for len(i.minted) < n {
		i.minted = append(i.minted, i.sign(tb, len(i.minted), nil, nil))
	}
	return i.minted[:n]
}

// lines returns the Authorization lines of n different tokens.
func (i *issuer) lines(tb testing.TB, n int) []string {
	tb.Helper()
	lines := make([]string, n)
	for n, token := range i.tokens(tb, n) {
		lines[n] = "Bearer " + token
	}
	return lines
}

// withHeader puts another header before a token's payload and signature.
func withHeader(token, header string) string {
	_, rest, _ := strings.Cut(token, ".")
	return encoded(header) + "." + rest
}

// withSignature appends another token's signature to a header and a payload. Because
// that is a good signature of the same key, it is below the modulus as a number.
// crypto/rsa would refuse a larger one without any work.
func withSignature(token, other string) string {
	return token[:strings.LastIndexByte(token, '.')] + other[strings.LastIndexByte(other, '.'):]
}

func encoded(part string) string { return base64.RawURLEncoding.EncodeToString([]byte(part)) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
