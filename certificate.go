package accesstoken

import (
	"net/netip"

	"github.com/accesstoken/accesstoken/internal/binding"
	"github.com/accesstoken/accesstoken/internal/clientcert"
)

// A ForwardedCertificate says how a proxy that ends TLS forwards the client's
// certificate, for tokens that are bound to one (RFC 8705 §3). If a connection comes
// from the proxy, the forwarded certificate replaces the connection's own. On other
// connections the field is ignored, because a client could write it. Proxies and
// UnixSocket say where the proxy is; you can set both.
type ForwardedCertificate struct {
	_ [0]func()

	// Format is the format in which the proxy writes the certificate. Zero means that
	// there is no proxy; the other fields must then be unset.
	Format CertificateFormat

	// Field is the name of the header field. It is required for NGINX, whose
	// configuration chooses a name, and optional for ALB, whose listeners can rename
	// the field. For other formats it must be empty.
	Field string

	// Proxies are the addresses of the proxies, which must remove the field from what
	// clients send (RFC 9440 §4). A prefix must not be wider than a private network can
	// be: /8 for IPv4, /7 for IPv6.
	Proxies []netip.Prefix

	// UnixSocket trusts every connection that came in over a Unix socket. You should
	// set it if the proxy reaches this server that way. Any process that can connect to
	// the socket can claim any certificate, so the permissions of its file or folder
	// should admit only the proxy. net/http says in [http.LocalAddrContextKey] whether
	// a connection uses a Unix socket; grpcauth reads it from the call's connection.
	UnixSocket bool
}

// A CertificateFormat is how a proxy writes a client's certificate into a header
// field. Each format is parsed strictly, and nothing is guessed.
type CertificateFormat int

// The formats.
const (
	ClientCertField CertificateFormat = iota + 1 // Client-Cert (RFC 9440)
	NGINXField                                   // $ssl_client_escaped_cert, in a field of the operator's choice
	EnvoyField                                   // X-Forwarded-Client-Cert with one element: forward_client_cert_details: SANITIZE_SET
	ALBField                                     // X-Amzn-Mtls-Clientcert-Leaf, or X-Amzn-Mtls-Clientcert
)

// formats are the parsers. If a format is not among them, it is invalid.
var formats = map[CertificateFormat]clientcert.Format{
	ClientCertField: clientcert.ClientCert,
	NGINXField:      clientcert.NGINX,
	EnvoyField:      clientcert.Envoy,
	ALBField:        clientcert.ALB,
}

// faults reports faults in the setting.
func (c ForwardedCertificate) faults() (f faults) {
	switch {
	case c.Format == 0:
		if c.Field != "" || c.Proxies != nil || c.UnixSocket {
			f.add("ForwardedCertificate has no Format; set ClientCertField, NGINXField, EnvoyField or ALBField")
		}
		return f
	case formats[c.Format] == 0:
		f.add("ForwardedCertificate.Format %d is unknown; set ClientCertField, NGINXField, EnvoyField or ALBField", c.Format)
	case c.Format == NGINXField && c.Field == "":
		f.add("ForwardedCertificate.Field is empty; name the field that proxy_set_header gives $ssl_client_escaped_cert")
	case c.Format != NGINXField && c.Format != ALBField && c.Field != "":
		f.add("ForwardedCertificate.Field is for NGINXField and ALBField; this format has its own")
	}
	if len(c.Proxies) == 0 && !c.UnixSocket {
		f.add("ForwardedCertificate.Proxies is empty; list the addresses of the proxies, or set UnixSocket if they connect over one")
	}
	for _, prefix := range c.Proxies {
		switch {
		case !prefix.IsValid():
			f.add("ForwardedCertificate.Proxies has a prefix that is not valid; make it with netip.ParsePrefix")
		case prefix.Addr().Is4In6():
			f.add("ForwardedCertificate.Proxies has %v, which no address is compared with; write it as that of IPv4", prefix)
		case prefix.Bits() < leastBits(prefix.Addr()):
			f.add("ForwardedCertificate.Proxies has %v, which covers clients as well, and then any client could claim a certificate; list the addresses of the proxies", prefix)
		}
	}
	return f
}

// leastBits keeps a prefix from covering more than a private network. The widest are
// 10.0.0.0/8 (RFC 1918 §3) and fc00::/7 (RFC 4193 §3.1). Without this limit,
// 0.0.0.0/1 with 128.0.0.0/1, for example, would cover all of the Internet, and so
// would 2000::/3.
func leastBits(address netip.Addr) int {
	if address.Is4() {
		return 8
	}
	return 7
}

// proxies returns the setting in the terms of internal/binding.
func (c ForwardedCertificate) proxies() binding.Proxies {
	return binding.Proxies{Format: formats[c.Format], Field: c.Field, Addresses: c.Proxies, UnixSocket: c.UnixSocket}
}
