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

// The two ways in which [Read] fails: every error matches one of them, unless
// the caller's context ended, when it matches the context's error as well.
var (
	// ErrUnavailable: no usable document could be had. Asking again may help.
	ErrUnavailable = errors.New("the issuer's metadata is unavailable")
	// ErrMismatch: there is a document, but the issuer and the configuration
	// contradict each other. Somebody has to look at it.
	ErrMismatch = errors.New("the issuer's metadata does not match the configuration")
)

// Bounds of a document, and of a URL in it: that is asked and written to logs.
const (
	maxBytes = 256 << 10
	maxURL   = 2048
)

// Source says whose metadata is read, and where.
type Source struct {
	Issuer      string // the exact issuer identifier
	MetadataURL string // the one place to look; empty: the well-known places of Issuer
	AllowHTTP   bool   // plain http is accepted on any host, not only on a loopback one

	// SameOrigin demands that jwks_uri has the scheme, host and port of Issuer.
	// An introspection_endpoint that has others is left out.
	SameOrigin bool

	// SignedBy returns the keys that may sign signed_metadata (RFC 8414 §2.1);
	// kid and alg are what its header says, kid possibly empty. When it is set, a
	// document without valid signed_metadata is refused, and nothing but what
	// is signed is used. Nil: signed_metadata is ignored, as it may be.
	SignedBy func(kid, alg string) []crypto.PublicKey

	// Timeout is for reading one document; zero is fetch.DefaultTimeout.
	Timeout time.Duration

	// Now is the clock for exp and nbf of signed_metadata; nil is time.Now.
	Now func() time.Time
}

// Metadata is what an issuer says about itself.
type Metadata struct {
	Issuer                string // equals Source.Issuer
	JWKSURI               string // empty when the issuer publishes none
	IntrospectionEndpoint string // empty when there is none, or none that may be used
}

// Faults lists every reason for which s cannot be read, without any I/O.
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

// metadataOf reports whether a URL is a well-known place of metadata, and of which
// issuer it probably is: RFC 8414 §3.1 puts the place before the issuer's path,
// OpenID Connect Discovery §4 after it.
func metadataOf(place string) (issuer string, is bool) {
	for _, name := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		before, after, found := strings.Cut(place, name)
		if found && (after == "" || after[0] == '/') {
			return before + after, true
		}
	}
	return "", false
}

// URLs lists where the metadata may be, in the order of asking: as RFC 8414
// §3.1 says, the same with the OpenID name (RFC 8414 §5), and as OpenID
// Connect Discovery §4.1 says. Without a path the last two are one.
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

// Read returns the metadata from the first place that has a usable document.
// One without jwks_uri is used only if no other place has one with it; and
// neither that nor a mismatch counts while one of the places is out of order,
// which may be the one that has it.
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
			return Metadata{}, fmt.Errorf("%w: %w", ErrUnavailable, err) // the other places are on the same host
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
	// The media type is not looked at: real servers send text/plain and worse,
	// and a strict object that names the right issuer is no error page.
	d, err := parse(string(response.Body))
	if err == nil && d.Issuer == "" {
		err = errors.New("no issuer in the document")
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("%s: %w", fetch.Redact(place), err)
	}
	return s.accept(d, place)
}

// A document is the metadata as it came.
type document struct {
	Metadata
	signed string // the JSON value of signed_metadata; "" when there is none
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
	if value == "null" { // what some serializers write for an absent member
		return nil
	}
	text, ok := jose.String(value)
	if !ok {
		return fmt.Errorf("%s is not a string", name)
	}
	*to = strings.Clone(text) // it would keep the whole document
	return nil
}

// accept compares the issuer exactly, and uses nothing of a document whose
// issuer differs: this is the defence against mix-up (RFC 8414 §3.3).
func (s Source) accept(d document, place string) (Metadata, error) {
	if d.Issuer != s.Issuer {
		return Metadata{}, fmt.Errorf("%w: it names the issuer %.200q, configured is %q", ErrMismatch, d.Issuer, s.Issuer)
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
	// Nobody who reads keys is to suffer from this one.
	if s.checkEndpoint(m.IntrospectionEndpoint, place) != nil {
		m.IntrospectionEndpoint = ""
	}
	return m, nil
}

// checkEndpoint reports why an endpoint that the document at place names may not
// be used.
func (s Source) checkEndpoint(raw, place string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("the URL has %d bytes; expected at most %d", len(raw), maxURL)
	}
	if err := fetch.CheckURL(raw, s.AllowHTTP); err != nil {
		return err
	}
	endpoint := originOf(raw)
	// A loopback host may do without TLS. But a document that came with it must
	// not lead to whoever listens on a port of this machine.
	if endpoint.scheme == "http" && originOf(place).scheme != "http" && !s.AllowHTTP {
		return fmt.Errorf("%q is not https, although the metadata was read over https", fetch.Redact(raw))
	}
	if s.SameOrigin && endpoint != originOf(s.Issuer) {
		return fmt.Errorf("%q does not have scheme, host and port of the issuer %q", fetch.Redact(raw), s.Issuer)
	}
	return nil
}

// An origin is scheme, host and port of a URL (RFC 6454 §4).
type origin struct{ scheme, host, port string }

// originOf returns the origin of a URL that [fetch.CheckURL] accepts.
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

// lower leaves all but ASCII alone: Unicode's folding takes ς for σ, and they
// name two hosts (RFC 5892 §2.6).
func lower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// unavailable collects why no place had a usable document. It is not an
// errors.Join because it becomes part of one line.
type unavailable struct {
	reasons    []string
	after      time.Duration
	outOfOrder bool // one place may have a document at another time
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

// RetryAfter returns how long the server asks to be left alone; zero when it
// does not say.
func (u *unavailable) RetryAfter() time.Duration { return u.after }
