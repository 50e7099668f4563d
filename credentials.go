package accesstoken

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"unsafe"

	"github.com/accesstoken/accesstoken/internal/challenge"
)

// Credentials are what a request brought to show that it may pass: an access
// token, or the reason why there is none. They are opaque, and print as a
// mark only, so that no log gets hold of a token through them.
//
// The zero Credentials are those of a request without any.
type Credentials struct {
	_      [0]func()
	first  *byte // of the token, or of the reason why there is none: see text
	length int
	none   bool
	dpop   bool // the scheme is DPoP (RFC 9449 §7.1)

	request *http.Request // that brought them, for what a token is bound to; nil: nobody knows
}

// Bearer returns the credentials of a bare access token (RFC 6750). The token's
// memory must not be written to afterwards, as fasthttp does with that of a request
// that is over: clone such strings.
func Bearer(token string) Credentials {
	if token == "" {
		return without(CredentialsMalformed)
	}
	return Credentials{first: unsafe.StringData(token), length: len(token)}
}

// without returns credentials that have no token, and why not.
func without(problem Reason) Credentials {
	return Credentials{first: unsafe.StringData(string(problem)), length: len(problem), none: true}
}

// text is the token, or the reason why there is none. It is kept as a pointer
// because fmt calls no methods on an unexported field of somebody's struct: it
// would print a string.
func (c Credentials) text() string { return unsafe.String(c.first, c.length) }

// CredentialsFrom reads the Authorization lines of a request. It never fails: a
// line that is missing, malformed or one of several is remembered in the
// Credentials, and [Validator.Authorize] refuses them, so that one place
// decides.
//
// Only the Authorization field counts. A token in the query, the body or a
// cookie is not looked for (OAuth 2.1 §5.1; RFC 9700 §4.3.2). A token that is bound
// to a key needs the whole request: see [CredentialsOf].
func CredentialsFrom(header http.Header) Credentials {
	lines := header["Authorization"]
	if len(lines) == 0 {
		return without(CredentialsMissing)
	}
	// Two lines, even equal ones, are two attempts (RFC 6750 §2): a proxy that
	// looked at the other one has checked another token than we would.
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
// does, and keeps the request for tokens that are bound to a key: method, path,
// DPoP field and client certificate are read from it when such a token comes. A
// carrier other than HTTP fills in RequestURI, Method, Header, TLS and RemoteAddr, and
// [http.LocalAddrContextKey] in its context if the connection is a Unix socket.
func CredentialsOf(r *http.Request) Credentials {
	credentials := CredentialsFrom(r.Header)
	credentials.request = r
	return credentials
}

// Missing reports whether the request brought no credentials at all. Malformed
// ones are not missing: a client that meant to authenticate is never taken for
// an anonymous one.
func (c Credentials) Missing() bool {
	return c.length == 0 || c.none && c.text() == string(CredentialsMissing)
}

// Equal reports whether these are the same credentials of the same request: the
// same token and scheme, and, for those of [CredentialsOf], the same method, path,
// HTTP version and DPoP proof, in the same memory. Copies of a request share the texts
// of its header, and those of [http.Request.Clone] do as well. It is for requests that
// share a context. One that comes later in it has texts of its own, or another HTTP
// version: that of the requests which follow an upgrade to h2c.
func (c Credentials) Equal(other Credentials) bool {
	if c.none != other.none || c.dpop != other.dpop || c.text() != other.text() {
		return false
	}
	a, b := c.request, other.request
	if a == nil || b == nil {
		return a == b
	}
	return c.first == other.first && slices.EqualFunc(a.Header[proofField], b.Header[proofField], isSame) &&
		a.Method == b.Method && a.Proto == b.Proto && requestPath(a) == requestPath(b)
}

// isSame reports texts that are not only equal, but one.
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
