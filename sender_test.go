package accesstoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/middleware/echoauth"
	"github.com/accesstoken/accesstoken/scopes"
)

// A holder is a client with a key and a certificate.
type holder struct {
	signer      *dpop.Signer
	certificate tls.Certificate
	leaf        *x509.Certificate
}

func newHolder(t *testing.T) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := dpop.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return holder{signer, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf}
}

// cnf is what binds a token to the holder's key and, or, certificate.
func (h holder) cnf(key, certificate bool) map[string]any {
	cnf := map[string]any{}
	if key {
		cnf["jkt"] = h.signer.Thumbprint()
	}
	if certificate {
		digest := sha256.Sum256(h.leaf.Raw)
		cnf["x5t#S256"] = base64.RawURLEncoding.EncodeToString(digest[:])
	}
	return cnf
}

// field is the holder's certificate as a proxy forwards it (RFC 9440 §2.1).
func (h holder) field() string { return ":" + base64.StdEncoding.EncodeToString(h.leaf.Raw) + ":" }

// proof returns a new proof for a request of resource.
func (h holder) proof(t *testing.T, method, path, token string) string {
	t.Helper()
	proof, err := h.signer.Sign(dpop.Proof{Method: method, URL: resource + path, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func newVerifier(t *testing.T) *dpop.Verifier {
	t.Helper()
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}})
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

// A sending is one way to send a token.
type sending struct {
	dpop               bool
	proof, certificate string // "right", "wrong" or ""
}

func (s sending) String() string {
	return fmt.Sprintf("DPoP %v, proof %q, certificate %q", s.dpop, s.proof, s.certificate)
}

func everySending() (all []sending) {
	for _, scheme := range []bool{false, true} {
		for _, proof := range []string{"right", "wrong", ""} {
			for _, certificate := range []string{"right", "wrong", ""} {
				all = append(all, sending{scheme, proof, certificate})
			}
		}
	}
	return all
}

func (s sending) request(t *testing.T, token string, right, wrong holder) *http.Request {
	t.Helper()
	holders := map[string]holder{"right": right, "wrong": wrong}
	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set("Authorization", map[bool]string{false: "Bearer ", true: "DPoP "}[s.dpop]+token)
	r.TLS = new(tls.ConnectionState)
	if s.certificate != "" {
		r.TLS.PeerCertificates = []*x509.Certificate{holders[s.certificate].leaf}
	}
	if s.proof != "" {
		r.Header.Set("DPoP", holders[s.proof].proof(t, "GET", "/orders", token))
	}
	return r
}

// A binding is what a token is bound to.
type binding struct{ key, certificate, other bool }

// wants is RFC 9449 §7.1 and §7.2, and RFC 8705 §3, written once more.
func (b binding) wants(s sending) accesstoken.Reason {
	switch {
	case s.dpop && s.proof == "":
		return accesstoken.DPoPProofInvalid
	case s.dpop != b.key, b.other && !b.key && !b.certificate:
		return accesstoken.BindingRequired
	case b.certificate && s.certificate != "right", b.key && s.proof != "right":
		return accesstoken.BindingMismatch
	}
	return ""
}

// TestEveryBindingAndEveryWayToSend: no way of sending gets around a binding, and
// what the cache has makes no difference.
func TestEveryBindingAndEveryWayToSend(t *testing.T) {
	as, right, wrong := accesstokentest.NewServer(t), newHolder(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP, c.Issuers[0].Introspection = newVerifier(t), newIntrospection(t, as)
	})
	makers := map[string]func(accesstokentest.Claims) string{"JWT": as.Token, "opaque token": as.Opaque}
	for kind, newToken := range makers {
		for _, b := range []binding{{}, {key: true}, {certificate: true}, {key: true, certificate: true}, {other: true}, {key: true, other: true}} {
			claims := accesstokentest.Claims{}
			if cnf := right.cnf(b.key, b.certificate); b != (binding{}) {
				if b.other {
					cnf["kid"] = "x"
				}
				claims["cnf"] = cnf
			}
			good := sending{dpop: b.key, proof: "right", certificate: "right"}
			for _, s := range everySending() {
				token := newToken(claims)
				for _, known := range []bool{false, true} { // the second time, from the cache
					name := fmt.Sprintf("%s, %+v, %v, known %v", kind, b, s, known)
					_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(s.request(t, token, right, wrong)))
					if want := b.wants(s); want == "" && err != nil || want != "" && !errors.Is(err, want) {
						t.Errorf("%s: got %v; want %q", name, err, want)
					}
					_, err = v.Validate(t.Context(), accesstoken.CredentialsOf(good.request(t, token, right, wrong)))
					if want := b.wants(good); (err == nil) != (want == "") {
						t.Errorf("%s, then as it should be: got %v; want %q", name, err, want)
					}
				}
			}
		}
	}
}

