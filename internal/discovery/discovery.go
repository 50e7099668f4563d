// Package discovery reads the metadata of one issuer: RFC 8414 and OpenID
// Connect Discovery 1.0.
package discovery

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/accesstoken/accesstoken/internal/fetch"
	"github.com/accesstoken/accesstoken/internal/jose"
)

// Every error of [Read] matches one of these. If the caller's context ended, the error
// matches the context's error as well.
var (
	// ErrUnavailable means that no usable document was found. A retry may succeed.
	ErrUnavailable = errors.New("the issuer's metadata is unavailable")
	// ErrMismatch means that a document was found, but contradicts the configuration. A
	// retry does not help: the operator or the issuer has to correct it.
	ErrMismatch = errors.New("the issuer's metadata does not match the configuration")
)

// Bounds of a document, and of a URL in it, because URLs are requested and logged.
const (
	maxBytes = 256 << 10
	maxURL   = 2048
)

// Source is the issuer whose metadata is read, and the way to read it.
type Source struct {
	Issuer      string // the exact issuer identifier
	MetadataURL string // the URL of the metadata; if empty, the well-known URLs of Issuer are tried
	AllowHTTP   bool   // plain http is accepted on any host, not only on a loopback host

	// SameOrigin requires that jwks_uri has the scheme, host and port of Issuer. An
	// introspection_endpoint with others is left out.
	SameOrigin bool

	// SignedBy returns the keys that may sign signed_metadata (RFC 8414 §2.1); kid and
	// alg come from its header, and kid can be empty. If SignedBy is set, a document
	// without valid signed_metadata is refused, and only the signed members are used.
	// If SignedBy is nil, signed_metadata is ignored, which the RFC allows.
	SignedBy func(kid, alg string) []crypto.PublicKey

	// Timeout limits reading one document. Zero means fetch.DefaultTimeout.
	Timeout time.Duration

	// Now is the clock for exp and nbf of signed_metadata. Nil means time.Now.
	Now func() time.Time
}

// Metadata holds the members of an issuer's metadata that are used here.
type Metadata struct {
	Issuer                string // equals Source.Issuer
	JWKSURI               string // empty if the issuer publishes none
	IntrospectionEndpoint string // empty if the issuer publishes none, or one that is not allowed
}

// Faults returns every fault in the settings of s, without any I/O.
func (s Source) Faults() (faults []error) {
	// With a MetadataURL nothing is fetched from the issuer identifier itself.
	err := fetch.CheckURL(s.Issuer, s.AllowHTTP || s.MetadataURL != "")
	identifier, isMetadata := metadataOf(s.Issuer)
	switch {
	case err != nil:
		faults = append(faults, fmt.Errorf("issuer: %w", err))
	case strings.Contains(s.Issuer, "?"): // RFC 8414 §2
		faults = append(faults, fmt.Errorf("issuer: %q must not have a query", fetch.Redact(s.Issuer)))
	case isMetadata:
		faults = append(faults, fmt.Errorf("issuer: %q is the URL of a metadata document; write the issuer identifier, which the document has as its issuer: probably %q", s.Issuer, identifier))
	}
	if s.MetadataURL == "" {
		return faults
	}
	if err := fetch.CheckURL(s.MetadataURL, s.AllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("metadata URL: %w", err))
	}
	return faults
}

// metadataOf reports whether a URL is a well-known URL of metadata, and the issuer that
// it probably belongs to. RFC 8414 §3.1 puts the well-known part before the issuer's
// path, OpenID Connect Discovery §4 after it.
func metadataOf(place string) (issuer string, is bool) {
	for _, name := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		before, after, found := strings.Cut(place, name)
		if found && (after == "" || after[0] == '/') {
			return before + after, true
		}
	}
	return "", false
}

// URLs returns the URLs where the metadata may be, in the order of the requests: the URL
// of RFC 8414 §3.1, the same URL with the OpenID name (RFC 8414 §5), and the URL of
// OpenID Connect Discovery §4.1. If the issuer has no path, the last two are the same.
func (s Source) URLs() []string {
	if s.MetadataURL != "" {
		return []string{s.MetadataURL}
	}
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return nil
	}
	host, path := u.Scheme+"://"+u.Host, strings.TrimSuffix(u.EscapedPath(), "/")
	urls := []string{
		host + "/.well-known/oauth-authorization-server" + path,
		host + "/.well-known/openid-configuration" + path,
	}
	if path != "" {
		urls = append(urls, host+path+"/.well-known/openid-configuration")
	}
	return urls
}

// Read returns the metadata from the first URL with a usable document. If a document has
// no jwks_uri, it is used only if no other URL has a document with a jwks_uri. If one of
// the URLs fails temporarily, for example with status 503, Read returns ErrUnavailable
// instead of such a document or a mismatch, because that URL may have the right
// document.
func Read(ctx context.Context, client *fetch.Client, s Source) (Metadata, error) {
	var keyless *Metadata
	var mismatch error
	failed := new(unavailable)
	for _, place := range s.URLs() {
		m, err := s.read(ctx, client, place)
		switch {
		case err == nil && m.JWKSURI != "":
			return m, nil
		case err == nil:
			keyless = &m
		case errors.Is(err, ErrMismatch):
			mismatch = err
		case errors.Is(err, errTransport):
			return Metadata{}, fmt.Errorf("%w: %w", ErrUnavailable, err) // the other URLs are on the same host
		default:
			failed.add(err)
		}
	}
	switch {
	case failed.outOfOrder:
		return Metadata{}, failed
	case keyless != nil:
		return *keyless, nil
	case mismatch != nil:
		return Metadata{}, mismatch
	}
	return Metadata{}, failed
}

var errTransport = errors.New("no answer")

