package introspection_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
)

const (
	issuer     = "https://login.example.com/tenants/1?no"
	longSecret = "canary-secret:of%20the+api, ünd 32 bytes"
)

var (
	rsaKey    = sync.OnceValue(func() crypto.Signer { return testkit.Must(rsa.GenerateKey(rand.Reader, 2048)) })
	p256Key   = sync.OnceValue(func() crypto.Signer { return testkit.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	p384Key   = sync.OnceValue(func() crypto.Signer { return testkit.Must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)) })
	p521Key   = sync.OnceValue(func() crypto.Signer { return testkit.Must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)) })
	edwardKey = sync.OnceValue(func() crypto.Signer {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return testkit.Must(key, err)
	})
)

// elsewhere is a key that nobody but itself can sign with, as in a key service.
type elsewhere struct{ crypto.Signer }

// methods are good settings of every method but TLS, whose server must ask for a
// certificate.
var methods = map[string]func(*introspection.Config){
	"client_secret_basic": func(*introspection.Config) {},
	"client_secret_post":  func(c *introspection.Config) { c.AuthMethod = introspection.ClientSecretPost },
	"client_secret_jwt": func(c *introspection.Config) {
		c.AuthMethod, c.ClientSecret, c.Issuer = introspection.ClientSecretJWT, longSecret, issuer
	},
	"private_key_jwt": signedBy(elsewhere{p256Key()}),
	"Bearer":          bearer(func(context.Context) (string, error) { return "canary-of-our/own+token==", nil }),
}

func signedBy(key crypto.Signer) func(*introspection.Config) {
	return func(c *introspection.Config) {
		c.AuthMethod, c.ClientSecret, c.Issuer, c.ClientKey = introspection.PrivateKeyJWT, "", issuer, key
	}
}

func bearer(source func(context.Context) (string, error)) func(*introspection.Config) {
	return func(c *introspection.Config) {
		c.AuthMethod, c.ClientID, c.ClientSecret, c.BearerToken = introspection.Bearer, "", "", source
	}
}

// A received is what an endpoint saw of a request.
type received struct {
	header http.Header
	form   url.Values
}

// record returns an endpoint that answers, and hands on what it saw.
func record(t *testing.T) (*httptest.Server, <-chan received) {
	seen := make(chan received, 1000)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
			t.Errorf("got a query %q, %v; want a form only", r.URL.RawQuery, err)
		}
		seen <- received{r.Header.Clone(), r.PostForm}
		answers(200, "application/json", `{"active":true}`)(w, r)
	})
	return server, seen
}

// wantNames fails the test unless the form has these members once, and the token.
func wantNames(t *testing.T, form url.Values, names ...string) {
	t.Helper()
	names = append(names, "token", "token_type_hint")
	for _, name := range names {
		if len(form[name]) != 1 {
			t.Errorf("%s: got %d; want 1", name, len(form[name]))
		}
	}
	if len(form) != len(names) {
		t.Errorf("got the form %v; want %q and nothing else", form, names)
	}
}

