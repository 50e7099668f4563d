package accesstoken

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/carried"
	"github.com/accesstoken/accesstoken/internal/clientcert"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// A ForwardedCertificate says how a proxy that ends TLS hands the client's
// certificate on, for tokens that are bound to one (RFC 8705 §3). It stands in for
// the connection's own certificate where a proxy is at the other end, and nowhere
// else, because a client that reaches this server directly can write the field
// itself. Proxies or UnixSocket says where the proxy is; both can be set.
type ForwardedCertificate struct {
	_ [0]func()

	// Format is how the proxy writes it. The zero value is that no proxy does.
	Format CertificateFormat

	// Field is the name of the header field. NGINX needs it, since its
	// configuration chooses one, and a listener of ALB may have another than its
	// own. The others cannot, and it must be empty.
	Field string

	// Proxies are the addresses of the proxies. They have to remove the field from
	// what clients send (RFC 9440 §4). A prefix must not be wider than one network of
	// your own can be: /8 for IPv4, /7 for IPv6.
	Proxies []netip.Prefix

	// UnixSocket trusts what is at the other end of every connection that came in
	// over a Unix socket: set it if the proxy reaches this server that way. Every
	// process that may connect to the socket can then claim any certificate, so the
	// permissions of its file, or of its folder, should let in the proxy alone.
	// Whether a connection is one is read from [http.LocalAddrContextKey], which
	// net/http sets, and grpcauth from the connection of the call.
	UnixSocket bool
}

// A CertificateFormat is how a proxy writes a client's certificate into a header
// field. Each is read by its own rules, and nothing is guessed.
type CertificateFormat int

// The formats.
const (
	ClientCertField CertificateFormat = iota + 1 // Client-Cert (RFC 9440)
	NGINXField                                   // $ssl_client_escaped_cert, in a field of the operator's choice
	EnvoyField                                   // X-Forwarded-Client-Cert with one element: forward_client_cert_details: SANITIZE_SET
	ALBField                                     // X-Amzn-Mtls-Clientcert-Leaf, or X-Amzn-Mtls-Clientcert
)

// formats are the readers. A format that is not among them has no field.
var formats = map[CertificateFormat]clientcert.Format{
	ClientCertField: clientcert.ClientCert,
	NGINXField:      clientcert.NGINX,
	EnvoyField:      clientcert.Envoy,
	ALBField:        clientcert.ALB,
}

// faults reports what is wrong with the setting.
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

// leastBits keeps a prefix from covering more than a private network: the widest
// are 10.0.0.0/8 (RFC 1918 §3) and fc00::/7 (RFC 4193 §3.1). All of the Internet is
// 0.0.0.0/0, but 0.0.0.0/1 beside 128.0.0.0/1 as well, and 2000::/3.
func leastBits(address netip.Addr) int {
	if address.Is4() {
		return 8
	}
	return 7
}

// from reports whether a request comes from one of the proxies.
func (c ForwardedCertificate) from(r *http.Request) bool {
	return c.UnixSocket && isOverUnixSocket(r) || c.fromAddress(r.RemoteAddr)
}

// isOverUnixSocket asks the server's own end of the connection. What stands in
// RemoteAddr, "@" as a rule, is no proof: it is text that code in front of the
// middleware may have written.
func isOverUnixSocket(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return ok && local.Network() == "unix"
}

func (c ForwardedCertificate) fromAddress(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(c.Proxies, func(prefix netip.Prefix) bool { return prefix.Contains(address) })
}

// Fields returns the names of the request header fields that the Validator looks
// at, in their canonical form: Authorization, with Config.DPoP also Dpop, and that
// of Config.ForwardedCertificate. A carrier without an http.Request hands on these.
func (v *Validator) Fields() []string {
	fields := []string{"Authorization"}
	if v.face != nil && v.face.dpop != nil {
		fields = append(fields, proofField)
	}
	if v.forwarded.Format != 0 {
		fields = append(fields, formats[v.forwarded.Format].Fields(v.forwarded.Field)...)
	}
	return fields
}

// Nonce returns the DPoP-Nonce that goes with the answer to credentials that were
// accepted, so that the client has a good one for its next request (RFC 9449 §8.2);
// "" unless they came with a proof, and nonces are demanded. A refusal has its own.
func (v *Validator) Nonce(credentials Credentials) string {
	if !credentials.dpop || v.face == nil || v.face.dpop == nil {
		return ""
	}
	return v.face.dpop.Nonce()
}

// proofField is the canonical name of the field with the proof (RFC 9449 §4.1).
var proofField = textproto.CanonicalMIMEHeaderKey("DPoP")

