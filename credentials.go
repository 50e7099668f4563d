package accesstoken

import (
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unsafe"

	"github.com/accesstoken/accesstoken/internal/binding"
	"github.com/accesstoken/accesstoken/internal/challenge"
)

// Credentials are what a request brought to show that it may pass: an access token,
// or the reason why there is no token. They are opaque, and print only a mark, so
// that no log gets a token through them.
//
// The zero Credentials are those of a request without credentials.
type Credentials struct {
	_      [0]func()
	first  *byte // of the token, or of the reason why there is no token: see text
	length int
	none   bool
	dpop   bool // the scheme is DPoP (RFC 9449 §7.1)
	common bool // read from Authorization

	request *http.Request // that brought them, to verify a binding; nil if it was not given
}

// Bearer returns the credentials of a bare access token (RFC 6750). The token's
// memory must not be written to afterwards. For example, fasthttp reuses the memory
// of a finished request, so you should clone its strings.
func Bearer(token string) Credentials {
	if token == "" {
		return without(CredentialsMalformed)
	}
	return Credentials{first: unsafe.StringData(token), length: len(token)}
}

// without returns credentials that have a reason in place of a token.
func without(problem Reason) Credentials {
	return Credentials{first: unsafe.StringData(string(problem)), length: len(problem), none: true}
}

// text returns the token, or the reason why there is no token. It is stored as a pointer
// and a length. If it were a string, fmt would print the token where Credentials are an
// unexported field of another struct, because fmt does not call Format there.
func (c Credentials) text() string { return unsafe.String(c.first, c.length) }

// CredentialsFrom reads the Authorization lines of a request. It never fails. If the
// line is missing or malformed, or if there are several lines, the Credentials say
// so, and [Validator.Authorize] refuses them, so that one place decides.
//
// Only the Authorization field counts. Tokens in the query, the body or a cookie are
// ignored (OAuth 2.1 §5.1; RFC 9700 §4.3.2). If tokens are bound to a key or a
// certificate, use [CredentialsOf], because they need the whole request. With
// Config.TokenField use [Validator.CredentialsOf].
func CredentialsFrom(header http.Header) Credentials {
	credentials := fromAuthorization(header["Authorization"])
	credentials.common = true
	return credentials
}

func fromAuthorization(lines []string) Credentials {
	if len(lines) == 0 {
		return without(CredentialsMissing)
	}
	// Two lines, even equal ones, are two attempts (RFC 6750 §2). A proxy that read the
	// other line checked a different token than this server would.
	if len(lines) > 1 {
		return without(CredentialsAmbiguous)
	}
	scheme, token, ok := challenge.Credentials(lines[0])
	switch {
	case !ok:
		return without(CredentialsMalformed)
	case strings.EqualFold(scheme, "Bearer"):
		return Bearer(token)
	case strings.EqualFold(scheme, "DPoP"):
		credentials := Bearer(token)
		credentials.dpop = true
		return credentials
	}
	return without(SchemeUnsupported)
}

// CredentialsOf reads the Authorization lines of a request, as [CredentialsFrom]
// does, and keeps the request. If the token is bound, the method, path, DPoP field
// and client certificate of the request are read. A transport other than HTTP must
// fill in RequestURI, Method, Header, TLS and RemoteAddr, and
// [http.LocalAddrContextKey] in its context if the connection is a Unix socket.
func CredentialsOf(r *http.Request) Credentials {
	credentials := CredentialsFrom(r.Header)
	credentials.request = r
	return credentials
}

// CredentialsOf reads the credentials where this Validator expects them: in
// Config.TokenField if that is set, and otherwise as the function [CredentialsOf] does,
// in Authorization.
func (v *Validator) CredentialsOf(r *http.Request) Credentials {
	if v.face == nil || v.face.field == "" {
		return CredentialsOf(r)
	}
	credentials := without(CredentialsAmbiguous)
	switch lines := r.Header[v.face.field]; len(lines) {
	case 0:
		credentials = without(CredentialsMissing)
	case 1:
		credentials = Bearer(strings.Trim(lines[0], " \t"))
	}
	credentials.request = r
	return credentials
}