func (s Source) read(ctx context.Context, client *fetch.Client, place string) (Metadata, error) {
	request := fetch.Request{URL: place, Header: http.Header{"Accept": {"application/json"}}, MaxBytes: maxBytes, Timeout: s.Timeout}
	response, err := client.Do(ctx, request)
	switch {
	case response.Status != 0 && response.Status != http.StatusOK:
		return Metadata{}, request.StatusError(response)
	case errors.Is(err, fetch.ErrTooLarge):
		return Metadata{}, err
	case errors.Is(err, fetch.ErrBroken):
		return Metadata{}, err
	case err != nil:
		return Metadata{}, fmt.Errorf("%w: %w", errTransport, err)
	}
	// The media type is not checked, because real servers send text/plain and worse.
	// A strict JSON object with the right issuer cannot be an error page.
	d, err := parse(string(response.Body))
	if err == nil && d.Issuer == "" {
		err = errors.New("the document has no issuer")
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("%s: %w", fetch.Redact(place), err)
	}
	return s.checkDocument(d, place)
}

// A document is the metadata as received.
type document struct {
	Metadata
	signed string // the JSON value of signed_metadata; "" if absent
}

func parse(body string) (document, error) {
	var d document
	err := jose.Object(body, func(name, value string) error {
		switch name {
		case "issuer":
			return text(&d.Issuer, value, "issuer")
		case "jwks_uri":
			return text(&d.JWKSURI, value, "jwks_uri")
		case "introspection_endpoint":
			return text(&d.IntrospectionEndpoint, value, "introspection_endpoint")
		case "signed_metadata":
			d.signed = value
		}
		return nil
	})
	return d, err
}

func text(to *string, value string, name string) error {
	if value == "null" { // some serializers write null for an absent member
		return nil
	}
	text, ok := jose.String(value)
	if !ok {
		return fmt.Errorf("%s is not a string", name)
	}
	*to = strings.Clone(text) // the substring would keep the whole document
	return nil
}

// checkDocument returns the metadata of a document. It compares the issuer exactly. If
// the issuer differs, nothing of the document is used, to prevent mix-up attacks (RFC
// 8414 §3.3).
func (s Source) checkDocument(d document, place string) (Metadata, error) {
	if d.Issuer != s.Issuer {
		return Metadata{}, fmt.Errorf("%w: the document's issuer is %.200q, but %q is configured", ErrMismatch, d.Issuer, s.Issuer)
	}
	m := d.Metadata
	if s.SignedBy != nil {
		var err error
		if m, err = s.signed(d); err != nil {
			return Metadata{}, fmt.Errorf("%w: %s: signed_metadata: %v", ErrMismatch, fetch.Redact(place), err)
		}
	}
	if m.JWKSURI != "" {
		if err := s.checkEndpoint(m.JWKSURI, place); err != nil {
			return Metadata{}, fmt.Errorf("%w: jwks_uri: %w", ErrMismatch, err)
		}
	}
	// A bad introspection_endpoint must not prevent reading keys.
	if s.checkEndpoint(m.IntrospectionEndpoint, place) != nil {
		m.IntrospectionEndpoint = ""
	}
	return m, nil
}

// checkEndpoint returns an error if an endpoint from the document at place must not be
// used.
func (s Source) checkEndpoint(raw, place string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("the URL has %d bytes; expected at most %d", len(raw), maxURL)
	}
	if err := fetch.CheckURL(raw, s.AllowHTTP); err != nil {
		return err
	}
	endpoint := originOf(raw)
	// A loopback host does not need TLS. But if a document was read over https, it must
	// not send requests to a program that listens on a port of this machine.
	if endpoint.scheme == "http" && originOf(place).scheme != "http" && !s.AllowHTTP {
		return fmt.Errorf("%q is not https, although the metadata was read over https", fetch.Redact(raw))
	}
	if s.SameOrigin && endpoint != originOf(s.Issuer) {
		return fmt.Errorf("%q does not have the scheme, host and port of the issuer %q, which SameOrigin requires", fetch.Redact(raw), s.Issuer)
	}
	return nil
}

// An origin is scheme, host and port of a URL (RFC 6454 §4).
type origin struct{ scheme, host, port string }

// originOf returns the origin of a URL that has passed [fetch.CheckURL].
func originOf(raw string) origin {
	u, err := url.Parse(raw)
	if err != nil {
		return origin{}
	}
	o := origin{u.Scheme, strings.Map(lower, u.Hostname()), u.Port()}
	switch {
	case o.port != "":
	case o.scheme == "https":
		o.port = "443"
	case o.scheme == "http":
		o.port = "80"
	}
	return o
}

// lower changes only ASCII letters, because Unicode's case folding treats ς and σ as
// equal, although they can be in the names of two different hosts (RFC 5892 §2.6).
func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// unavailable collects the reasons why no URL had a usable document. It is not an
// errors.Join, because its text must be one line.
type unavailable struct {
	reasons    []string
	after      time.Duration
	outOfOrder bool // one URL failed temporarily, and may have a document later
}

func (u *unavailable) add(err error) {
	u.reasons = append(u.reasons, err.Error())
	status := (*fetch.StatusError)(nil)
	if errors.As(err, &status) {
		u.after = max(u.after, status.After)
	}
	if status == nil && errors.Is(err, fetch.ErrBroken) || status != nil && (status.Status >= 500 || status.Status == http.StatusTooManyRequests) {
		u.outOfOrder = true
	}
}

func (u *unavailable) Error() string {
	return ErrUnavailable.Error() + ": " + strings.Join(u.reasons, "; ")
}

func (u *unavailable) Unwrap() error { return ErrUnavailable }

// RetryAfter returns the longest Retry-After of the answers, or zero if no answer had
// one.
func (u *unavailable) RetryAfter() time.Duration { return u.after }
