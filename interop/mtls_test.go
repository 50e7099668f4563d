//go:build interop

package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/middleware"
)

// TestMTLS makes oidc-provider bind tokens to a client's self-signed certificate (RFC
// 8705). It presents them with that certificate, with another, and without one. The
// certificate comes from the connection, or from a proxy's header field.
func TestMTLS(t *testing.T) {
	listener, own, other := newCertificate(t, "127.0.0.1"), newCertificate(t, "client"), newCertificate(t, "client") // of the same name
	s := startOIDCProviderWith(t, map[string]any{"keys": []any{}, "tls": listener.setting(t)})
	for _, kind := range []struct {
		name, client string
		issuer       accesstoken.Issuer
	}{
		{"JWT", "certified", s.jwts()},
		{"opaque", "certified-opaque", s.both(t)},
	} {
		token := s.issueCertified(t, listener, own, kind.client)
		issuers := []accesstoken.Issuer{kind.issuer}
		t.Run(kind.name+", over TLS", func(t *testing.T) { connections(t, issuers, token, own, other) })
		t.Run(kind.name+", behind a proxy", func(t *testing.T) { forwarded(t, issuers, token, own, other) })
	}
	t.Run("answers", func(t *testing.T) {
		token := s.issueCertified(t, listener, own, "certified-opaque")
		expectShape(t, "opaque token, bound", s.introspect(t, token),
			"active:true aud:string client_id:string cnf:object exp:number iat:number iss:string scope:string token_type:string")
	})
}

// A certificate is self-signed.
type certificate struct{ tls.Certificate }

func newCertificate(t *testing.T, name string) certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return certificate{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}}
}

// setting is that of a listener of oidc-provider with the certificate.
func (c certificate) setting(t *testing.T) map[string]string {
	t.Helper()
	key := must(x509.MarshalPKCS8PrivateKey(c.PrivateKey))
	return map[string]string{
		"port":        portOf(freeURL(t)),
		"key":         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf.Raw})),
	}
}

// field is the certificate in a Client-Cert field (RFC 9440 §2.2).
func (c certificate) field() string {
	return ":" + base64.StdEncoding.EncodeToString(c.Leaf.Raw) + ":"
}

// clientOf returns a client that trusts one server, and presents a certificate if it
// has one. Its connections can be resumed.
func clientOf(t *testing.T, server *x509.Certificate, own ...certificate) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(server)
	setting := &tls.Config{RootCAs: roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for _, c := range own {
		setting.Certificates = append(setting.Certificates, c.Certificate)
	}
	transport := &http.Transport{TLSClientConfig: setting}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// issueCertified gets a token that is bound to a certificate, at the endpoint that
// the metadata names for that (RFC 8705 §5).
func (s *server) issueCertified(t *testing.T, listener, own certificate, client string) string {
	t.Helper()
	aliases, _ := s.metadata["mtls_endpoint_aliases"].(map[string]any)
	endpoint, _ := aliases["token_endpoint"].(string)
	if !strings.HasPrefix(endpoint, "https://") {
		t.Fatalf("the metadata of %s has mtls_endpoint_aliases %v; want a token_endpoint", s.issuer, aliases)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(s.asksFor(resource, "read").Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(client, s.secret)
	response, err := clientOf(t, listener.Leaf, own).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got tokens
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || got.Access == "" {
		t.Fatalf("the token endpoint answers %s to %s, %v; want a token", response.Status, client, err)
	}
	return got.Access
}

// expectAs presents a bearer token through a client, with these header lines, and
// compares.
func (rs *resourceServer) expectAs(t *testing.T, client *http.Client, token string, header http.Header, want verdict) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rs.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	request.Header.Set("Authorization", "Bearer "+token)
	if got, _, _ := rs.answers(t, client, request); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

// connections presents a token to a listener that asks for certificates, and takes
// any.
func connections(t *testing.T, issuers []accesstoken.Issuer, token string, own, other certificate) {
	web := httptest.NewUnstartedServer(nil)
	web.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	var resumed atomic.Bool
	rs := serveOn(t, web, accesstoken.Config{Issuers: issuers}, func(auth *middleware.Middleware) http.Handler {
		next := routes(auth)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			resumed.Store(r.TLS.DidResume)
			next.ServeHTTP(w, r)
		})
	})
	mismatch, none := invalid(accesstoken.BindingMismatch), http.Header{}
	client, thief := clientOf(t, web.Certificate(), own), clientOf(t, web.Certificate(), other)
	rs.expectAs(t, client, token, none, allowed())
	rs.expectAs(t, thief, token, none, mismatch)
	rs.expectAs(t, clientOf(t, web.Certificate()), token, none, mismatch)
	rs.expectAs(t, thief, token, http.Header{"Client-Cert": {own.field()}}, mismatch)

	client.CloseIdleConnections()
	thief.CloseIdleConnections()
	rs.expectAs(t, client, token, none, allowed())
	if !resumed.Load() {
		t.Error("the second connection was not resumed; want the certificate of the first to count on it")
	}
	rs.expectAs(t, thief, token, none, mismatch)
}

// forwarded presents a token without TLS, as from a proxy that has seen the
// certificate.
func forwarded(t *testing.T, issuers []accesstoken.Issuer, token string, own, other certificate) {
	behind := func(proxies string) *resourceServer {
		return serveOn(t, httptest.NewUnstartedServer(nil), accesstoken.Config{Issuers: issuers, ForwardedCertificate: accesstoken.ForwardedCertificate{
			Format:  accesstoken.ClientCertField,
			Proxies: []netip.Prefix{netip.MustParsePrefix(proxies)},
		}}, routes)
	}
	mismatch := invalid(accesstoken.BindingMismatch)
	for _, test := range []struct {
		name   string
		rs     *resourceServer
		header http.Header
		want   verdict
	}{
		{"the client's", behind("127.0.0.1/32"), http.Header{"Client-Cert": {own.field()}}, allowed()},
		{"another", behind("127.0.0.1/32"), http.Header{"Client-Cert": {other.field()}}, mismatch},
		{"none", behind("127.0.0.1/32"), http.Header{}, mismatch},
		{"the client's and another", behind("127.0.0.1/32"), http.Header{"Client-Cert": {own.field(), other.field()}}, mismatch},
		{"the client's, in the field of another proxy", behind("127.0.0.1/32"), http.Header{"X-Forwarded-Client-Cert": {own.field()}}, mismatch},
		{"the client's, from an address that is no proxy's", behind("192.0.2.0/24"), http.Header{"Client-Cert": {own.field()}}, mismatch},
		{"the client's, where no proxy is expected", serveOn(t, httptest.NewUnstartedServer(nil), accesstoken.Config{Issuers: issuers}, routes),
			http.Header{"Client-Cert": {own.field()}}, mismatch},
	} {
		t.Run(test.name, func(t *testing.T) { test.rs.expectAs(t, http.DefaultClient, token, test.header, test.want) })
	}
}
