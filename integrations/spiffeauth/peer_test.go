package spiffeauth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/grpcauth"
	"github.com/accesstoken/accesstoken/integrations/spiffeauth"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func listenLoopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// An authority signs X509-SVIDs.
type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := testkit.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		URIs: []*url.URL{testkit.Must(url.Parse(domain))},
	}
	der := testkit.Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &authority{key, testkit.Must(x509.ParseCertificate(der))}
}

// issue makes a certificate for an ID, or for a server on this host if it is "".
func (a *authority) issue(t *testing.T, id string) tls.Certificate {
	t.Helper()
	key := testkit.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if id != "" {
		template.URIs = []*url.URL{testkit.Must(url.Parse(id))}
	} else {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der := testkit.Must(x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: crypto.PrivateKey(key)}
}

// tlsPair returns the certificate of a server, and what verifies it.
func tlsPair(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	a := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return a.issue(t, ""), pool
}

// The token passes with its own workload's certificate, or with a listed proxy's, over
// gRPC and HTTP. The handshake alone proves nothing: the server asks for any certificate.
func TestTheCertificateIsThatOfTheToken(t *testing.T) {
	trusted, stranger := newAuthority(t), newAuthority(t)
	bundles := x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString(domain), []*x509.Certificate{trusted.certificate})
	match := testkit.Must(spiffeauth.MatchPeer(bundles, domain+"/ns/mesh/sa/proxy"))
	issuer := newAgent(t).source(t).Issuer(domain)
	issuer.Accept = match.Accept
	v := validator(t, issuer)
	serverCertificate, pool := tlsPair(t)
	config := &tls.Config{Certificates: []tls.Certificate{serverCertificate}, ClientAuth: tls.RequestClientCert}

	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewUnstartedServer(middleware.New(v, nil).Wrap(ok))
	server.TLS, server.EnableHTTP2 = config.Clone(), true
	server.Config.ConnContext = match.ConnContext
	server.StartTLS()
	defer server.Close()
	unset := httptest.NewUnstartedServer(middleware.New(v, nil).Wrap(ok)) // without ConnContext
	unset.TLS = config.Clone()
	unset.StartTLS()
	defer unset.Close()
	policy := accesstoken.Policy{Scopes: scopes.None()}
	auth := testkit.Must(grpcauth.New(v, &grpcauth.Options{Methods: map[string]accesstoken.Policy{healthpb.Health_Check_FullMethodName: policy}}))
	address := serveGRPC(t, append(auth.ServerOptions(), grpc.Creds(credentials.NewTLS(config)))...)

	for name, test := range map[string]struct {
		certificates []tls.Certificate
		want         bool
	}{
		"its own workload":            {[]tls.Certificate{trusted.issue(t, workerID)}, true},
		"a listed proxy":              {[]tls.Certificate{trusted.issue(t, domain+"/ns/mesh/sa/proxy")}, true},
		"another workload":            {[]tls.Certificate{trusted.issue(t, domain+"/ns/prod/sa/thief")}, false},
		"a workload below":            {[]tls.Certificate{trusted.issue(t, workerID+"/a")}, false},
		"without a certificate":       {nil, false},
		"an authority not trusted":    {[]tls.Certificate{stranger.issue(t, workerID)}, false},
		"a proxy that is not trusted": {[]tls.Certificate{stranger.issue(t, domain+"/ns/mesh/sa/proxy")}, false},
		"another trust domain":        {[]tls.Certificate{trusted.issue(t, other+"/ns/prod/sa/worker")}, false},
		"without an ID":               {[]tls.Certificate{trusted.issue(t, "")}, false},
	} {
		clientConfig := &tls.Config{RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if test.certificates == nil {
				return &tls.Certificate{}, nil
			}
			return &test.certificates[0], nil
		}}
		want := map[bool]int{true: 200, false: 401}[test.want]
		for _, http2 := range []bool{false, true} {
			if got := get(t, clientConfig, http2, server.URL); got != want {
				t.Errorf("%s: HTTP/2 %v: got %d; want %d", name, http2, got, want)
			}
		}
		if got := get(t, clientConfig, false, unset.URL); got != 401 {
			t.Errorf("%s, without ConnContext: got %d; want 401", name, got)
		}
		client := dial(t, address, grpc.WithTransportCredentials(credentials.NewTLS(clientConfig)), grpc.WithPerRPCCredentials(bearer(good())))
		if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); (status.Code(err) == codes.OK) != test.want || !test.want && status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: gRPC: got %v; want it accepted: %v", name, err, test.want)
		}
	}
}

func get(t *testing.T, config *tls.Config, http2 bool, address string) int {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config.Clone(), ForceAttemptHTTP2: http2}
	defer transport.CloseIdleConnections()
	r := testkit.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))
	r.Header.Set("Authorization", "Bearer "+good())
	response, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = drain(t, response.Body)
	return response.StatusCode
}

func TestTheFaultsOfAPeer(t *testing.T) {
	if _, err := spiffeauth.MatchPeer(nil); err == nil {
		t.Error("without bundles: got nil; want a fault")
	}
	bundles := x509bundle.New(spiffeid.RequireTrustDomainFromString(domain))
	for _, proxy := range []string{"", domain, domain + "/", "example.org/a", domain + "/*"} {
		if _, err := spiffeauth.MatchPeer(bundles, proxy); err == nil {
			t.Errorf("%q: got nil; want a fault", proxy)
		}
	}
}