func TestINTRO02AnySecretArrives(t *testing.T) {
	for _, credential := range []string{"a:b", ":", "100%", "%3A", "a+b", "a b", " ", "ünïcode €", "a&b=c", "/?#[]@!$'()*,;", "\x00\r\n", "\xff"} {
		server, seen := record(t)
		for _, method := range []introspection.AuthMethod{introspection.ClientSecretBasic, introspection.ClientSecretPost} {
			client := newClient(t, server, func(c *introspection.Config) {
				c.ClientID, c.ClientSecret, c.AuthMethod = "id"+credential, credential, method
			})
			if _, err := client.Introspect(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			got := <-seen
			id, secret := got.form.Get("client_id"), got.form.Get("client_secret")
			if method == introspection.ClientSecretBasic {
				wantNames(t, got.form)
				user, password, ok := (&http.Request{Header: got.header}).BasicAuth()
				if !ok || strings.Contains(password, ":") {
					t.Fatalf("got Authorization %q; want two parts", got.header.Get("Authorization"))
				}
				id, secret = testkit.Must(url.QueryUnescape(user)), testkit.Must(url.QueryUnescape(password))
			}
			if id != "id"+credential || secret != credential {
				t.Errorf("%s: got %q, %q; want %q, %q", method, id, secret, "id"+credential, credential)
			}
		}
	}
}

func TestINTRO02AClientAssertion(t *testing.T) {
	type config = introspection.Config
	for _, test := range []struct {
		name      string
		key       crypto.Signer // nil: the secret
		change    func(*config)
		algorithm string
		kid       any
	}{
		{"a secret", nil, methods["client_secret_jwt"], "HS256", nil},
		{"RSA", rsaKey(), nil, "PS256", nil},
		{"RSA behind a key service", elsewhere{rsaKey()}, nil, "PS256", nil},
		{"RSA, RS256", rsaKey(), func(c *config) { c.ClientKeyAlgorithm = "RS256" }, "RS256", nil},
		{"RSA, RS512", rsaKey(), func(c *config) { c.ClientKeyAlgorithm = "RS512" }, "RS512", nil},
		{"RSA, PS256", elsewhere{rsaKey()}, func(c *config) { c.ClientKeyAlgorithm = "PS256" }, "PS256", nil},
		{"RSA, PS384", rsaKey(), func(c *config) { c.ClientKeyAlgorithm = "PS384" }, "PS384", nil},
		{"RSA, PS512", rsaKey(), func(c *config) { c.ClientKeyAlgorithm = "PS512" }, "PS512", nil},
		{"P-256", p256Key(), nil, "ES256", nil},
		{"P-256 with a kid", elsewhere{p256Key()}, func(c *config) { c.ClientKeyID = `key "1"` }, "ES256", `key "1"`},
		{"P-384", p384Key(), nil, "ES384", nil},
		{"P-521", elsewhere{p521Key()}, nil, "ES512", nil},
		{"Ed25519", elsewhere{edwardKey()}, nil, "EdDSA", nil},
		{"Ed25519 by its own name", edwardKey(), func(c *config) { c.ClientKeyAlgorithm = "Ed25519" }, "Ed25519", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, seen := record(t)
			client := newClient(t, server, func(c *config) {
				c.ClientID = "orders:ünd<api>"
				if test.key != nil {
					signedBy(test.key)(c)
				}
				if test.change != nil {
					test.change(c)
				}
			})
			var verifying any = []byte(longSecret)
			if test.key != nil {
				verifying = test.key.Public()
			}
			for range 20 { // enough for an r or s that begins with zeros, now and then
				if _, err := client.Introspect(t.Context(), token); err != nil {
					t.Fatal(err)
				}
				got := <-seen
				wantNames(t, got.form, "client_id", "client_assertion_type", "client_assertion")
				if got.header.Get("Authorization") != "" {
					t.Error("got a field Authorization as well; want one method (RFC 6749 §2.3)")
				}
				if kind := got.form.Get("client_assertion_type"); kind != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
					t.Errorf("client_assertion_type: got %q", kind)
				}
				if id := got.form.Get("client_id"); id != "orders:ünd<api>" {
					t.Errorf("client_id: got %q; want the subject of the assertion", id)
				}
				checkAssertion(t, got.form.Get("client_assertion"), test.algorithm, verifying, test.kid)
			}
		})
	}
}