// TestAProofNeedsTheRequest: who hands on a header alone is told what to do.
func TestAProofNeedsTheRequest(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = newVerifier(t) })
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	header := http.Header{"Authorization": {"DPoP " + token}, "Dpop": {client.proof(t, "GET", "/", token)}}
	_, err := v.Validate(t.Context(), accesstoken.CredentialsFrom(header))
	refused := wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	if !strings.Contains(refused.Error(), "CredentialsOf") {
		t.Errorf("got %v; want the advice to call CredentialsOf", refused)
	}
	bearer := as.Token(accesstokentest.Claims{"cnf": client.cnf(false, true)})
	_, err = v.Validate(t.Context(), accesstoken.Bearer(bearer))
	wantReason(t, err, accesstoken.BindingMismatch)
}

// TestAnotherLookNeedsNoOtherProof: handlers inside of handlers ask again, and the
// proof of the request is used up by then.
func TestAnotherLookNeedsNoOtherProof(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP, c.Issuers[0].Introspection = newVerifier(t), newIntrospection(t, as)
	})
	fresh := accesstoken.Policy{Scopes: scopes.All("a"), FreshIntrospection: true, SenderConstrained: true}
	plain, onEcho := middleware.New(v, nil), echoauth.New(v, nil)
	e := echo.New()
	e.Use(onEcho.Wrap, onEcho.Require(scopes.All("a")).Wrap)
	e.GET("/orders", func(c echo.Context) error {
		_, err := onEcho.Check(c)
		return err
	}, onEcho.RequirePolicy(fresh).Wrap)
	handlers := map[string]http.Handler{
		"net/http": plain.Wrap(plain.Require(scopes.All("a")).Wrap(plain.RequirePolicy(fresh).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := plain.Check(r); err != nil {
				t.Errorf("Check inside of all: got %v; want nil", err)
			}
		})))),
		"Echo": e,
	}
	for name, handler := range handlers {
		token := as.Opaque(accesstokentest.Claims{"scope": "a", "cnf": client.cnf(true, true), "token_type": "DPoP"})
		sent := sending{dpop: true, proof: "right", certificate: "right"}.request(t, token, client, client)
		for _, want := range []int{http.StatusOK, http.StatusUnauthorized} { // the second time it is another request
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, sent)
			if w.Code != want {
				t.Errorf("%s: got %d %q; want %d", name, w.Code, w.Header(), want)
			}
		}
	}
}

// TestALookThatFindsAnotherBinding: what was shown holds for what the token was bound
// to then, not for what its issuer says by now.
func TestALookThatFindsAnotherBinding(t *testing.T) {
	as, client, other := accesstokentest.NewServer(t), newHolder(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP, c.Issuers[0].Introspection = newVerifier(t), newIntrospection(t, as)
	})
	for name, now := range map[string]map[string]any{"key": other.cnf(true, false), "certificate": {"jkt": client.signer.Thumbprint(), "x5t#S256": other.cnf(false, true)["x5t#S256"]}} {
		token := as.Opaque(accesstokentest.Claims{"cnf": client.cnf(true, false), "token_type": "DPoP"})
		auth := middleware.New(v, nil)
		inner := auth.RequirePolicy(accesstoken.Policy{Scopes: scopes.None(), FreshIntrospection: true}).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			t.Errorf("another %s: the handler ran; want a refusal", name)
		}))
		w := httptest.NewRecorder()
		auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			as.Remember(token, accesstokentest.Claims{"cnf": now, "token_type": "DPoP"})
			inner.ServeHTTP(w, r)
		})).ServeHTTP(w, sending{dpop: true, proof: "right", certificate: "right"}.request(t, token, client, client))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("another %s: got %d; want 401", name, w.Code)
		}
	}
}