// Missing reports whether the request brought no credentials at all. If they are
// malformed, it is false, so that a client that tried to authenticate is never
// treated as anonymous.
func (c Credentials) Missing() bool {
	return c.length == 0 || c.none && c.text() == string(CredentialsMissing)
}

// Equal reports whether these are the same credentials of the same request. Token and
// scheme must be equal. For credentials of [CredentialsOf], the method, path, HTTP
// version and DPoP proof must be equal too, and token and proof must be in the same
// memory. Copies of a request share that memory, also those of [http.Request.Clone]. If
// there is no token, the whole target, the header and the client certificate must be
// equal. Equal distinguishes requests that share a context. If a later request has the same
// context, its token and proof are in other memory, or its HTTP version differs, as
// after an upgrade to h2c.
func (c Credentials) Equal(other Credentials) bool {
	if c.none != other.none || c.dpop != other.dpop || c.text() != other.text() {
		return false
	}
	a, b := c.request, other.request
	if a == nil || b == nil {
		return a == b
	}
	if c.none {
		return isLike(a, b)
	}
	return c.first == other.first && slices.EqualFunc(a.Header[binding.ProofField], b.Header[binding.ProofField], isSame) &&
		a.Method == b.Method && a.Proto == b.Proto && binding.Path(a) == binding.Path(b)
}

// isLike reports whether two requests without a token are alike in all that code of the
// application could authenticate them by, except their bodies. Middleware may have cut the
// path in URL, so it is compared as the client wrote it.
func isLike(a, b *http.Request) bool {
	return a.Method == b.Method && a.Proto == b.Proto && a.Host == b.Host && target(a) == target(b) &&
		slices.Equal(certificates(a), certificates(b)) && maps.EqualFunc(a.Header, b.Header, slices.Equal[[]string])
}

func target(r *http.Request) string {
	if r.RequestURI != "" || r.URL == nil {
		return r.RequestURI
	}
	return r.URL.String()
}

func certificates(r *http.Request) []*x509.Certificate {
	if r.TLS == nil {
		return nil
	}
	return r.TLS.PeerCertificates
}

// isSame reports whether two texts are one text in memory.
func isSame(a, b string) bool {
	return len(a) == len(b) && unsafe.StringData(a) == unsafe.StringData(b)
}

// String returns a mark in place of the token.
func (c Credentials) String() string { return "accesstoken.Credentials(redacted)" }

// Format prints the mark under every verb: %d and %x must not get around String.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// GoString returns the mark.
func (c Credentials) GoString() string { return c.String() }

// LogValue returns the mark.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText returns the mark, for encoding/json and its like.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Fields returns the names of the request header fields that matter to the
// Validator, in canonical form. The first is that of the token: Authorization, or
// Config.TokenField. Then come Dpop if Config.DPoP is set, and the fields of
// Config.ForwardedCertificate. A transport without an http.Request must pass these
// fields on.
func (v *Validator) Fields() []string {
	fields := []string{"Authorization"}
	if v.face != nil && v.face.field != "" {
		fields[0] = v.face.field
	}
	if v.family == nil {
		return fields
	}
	if v.face.dpop != nil {
		fields = append(fields, binding.ProofField)
	}
	return append(fields, v.proxies.Fields()...)
}

// Nonce returns the DPoP-Nonce for the response to accepted credentials, so that the
// client has a valid nonce for its next request (RFC 9449 §8.2). If the credentials
// came without a proof, or nonces are not demanded, Nonce returns "". For a refusal,
// [Error.Header] has the nonce.
func (v *Validator) Nonce(credentials Credentials) string {
	if !credentials.dpop || v.face == nil || v.face.dpop == nil {
		return ""
	}
	return v.face.dpop.Nonce()
}
