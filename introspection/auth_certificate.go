package introspection

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// connectTimeout is for a connection, and again for its TLS handshake, as in
// internal/fetch.
const connectTimeout = 5 * time.Second

// httpClient returns the Config's own, or one that shows the certificate, or nil.
func (c Config) httpClient() *http.Client {
	if c.ClientCertificate == nil {
		return c.HTTPClient
	}
	return &http.Client{Transport: showing(*c.ClientCertificate)}
}

// showing returns a transport that goes out as the rest of the program does, with
// the bounds of internal/fetch, and shows the certificate to whoever asks for one.
func showing(certificate tls.Certificate) *http.Transport {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = standard.Clone()
	}
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = new(tls.Config)
	}
	transport.TLSClientConfig.MinVersion = max(transport.TLSClientConfig.MinVersion, tls.VersionTLS12) // RFC 9325 §3.1.1
	// In Certificates, it would be held back from a server whose list of
	// authorities does not have its issuer, as that of a self-signed one.
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &certificate, nil
	}
	transport.TLSHandshakeTimeout = connectTimeout
	transport.MaxResponseHeaderBytes = 64 << 10
	transport.MaxIdleConnsPerHost = maxCalls // or each call beyond two would dial anew
	transport.DialContext = bounded(transport.DialContext)
	return transport
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

func bounded(dial dialer) dialer {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		return dial(ctx, network, address)
	}
}

// checkCertificate expects a method of RFC 8705 §2.
func (c Config) checkCertificate() (faults []error) {
	if strings.HasPrefix(strings.ToLower(c.Endpoint), "http:") {
		faults = append(faults, errors.New("introspection: Endpoint is plain http, where no certificate is shown; use https"))
	}
	switch {
	case c.ClientCertificate == nil && c.HTTPClient == nil:
		return append(faults, errors.New("introspection: ClientCertificate is nil; set it, or an HTTPClient whose transport has one"))
	case c.ClientCertificate == nil && hasNoCertificate(c.HTTPClient.Transport):
		return append(faults, errors.New("introspection: HTTPClient has no client certificate; set one in the TLSClientConfig of its transport"))
	case c.ClientCertificate != nil && c.HTTPClient != nil:
		return append(faults, errors.New("introspection: HTTPClient has the certificates of its own transport; leave out ClientCertificate, or HTTPClient"))
	case c.ClientCertificate != nil && !isWhole(c.ClientCertificate):
		return append(faults, errors.New("introspection: ClientCertificate is not a certificate with its private key; load both with tls.X509KeyPair"))
	}
	return faults
}

// hasNoCertificate reports a transport that is known to have none.
func hasNoCertificate(transport http.RoundTripper) bool {
	if transport == nil {
		transport = http.DefaultTransport
	}
	known, ok := transport.(*http.Transport)
	if !ok || known == nil || known.DialTLSContext != nil {
		return false
	}
	settings := known.TLSClientConfig
	return settings == nil || len(settings.Certificates) == 0 && settings.GetClientCertificate == nil
}

func isWhole(certificate *tls.Certificate) bool {
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok || len(certificate.Certificate) == 0 {
		return false
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return false
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(publicKey(key))
}