// TestALookByAnother: what one Validator has seen shown is not shown to another, which
// may have other URLs, and not shown for another token.
func TestALookByAnother(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	withDPoP := func(c *accesstoken.Config) { c.DPoP = newVerifier(t) }
	outer, other := newValidator(t, as, withDPoP), newValidator(t, as, withDPoP)
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	second := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false), "jti": "second"})
	looked := false
	handler := middleware.New(outer, nil).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		again := accesstoken.CredentialsOf(r)
		if _, err := outer.Validate(r.Context(), again); err != nil {
			t.Errorf("the same once more: got %v; want nil", err)
		}
		r.Header.Set("Authorization", "DPoP "+second)
		_, err := outer.Validate(r.Context(), accesstoken.CredentialsOf(r))
		wantReason(t, err, accesstoken.DPoPProofInvalid)
		r.Header.Set("Dpop", client.proof(t, "GET", "/elsewhere", token))
		_, err = other.Validate(r.Context(), again)
		wantReason(t, err, accesstoken.DPoPProofInvalid)
		looked = true
	}))
	handler.ServeHTTP(httptest.NewRecorder(), sending{dpop: true, proof: "right"}.request(t, token, client, client))
	if !looked {
		t.Error("the handler did not run")
	}
}

// TestAResumedConnectionHasItsCertificate is MTLS-03: the client does not show the
// certificate again, and is who it was (RFC 8446 §4.6.1).
func TestAResumedConnectionHasItsCertificate(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, nil)
	resumed := false
	server := httptest.NewUnstartedServer(middleware.New(v, nil).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		resumed = r.TLS.DidResume
	})))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(false, true)})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		transport := server.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = []tls.Certificate{client.certificate}
		transport.TLSClientConfig.MaxVersion = version
		transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for _, again := range []bool{false, true} {
			r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			transport.CloseIdleConnections()
			if answer.StatusCode != http.StatusOK || resumed != again {
				t.Errorf("TLS %x: got %d on a connection that is resumed: %v; want 200, %v", version, answer.StatusCode, resumed, again)
			}
		}
	}
}

// TestProxies is MTLS-04: whose field counts.
func TestProxies(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.ForwardedCertificate = accesstoken.ForwardedCertificate{Format: accesstoken.ClientCertField, Proxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("2001:db8::7/128"),
		}}
	})
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(false, true)})
	field := ":" + base64.StdEncoding.EncodeToString(client.leaf.Raw) + ":"
	for remote, trusted := range map[string]bool{
		"10.1.2.3:443":            true,
		"[::ffff:10.1.2.3]:443":   true, // of a socket for both families
		"[fe80::1%eth0]:443":      true,
		"[2001:db8::7]:443":       true,
		"[2001:db8:0:0::7]:1":     true,
		"11.1.2.3:443":            false,
		"[2001:db8::8]:443":       false,
		"[::ffff:11.1.2.3]:443":   false,
		"[::10.1.2.3]:443":        false, // another kind of address (RFC 4291 §2.5.5.1)
		"[64:ff9b::10.1.2.3]:443": false,
		"10.1.2.3":                false, // not what net/http writes
		"10.1.2.3, 11.1.2.3:443":  false,
		"010.1.2.3:443":           false,
		"10.1.2.3.evil.test:443":  false,
		"localhost:443":           false,
		"@":                       false, // of a Unix socket
		"/run/proxy.sock":         false,
		"":                        false,
		":443":                    false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.TLS = remote, nil
		r.Header = http.Header{"Authorization": {"Bearer " + token}, "Client-Cert": {field}, "X-Forwarded-For": {"10.1.2.3"}}
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r))
		if trusted && err != nil || !trusted && !errors.Is(err, accesstoken.BindingMismatch) {
			t.Errorf("%q: got %v; want the field to count: %v", remote, err, trusted)
		}
	}
}

