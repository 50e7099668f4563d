package introspection

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

// newFetch returns a client that uses HTTPClient. If ClientCertificate is set, it returns
// a client of our own that presents the certificate to every server that requests one.
func (c Config) newFetch() *fetch.Client {
	if c.ClientCertificate == nil {
		return fetch.New(c.HTTPClient)
	}
	return fetch.NewWithCertificate(*c.ClientCertificate)
}

// checkCertificate checks the settings of the methods of RFC 8705 §2.
func (c Config) checkCertificate() (faults []error) {
	if strings.HasPrefix(strings.ToLower(c.Endpoint), "http:") {
		faults = append(faults, errors.New("introspection: Endpoint is plain http, so no client certificate can be presented; use https"))
	}
	switch {
	case c.ClientCertificate == nil && c.HTTPClient == nil:
		return append(faults, errors.New("introspection: ClientCertificate is nil; set it, or an HTTPClient whose transport has one"))
	case c.ClientCertificate == nil && hasNoCertificate(c.HTTPClient.Transport):
		return append(faults, errors.New("introspection: HTTPClient has no client certificate; set one in the TLSClientConfig of its transport"))
	case c.ClientCertificate != nil && c.HTTPClient != nil:
		return append(faults, errors.New("introspection: HTTPClient and ClientCertificate are both set, but HTTPClient presents its transport's certificates; leave one out"))
	case c.ClientCertificate != nil && !isWhole(c.ClientCertificate):
		return append(faults, errors.New("introspection: ClientCertificate is not a certificate with its private key; load both with tls.X509KeyPair"))
	}
	return faults
}

// hasNoCertificate reports whether a transport is known to have no certificate. If the
// transport cannot be examined, the result is false.
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