// checkAssertion does what a server does.
func checkAssertion(t *testing.T, assertion, algorithm string, key, kid any) {
	t.Helper()
	if algorithm != "HS256" {
		if err := testkit.Must(jose.Parse(assertion)).Verify(key); err != nil {
			t.Errorf("got %v; want a signature of the strict form", err)
		}
	}
	claims := jwt.MapClaims{}
	parsed, _, err := jwt.NewParser().ParseUnverified(assertion, claims)
	if algorithm != "Ed25519" { // which golang-jwt does not know yet
		parsed, err = jwt.ParseWithClaims(assertion, claims, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithValidMethods([]string{algorithm}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
	}
	if err != nil && algorithm != "Ed25519" {
		t.Fatalf("got %v; want a JWT that verifies", err)
	}
	header := map[string]any{"typ": "client-authentication+jwt", "alg": algorithm}
	if kid != nil {
		header["kid"] = kid
	}
	if got, want := fmt.Sprint(parsed.Header), fmt.Sprint(header); got != want {
		t.Errorf("header: got %s; want %s", got, want)
	}
	issued, expiry := claims["iat"].(float64), claims["exp"].(float64)
	id, _ := claims["jti"].(string)
	want := fmt.Sprint(jwt.MapClaims{"iss": "orders:ünd<api>", "sub": "orders:ünd<api>", "aud": issuer, "iat": issued, "exp": expiry, "jti": id})
	if got := fmt.Sprint(claims); got != want {
		t.Errorf("claims: got %s; want %s", got, want)
	}
	if now := float64(time.Now().Unix()); issued > now || issued < now-10 || expiry > now+60 || expiry != issued+60 {
		t.Errorf("got iat %.0f, exp %.0f at %.0f; want 60 s from now", issued, expiry, now)
	}
	if len(id) < 22 { // 128 bits in base64
		t.Errorf("jti: got %q; want 128 random bits", id)
	}
}

func TestINTRO02EachCallHasAnAssertionOfItsOwn(t *testing.T) {
	server, seen := record(t)
	client := newClient(t, server, methods["private_key_jwt"])
	var asking sync.WaitGroup
	for worker := range 10 {
		asking.Go(func() {
			for i := range 10 {
				if _, err := client.Introspect(t.Context(), fmt.Sprint(token, worker, ".", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	asking.Wait()
	ids := map[any]bool{}
	for range 100 {
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified((<-seen).form.Get("client_assertion"), claims); err != nil {
			t.Fatal(err)
		}
		ids[claims["jti"]] = true
	}
	if len(ids) != 100 {
		t.Errorf("jti: got %d different ones in 100 calls; want 100", len(ids))
	}
}

// A broken signer signs what the function says.
type broken struct {
	crypto.Signer
	sign func() ([]byte, error)
}

func (b broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return b.sign() }

func TestASignerThatFailsSaysNothingOfTheToken(t *testing.T) {
	ecdsaSignature := func(r, s string) []byte { // of two short integers, in hexadecimal
		body := fmt.Sprintf("\x02%c%s\x02%c%s", len(r), r, len(s), s)
		return fmt.Appendf(nil, "\x30%c%s", len(body), body)
	}
	for name, sign := range map[string]func() ([]byte, error){
		"an error":              func() ([]byte, error) { return nil, errors.New("canary") },
		"a context's error":     func() ([]byte, error) { return nil, context.DeadlineExceeded },
		"an error of ours":      func() ([]byte, error) { return nil, introspection.ErrClientRefused },
		"a panic":               func() ([]byte, error) { panic("canary") },
		"nothing":               func() ([]byte, error) { return nil, nil },
		"no ASN.1":              func() ([]byte, error) { return bytes.Repeat([]byte("c"), 64), nil },
		"an r that is zero":     func() ([]byte, error) { return ecdsaSignature("\x00", "\x01"), nil },
		"an s that is negative": func() ([]byte, error) { return ecdsaSignature("\x01", "\xff"), nil },
		"an r that is too long": func() ([]byte, error) { return ecdsaSignature("\x01"+strings.Repeat("r", 32), "\x01"), nil },
		"something after it":    func() ([]byte, error) { return append(ecdsaSignature("\x01", "\x01"), 0), nil },
	} {
		t.Run(name, func(t *testing.T) {
			server, seen := record(t)
			client := newClient(t, server, signedBy(broken{p256Key(), sign}))
			_, err := client.Introspect(t.Context(), token)
			wantNothingKnown(t, err)
			if len(seen) > 0 {
				t.Error("got a request without an assertion; want none")
			}
		})
	}
}

// wantNothingKnown fails the test unless the error says that the endpoint could
// not be asked.
func wantNothingKnown(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, introspection.ErrClientRefused) || errors.Is(err, introspection.ErrTokenType) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want an error that says nothing is known", err)
	}
	if text := fmt.Sprint(err); !strings.HasPrefix(text, "introspection: ") {
		t.Errorf("got %q; want it to begin with the package's name", text)
	}
	for ; err != nil; err = errors.Unwrap(err) {
		wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

func TestINTRO02ATokenOfOurOwn(t *testing.T) {
	server, seen := record(t)
	var calls atomic.Int32
	client := newClient(t, server, bearer(func(ctx context.Context) (string, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("got a context without an end; want the call's")
		}
		return fmt.Sprintf("own/token+%d.-_~==", calls.Add(1)), nil
	}))
	for i := range 3 {
		if _, err := client.Introspect(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		got := <-seen
		wantNames(t, got.form)
		if got, want := got.header.Values("Authorization"), fmt.Sprintf("[Bearer own/token+%d.-_~==]", i+1); fmt.Sprint(got) != want {
			t.Errorf("Authorization: got %q; want %s", got, want)
		}
	}
}

func TestATokenSourceThatFailsSaysNothingOfTheToken(t *testing.T) {
	returns := func(token string) func() (string, error) { return func() (string, error) { return token, nil } }
	for name, source := range map[string]func() (string, error){
		"an error":            func() (string, error) { return "canary", errors.New("canary") },
		"a context's error":   func() (string, error) { return "", context.DeadlineExceeded },
		"an error of ours":    func() (string, error) { return "", introspection.ErrClientRefused },
		"a panic":             func() (string, error) { panic("canary") },
		"a nil dereference":   func() (string, error) { return *(*string)(nil), nil },
		"nothing":             returns(""),
		"padding only":        returns("=="),
		"a line break":        returns("canary\r\nX-Evil: yes"),
		"a bare line feed":    returns("canary\n"),
		"a space":             returns("canary token"),
		"the scheme as well":  returns("Bearer canary"),
		"a comma":             returns("canary,canary"),
		"a NUL":               returns("canary\x00"),
		"what is not ASCII":   returns("canarü"),
		"padding in the head": returns("=canary"),
	} {
		t.Run(name, func(t *testing.T) {
			server, seen := record(t)
			client := newClient(t, server, bearer(func(context.Context) (string, error) { return source() }))
			_, err := client.Introspect(t.Context(), token)
			wantNothingKnown(t, err)
			if len(seen) > 0 {
				t.Error("got a request without credentials; want none")
			}
		})
	}
}

// What heeds no context would hold every caller, and pile up.
func TestAHangingSourceIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 64
		var entered atomic.Int32
		open := make(chan struct{})
		config := introspection.Config{
			Endpoint: "https://login.example.com/introspect", Timeout: 3 * time.Second,
			HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return answer(r, `{"active":true}`) })},
		}
		bearer(func(context.Context) (string, error) {
			entered.Add(1)
			<-open
			return "token", nil
		})(&config)
		client := testkit.Must(introspection.NewClient(config))
		var asking sync.WaitGroup
		for i := range most {
			asking.Go(func() {
				began := time.Now()
				_, err := client.Introspect(t.Context(), fmt.Sprint(token, i))
				wantNothingKnown(t, err)
				if took := time.Since(began); took != config.Timeout {
					t.Errorf("got an end after %v; want %v", took, config.Timeout)
				}
			})
		}
		asking.Wait()
		for range 3 {
			time.Sleep(time.Minute) // whoever was left alone is asked again
			_, err := client.Introspect(t.Context(), token)
			wantNothingKnown(t, err)
		}
		if got := entered.Load(); got != most {
			t.Errorf("calls that hang: got %d; want %d", got, most)
		}
		close(open)
		synctest.Wait()
		time.Sleep(time.Minute)
		if response, err := client.Introspect(t.Context(), token); err != nil || !response.Active {
			t.Errorf("afterwards: got %+v, %v; want an answer", response, err)
		}
	})
}

func TestTheCallerNeedNotWaitForASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := introspection.Config{Endpoint: "https://login.example.com/introspect", HTTPClient: &http.Client{Transport: roundTrip(nil)}}
		bearer(func(ctx context.Context) (string, error) {
			<-ctx.Done() // it has the client's own time, whoever waits
			return "", ctx.Err()
		})(&config)
		client := testkit.Must(introspection.NewClient(config))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Introspect(ctx, token); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want the end of the caller's own context", err)
		}
		time.Sleep(time.Minute) // until the source has given up
	})
}

