package dpop

import (
	"errors"
	"net/netip"
	"strings"

	"github.com/accesstoken/accesstoken/internal/fetch"
)

var errURI = errors.New("expected an absolute https or http URI without user information, in ASCII")

// newBase normalises one of Config.URLs, and removes slashes at its end, because the
// path of a request begins with one.
func newBase(url string) (string, error) {
	if err := fetch.CheckURL(url, false); err != nil {
		return "", err
	}
	if strings.Contains(url, "?") {
		return "", errors.New("the URL has a query; expected only scheme, host, port and path prefix")
	}
	base, err := normalize(url)
	return strings.TrimRight(base, "/"), err
}

// find reports whether the htu is one of Config.URLs plus the path of the request
// (RFC 9449 §4.3), and returns the htu normalised. If the htu is normal already, it
// is not copied.
//
// The path is normalised before a URL is put in front of it, so that a path with ..
// cannot leave a prefix. For example, if URLs has https://a/drive, the path /../mail
// must not match the htu https://a/mail. A service there may have seen proofs for
// that URL, and could replay them here.
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
		// If a client requests the prefix alone, a proxy that removes the prefix
		// sends the path /.
		if isJoined(normal, base, path) || path == "/" && normal == base {
			return normal, true
		}
	}
	return "", false
}

func isJoined(whole, first, last string) bool {
	return len(whole) == len(first)+len(last) && whole[:len(first)] == first && whole[len(first):] == last
}

// normalize returns the normal form of an http or https URI, without its query and
// fragment (RFC 3986 §6.2.2 and §6.2.3).
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

// normalizeAuthority accepts a host and an optional port. It rejects everything else,
// for example user information.
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

// splitPort splits an authority into host and port. An IPv6 address keeps its
// brackets.
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

// isPort accepts a number from 1 to 99999 without leading zeros, and the empty port.
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

// normalizeHost accepts an IPv6 address in brackets, or a name in ASCII. It rejects
// names in other scripts, because they have many spellings and clients send their
// punycode. A dot at the end stays, because the name can then mean another host.
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

// normalizePath returns the normal form of a path. Most paths are normal already.
func normalizePath(path string) (string, error) {
	switch {
	case path == "":
		return "/", nil
	case path[0] != '/':
		return "", errURI // the * of OPTIONS, or text that would extend the host's name
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

// normalizeOctets decodes the octets that need no encoding, and writes the other
// escapes in capitals (RFC 3986 §6.2.2). It encodes the characters that browsers send
// as they are although no URI may contain them. It rejects every other character that
// a path cannot contain, for example the backslash, which browsers treat as a slash.
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

// removeDots removes the segments . and .. (RFC 3986 §5.2.4).
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

// isUnreserved reports whether c is an unreserved character (RFC 3986 §2.3).
func isUnreserved(c byte) bool {
	return isAlphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~'
}

// isPathChar reports whether a path can contain c unencoded (RFC 3986 §3.3).
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