// Who connects over a Unix socket is let in by the permissions of its file, and by the
// switch alone: no text that a client or a middleware writes makes a connection one.
func TestAProxyBehindAUnixSocketIsTrustedByASwitchOfItsOwn(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(false, true)})
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for _, test := range []struct {
		name    string
		unix    bool // the socket that the server listens on
		remote  string
		setting accesstoken.ForwardedCertificate
		trusted bool
	}{
		{"a Unix socket, with the switch", true, "", accesstoken.ForwardedCertificate{UnixSocket: true}, true},
		{"a Unix socket, with the switch and proxies", true, "", accesstoken.ForwardedCertificate{UnixSocket: true, Proxies: loopback}, true},
		{"a Unix socket, without the switch", true, "", accesstoken.ForwardedCertificate{Proxies: loopback}, false},
		{"TCP, with the switch", false, "", accesstoken.ForwardedCertificate{UnixSocket: true}, false},
		{"TCP, with the switch and proxies", false, "", accesstoken.ForwardedCertificate{UnixSocket: true, Proxies: loopback}, true},
		{"TCP, where a middleware writes the address of a Unix socket", false, "@", accesstoken.ForwardedCertificate{UnixSocket: true}, false},
		{"TCP, where a middleware writes no address", false, " ", accesstoken.ForwardedCertificate{UnixSocket: true}, false},
		{"a Unix socket, without the switch, where a middleware writes no address", true, " ", accesstoken.ForwardedCertificate{Proxies: loopback}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := newValidator(t, as, func(c *accesstoken.Config) {
				c.ForwardedCertificate = test.setting
				c.ForwardedCertificate.Format = accesstoken.ClientCertField
			})
			handler := middleware.New(v, nil).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			network, address := "tcp", "127.0.0.1:0"
			if test.unix {
				network, address = "unix", filepath.Join(t.TempDir(), "s")
			}
			listener, err := net.Listen(network, address)
			if err != nil {
				t.Fatal(err)
			}
			server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.remote != "" {
					r.RemoteAddr = strings.TrimSpace(test.remote)
				}
				handler.ServeHTTP(w, r)
			})}}
			server.Start()
			t.Cleanup(server.Close)
			transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
			}}
			t.Cleanup(transport.CloseIdleConnections)
			r, err := http.NewRequestWithContext(t.Context(), "GET", "http://localhost/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Authorization": {"Bearer " + token}, "Client-Cert": {client.field()}}
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[test.trusted]; answer.StatusCode != want {
				t.Errorf("got %d; want %d", answer.StatusCode, want)
			}
		})
	}
}

func TestProxiesThatCoverClientsAreAFault(t *testing.T) {
	for prefix, wide := range map[string]bool{
		"0.0.0.0/0": true, "::/0": true, "0.0.0.0/1": true, "128.0.0.0/1": true, "10.0.0.0/7": true, "2000::/3": true, "fc00::/6": true,
		"10.0.0.0/8": false, "fc00::/7": false, "127.0.0.1/32": false, "::1/128": false,
	} {
		setting := accesstoken.ForwardedCertificate{Format: accesstoken.EnvoyField, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix(prefix)}}
		lines := faultsOf(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://as.example"}}, ForwardedCertificate: setting})
		if wide && (len(lines) != 1 || !strings.Contains(lines[0], "ForwardedCertificate.Proxies has "+prefix+", which covers clients as well")) || !wide && len(lines) != 0 {
			t.Errorf("%s: got %q; want a fault: %v", prefix, lines, wide)
		}
	}
}