// certify makes a certificate for the key, of the issuer's, or self-signed.
func certify(name string, by *tls.Certificate) *tls.Certificate {
	key := testkit.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		IsCA:                  by == nil,
	}
	parent, signer := template, crypto.Signer(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey.(crypto.Signer)
	}
	raw := testkit.Must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer))
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: testkit.Must(x509.ParseCertificate(raw))}
}

// serveMutual runs an endpoint that asks for a certificate of the authority's,
// and, if it is strict, takes no other.
func serveMutual(t *testing.T, authority *tls.Certificate, strict bool, endpoint http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(endpoint)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, ClientCAs: x509.NewCertPool()}
	server.TLS.ClientCAs.AddCert(authority.Leaf)
	if strict {
		server.TLS.ClientAuth = tls.RequireAndVerifyClientCert
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// asTheProgram makes the transport that of the rest of the program, while build
// runs.
func asTheProgram(transport http.RoundTripper, build func() *introspection.Client) *introspection.Client {
	standard := http.DefaultTransport
	http.DefaultTransport = transport
	defer func() { http.DefaultTransport = standard }()
	return build()
}

func trusting(server *httptest.Server) *http.Transport {
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true // so that no connection outlives the test
	return transport
}

func TestINTRO02ACertificate(t *testing.T) {
	authority, other := certify("authority", nil), certify("self-signed", nil)
	issued := certify("api", authority)
	for _, test := range []struct {
		name        string
		method      introspection.AuthMethod
		certificate *tls.Certificate
		strict      bool // the server takes what the authority issued, and nothing else
		own         bool // the client is ours
	}{
		{"an authority's, shown by our client", introspection.TLSClientAuth, issued, true, true},
		{"an authority's, shown by the caller's", introspection.TLSClientAuth, issued, true, false},
		{"self-signed, shown by our client", introspection.SelfSignedTLSClientAuth, other, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var seen *x509.Certificate
			var form url.Values
			server := serveMutual(t, authority, test.strict, func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				seen, form = r.TLS.PeerCertificates[0], r.PostForm
				if r.Header.Get("Authorization") != "" {
					t.Error("got a field Authorization; want none")
				}
				answers(200, "application/json", `{"active":true}`)(w, r)
			})
			transport := trusting(server)
			client := asTheProgram(transport, func() *introspection.Client {
				return newClient(t, server, func(c *introspection.Config) {
					c.ClientSecret, c.AuthMethod = "", test.method
					if test.own {
						c.HTTPClient, c.ClientCertificate = nil, test.certificate
						return
					}
					transport.TLSClientConfig.Certificates = []tls.Certificate{*test.certificate}
					c.HTTPClient = &http.Client{Transport: transport}
				})
			})
			response, err := client.Introspect(t.Context(), token)
			if err != nil || !response.Active {
				t.Fatalf("got %+v, %v; want an answer", response, err)
			}
			if !seen.Equal(test.certificate.Leaf) {
				t.Errorf("got the certificate of %v; want that of %v", seen.Subject, test.certificate.Leaf.Subject)
			}
			wantNames(t, form, "client_id")
			if form.Get("client_id") != "api" {
				t.Errorf("client_id: got %q; want api", form.Get("client_id"))
			}
			if test.own && transport.TLSClientConfig.GetClientCertificate != nil {
				t.Error("the program's own transport shows our certificate now; want it unchanged")
			}
		})
	}
}

