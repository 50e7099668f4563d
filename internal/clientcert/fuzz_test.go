package clientcert_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/clientcert"
)

// The grammars in another notation: the code under test cuts and trims instead.
var (
	byteSequence = regexp.MustCompile(`^[ \t]*:([A-Za-z0-9+/]+={0,2}):[ \t]*$`)                                                             // RFC 9651 §3.3.5
	percentText  = regexp.MustCompile(`^[ \t]*((?:[A-Za-z0-9._~+/=-]|%[0-9A-Fa-f]{2})*)[ \t]*$`)                                            // RFC 3986 §2.1, and three more
	pemText      = regexp.MustCompile(`^[ \t\r\n]*(?:-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\r\n]*-----END CERTIFICATE-----[ \t\r\n]*)+$`) // RFC 7468 §5
	xfccPair     = `([A-Za-z]+)=(?:"((?:[^"\\]|\\(?s:.))*)"|([^",;]*))`
	xfccElement  = regexp.MustCompile(`^[ \t]*` + xfccPair + `(?:;` + xfccPair + `)*[ \t]*$`)
	xfccPairs    = regexp.MustCompile(xfccPair)
)

// agree compares what a line yields with what it should, "" for nothing.
func agree(t *testing.T, format clientcert.Format, line, want string) {
	t.Helper()
	if len(line) > 16<<10 {
		want = ""
	}
	got, err := format.Thumbprint(http.Header{format.Fields("X-A")[0]: {line}}, "X-A")
	if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, clientcert.ErrMalformed) {
		t.Errorf("%q: got %q, %v; want %q", line, got, err, want)
	}
}

// thumbprintSlowly is that of bytes which are one certificate, and "" of others.
func thumbprintSlowly(der []byte) string {
	if _, err := x509.ParseCertificate(der); err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// What is accepted is the thumbprint of the DER between the colons, written as
// it would be written again.
func FuzzClientCert(f *testing.F) {
	cert := certificate(f, "a", "")
	for _, line := range []string{inBytes(cert), publishedField, "", "::", ":", ":AAAA:", inBytes(cert) + ";a", inBytes(cert) + "," + inBytes(cert), strings.Trim(inBytes(cert), ":"), inPEM(cert), " " + inBytes(cert) + "\t", ":" + strings.Trim(inBytes(cert), ":=") + ":"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		want := ""
		if parts := byteSequence.FindStringSubmatch(line); parts != nil {
			der, err := base64.StdEncoding.DecodeString(parts[1])
			if err == nil && base64.StdEncoding.EncodeToString(der) == parts[1] {
				want = thumbprintSlowly(der)
			}
		}
		agree(t, clientcert.ClientCert, line, want)
	})
}

// What is accepted is the thumbprint of the first block, and of the only one
// where there is no chain.
func FuzzEscapedPEM(f *testing.F) {
	cert, other := certificate(f, "a", ""), certificate(f, "b", "")
	text := inPEM(cert)
	for _, line := range []string{byNGINX(text), byALB(text), byNGINX(text + inPEM(other)), byNGINX(published), byNGINX("\n" + text + "\n\n"), "", "%", "%2", "%zz", "%00", byNGINX(byNGINX(text)), text, byNGINX("a" + text), byNGINX(text + "a"), byNGINX("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n" + text), byNGINX(strings.Replace(text, "\n", "\nA: b\n\n", 1)), byNGINX("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		first, count := readEscapedSlowly(line)
		agree(t, clientcert.ALB, line, first)
		if count != 1 {
			first = ""
		}
		agree(t, clientcert.NGINX, line, first)
	})
}

// readEscapedSlowly returns the thumbprint of the first of so many blocks.
func readEscapedSlowly(line string) (first string, count int) {
	parts := percentText.FindStringSubmatch(line)
	if parts == nil {
		return "", 0
	}
	text, err := url.QueryUnescape(strings.ReplaceAll(parts[1], "+", "%2B"))
	if err != nil || !pemText.MatchString(text) {
		return "", 0
	}
	count = strings.Count(text, "-----BEGIN")
	// pem.Decode wants lines; between their ends it reads what the code under
	// test does.
	lines := strings.NewReplacer("-----BEGIN CERTIFICATE-----", "\n-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----", "\n-----END CERTIFICATE-----\n").Replace(text)
	found := 0
	for block, rest := pem.Decode([]byte(lines)); block != nil; block, rest = pem.Decode(rest) {
		if found++; found == 1 {
			first = thumbprintSlowly(block.Bytes)
		}
	}
	if found != count {
		return "", 0
	}
	return first, count
}

// What is accepted is the one Hash or the one Cert of the one element.
func FuzzXFCC(f *testing.F) {
	cert, other := certificate(f, "a", ""), certificate(f, "b", "")
	hash, wrong := "Hash="+inHex(cert), "Hash="+inHex(other)
	for _, line := range []string{
		hash, "HASH=" + strings.ToUpper(inHex(cert)), `Cert="` + byNGINX(inPEM(cert)) + `"`, "By=a;" + hash + `;Cert="` + byNGINX(inPEM(cert)) + `";Subject="a\"b";URI=c;DNS=d`, wrong + `;Cert="` + byNGINX(inPEM(cert)) + `"`,
		"", ",", ";", "=", "Hash=", `Hash=""`, `Hash="`, `Hash="\`, hash + ",", hash + ";", hash + "," + wrong, hash + ";" + wrong, hash + `;Subject="a;` + wrong + `"`, hash + `;URI=a"b`, `Subject="` + hash + `"`, hash + `;Subject="a"b`, " " + hash + "\t", "Haſh=a;" + hash,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) { agree(t, clientcert.Envoy, line, readXFCCSlowly(line)) })
}

// readXFCCSlowly reads an element by the grammar.
func readXFCCSlowly(line string) string {
	if !xfccElement.MatchString(line) {
		return ""
	}
	values := map[string][]string{}
	for _, parts := range xfccPairs.FindAllStringSubmatch(strings.Trim(line, " \t"), -1) {
		key := strings.ToLower(parts[1])
		values[key] = append(values[key], parts[2]+parts[3])
	}
	hashes, certs := values["hash"], values["cert"]
	if len(hashes) > 1 || len(certs) > 1 || len(hashes)+len(certs) == 0 {
		return ""
	}
	said := map[string]bool{}
	for _, hash := range hashes {
		sum, err := hex.DecodeString(hash)
		if err != nil || len(sum) != sha256.Size {
			return ""
		}
		said[base64.RawURLEncoding.EncodeToString(sum)] = true
	}
	for _, cert := range certs {
		first, count := readEscapedSlowly(cert)
		if count != 1 {
			return ""
		}
		said[first] = true
	}
	if len(said) != 1 {
		return ""
	}
	for thumbprint := range said {
		return thumbprint
	}
	return ""
}