// TestThePathOfAProof: it is the one that the client wrote, whatever routers have
// made of it, and there is none where the request has none.
func TestThePathOfAProof(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = newVerifier(t) })
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	for _, test := range []struct {
		name string
		uri  string // RequestURI
		url  *url.URL
		path string // of the proof
		good bool
	}{
		{"as it came", "/a/b?x=/c", &url.URL{Path: "/a/b"}, "/a/b", true},
		{"without the prefix that a router took away", "/v1/a", &url.URL{Path: "/a"}, "/v1/a", true},
		{"the path that a router made", "/v1/a", &url.URL{Path: "/a"}, "/a", false},
		{"the prefix alone", "/v1/a", &url.URL{Path: "/a"}, "/v1", false},
		{"an encoded slash", "/a%2fb", &url.URL{Path: "/a/b", RawPath: "/a%2fb"}, "/a%2Fb", true},
		{"an encoded slash is none", "/a%2fb", &url.URL{Path: "/a/b", RawPath: "/a%2fb"}, "/a/b", false},
		{"absolute-form", "http://evil.example/a?x", &url.URL{Path: "/a"}, "/a", true},
		{"absolute-form, and a prefix that a router took away", "http://evil.example/v1/a", &url.URL{Path: "/a"}, "/v1/a", true},
		{"absolute-form without a path", "http://evil.example", &url.URL{}, "/", true},
		{"absolute-form of a host that looks like a path", "http://evil.example/b", &url.URL{Path: "/b"}, "/evil.example/b", false},
		{"two slashes", "//evil.example/a", &url.URL{Path: "//evil.example/a"}, "//evil.example/a", true},
		{"two slashes are no host", "//evil.example/a", &url.URL{Path: "//evil.example/a"}, "/a", false},
		{"dots that lead out", "/open/../a", &url.URL{Path: "/open/../a"}, "/a", true},
		{"dots, for where they lead through", "/open/../a", &url.URL{Path: "/open/../a"}, "/open", false},
		{"of the server as a whole", "*", &url.URL{Path: "*"}, "/*", false},
		{"of the server as a whole, for its root", "*", &url.URL{Path: "*"}, "/", false},
		{"a request that no server read", "", &url.URL{Path: "/a b"}, "/a%20b", true},
		{"a request without a URL", "", nil, "/", false},
		{"a request whose URI is none, without a URL", "x", nil, "/", false},
		{"a path with a fragment", "/a#b", &url.URL{Path: "/a#b"}, "/a", false},
	} {
		r := &http.Request{Method: "GET", RequestURI: test.uri, URL: test.url, Header: http.Header{
			"Authorization": {"DPoP " + token}, "Dpop": {client.proof(t, "GET", test.path, token)},
		}}
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r))
		if test.good && err != nil || !test.good && !errors.Is(err, accesstoken.DPoPProofInvalid) {
			t.Errorf("%s: got %v; want it accepted: %v", test.name, err, test.good)
		}
	}
}

// TestAProofUnderAnotherName: net/http has one spelling of the field, and what stands
// under another was put there by hand.
func TestAProofUnderAnotherName(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = newVerifier(t) })
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	for _, name := range []string{"DPoP", "dpop", "Dpop "} {
		r := httptest.NewRequest("GET", "/a", nil)
		r.Header = http.Header{"Authorization": {"DPoP " + token}, name: {client.proof(t, "GET", "/a", token)}}
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r))
		wantReason(t, err, accesstoken.DPoPProofInvalid)
	}
}

// TestAStoreThatEndsWithTheCaller: that nobody waits is no fault of the store.
func TestAStoreThatEndsWithTheCaller(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	for name, test := range map[string]struct {
		store  storeFunc
		reason accesstoken.Reason
		cause  error
	}{
		"it fails":              {func(context.Context) (bool, error) { return true, errors.New("down") }, accesstoken.ReplayStoreUnavailable, nil},
		"the caller's time ran": {func(ctx context.Context) (bool, error) { return false, ctx.Err() }, "", context.DeadlineExceeded},
		"it panics":             {func(context.Context) (bool, error) { panic("the store is broken") }, accesstoken.ReplayStoreUnavailable, nil},
	} {
		verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}, Store: test.store})
		if err != nil {
			t.Fatal(err)
		}
		v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = verifier })
		if err := v.Warm(t.Context()); err != nil {
			t.Fatal(err)
		}
		token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
		ctx, cancel := t.Context(), context.CancelFunc(func() {})
		if test.cause != nil {
			ctx, cancel = context.WithDeadline(ctx, time.Now().Add(-time.Second))
		}
		_, err = v.Validate(ctx, accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, token, client, client)))
		cancel()
		refused := wantReason(t, err, test.reason)
		if test.cause != nil && !errors.Is(refused, test.cause) || refused.HTTPStatus() < 500 {
			t.Errorf("%s: got %v, status %d; want %v, and a status that does not blame the client", name, refused, refused.HTTPStatus(), test.cause)
		}
	}
}

type storeFunc func(context.Context) (bool, error)

func (f storeFunc) Use(ctx context.Context, _ dpop.Use) (bool, error) { return f(ctx) }

