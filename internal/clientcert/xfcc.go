package clientcert

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// readXFCC reads the Hash or the Cert of the one element of an
// X-Forwarded-Client-Cert, or both if they agree.
//
// Of several elements none counts. The last would be the nearest proxy's, but
// Envoy writes the names in a certificate (URI, DNS) without quotes: one with a
// comma in it ends the element and begins another, and whoever had a hand in the
// certificate would say which hash that has. Where Envoy appends honestly to what
// another proxy wrote, the last is that proxy's certificate, not the client's.
// For the same reason no key that matters may come twice.
func readXFCC(line string) (string, error) {
	found := map[string]string{}
	for text, more := strings.Trim(line, blank), true; more; {
		key, value, rest, ok := cutPair(text)
		text, more = strings.CutPrefix(rest, ";")
		if !ok || !more && rest != "" {
			return "", malformed("expected one element; have the proxy replace what the client sent")
		}
		if key != "hash" && key != "cert" {
			continue
		}
		if _, twice := found[key]; twice {
			return "", malformed("expected Hash and Cert once")
		}
		found[key] = value
	}
	return readPairs(found)
}

// readPairs reads what says which certificate it is.
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
		return "", malformed("expected the Hash of the Cert")
	}
	return fromCert, err
}

// cutPair takes key=value, or key="value", off the beginning of an element. Keys
// have no case; they are made of letters, and nothing else is taken for one.
func cutPair(text string) (key, value, rest string, ok bool) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	key, text, found := strings.Cut(text, "=")
	if !found || key == "" || strings.Trim(key, letters) != "" {
		return "", "", "", false
	}
	value, rest, ok = cutValue(text)
	return strings.ToLower(key), value, rest, ok
}

// cutValue takes a value off the beginning, without its quotes. What is escaped
// stays so: neither value that is used has a backslash. A quote inside of a value
// without quotes is nothing that two readers agree on.
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
