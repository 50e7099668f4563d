// Package discovery reads the metadata of one issuer: RFC 8414 and OpenID
// Connect Discovery 1.0.
package discovery

import (
	"context"
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

const maxBytes = 256 << 10

// Source says whose metadata is read, and where.
type Source struct {
	Issuer      string // the exact issuer identifier
	MetadataURL string // the one place to look; empty: the well-known places of Issuer
	AllowHTTP   bool   // plain http is accepted on any host, not only on a loopback one
}

// Metadata is what an issuer says about itself.
type Metadata struct {
	Issuer                string // equals Source.Issuer
	JWKSURI               string // empty when the issuer publishes none
	IntrospectionEndpoint string // empty when there is none, or none that may be used
}

// Faults lists every reason for which s cannot be read, without any I/O.
func (s Source) Faults() (faults []error) {
	if err := fetch.CheckURL(s.Issuer, s.AllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("issuer: %w", err))
	} else if strings.Contains(s.Issuer, "?") { // RFC 8414 §2
		faults = append(faults, fmt.Errorf("issuer: %q must not have a query", fetch.Redact(s.Issuer)))
	}
	if s.MetadataURL == "" {
		return faults
	}
	if err := fetch.CheckURL(s.MetadataURL, s.AllowHTTP); err != nil {
		faults = append(faults, fmt.Errorf("metadata URL: %w", err))
	}
	return faults
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
// One without jwks_uri is used only if no other place has one with it.
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
	case keyless != nil:
		return *keyless, nil
	case mismatch != nil:
		return Metadata{}, mismatch
	}
	return Metadata{}, failed
}

var errTransport = errors.New("no answer")

func (s Source) read(ctx context.Context, client *fetch.Client, place string) (Metadata, error) {
	request := fetch.Request{URL: place, Header: http.Header{"Accept": {"application/json"}}, MaxBytes: maxBytes}
	response, err := client.Do(ctx, request)
	switch {
	case response.Status != 0 && response.Status != http.StatusOK:
		return Metadata{}, request.StatusError(response)
	case errors.Is(err, fetch.ErrTooLarge):
		return Metadata{}, err
	case err != nil:
		return Metadata{}, fmt.Errorf("%w: %w", errTransport, err)
	}
	// The media type is not looked at: real servers send text/plain and worse,
	// and a strict object that names the right issuer is no error page.
	m, err := parse(response.Body)
	if err != nil {
		return Metadata{}, fmt.Errorf("%s: %w", fetch.Redact(place), err)
	}
	return s.accept(m)
}

func parse(body []byte) (Metadata, error) {
	var m Metadata
	err := jose.Object(body, func(name, value []byte) error {
		switch string(name) {
		case "issuer":
			return text(&m.Issuer, value, "issuer")
		case "jwks_uri":
			return text(&m.JWKSURI, value, "jwks_uri")
		case "introspection_endpoint":
			return text(&m.IntrospectionEndpoint, value, "introspection_endpoint")
		}
		return nil
	})
	if err == nil && m.Issuer == "" {
		err = errors.New("no issuer in the document")
	}
	return m, err
}

func text(to *string, value []byte, name string) error {
	if string(value) == "null" { // what some serializers write for an absent member
		return nil
	}
	var ok bool
	if *to, ok = jose.String(value); !ok {
		return fmt.Errorf("%s is not a string", name)
	}
	return nil
}

// accept compares the issuer exactly, and uses nothing of a document whose
// issuer differs: this is the defence against mix-up (RFC 8414 §3.3).
func (s Source) accept(m Metadata) (Metadata, error) {
	if m.Issuer != s.Issuer {
		return Metadata{}, fmt.Errorf("%w: it names the issuer %.200q, configured is %q", ErrMismatch, m.Issuer, s.Issuer)
	}
	if m.JWKSURI != "" {
		if err := fetch.CheckURL(m.JWKSURI, s.AllowHTTP); err != nil {
			return Metadata{}, fmt.Errorf("%w: jwks_uri: %w", ErrMismatch, err)
		}
	}
	// Nobody who reads keys is to suffer from this one.
	if fetch.CheckURL(m.IntrospectionEndpoint, s.AllowHTTP) != nil {
		m.IntrospectionEndpoint = ""
	}
	return m, nil
}

// unavailable collects why no place had a usable document. It is not an
// errors.Join because it becomes part of one line.
type unavailable struct {
	reasons []string
	after   time.Duration
}

func (u *unavailable) add(err error) {
	u.reasons = append(u.reasons, err.Error())
	if status := (*fetch.StatusError)(nil); errors.As(err, &status) {
		u.after = max(u.after, status.After)
	}
}

func (u *unavailable) Error() string {
	return ErrUnavailable.Error() + ": " + strings.Join(u.reasons, "; ")
}

func (u *unavailable) Unwrap() error { return ErrUnavailable }

// RetryAfter returns how long the server asks to be left alone; zero when it
// does not say.
func (u *unavailable) RetryAfter() time.Duration { return u.after }