// TestABearerTokenCostsNothingMore, whatever else is offered.
func TestABearerTokenCostsNothingMore(t *testing.T) {
	as := accesstokentest.NewServer(t)
	cost := func(change func(*accesstoken.Config)) float64 {
		v := newValidator(t, as, change)
		r := httptest.NewRequest("GET", "/a", nil)
		r.Header.Set("Authorization", "Bearer "+as.Token(nil))
		return testing.AllocsPerRun(200, func() {
			if _, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r)); err != nil {
				t.Error(err)
			}
		})
	}
	without := cost(nil)
	with := cost(func(c *accesstoken.Config) {
		c.DPoP = newVerifier(t)
		c.ForwardedCertificate = accesstoken.ForwardedCertificate{Format: accesstoken.EnvoyField, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	})
	if with != without {
		t.Errorf("got %v allocations, and %v where bound tokens are not accepted; want the same", with, without)
	}
}

// TestForwardedCertificateFaults: a setting that would trust everybody, or nobody, is
// none.
func TestForwardedCertificateFaults(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	for want, setting := range map[string]accesstoken.ForwardedCertificate{
		"ForwardedCertificate has no Format":                        {Proxies: loopback},
		"ForwardedCertificate has no Format; set ClientCertField":   {Field: "X-Cert"},
		"ForwardedCertificate has no Format; set ClientCertField, ": {UnixSocket: true},
		"ForwardedCertificate.Format 9 is unknown":                  {Format: 9, Proxies: loopback},
		"ForwardedCertificate.Field is empty":                       {Format: accesstoken.NGINXField, Proxies: loopback},
		"ForwardedCertificate.Field is for NGINXField and ALBField": {Format: accesstoken.EnvoyField, Field: "X-Cert", Proxies: loopback},
		"ForwardedCertificate.Proxies is empty":                     {Format: accesstoken.EnvoyField},
		"ForwardedCertificate.Proxies has ::ffff:10.0.0.0/104":      {Format: accesstoken.EnvoyField, Proxies: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"ForwardedCertificate.Proxies has a prefix that is not va":  {Format: accesstoken.EnvoyField, Proxies: []netip.Prefix{{}}},
	} {
		_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://as.example"}}, ForwardedCertificate: setting})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want %q", err, want)
		}
	}
}

// TestAnotherSchemeIsAnotherRequest: who was let in with a bearer token has shown no
// proof, which an adapter would believe of equal credentials.
func TestAnotherSchemeIsAnotherRequest(t *testing.T) {
	by := func(scheme string) accesstoken.Credentials {
		return accesstoken.CredentialsFrom(http.Header{"Authorization": {scheme + " a"}})
	}
	if by("Bearer").Equal(by("DPoP")) || !by("DPoP").Equal(by("dpop")) {
		t.Error("credentials are equal in spite of their schemes, or not equal though they are; want the scheme to count, and not its case")
	}
}

// TestFields: no more is asked for than is looked at.
func TestFields(t *testing.T) {
	as := accesstokentest.NewServer(t)
	withDPoP := func(c *accesstoken.Config) { c.DPoP = newVerifier(t) }
	behindProxy := func(c *accesstoken.Config) {
		c.ForwardedCertificate = accesstoken.ForwardedCertificate{Format: accesstoken.EnvoyField, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	}
	for _, test := range []struct {
		name string
		v    *accesstoken.Validator
		want []string
	}{
		{"a zero Validator", new(accesstoken.Validator), []string{"Authorization"}},
		{"bearer tokens", newValidator(t, as, nil), []string{"Authorization"}},
		{"proofs", newValidator(t, as, withDPoP), []string{"Authorization", "Dpop"}},
		{"certificates", newValidator(t, as, behindProxy), []string{"Authorization", "X-Forwarded-Client-Cert"}},
	} {
		if got := test.v.Fields(); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q; want %q", test.name, got, test.want)
		}
	}
}

// TestNonce: it is for those who have sent a proof, where nonces are demanded.
func TestNonce(t *testing.T) {
	as := accesstokentest.NewServer(t)
	demanding, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}, NonceKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	withNonces := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = demanding })
	withDPoP := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = newVerifier(t) })
	sent := accesstoken.CredentialsFrom(http.Header{"Authorization": {"DPoP a"}})
	for _, test := range []struct {
		name        string
		v           *accesstoken.Validator
		credentials accesstoken.Credentials
		want        bool
	}{
		{"a proof", withNonces, sent, true},
		{"a bearer token", withNonces, accesstoken.Bearer("a"), false},
		{"no credentials", withNonces, accesstoken.Credentials{}, false},
		{"no nonces", withDPoP, sent, false},
		{"no proofs", newValidator(t, as, nil), sent, false},
		{"a zero Validator", new(accesstoken.Validator), sent, false},
	} {
		if got := test.v.Nonce(test.credentials); (got != "") != test.want {
			t.Errorf("%s: got %q; want one: %v", test.name, got, test.want)
		}
	}
}