func TestACertificateThatTheServerDoesNotTakeSaysNothingOfTheToken(t *testing.T) {
	hits := 0
	server := serveMutual(t, certify("authority", nil), true, func(http.ResponseWriter, *http.Request) { hits++ })
	client := asTheProgram(trusting(server), func() *introspection.Client {
		return newClient(t, server, func(c *introspection.Config) {
			c.ClientSecret, c.AuthMethod, c.HTTPClient, c.ClientCertificate = "", introspection.TLSClientAuth, nil, certify("stranger", nil)
		})
	})
	_, err := client.Introspect(t.Context(), token)
	wantNothingKnown(t, err)
	if hits > 0 {
		t.Errorf("got %d requests; want a server that refuses strangers", hits)
	}
}

// withCertificate makes a client of our own that shows a certificate, and
// otherwise goes the way of the transport.
func withCertificate(t *testing.T, transport *http.Transport, endpoint string) *introspection.Client {
	t.Helper()
	return asTheProgram(transport, func() *introspection.Client {
		client, err := introspection.NewClient(introspection.Config{Endpoint: endpoint, ClientID: "api",
			AuthMethod: introspection.TLSClientAuth, ClientCertificate: certify("api", nil), Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return client
	})
}

func TestAClientThatShowsACertificateIsBounded(t *testing.T) {
	type dial = func(ctx context.Context, network, address string) (net.Conn, error)
	for name, newDial := range map[string]func(*testing.T) dial{
		"nobody answers the SYN": func(*testing.T) dial {
			return func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
		"nobody answers the ClientHello": func(t *testing.T) dial {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			return func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := withCertificate(t, &http.Transport{DialContext: newDial(t)}, "https://login.example.com/introspect")
				began := time.Now()
				_, err := client.Introspect(t.Context(), token)
				wantNothingKnown(t, err)
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("got an end after %v; want 5s", took)
				}
			})
		})
	}
	t.Run("a header of more than 64 KiB", func(t *testing.T) {
		server := serve(t, answers(200, "application/json", `{"active":true}`, "X-Much", strings.Repeat("x", 65<<10)))
		_, err := withCertificate(t, trusting(server), server.URL).Introspect(t.Context(), token)
		wantNothingKnown(t, err)
	})
	t.Run("a server of TLS 1.1", func(t *testing.T) {
		server := httptest.NewUnstartedServer(answers(200, "application/json", `{"active":true}`))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		server.StartTLS()
		defer server.Close()
		transport := trusting(server)
		transport.TLSClientConfig.MinVersion = tls.VersionTLS10
		_, err := withCertificate(t, transport, server.URL).Introspect(t.Context(), token)
		wantNothingKnown(t, err)
	})
}

