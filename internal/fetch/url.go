package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// CheckURL returns an error if no request may be sent to raw. It must be an absolute
// https URL with a host and without user information or fragment (RFC 8414 §2).
// Plain http is accepted on a loopback host, for example localhost. On other hosts,
// plain http is accepted only if allowHTTP is true.
func CheckURL(raw string, allowHTTP bool) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return errors.New("the URL is empty")
	case err != nil:
		return errors.New("the URL cannot be parsed") // err would quote it, credentials included
	case u.User != nil:
		return fmt.Errorf("%q must not carry user information", Redact(raw))
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return fmt.Errorf("%q is not an absolute https URL", Redact(raw))
	case strings.Contains(raw, "#"):
		return fmt.Errorf("%q must not have a fragment", Redact(raw))
	case u.Scheme == "http" && !allowHTTP && !isLoopback(u.Hostname()):
		return fmt.Errorf("%q is not https; plain http is refused except on a loopback host", Redact(raw))
	}
	return nil
}

// isLoopback does not resolve names, because the result of a resolver can change.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && !address.Is4In6() && address.IsLoopback()
}

// Redact returns a URL without its query, fragment and user information, for
// errors and logs.
func Redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a malformed URL"
	}
	if u.User == nil && !strings.ContainsAny(raw, "?#") {
		return raw // unchanged, because String would escape {tenantid}
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
