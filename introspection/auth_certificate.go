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

// newFetch returns a client that goes the way of HTTPClient, or one of our own that
// shows the certificate, if there is one, to every server that asks for one.
func (c Config) newFetch() *fetch.Client {
	if c.ClientCertificate == nil {
		return fetch.New(c.HTTPClient)
	}
	return fetch.NewWithCertificate(*c.ClientCertificate)
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
