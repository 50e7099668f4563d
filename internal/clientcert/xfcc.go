package clientcert

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// readXFCC reads the Hash or the Cert of the only element of an
// X-Forwarded-Client-Cert. If the element has both, they must agree.
//
// If there are several elements, the line is refused. The last element would be the
// nearest proxy's, but Envoy writes the names in a certificate (URI, DNS) without
// quotes. A comma in a name ends the element and begins another, so a client that can
// influence the names in its certificate could choose the hash. Even if Envoy
// correctly appends to what another proxy wrote, the last element has that proxy's
// certificate, not the client's. For the same reason Hash and Cert may not come
// twice.
func readXFCC(line string) (string, error) {
	found := map[string]string{}
	for text, more := strings.Trim(line, blank), true; more; {
		key, value, rest, ok := cutPair(text)
		text, more = strings.CutPrefix(rest, ";")
		if !ok || !more && rest != "" {
			return "", malformed("expected one element; configure the proxy to replace the field that the client sent")
		}
		if key != "hash" && key != "cert" {
			continue
		}
		if _, twice := found[key]; twice {
			return "", malformed("expected at most one Hash and one Cert")
		}
		found[key] = value
	}
	return readPairs(found)
}

// readPairs reads the Hash and the Cert, whichever is present.
func readPairs(found map[string]string) (string, error) {
	hash, hasHash := found["hash"]
	cert, hasCert := found["cert"]
	switch {
	case !hasHash && !hasCert:
		return "", malformed("expected a Hash or a Cert")
	case !hasHash:
		return readEscapedPEM(cert, false)
	}
	fromHash, err := readHash(hash)
	if err != nil || !hasCert {
		return fromHash, err
	}
	fromCert, err := readEscapedPEM(cert, false)
	if err == nil && fromCert != fromHash {
		return "", malformed("expected the Hash to be that of the Cert")
	}
	return fromCert, err
}

// cutPair takes key=value, or key="value", off the beginning of an element. It
// returns the key in lower case, because keys have no case, and accepts only keys
// that consist of letters.
func cutPair(text string) (key, value, rest string, ok bool) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	key, text, found := strings.Cut(text, "=")
	if !found || key == "" || strings.Trim(key, letters) != "" {
		return "", "", "", false
	}
	value, rest, ok = cutValue(text)
	return strings.ToLower(key), value, rest, ok
}

// cutValue takes a value off the beginning, without its quotes. It does not decode
// escapes, because neither Hash nor Cert has a backslash. If a value without quotes
// contains a quote, the line is refused, because two readers may not agree on it.
func cutValue(text string) (value, rest string, ok bool) {
	quoted, isQuoted := strings.CutPrefix(text, `"`)
	if !isQuoted {
		end := strings.IndexAny(text+";", `;,"`)
		return text[:end], text[end:], true
	}
	for i := 0; i < len(quoted); i++ {
		switch quoted[i] {
		case '\\':
			i++
		case '"':
			return quoted[:i], quoted[i+1:], true
		}
	}
	return "", "", false
}

// readHash reads a SHA-256 in hexadecimal.
func readHash(text string) (string, error) {
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != sha256.Size {
		return "", malformed("expected 64 hexadecimal digits as Hash")
	}
	return encode([sha256.Size]byte(sum)), nil
}
