//go:build interop

package interop_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// Tokens that a real server has bound to a certificate pass over a connection with
// that certificate, and nowhere else.
func TestMutualTLS(t *testing.T) {
	s := startBinding(t)
	for _, client := range []string{"certificate-jwt", "certificate-opaque"} {
		t.Run(client, func(t *testing.T) {
			rs := s.serve(t, nil, accesstoken.ForwardedCertificate{})
			own, other := newCertificate(t), newCertificate(t)
			token := s.issue(t, client, s.transport(own))
			bearer := http.Header{"Authorization": {"Bearer " + token}}
			rs.expect(t, rs.transport(own), "/", bearer, allowed())
			rs.expect(t, rs.transport(other), "/", bearer, invalid(accesstoken.BindingMismatch))
			rs.expect(t, rs.transport(), "/", bearer, invalid(accesstoken.BindingMismatch))
			claimed := http.Header{"Authorization": bearer["Authorization"], "Client-Cert": {asField(own)}}
			rs.expect(t, rs.transport(), "/", claimed, invalid(accesstoken.BindingMismatch))
			rs.expect(t, rs.transport(other), "/", claimed, invalid(accesstoken.BindingMismatch))

			behind := s.serve(t, nil, accesstoken.ForwardedCertificate{
				Format:  accesstoken.ClientCertField,
				Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			})
			behind.expect(t, behind.transport(other), "/", claimed, allowed()) // the proxy has a certificate of its own
			behind.expect(t, behind.transport(own), "/", bearer, invalid(accesstoken.BindingMismatch))
			elsewhere := s.serve(t, nil, accesstoken.ForwardedCertificate{
				Format:  accesstoken.ClientCertField,
				Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			})
			elsewhere.expect(t, elsewhere.transport(other), "/", claimed, invalid(accesstoken.BindingMismatch))
			elsewhere.expect(t, elsewhere.transport(own), "/", bearer, allowed())
			claimed["Client-Cert"] = []string{asField(other)}
			behind.expect(t, behind.transport(), "/", claimed, invalid(accesstoken.BindingMismatch))
		})
	}
}

// newCertificate makes one that nobody vouches for, for a client or on loopback.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "interop"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// asField is what a proxy writes (RFC 9440 §2.2).
func asField(certificate tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(certificate.Certificate[0]) + ":"
}

// A binding is a server that binds its tokens.
type binding struct {
	t      *testing.T
	issuer string
	secret string
	roots  *x509.CertPool // for its own certificate
}

// startBinding starts oidc-provider over TLS.
func startBinding(t *testing.T) *binding {
	t.Helper()
	node, dir := installNode(t), installOIDCProvider(t)
	own := newCertificate(t)
	s := &binding{t: t, issuer: strings.Replace(freeURL(t), "http", "https", 1), secret: newSecret(), roots: x509.NewCertPool()}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]})
	s.roots.AppendCertsFromPEM(cert)
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	setting, err := json.Marshal(map[string]string{
		"issuer":   s.issuer,
		"resource": resource,
		"secret":   s.secret,
		"key":      string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"cert":     string(cert),
	})
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/oidc-provider-bound.mjs")
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "oidc-provider", func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, node, "--input-type=module", "-", string(setting))
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(script)
		return cmd
	})
	s.await(p)
	return s
}

// await waits for the metadata.
func (s *binding) await(p *process) {
	s.t.Helper()
	deadline := time.NewTimer(starting)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		response, err := (&http.Client{Transport: s.transport()}).Get(s.issuer + "/.well-known/openid-configuration")
		if err == nil {
			response.Body.Close()
			return
		}
		select {
		case <-again.C:
		case <-p.ended:
			s.t.Fatalf("%s ended before it was ready: %v", p.name, p.err)
		case <-deadline.C:
			s.t.Fatalf("%s was not ready within %v: %v", p.name, starting, err)
		}
	}
}

// transport makes connections on which the certificates are shown, and keeps none.
func (s *binding) transport(own ...tls.Certificate) *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots, Certificates: own}, DisableKeepAlives: true}
}

// issue gets an access token for a client that acts for itself.
func (s *binding) issue(t *testing.T, client string, by http.RoundTripper) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "resource": {resource}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(client, s.secret)
	response, err := (&http.Client{Transport: by}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got tokens
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || response.StatusCode != http.StatusOK || got.Access == "" {
		t.Fatalf("the token endpoint answers %s to %s: %v", response.Status, client, err)
	}
	return got.Access
}

// A boundServer is a resource server of ours, over TLS, for tokens that are bound.
type boundServer struct {
	*httptest.Server
	refused atomic.Pointer[accesstoken.Error] // the last refusal
}

// serve starts one. It asks for certificates, takes any, and demands nonces if there
// is a key for them.
func (s *binding) serve(t *testing.T, nonceKey []byte, forwarded accesstoken.ForwardedCertificate) *boundServer {
	t.Helper()
	rs := &boundServer{}
	var auth *middleware.Middleware
	rs.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth.Wrap(http.HandlerFunc(describe)).ServeHTTP(w, r)
	}))
	proofs, err := dpop.NewVerifier(dpop.Config{URLs: []string{"https://" + rs.Listener.Addr().String()}, NonceKey: nonceKey})
	if err != nil {
		t.Fatal(err)
	}
	trusting := &http.Client{Transport: s.transport(), Timeout: 10 * time.Second}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: resource,
		Issuers: []accesstoken.Issuer{{URL: s.issuer, Introspection: newClient(t, introspection.Config{
			Endpoint: s.issuer + "/token/introspection", ClientID: "resource-server", ClientSecret: s.secret, HTTPClient: trusting,
		})}},
		DPoP:                 proofs,
		ForwardedCertificate: forwarded,
		HTTPClient:           trusting,
		OnRefuse:             func(_ context.Context, refused *accesstoken.Error) { rs.refused.Store(refused) },
	})
	if err != nil {
		t.Fatal(err)
	}
	auth = middleware.New(v, nil).RequirePolicy(accesstoken.Policy{Scopes: scopes.All("read"), SenderConstrained: true})
	rs.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	rs.StartTLS()
	t.Cleanup(func() {
		rs.Close()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return rs
}

// transport makes connections on which the certificates are shown, and keeps none.
func (rs *boundServer) transport(own ...tls.Certificate) *http.Transport {
	roots := rs.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: own}, DisableKeepAlives: true}
}

// expect sends a request with the header fields and compares what became of it.
func (rs *boundServer) expect(t *testing.T, by http.RoundTripper, path string, header http.Header, want verdict) {
	t.Helper()
	rs.refused.Store(nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rs.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header.Clone()
	}
	response, err := (&http.Client{Transport: by}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	got := verdict{status: response.StatusCode, challenge: response.Header.Get("WWW-Authenticate") != ""}
	if refused := rs.refused.Load(); refused != nil && got.status != http.StatusOK {
		got.reason = refused.Reason
		t.Logf("refused with %d: %v", got.status, refused)
	}
	if got != want {
		t.Errorf("GET %s: got %+v; want %+v", path, got, want)
	}
}
