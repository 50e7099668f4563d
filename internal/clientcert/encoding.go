package clientcert

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// strict rejects stray bits at the end. It skips line ends, which only PEM may
// contain.
var strict = base64.StdEncoding.Strict()

// readByteSequence reads the field of RFC 9440 §2.2, an Item that is a Byte Sequence:
// base64 between colons. It rejects missing padding and stray bits, which RFC 9651
// §4.2.7 would rather accept, and parameters, which an Item may have (RFC 9651
// §3.1.2). A proxy that follows the RFCs sends none of these, because it must pad
// (RFC 9651 §4.1.8) and RFC 9440 defines no parameter.
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

	// The characters of percent-encoded PEM: the unreserved characters of RFC 3986
	// §2.3, the percent sign, and the three characters of base64 that an ALB does
	// not encode. A plus sign stands for itself, here and when decoded, and not
	// for a space as in a form.
	escaped = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~" + "%" + "+/="
)

// readEscapedPEM reads one certificate in percent-encoded PEM. If chain is true, more
// certificates may follow; the client's own is the first, as in TLS (RFC 8446
// §4.4.2).
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

// cutCertificate takes one certificate off the beginning. It does not use pem.Decode,
// which skips a broken first certificate and would return a later certificate.
func cutCertificate(text string) (der []byte, rest string, ok bool) {
	text, begins := strings.CutPrefix(text, "-----BEGIN CERTIFICATE-----")
	text, rest, ends := strings.Cut(text, "-----END CERTIFICATE-----")
	der, err := strict.DecodeString(text)
	return der, strings.TrimLeft(rest, space), begins && ends && err == nil
}
