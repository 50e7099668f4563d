package dpop

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

var errURI = errors.New("expected an absolute https or http URI without user information, in ASCII")

// newBase normalises one of Config.URLs, and takes a slash at its end away: the path
// of a request begins with one.
func newBase(url string) (string, error) {
	if err := fetch.CheckURL(url, false); err != nil {
		return "", err
	}
	if strings.Contains(url, "?") {
		return "", errors.New("a URL has a query; name scheme, host, port and the prefix of paths only")
	}
	base, err := normalize(url)
	return strings.TrimRight(base, "/"), err
}

// find reports whether the htu is one of our URLs with the path of the request (RFC
// 9449 §4.3), and returns it normalised. What is normal already is not copied.
//
// The path is normalised before a URL is put in front of it: one with .. in it does
// not lead out from under a prefix, to where another service may be that has seen
// proofs for its own URLs.
func (v *Verifier) find(htu, path string) (normal string, ok bool) {
	path, err := normalizePath(path)
	if err != nil {
		return "", false
	}
	for _, base := range v.bases {
		if isJoined(htu, base, path) {
			return htu, true
		}
	}
	normal, err = normalize(htu)
	if err != nil {
		return "", false
	}
	for _, base := range v.bases {
		// Proxies that take a prefix away make / of what was the prefix alone.
		if isJoined(normal, base, path) || path == "/" && normal == base {
			return normal, true
		}
	}
	return "", false
}

func isJoined(whole, first, last string) bool {
	return len(whole) == len(first)+len(last) && whole[:len(first)] == first && whole[len(first):] == last
}

// normalize returns the one spelling of an http or https URI, without its query and
// fragment, by the rules of RFC 3986 §6.2.2 and §6.2.3.
func normalize(uri string) (string, error) {
	if end := strings.IndexAny(uri, "?#"); end >= 0 {
		uri = uri[:end]
	}
	scheme, rest, _ := strings.Cut(uri, "://")
	scheme = strings.ToLower(scheme)
	port, ok := defaultPorts[scheme]
	if !ok {
		return "", errURI
	}
	authority, path := rest, ""
	if slash := strings.IndexByte(rest, '/'); slash >= 0 {
		authority, path = rest[:slash], rest[slash:]
	}
	authority, err := normalizeAuthority(authority, port)
	if err != nil {
		return "", err
	}
	path, err = normalizePath(path)
	if err != nil {
		return "", err
	}
	return scheme + "://" + authority + path, nil
}

var defaultPorts = map[string]string{"https": "443", "http": "80"}

// normalizeAuthority refuses user information, along with everything else that is
// no host and no port.
func normalizeAuthority(authority, defaultPort string) (string, error) {
	host, port := splitPort(authority)
	if !isPort(port) {
		return "", errURI
	}
	host, err := normalizeHost(host)
	if err != nil || port == "" || port == defaultPort {
		return host, err
	}
	return host + ":" + port, nil
}

// splitPort leaves an IPv6 address in its brackets.
func splitPort(authority string) (host, port string) {
	end := 0
	if strings.HasPrefix(authority, "[") {
		end = strings.IndexByte(authority, ']') + 1
	}
	if colon := strings.IndexByte(authority[end:], ':'); colon >= 0 {
		return authority[:end+colon], authority[end+colon+1:]
	}
	return authority, ""
}

// isPort accepts a number from 1 to 99999 in its only spelling, and none.
func isPort(port string) bool {
	if len(port) > 5 || strings.HasPrefix(port, "0") {
		return false
	}
	for _, c := range []byte(port) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// normalizeHost takes a name in ASCII: one of another script has many spellings, and
// clients send its punycode. A dot at the end stays, since it can mean another host.
func normalizeHost(host string) (string, error) {
	if inside, ok := strings.CutPrefix(host, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(inside, "]"))
		if err != nil || !address.Is6() || address.Zone() != "" {
			return "", errURI
		}
		return "[" + address.String() + "]", nil
	}
	for _, c := range []byte(host) {
		if !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
			return "", errURI
		}
	}
	if host == "" {
		return "", errURI
	}
	return strings.ToLower(host), nil
}

// normalizePath returns the one spelling of a path. Most are that already.
func normalizePath(path string) (string, error) {
	switch {
	case path == "":
		return "/", nil
	case path[0] != '/':
		return "", errURI // the * of OPTIONS, or what would go on with our host's name
	case isNormal(path):
		return path, nil
	}
	path, err := normalizeOctets(path)
	if err != nil || !strings.Contains(path, "/.") {
		return path, err
	}
	return removeDots(path), nil
}

func isNormal(path string) bool {
	for i, c := range []byte(path) {
		if !isPathChar(c) || c == '.' && path[i-1] == '/' {
			return false
		}
	}
	return true
}

// normalizeOctets decodes the octets that need no encoding, writes the encoding of
// others in capitals (RFC 3986 §6.2.2), and encodes what browsers leave as it is
// though no URI has it. It refuses what a path cannot have in any spelling, and the
// backslash, which browsers take for a slash.
func normalizeOctets(path string) (string, error) {
	const hex = "0123456789ABCDEF"
	normal := make([]byte, 0, len(path)+8)
	for i := 0; i < len(path); i++ {
		c := path[i]
		encoded := c == '%'
		if encoded {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return "", errURI
			}
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
		}
		switch {
		case isUnreserved(c), !encoded && isPathChar(c):
			normal = append(normal, c)
		case encoded, strings.IndexByte("\"<>[]^`{|}", c) >= 0:
			normal = append(normal, '%', hex[c>>4], hex[c&15])
		default:
			return "", errURI
		}
	}
	return string(normal), nil
}

// removeDots takes the segments . and .. out (RFC 3986 §5.2.4).
func removeDots(path string) string {
	segments := strings.Split(path[1:], "/")
	kept := segments[:0]
	for i, segment := range segments {
		isDot, isDots := segment == ".", segment == ".."
		if isDots && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if isDot || isDots {
			if segment = ""; i < len(segments)-1 {
				continue
			}
		}
		kept = append(kept, segment)
	}
	return "/" + strings.Join(kept, "/")
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isUnreserved is RFC 3986 §2.3.
func isUnreserved(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// isPathChar is RFC 3986 §3.3, without the encoded ones, and the slash.
func isPathChar(c byte) bool {
	return isUnreserved(c) || strings.IndexByte("/!$&'()*+,;=:@", c) >= 0
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