// TestANonceIsDemanded: a proof without the nonce is refused, and the same client is let
// in with it.
func TestANonceIsDemanded(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}, NonceKey: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = verifier })
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	r := sending{dpop: true, proof: "right"}.request(t, token, client, client)
	_, err = v.Validate(t.Context(), accesstoken.CredentialsOf(r))
	wantReason(t, err, accesstoken.DPoPNonceRequired)
	proof, err := client.signer.Sign(dpop.Proof{Method: "GET", URL: resource + "/orders", Token: token, Nonce: v.Nonce(accesstoken.CredentialsOf(r))})
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("DPoP", proof)
	if _, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r)); err != nil {
		t.Errorf("with the nonce: got %v; want nil", err)
	}
}

// TestWhatIsSaidOfACertificate: an operator learns whether it is the proxy that is at
// fault, or the client.
func TestWhatIsSaidOfACertificate(t *testing.T) {
	as, right, wrong := accesstokentest.NewServer(t), newHolder(t), newHolder(t)
	direct := newValidator(t, as, nil)
	behindProxy := newValidator(t, as, func(c *accesstoken.Config) {
		c.ForwardedCertificate = accesstoken.ForwardedCertificate{Format: accesstoken.ClientCertField, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	})
	token := as.Token(accesstokentest.Claims{"cnf": right.cnf(false, true)})
	for _, test := range []struct {
		name        string
		v           *accesstoken.Validator
		certificate string // of the connection
		field       []string
		want        string
	}{
		{"none", direct, "", nil, "none was presented"},
		{"another", direct, "wrong", nil, "another client certificate"},
		{"no field", behindProxy, "right", nil, "no client certificate in the proxy's field"},
		{"a malformed field", behindProxy, "right", []string{"x"}, "malformed"},
		{"another in the field", behindProxy, "right", []string{":" + base64.StdEncoding.EncodeToString(wrong.leaf.Raw) + ":"}, "another client certificate"},
	} {
		r := sending{certificate: test.certificate}.request(t, token, right, wrong)
		r.Header["Client-Cert"] = test.field // httptest's requests come from 192.0.2.1
		_, err := test.v.Validate(t.Context(), accesstoken.CredentialsOf(r))
		if refused := wantReason(t, err, accesstoken.BindingMismatch); !strings.Contains(refused.Error(), test.want) {
			t.Errorf("%s: got %v; want %q", test.name, refused, test.want)
		}
	}
}

// Of a request that somebody has made by hand nothing tells the connection; what its
// address is counts nevertheless.
func TestARequestWithoutAConnectionIsFromItsAddress(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.ForwardedCertificate = accesstoken.ForwardedCertificate{
			Format: accesstoken.ClientCertField, UnixSocket: true, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		}
	})
	r := &http.Request{Method: "GET", RequestURI: "/", RemoteAddr: "192.0.2.1:443", Header: http.Header{
		"Authorization": {"Bearer " + as.Token(accesstokentest.Claims{"cnf": client.cnf(false, true)})}, "Client-Cert": {client.field()},
	}}
	if _, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r)); err != nil {
		t.Errorf("from a proxy: got %v; want nil", err)
	}
	r.RemoteAddr = "198.51.100.1:443"
	_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r))
	wantReason(t, err, accesstoken.BindingMismatch)
}

// A handler keeps the context of its request, and shows it with the same request when
// that is over. The proof has been used.
func TestALookAfterTheRequestNeedsAProofOfItsOwn(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = newVerifier(t) })
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/orders", nil)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", client.proof(t, "GET", "/orders", token))
	var kept context.Context
	look := func() error {
		_, err := v.Validate(kept, accesstoken.CredentialsOf(r))
		return err
	}
	handler := middleware.New(v, nil).Require(scopes.None()).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Context()
		if err := look(); err != nil {
			t.Errorf("within the request: got %v; want nil", err)
		}
	}))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	if kept == nil {
		t.Fatal("the request was refused")
	}
	wantReason(t, look(), accesstoken.DPoPProofReplayed)
}