// acceptScheme refuses a token whose binding and scheme do not go together, in
// either direction (RFC 9449 §7.1, §7.2). A cnf of which nothing is understood is
// refused as well; RFC 7800 §3.1 would have it ignored, which turns a bound token
// into a bearer token.
func (f *facts) acceptScheme(credentials Credentials) error {
	bound, isDPoP := f.binding()
	switch {
	case !bound.Present && f.isPartial():
		return nil // it is up to the answer
	case bound.KeyThumbprint != "" && !credentials.dpop:
		return refusal(BindingRequired, "the token is bound to a DPoP key, and was sent as a bearer token")
	case bound.KeyThumbprint == "" && (credentials.dpop || isDPoP):
		return refusal(BindingRequired, "the token has no cnf.jkt, which the scheme DPoP needs")
	case bound.Present && bound.KeyThumbprint == "" && bound.CertificateThumbprint == "":
		return refusal(BindingRequired, "the token's cnf has no member that can be checked")
	}
	return nil
}

// acceptSender refuses a bound token, in its scheme, that comes from somebody else
// than the one it is bound to. It runs on every request.
func (v *Validator) acceptSender(ctx context.Context, f *facts, credentials Credentials) error {
	bound, _ := f.binding()
	if !f.isBound() || v.letInBefore(ctx, bound, credentials) {
		return nil
	}
	if bound.CertificateThumbprint != "" {
		if err := v.acceptCertificate(bound.CertificateThumbprint, credentials.request); err != nil {
			return err
		}
	}
	if bound.KeyThumbprint != "" {
		return v.acceptProof(ctx, bound.KeyThumbprint, credentials)
	}
	return nil
}

// letInBefore reports whether an adapter has let this very request in with these
// credentials: what they are bound to was seen then, and a proof may be used only
// once. An introspection answer that binds them otherwise by now is not what was seen.
func (v *Validator) letInBefore(ctx context.Context, bound jose.Confirmation, credentials Credentials) bool {
	outer, ok := ctx.Value(carried.Key{}).(*node)
	if !ok || outer.Ended() || outer.By != v || !outer.Credentials.Equal(credentials) {
		return false
	}
	seen, _ := outer.Claims.facts.binding()
	return seen == bound
}

// acceptCertificate compares the certificate of the client (RFC 8705 §3). Whether
// anybody vouches for it was up to the TLS handshake, and is not the question.
func (v *Validator) acceptCertificate(thumbprint string, r *http.Request) error {
	presented := ""
	switch {
	case r == nil:
	case v.forwarded.Format != 0 && v.forwarded.from(r):
		// The connection's certificate, if there is one, is the proxy's own.
		var err error
		if presented, err = formats[v.forwarded.Format].Thumbprint(r.Header, v.forwarded.Field); err != nil {
			return because(BindingMismatch, err)
		}
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		presented = clientcert.ThumbprintOf(r.TLS.PeerCertificates[0])
	}
	switch presented {
	case thumbprint:
		return nil
	case "":
		return refusal(BindingMismatch, "the token is bound to a client certificate, and none was presented")
	}
	return refusal(BindingMismatch, "the token is bound to another client certificate")
}

// acceptProof has the proof of possession verified (RFC 9449 §4.3).
func (v *Validator) acceptProof(ctx context.Context, thumbprint string, credentials Credentials) error {
	r := credentials.request
	err := v.face.dpop.Verify(ctx, dpop.Request{
		Method:     r.Method,
		Path:       requestPath(r),
		Proofs:     r.Header[proofField],
		Token:      credentials.text(),
		Thumbprint: thumbprint,
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, dpop.ErrProof):
		return because(DPoPProofInvalid, err)
	case errors.Is(err, dpop.ErrKey):
		return because(BindingMismatch, err)
	case errors.Is(err, dpop.ErrReplayed):
		return because(DPoPProofReplayed, err)
	case errors.Is(err, dpop.ErrNonce):
		return because(DPoPNonceRequired, err)
	}
	return couldNotFindOut(ctx, ReplayStoreUnavailable, err)
}

// requestPath is the path that the client asked for, as it wrote it: routers may
// have changed r.URL by now.
func requestPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	if absolute, err := url.Parse(r.RequestURI); err == nil && absolute.Host != "" { // RFC 9112 §3.2.2
		return absolute.EscapedPath()
	}
	if r.URL == nil { // of a request that somebody has made by hand
		return "*" // for which there is no proof
	}
	return r.URL.EscapedPath()
}
