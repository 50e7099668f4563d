// Package clientcert reads which client certificate a proxy saw, from the field
// that the proxy put it in: its thumbprint, to be compared with a token's
// x5t#S256 (RFC 8705 §3.1). Whether the sender is such a proxy is the caller's
// to know first (RFC 9440 §4): anybody can write a field.
package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
)

// What a request's fields can lack.
var (
	ErrNone      = errors.New("no client certificate in the proxy's field")
	ErrMalformed = errors.New("the proxy's field with the client certificate is malformed")
)

// A Format is how a proxy writes the client's certificate into a field. The zero
// Format has no field.
type Format int

const (
	ClientCert Format = iota + 1 // Client-Cert (RFC 9440)
	NGINX                        // $ssl_client_escaped_cert, in a field that the operator names
	Envoy                        // X-Forwarded-Client-Cert, as SANITIZE_SET writes it
	ALB                          // X-Amzn-Mtls-Clientcert-Leaf or X-Amzn-Mtls-Clientcert, or what the listener calls it
)

// Fields returns the fields that say something of a certificate, to be removed
// where it may be a lie. The operator's name is that of NGINX's field, and of
// the one of ALB if it has another than usual; the others have none to choose.
func (f Format) Fields(name string) []string {
	switch {
	case f == ClientCert:
		return []string{"Client-Cert", "Client-Cert-Chain"} // RFC 9440 §2.4 has both removed
	case f == Envoy:
		return []string{"X-Forwarded-Client-Cert"}
	case f == ALB && name == "":
		return []string{"X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert"}
	case (f == ALB || f == NGINX) && name != "":
		return []string{http.CanonicalHeaderKey(name)}
	}
	return nil
}

// Thumbprint returns that of the certificate in the one line of the Format, as
// [ThumbprintOf] writes it. It fails with [ErrNone] without a line, and with
// [ErrMalformed] for everything that is not one certificate in one line.
//
// Neither the chain nor the dates are checked. The proxy had the client prove
// possession of the key, and decided what else to ask for; the binding holds for
// a certificate that nobody vouches for as well (RFC 8705 §2.2, §3).
func (f Format) Thumbprint(header http.Header, name string) (string, error) {
	fields := f.Fields(name)
	if f == ClientCert {
		fields = fields[:1] // the chain is without the client's own (RFC 9440 §2.3)
	}
	line, err := only(header, fields)
	switch {
	case err != nil:
		return "", err
	case f == ClientCert:
		return readByteSequence(line)
	case f == Envoy:
		return readXFCC(line)
	}
	return readEscapedPEM(line, f == ALB)
}

// ThumbprintOf returns base64url(SHA-256(DER)), the form of x5t#S256.
func ThumbprintOf(cert *x509.Certificate) string {
	return encode(sha256.Sum256(cert.Raw))
}

func encode(sum [sha256.Size]byte) string {
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// maxLine is room for the certificates of a chain, and little for an attacker.
const maxLine = 16 << 10

// only returns the one line that all the fields have together. A second one, be
// it the same, may be the client's, which the proxy added to or left alone: an
// ALB sends one of its two fields, and does not say that it removes the other.
func only(header http.Header, fields []string) (string, error) {
	var lines []string
	for _, field := range fields {
		lines = append(lines, header.Values(field)...)
	}
	switch {
	case len(lines) == 0:
		return "", ErrNone
	case len(lines) > 1:
		return "", malformed("expected one line; have the proxy replace what the client sent")
	case len(lines[0]) > maxLine:
		return "", malformed("expected at most 16 KiB")
	}
	return lines[0], nil
}

// thumbprint expects the DER of one certificate, and nothing behind it. That it
// is one is checked so that a hash of anything else never counts.
func thumbprint(der []byte) (string, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil { // err may quote what is in it
		return "", malformed("expected the DER of one X.509 certificate")
	}
	return ThumbprintOf(cert), nil
}

// malformed says what was expected, and nothing of what was found.
func malformed(expected string) error {
	return fmt.Errorf("%w: %s", ErrMalformed, expected)
}
