package clientcert

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// strict refuses bits behind the end. It passes over line ends, which belong to
// PEM only.
var strict = base64.StdEncoding.Strict()

// readByteSequence reads RFC 9440 §2.2: an Item that is a Byte Sequence, base64
// between colons. RFC 9651 §4.2.7 would rather have missing padding and stray
// bits passed over, and an Item may have parameters (§3.1.2); but who writes has
// to pad (§4.1.8), and RFC 9440 defines no parameter, so that a line with either
// was not written by a proxy that follows it.
func readByteSequence(line string) (string, error) {
	text, opens := strings.CutPrefix(strings.Trim(line, blank), ":")
	text, closes := strings.CutSuffix(text, ":")
	if !opens || !closes || strings.ContainsAny(text, "\r\n") {
		return "", malformed("expected :base64: (RFC 9440 §2.1)")
	}
	der, err := strict.DecodeString(text)
	if err != nil {
		return "", malformed("expected padded base64 between the colons (RFC 9440 §2.1)")
	}
	return thumbprint(der)
}

const (
	blank = " \t"
	space = blank + "\r\n"

	// What may stand in percent-encoded PEM: RFC 3986 §2.3, a percent sign, and
	// the three characters of base64 that an ALB leaves as they are. A plus sign
	// is one, here and when decoded; a form's encoding has it for a space.
	escaped = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + "%" + "+/="
)

// readEscapedPEM reads one certificate in PEM, percent-encoded, or a chain: TLS
// has the client's own come first (RFC 8446 §4.4.2).
func readEscapedPEM(line string, chain bool) (string, error) {
	line = strings.Trim(line, blank)
	text, err := url.PathUnescape(line)
	if err != nil || strings.Trim(line, escaped) != "" {
		return "", malformed("expected percent-encoded PEM")
	}
	der, rest, ok := cutCertificate(strings.TrimLeft(text, space))
	for ok && chain && rest != "" {
		_, rest, ok = cutCertificate(rest)
	}
	switch {
	case !ok:
		return "", malformed("expected nothing but certificates in PEM (RFC 7468 §5)")
	case rest != "":
		return "", malformed("expected one certificate in PEM")
	}
	return thumbprint(der)
}

// cutCertificate takes one off the beginning. pem.Decode looks further when the
// first is broken, and then another one would count.
func cutCertificate(text string) (der []byte, rest string, ok bool) {
	text, begins := strings.CutPrefix(text, "-----BEGIN CERTIFICATE-----")
	text, rest, ends := strings.Cut(text, "-----END CERTIFICATE-----")
	der, err := strict.DecodeString(text)
	return der, strings.TrimLeft(rest, space), begins && ends && err == nil
}
