// Package clientcert reads the client certificate that a proxy received, from the
// field in which the proxy forwards it. The result is its thumbprint, to be compared
// with a token's x5t#S256 (RFC 8705 §3.1). Any client can write such a field, so the
// caller must first check that the sender is the proxy (RFC 9440 §4).
package clientcert

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
)

// The errors of [Format.Thumbprint].
var (
	ErrNone      = errors.New("no client certificate in the proxy's field")
	ErrMalformed = errors.New("the proxy's field with the client certificate is malformed")
)

// A Format is the way in which a proxy writes the client's certificate into a field.
// The zero Format has no field.
type Format int

const (
	ClientCert Format = iota + 1 // Client-Cert (RFC 9440)
	NGINX                        // $ssl_client_escaped_cert, in a field that the operator chooses
	Envoy                        // X-Forwarded-Client-Cert, as SANITIZE_SET writes it
	ALB                          // X-Amzn-Mtls-Clientcert-Leaf, X-Amzn-Mtls-Clientcert or the name that the listener sets
)

// Fields returns the fields that carry a certificate or its chain. If the sender may
// have forged them, the caller should remove them. name is the operator's name for
// the field. NGINX needs one, ALB uses it in place of the usual names, and the others
// ignore it.
func (f Format) Fields(name string) []string {
	switch {
	case f == ClientCert:
		return []string{"Client-Cert", "Client-Cert-Chain"} // RFC 9440 §2.4 requires that both are removed
	case f == Envoy:
		return []string{"X-Forwarded-Client-Cert"}
	case f == ALB && name == "":
		return []string{"X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert"}
	case (f == ALB || f == NGINX) && name != "":
		return []string{http.CanonicalHeaderKey(name)}
	}
	return nil
}

// Thumbprint returns the thumbprint of the certificate in the Format's only line, as
// [ThumbprintOf] writes it. If there is no line, the error is [ErrNone]. If there are
// several lines, or the line is not one certificate, the error is [ErrMalformed].
// From an ALB the line may also be a chain, whose first certificate is the client's.
//
// Neither the chain nor the dates are checked. The proxy made the client prove
// possession of the key, and decided what else to check. The token's binding also
// holds for a certificate that no authority has signed (RFC 8705 §2.2, §3).
func (f Format) Thumbprint(header http.Header, name string) (string, error) {
	fields := f.Fields(name)
	if f == ClientCert {
		fields = fields[:1] // the chain does not contain the client's own certificate (RFC 9440 §2.3)
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

// maxLine is enough for a chain of certificates, but leaves little room for an
// attacker.
const maxLine = 16 << 10

// only returns the only line that all the fields have together. A second line is
// refused even if it is the same: if the proxy adds its line to the client's line or
// leaves that line alone, one of the two is the client's. For example, an ALB sends
// one of its two fields, and its documentation does not say that it removes the
// other.
func only(header http.Header, fields []string) (string, error) {
	var lines []string
	for _, field := range fields {
		lines = append(lines, header.Values(field)...)
	}
	switch {
	case len(lines) == 0:
		return "", ErrNone
	case len(lines) > 1:
		return "", malformed("expected one line; configure the proxy to replace the field that the client sent")
	case len(lines[0]) > maxLine:
		return "", malformed("expected a line of at most 16 KiB")
	}
	return lines[0], nil
}

// thumbprint expects the DER of one certificate, and nothing after it. The
// certificate is parsed so that a hash of anything else never counts.
func thumbprint(der []byte) (string, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil { // not wrapped, because it may quote the certificate
		return "", malformed("expected the DER of one X.509 certificate")
	}
	return ThumbprintOf(cert), nil
}

// malformed returns an error that says what was expected, and quotes nothing of what
// was found.
func malformed(expected string) error {
	return fmt.Errorf("%w: %s", ErrMalformed, expected)
}
