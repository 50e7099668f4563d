// Package binding compares what a token is bound to with what its request proves: the
// client certificate (RFC 8705), and the request that a DPoP proof is about (RFC
// 9449). Policies and refusals are up to its caller.
package binding

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/clientcert"
)

// The ways in which a request can fail to show the certificate that its token is
// bound to. CheckCertificate can also return the errors of
// [clientcert.Format.Thumbprint].
var (
	ErrNone  = errors.New("the token is bound to a client certificate, and none was presented")
	ErrOther = errors.New("the token is bound to another client certificate")
)

// Proxies are the proxies that end TLS and forward the client's certificate. With the
// zero value, only the certificate of the connection counts.
type Proxies struct {
	Format     clientcert.Format // 0: no proxy forwards certificates
	Field      string            // the operator's name of the field, if the Format allows one
	Addresses  []netip.Prefix
	UnixSocket bool // what connects over a Unix socket is a proxy
}

// Fields returns the header fields in which the proxies forward the certificate.
func (p Proxies) Fields() []string { return p.Format.Fields(p.Field) }

// CheckCertificate compares the client's certificate with the thumbprint (RFC 8705
// §3). It does not verify who signed the certificate, because that is up to the TLS
// handshake. If r is nil, no certificate was presented.
func (p Proxies) CheckCertificate(r *http.Request, thumbprint string) error {
	presented, err := p.thumbprint(r)
	switch {
	case err != nil:
		return err
	case presented == "":
		return ErrNone
	case presented != thumbprint:
		return ErrOther
	}
	return nil
}

// thumbprint returns the thumbprint of the client's certificate, or "".
func (p Proxies) thumbprint(r *http.Request) (string, error) {
	switch {
	case r == nil:
		return "", nil
	case p.Format != 0 && p.sent(r):
		// If the connection has a certificate, it is the proxy's own.
		return p.Format.Thumbprint(r.Header, p.Field)
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return clientcert.ThumbprintOf(r.TLS.PeerCertificates[0]), nil
	}
	return "", nil
}

// sent reports whether a request comes from one of the proxies.
func (p Proxies) sent(r *http.Request) bool {
	return p.UnixSocket && isOverUnixSocket(r) || p.haveAddress(r.RemoteAddr)
}

// isOverUnixSocket reads the server's own end of the connection. RemoteAddr, usually
// "@", proves nothing, because code in front of the middleware may have written it.
func isOverUnixSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

func (p Proxies) haveAddress(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(p.Addresses, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
}

// ProofField is the canonical name of the field with the proof (RFC 9449 §4.1).
var ProofField = textproto.CanonicalMIMEHeaderKey("DPoP")

// Proof returns what a proof of possession must be about, so that a [dpop.Verifier]
// can verify it.
func Proof(r *http.Request, token, thumbprint string) dpop.Request {
	return dpop.Request{
		Method:     r.Method,
		Path:       Path(r),
		Proofs:     r.Header[ProofField],
		Token:      token,
		Thumbprint: thumbprint,
	}
}

// Path is the path as the client wrote it, because routers may have changed r.URL.
func Path(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	if absolute, err := url.Parse(r.RequestURI); err == nil && absolute.Host != "" { // RFC 9112 §3.2.2
		return absolute.EscapedPath()
	}
	if r.URL == nil { // the request was made by hand
		return "*" // no proof can be for this path
	}
	return r.URL.EscapedPath()
}