func TestINTRO07NoMethodFollowsARedirect(t *testing.T) {
	for name, change := range methods {
		for _, status := range []int{301, 302, 303, 307, 308} {
			var hits atomic.Int32
			target := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
			_, err := newClient(t, serve(t, answers(status, "", "", "Location", target.URL)), change).Introspect(t.Context(), token)
			if err == nil || hits.Load() > 0 {
				t.Errorf("%s, %d: got %v after %d requests elsewhere; want an error after none", name, status, err, hits.Load())
			}
		}
	}
	t.Run("with a certificate", func(t *testing.T) {
		var hits atomic.Int32
		authority := certify("authority", nil)
		target := serveMutual(t, authority, false, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
		server := serveMutual(t, authority, false, answers(307, "", "", "Location", target.URL))
		_, err := withCertificate(t, trusting(server), server.URL).Introspect(t.Context(), token)
		if err == nil || hits.Load() > 0 {
			t.Errorf("got %v after %d requests elsewhere; want an error after none", err, hits.Load())
		}
	})
}

func TestINTRO08EveryMethodCanBeRefused(t *testing.T) {
	for name, change := range methods {
		for reply, endpoint := range map[string]http.HandlerFunc{
			"401": answers(401, "text/plain", "canary", "WWW-Authenticate", `Basic realm="canary"`),
			"403": answers(403, "", ""),
			"400": answers(400, "application/json", `{"error":"invalid_client","error_description":"canary"}`),
		} {
			_, err := newClient(t, serve(t, endpoint), change).Introspect(t.Context(), token)
			if !errors.Is(err, introspection.ErrClientRefused) {
				t.Errorf("%s, %s: got %v; want ErrClientRefused", name, reply, err)
			}
			wantNoCanary(t, "the error", fmt.Sprintf("%v %+v %#v", err, err, err))
		}
	}
}

// A server may send back what it was sent.
func TestINTRO16NoErrorQuotesWhatShowsWhoWeAre(t *testing.T) {
	for name, change := range methods {
		for reply, format := range map[string]string{
			"in the status line": "HTTP/1.1 %s\r\n\r\n",
			"instead of HTTP":    "%s\r\n\r\n",
			"in a chunk":         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
			"in an answer":       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"active\":\"%s\"}",
			"in an error":        "HTTP/1.1 500 No\r\nConnection: close\r\n\r\n%s",
		} {
			var sent []string
			server := httptest.NewServer(reflecting(t, format, func(r *http.Request) string {
				_ = r.ParseForm()
				sent = []string{r.PostForm.Get("client_assertion"), strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")}
				return r.PostForm.Get("client_secret") + strings.Join(sent, "")
			}))
			_, err := newClient(t, server, change).Introspect(t.Context(), token)
			server.Close()
			if err == nil || len(sent) != 2 {
				t.Fatalf("%s, %s: got %v; want an error of a server that was asked", name, reply, err)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				text := fmt.Sprintf("%v %+v %#v", err, err, err)
				wantNoCanary(t, name+", "+reply, text)
				for _, secret := range sent {
					if secret != "" && strings.Contains(text, secret) {
						t.Errorf("%s, %s: got %q; want nothing of what was sent", name, reply, text)
					}
				}
			}
		}
	}
}

// reflecting answers with what look found in the request.
func reflecting(t *testing.T, format string, look func(*http.Request) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := look(r)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, format, found)
	})
}

func TestINTRO16AConfigPrintsAsItsEndpoint(t *testing.T) {
	config := introspection.Config{
		Endpoint:          "https://login.example.com/introspect?key=canary",
		ClientSecret:      secret,
		ClientKey:         ed25519.PrivateKey(strings.Repeat("canary, ", 8)),
		ClientCertificate: &tls.Certificate{PrivateKey: ed25519.PrivateKey(strings.Repeat("canary, ", 8))},
	}
	hexadecimal := fmt.Sprintf("%x", "canary")
	const want = "introspection.Config(https://login.example.com/introspect)"
	for _, verb := range verbs {
		if verb == "%p" { // fmt asks no method under it, and go vet refuses it
			continue
		}
		for _, value := range []any{config, &config, []any{config}, struct{ Config introspection.Config }{config}} {
			got := fmt.Sprintf(verb, value)
			wantNoCanary(t, verb, got)
			if strings.Contains(strings.ToLower(got), hexadecimal) || strings.Contains(got, "99 97 110") {
				t.Errorf("%s: got %q; want no secret in it", verb, got)
			}
		}
		if got := fmt.Sprintf(verb, config); verb != "%T" && got != want {
			t.Errorf("%s: got %q; want %q", verb, got, want)
		}
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "config", config, "in", []any{config})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "config", config, "in", []any{config})
	if wantNoCanary(t, "slog", log.String()); strings.Count(log.String(), want) < 3 {
		t.Errorf("got %s; want %s", log.String(), want)
	}
	//lint:ignore SA1026 that nothing comes of it is what is tested
	text, err := json.Marshal(config)
	wantNoCanary(t, "JSON", fmt.Sprintf("%s %v", text, err))
}

func TestAClientKeepsWhatShowsWhoItIs(t *testing.T) {
	server := serve(t, answers(200, "application/json", `{"active":true}`))
	for name, change := range methods {
		client := newClient(t, server, change)
		for _, verb := range verbs {
			wantNoCanary(t, name+" "+verb, fmt.Sprintf(verb, client)+fmt.Sprintf(verb, *client)+fmt.Sprintf(verb, struct{ client *introspection.Client }{client}))
		}
	}
}

func TestEveryMethodHasItsSettings(t *testing.T) {
	type config = introspection.Config
	issued := certify("api", nil)
	plain := &http.Client{Transport: &http.Transport{}}
	shown := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{*issued}}}}
	certified := func(c *config) {
		c.AuthMethod, c.ClientSecret, c.ClientCertificate = introspection.TLSClientAuth, "", issued
	}
	asked := func(c *config) { bearer(func(context.Context) (string, error) { return "token", nil })(c) }
	method := func(name introspection.AuthMethod) func(*config) {
		return func(c *config) { *c = config{Endpoint: c.Endpoint, AuthMethod: name} }
	}
	for _, test := range []struct {
		name   string
		base   func(*config)
		change func(*config)
		faults []string // one for each line, with its words in order
	}{
		{"client_secret_basic", methods["client_secret_basic"], nil, nil},
		{"client_secret_jwt", methods["client_secret_jwt"], nil, nil},
		{"private_key_jwt", methods["private_key_jwt"], nil, nil},
		{"private_key_jwt with a kid and an algorithm", signedBy(rsaKey()), func(c *config) { c.ClientKeyID, c.ClientKeyAlgorithm = "1", "PS256" }, nil},
		{"tls_client_auth", certified, nil, nil},
		{"tls_client_auth by the caller's client", certified, func(c *config) { c.ClientCertificate, c.HTTPClient = nil, shown }, nil},
		{"tls_client_auth by a transport of unknown kind", certified, func(c *config) {
			c.ClientCertificate, c.HTTPClient = nil, &http.Client{Transport: roundTrip(nil)}
		}, nil},
		{"self_signed_tls_client_auth", certified, func(c *config) { c.AuthMethod = introspection.SelfSignedTLSClientAuth }, nil},
		{"Bearer", asked, nil, nil},
		{"Bearer with a client id", asked, func(c *config) { c.ClientID = "api" }, nil},
		{"an Issuer that is not needed", methods["client_secret_basic"], func(c *config) { c.Issuer = issuer }, nil},

		{"nothing for client_secret_post", method("client_secret_post"), nil, []string{"ClientID", "ClientSecret client_secret_post"}},
		{"nothing for client_secret_jwt", method("client_secret_jwt"), nil, []string{"ClientID", "ClientSecret client_secret_jwt", "Issuer client_secret_jwt"}},
		{"nothing for private_key_jwt", method("private_key_jwt"), nil, []string{"ClientID", "ClientKey private_key_jwt", "Issuer private_key_jwt"}},
		{"nothing for tls_client_auth", method("tls_client_auth"), nil, []string{"ClientID", "ClientCertificate HTTPClient"}},
		{"nothing for self_signed_tls_client_auth", method("self_signed_tls_client_auth"), nil, []string{"ClientID", "ClientCertificate HTTPClient"}},
		{"nothing for Bearer", method("Bearer"), nil, []string{"BearerToken Bearer"}},
		{"a method in another case", method("bearer"), nil, []string{"ClientID", `"bearer" client_secret_basic private_key_jwt or Bearer`}},

		{"a secret beside a key", methods["private_key_jwt"], func(c *config) { c.ClientSecret = secret },
			[]string{"ClientSecret private_key_jwt leave it out client_secret_basic, client_secret_post or client_secret_jwt"}},
		{"a secret beside a certificate", certified, func(c *config) { c.ClientSecret = secret }, []string{"ClientSecret tls_client_auth"}},
		{"a secret beside a token", asked, func(c *config) { c.ClientSecret = secret }, []string{"ClientSecret Bearer"}},
		{"everything beside a secret", methods["client_secret_basic"], func(c *config) {
			c.ClientKey, c.ClientKeyID, c.ClientKeyAlgorithm, c.ClientCertificate = p256Key(), "canary", "ES256", issued
			c.BearerToken = func(context.Context) (string, error) { return "", nil }
		}, []string{"ClientKey client_secret_basic private_key_jwt", "ClientKeyID", "ClientKeyAlgorithm", "ClientCertificate tls_client_auth or self_signed_tls_client_auth", "BearerToken Bearer"}},
		{"a kid for a secret", methods["client_secret_jwt"], func(c *config) { c.ClientKeyID = "1" }, []string{"ClientKeyID client_secret_jwt"}},

		{"31 bytes", methods["client_secret_jwt"], func(c *config) { c.ClientSecret = longSecret[:31] }, []string{"ClientSecret 32"}},
		{"32 bytes", methods["client_secret_jwt"], func(c *config) { c.ClientSecret = longSecret[:32] }, nil},
		{"an Issuer without https", methods["private_key_jwt"], func(c *config) { c.Issuer = "login.example.com" }, []string{"Issuer https"}},
		{"a nil key", signedBy((*rsa.PrivateKey)(nil)), nil, []string{"ClientKey *rsa.PrivateKey RSA"}},
		{"an empty key", signedBy(ed25519.PrivateKey(nil)), nil, []string{"ClientKey ed25519.PrivateKey RSA"}},
		{"a key of a curve that JOSE does not have", signedBy(testkit.Must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))), nil, []string{"ClientKey P-256"}},
		{"the algorithm of another key", methods["private_key_jwt"], func(c *config) { c.ClientKeyAlgorithm = "ES384" }, []string{`ClientKeyAlgorithm "ES384"`}},
		{"none", methods["private_key_jwt"], func(c *config) { c.ClientKeyAlgorithm = "none" }, []string{`ClientKeyAlgorithm "none"`}},
		{"HMAC with a key", methods["private_key_jwt"], func(c *config) { c.ClientKeyAlgorithm = "HS256" }, []string{`ClientKeyAlgorithm "HS256"`}},

		{"two certificates", certified, func(c *config) { c.HTTPClient = shown }, []string{"HTTPClient ClientCertificate"}},
		{"a client without a certificate", certified, func(c *config) { c.ClientCertificate, c.HTTPClient = nil, plain }, []string{"HTTPClient TLSClientConfig"}},
		{"the default client", certified, func(c *config) { c.ClientCertificate, c.HTTPClient = nil, http.DefaultClient }, []string{"HTTPClient TLSClientConfig"}},
		{"a certificate in cleartext", certified, func(c *config) { c.Endpoint = "HTTP://127.0.0.1/introspect" }, []string{"Endpoint https"}},
		{"an empty certificate", certified, func(c *config) { c.ClientCertificate = new(tls.Certificate) }, []string{"ClientCertificate tls.X509KeyPair"}},
		{"a key without its certificate", certified, func(c *config) { c.ClientCertificate = &tls.Certificate{PrivateKey: p256Key()} }, []string{"ClientCertificate"}},
		{"a certificate without its key", certified, func(c *config) {
			c.ClientCertificate = &tls.Certificate{Certificate: issued.Certificate}
		}, []string{"ClientCertificate"}},
		{"a certificate with another's key", certified, func(c *config) {
			c.ClientCertificate = &tls.Certificate{Certificate: issued.Certificate, PrivateKey: p256Key()}
		}, []string{"ClientCertificate"}},
		{"a certificate that is none", certified, func(c *config) {
			c.ClientCertificate = &tls.Certificate{Certificate: [][]byte{[]byte("canary")}, PrivateKey: p256Key()}
		}, []string{"ClientCertificate"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := config{Endpoint: "https://login.example.com/introspect", ClientID: "api", ClientSecret: secret}
			test.base(&config)
			if test.change != nil {
				test.change(&config)
			}
			client, err := introspection.NewClient(config)
			if len(test.faults) == 0 {
				if err != nil || client == nil {
					t.Errorf("got %v, %v; want a client", client, err)
				}
				return
			}
			if err == nil || client != nil {
				t.Fatalf("got %v, %v; want an error and nothing else", client, err)
			}
			wantNoCanary(t, "the error", err.Error())
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.faults) {
				t.Fatalf("got %d faults; want %d:\n%v", len(lines), len(test.faults), err)
			}
			for i, line := range lines {
				rest, ok := strings.CutPrefix(line, "introspection: ")
				for _, word := range strings.Fields(test.faults[i]) {
					_, after, found := strings.Cut(rest, word)
					rest, ok = after, ok && found
				}
				if !ok {
					t.Errorf("line %d: got %q; want it to begin with the package and say %q", i, line, test.faults[i])
				}
			}
		})
	}
}
