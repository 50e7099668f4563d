package clientcert_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/clientcert"
)

// The certificate of RFC 8705 Appendix A, and what its x5t#S256 is there. It has
// expired.
const (
	published = `-----BEGIN CERTIFICATE-----
MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx
ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ
/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID
SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV
bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=
-----END CERTIFICATE-----
`
	publishedThumbprint = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
)

// The field of RFC 9440 Appendix A.
const publishedField = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:"

// certificate makes a self-signed one, which counts like any other (MTLS-02).
func certificate(t testing.TB, subject, uri string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0), // long ago
	}
	if uri != "" {
		template.URIs = []*url.URL{{Opaque: uri}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// inPEM, byNGINX, byALB and inHex write a certificate as the proxies do.
func inPEM(cert *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
}

func byNGINX(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func byALB(text string) string {
	return strings.NewReplacer("%2B", "+", "%2F", "/", "%3D", "=").Replace(byNGINX(text))
}

func inBytes(cert *x509.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(cert.Raw) + ":"
}

func inHex(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// A trial is one line, and the certificate that it says the client showed: nil
// for a line that says none.
type trial struct {
	name, line string
	want       *x509.Certificate
}

// try puts each line into the field.
func try(t *testing.T, format clientcert.Format, field string, trials []trial) {
	t.Helper()
	for _, test := range trials {
		got, err := format.Thumbprint(http.Header{field: {test.line}}, field)
		switch {
		case test.want == nil && (!errors.Is(err, clientcert.ErrMalformed) || got != ""):
			t.Errorf("%s: got %q, %v; want %v", test.name, got, err, clientcert.ErrMalformed)
		case test.want != nil && (err != nil || got != clientcert.ThumbprintOf(test.want)):
			t.Errorf("%s: got %q, %v; want %q", test.name, got, err, clientcert.ThumbprintOf(test.want))
		}
	}
}

// MTLS-01, with the RFC's own figures. That it has expired is the TLS end's
// business.
func TestThePublishedCertificateHasThePublishedThumbprint(t *testing.T) {
	block, _ := pem.Decode([]byte(published))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := clientcert.ThumbprintOf(cert); got != publishedThumbprint {
		t.Errorf("got %q; want %q (RFC 8705 Appendix A)", got, publishedThumbprint)
	}
	for format, line := range map[clientcert.Format]string{
		clientcert.ClientCert: inBytes(cert),
		clientcert.NGINX:      byNGINX(published),
		clientcert.ALB:        byALB(published),
		clientcert.Envoy:      `Cert="` + byNGINX(published) + `"`,
	} {
		field := format.Fields("X-SSL-Client-Cert")[0]
		got, err := format.Thumbprint(http.Header{field: {line}}, "X-SSL-Client-Cert")
		if err != nil || got != publishedThumbprint {
			t.Errorf("%s: got %q, %v; want %q", field, got, err, publishedThumbprint)
		}
	}
}

// MTLS-05: RFC 9440 §2.2.
func TestClientCert(t *testing.T) {
	cert, other := certificate(t, "a", ""), certificate(t, "b", "")
	line := inBytes(cert)
	text := strings.Trim(line, ":")
	der, err := base64.StdEncoding.DecodeString(strings.Trim(publishedField, ":"))
	if err != nil {
		t.Fatal(err)
	}
	rfc, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	appended := ":" + base64.StdEncoding.EncodeToString(append(slices.Clone(cert.Raw), 0)) + ":"
	both := ":" + base64.StdEncoding.EncodeToString(append(slices.Clone(cert.Raw), other.Raw...)) + ":"
	try(t, clientcert.ClientCert, "Client-Cert", []trial{
		{"a certificate", line, cert},
		{"the field of the RFC", publishedField, rfc},
		{"blanks around it are not part of the value", " \t" + line + " ", cert},
		{"empty", "", nil},
		{"nothing between the colons", "::", nil},
		{"a colon only", ":", nil},
		{"without colons", text, nil},
		{"without the colon at the end", ":" + text, nil},
		{"without the colon before", text + ":", nil},
		{"in quotes", `"` + text + `"`, nil},
		{"twice in one line", line + ", " + line, nil},
		{"two in one byte sequence", both, nil},
		{"two byte sequences together", line + line, nil},
		{"with a parameter", line + ";a=1", nil},
		{"with an empty parameter list", line + ";", nil},
		{"PEM inside", ":" + inPEM(cert) + ":", nil},
		{"PEM in base64 inside", ":" + base64.StdEncoding.EncodeToString([]byte(inPEM(cert))) + ":", nil},
		{"PEM, percent-encoded", byNGINX(inPEM(cert)), nil},
		{"a line end inside", ":" + text[:8] + "\n" + text[8:] + ":", nil},
		{"a carriage return inside", ":" + text[:8] + "\r" + text[8:] + ":", nil},
		{"a blank inside", ":" + text[:8] + " " + text[8:] + ":", nil},
		{"a blank before the colon at the end", ":" + text + " :", nil},
		{"truncated DER", ":" + base64.StdEncoding.EncodeToString(cert.Raw[:len(cert.Raw)-1]) + ":", nil},
		{"a byte behind the DER", appended, nil},
		{"more padding than is due", ":" + text + "=:", nil},
		{"not a certificate", ":AAAA:", nil},
		{"a key, not a certificate", ":" + base64.StdEncoding.EncodeToString(cert.RawSubjectPublicKeyInfo) + ":", nil},
		{"a non-ASCII digit of base64", ":é" + text[1:] + ":", nil},
		{"larger than any certificate", ":" + strings.Repeat("A", 16<<10) + ":", nil},
	})
}

// MTLS-05: how many bytes there are decides how base64 ends, so these need a
// certificate of each length.
func TestPaddingIsExact(t *testing.T) {
	rests := map[int]bool{}
	for subject := "a"; len(subject) < 20 && len(rests) < 3; subject += "a" {
		cert := certificate(t, subject, "")
		rest := len(cert.Raw) % 3
		if rests[rest] {
			continue
		}
		rests[rest] = true
		trials := []trial{{"as it is due", inBytes(cert), cert}}
		if rest != 0 {
			trials = append(trials,
				trial{"none", ":" + base64.RawStdEncoding.EncodeToString(cert.Raw) + ":", nil},
				trial{"stray bits", ":" + withStrayBits(cert.Raw) + ":", nil})
		}
		if text := base64.URLEncoding.EncodeToString(cert.Raw); strings.ContainsAny(text, "-_") {
			trials = append(trials, trial{"the URL's alphabet", ":" + text + ":", nil})
		}
		try(t, clientcert.ClientCert, "Client-Cert", trials)
	}
	if len(rests) != 3 {
		t.Errorf("saw certificates of %d lengths modulo 3; want 3", len(rests))
	}
}

// withStrayBits sets the last bit of the last digit of base64, which no byte has.
func withStrayBits(der []byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	text := base64.StdEncoding.EncodeToString(der)
	last := len(strings.TrimRight(text, "=")) - 1
	return text[:last] + string(digits[strings.IndexByte(digits, text[last])|1]) + text[last+1:]
}

// escapedPEM are lines that nginx and an ALB have in common.
func escapedPEM(t *testing.T, cert *x509.Certificate) []trial {
	text := inPEM(cert)
	line := byNGINX(text)
	return []trial{
		{"a certificate", line, cert},
		{"the three characters of base64 as they are", byALB(text), cert},
		{"lower-case digits", strings.NewReplacer("%2B", "%2b", "%2F", "%2f", "%3D", "%3d", "%0A", "%0a").Replace(line), cert},
		{"every character encoded", "%" + strings.Join(slices.Collect(chunks(strings.ToUpper(hex.EncodeToString([]byte(text))))), "%"), cert},
		{"line ends of Windows", byNGINX(strings.ReplaceAll(text, "\n", "\r\n")), cert},
		{"white space around it", byNGINX("\r\n \t" + text + "\n \n"), cert},
		{"blanks around the line", " \t" + line + "\t", cert},
		{"empty", "", nil},
		{"white space only", "%0A", nil},
		{"not encoded", text, nil},
		{"not encoded, folded to blanks", strings.ReplaceAll(text, "\n", " "), nil},
		{"blanks that are not encoded", strings.ReplaceAll(line, "%20", " "), nil},
		{"as a form has it, a plus sign for a blank", strings.ReplaceAll(line, "%20", "+"), nil},
		{"encoded twice", byNGINX(line), nil},
		{"DER in base64", base64.StdEncoding.EncodeToString(cert.Raw), nil},
		{"a byte sequence", inBytes(cert), nil},
		{"a percent sign at the end", line + "%", nil},
		{"half of an encoded character at the end", line + "%2", nil},
		{"no digits behind a percent sign", line + "%zz", nil},
		{"a sign for a digit", line + "%+0", nil},
		{"a zero byte behind", line + "%00", nil},
		{"a zero byte inside", strings.Replace(line, "%0A", "%00%0A", 1), nil},
		{"a non-breaking space behind", line + "%C2%A0", nil},
		{"text before", "a%0A" + line, nil},
		{"text behind", line + "a", nil},
		{"in quotes", `"` + line + `"`, nil},
		{"a comma behind", line + ",", nil},
		{"truncated", line[:len(line)/2], nil},
		{"without its end", line[:strings.Index(line, "-----END")], nil},
		{"without its beginning", line[len(byNGINX("-----BEGIN CERTIFICATE-----")):], nil},
		{"text behind the base64", strings.Replace(line, "-----END", "%3F%0A-----END", 1), nil},
		{"an end of something else", strings.Replace(line, "END%20", "END%20X509%20", 1), nil},
		{"another kind of block", strings.ReplaceAll(line, "CERTIFICATE", "X509%20CRL"), nil},
		{"a trusted certificate of OpenSSL", strings.ReplaceAll(line, "CERTIFICATE", "TRUSTED%20CERTIFICATE"), nil},
		{"with a header", strings.Replace(line, "%0A", "%0AA%3A%20b%0A%0A", 1), nil},
		{"a blank within base64", strings.Replace(line, "%0A", "%0A%20", 1), nil},
		{"an empty block", byNGINX("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), nil},
		{"a byte behind the DER", byNGINX(inPEM(&x509.Certificate{Raw: append(slices.Clone(cert.Raw), 0)})), nil},
		{"half of the DER", byNGINX(inPEM(&x509.Certificate{Raw: cert.Raw[:len(cert.Raw)/2]})), nil},
		{"larger than any chain", strings.Repeat("%20", 16<<10/3) + line, nil},
		{"a broken one before a whole one", byNGINX("-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n") + line, nil},
		{"a begin before a whole one", byNGINX("-----BEGIN CERTIFICATE-----\n") + line, nil},
	}
}

func chunks(digits string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(digits) && yield(digits[i:i+2]); i += 2 {
		}
	}
}

// MTLS-05: $ssl_client_escaped_cert.
func TestNGINX(t *testing.T) {
	cert, other := certificate(t, "a", ""), certificate(t, "b", "")
	try(t, clientcert.NGINX, "X-Ssl-Client-Cert", append(escapedPEM(t, cert),
		trial{"two certificates", byNGINX(inPEM(cert) + inPEM(other)), nil},
		trial{"one twice", byNGINX(inPEM(cert) + inPEM(cert)), nil},
	))
}

// MTLS-05: the fields of both modes.
func TestALB(t *testing.T) {
	cert, other := certificate(t, "a", ""), certificate(t, "b", "")
	for _, field := range []string{"X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert", "X-Renamed"} {
		try(t, clientcert.ALB, field, append(escapedPEM(t, cert),
			trial{"a chain, the client's own first", byALB(inPEM(cert) + inPEM(other)), cert},
			trial{"three of them", byALB(inPEM(other) + inPEM(cert) + "\n" + inPEM(cert)), other},
			trial{"text behind the second", byALB(inPEM(cert) + inPEM(other) + "a"), nil},
			trial{"text between them", byALB(inPEM(cert) + "a\n" + inPEM(other)), nil},
			trial{"a second without its end", byALB(inPEM(cert) + strings.Replace(inPEM(other), "-----END", "", 1)), nil},
			trial{"a first that is no certificate", byALB(inPEM(&x509.Certificate{Raw: []byte("a")}) + inPEM(cert)), nil},
		))
	}
	usual := http.Header{"X-Amzn-Mtls-Clientcert": {byALB(inPEM(cert))}}
	if got, err := clientcert.ALB.Thumbprint(usual, ""); err != nil || got != clientcert.ThumbprintOf(cert) {
		t.Errorf("without a name: got %q, %v; want %q", got, err, clientcert.ThumbprintOf(cert))
	}
}

// MTLS-05: X-Forwarded-Client-Cert, with what clients can bring into it.
func TestXFCC(t *testing.T) {
	cert, other := certificate(t, "a", ""), certificate(t, "b", "")
	escaped := byNGINX(inPEM(cert))
	var (
		hash  = "Hash=" + inHex(cert)
		wrong = "Hash=" + inHex(other)
		whole = "By=spiffe://example/proxy;" + hash + `;Cert="` + escaped + `";Chain="` + byNGINX(inPEM(cert)+inPEM(other)) + `";Subject="CN=a,O=\"b\" \\";URI=spiffe://example/a;URI=b=c;DNS=a;DNS=b`
	)
	try(t, clientcert.Envoy, "X-Forwarded-Client-Cert", []trial{
		{"all that Envoy writes", whole, cert},
		{"a hash", hash, cert},
		{"a certificate", `Cert="` + escaped + `"`, cert},
		{"a certificate without quotes", "Cert=" + escaped, cert},
		{"a hash in quotes", `Hash="` + inHex(cert) + `"`, cert},
		{"a hash in upper case", "Hash=" + strings.ToUpper(inHex(cert)), cert},
		{"keys in upper case", strings.NewReplacer("Hash=", "HASH=", "Cert=", "CERT=").Replace(whole), cert},
		{"keys in lower case", strings.NewReplacer("Hash=", "hash=", "Cert=", "cert=").Replace(whole), cert},
		{"a key that nobody knows yet", "New=1;" + hash, cert},
		{"values that are empty", "By=;" + hash + `;Subject="";URI=`, cert},
		{"blanks around the line", " " + hash + "\t", cert},
		{"a hash in the quotes of a subject", hash + `;Subject="a;` + wrong + `"`, cert},
		{"an element in the quotes of a subject", hash + `;Subject="a,` + wrong + `"`, cert},
		{"an escaped quote, and a hash behind it", hash + `;Subject="a\";` + wrong + `;b=\""`, cert},
		{"an escaped backslash at the end of a subject", `Subject="a\\";` + hash, cert},

		{"empty", "", nil},
		{"neither of the two", `By=a;Subject="b";URI=c`, nil},
		{"a chain only", `Chain="` + escaped + `"`, nil},
		{"a hash in a subject only", `Subject="` + hash + `"`, nil},
		{"the hash of another one than the certificate", wrong + `;Cert="` + escaped + `"`, nil},
		{"a broken certificate beside the hash", hash + `;Cert="` + escaped[1:] + `"`, nil},
		{"an empty certificate beside the hash", hash + `;Cert=""`, nil},
		{"an empty hash beside the certificate", `Hash=;Cert="` + escaped + `"`, nil},
		{"two certificates in one", `Cert="` + escaped + escaped + `"`, nil},
		{"two certificates in one, beside the hash of the first", hash + `;Cert="` + escaped + byNGINX(inPEM(other)) + `"`, nil},
		{"an empty hash", "Hash=", nil},
		{"a hash that is short", hash[:len(hash)-1], nil},
		{"a hash that is long", hash + "0", nil},
		{"a hash that is a byte longer", hash + "00", nil},
		{"a hash that is a byte shorter", hash[:len(hash)-2], nil},
		{"a hash in base64url", "Hash=" + clientcert.ThumbprintOf(cert), nil},
		{"a hash with a g", hash[:len(hash)-1] + "g", nil},
		{"a hash with an escape", `Hash="` + inHex(cert)[:62] + `\0"`, nil},
		{"the same hash twice", hash + ";" + hash, nil},
		{"another hash, from a URI of the certificate", hash + ";URI=a;" + wrong, nil},
		{"the same in lower case", hash + ";URI=a;" + strings.ToLower(wrong), nil},
		{"a second certificate", `Cert="` + escaped + `";URI=a;Cert="` + escaped + `"`, nil},
		{"an element from a URI of the certificate", hash + ";URI=a," + wrong, nil},
		{"an element that the client sent", wrong + "," + hash, nil},
		{"the same element twice", hash + "," + hash, nil},
		{"an empty element before", "," + hash, nil},
		{"an empty element behind", hash + ",", nil},
		{"an empty pair before", ";" + hash, nil},
		{"an empty pair behind", hash + ";", nil},
		{"no key", "=a;" + hash, nil},
		{"no value", "By;" + hash, nil},
		{"no value at the end", hash + ";By", nil},
		{"a blank before a key", "By=a; " + hash, nil},
		{"a blank behind a key", "By=a;Hash =" + inHex(cert), nil},
		{"a letter that folds to an s", hash + ";Haſh=" + inHex(other), nil},
		{"a quote inside of a value", hash + `;URI=a";` + wrong + `;DNS="`, nil},
		{"a quote that stays open", hash + `;Subject="a`, nil},
		{"an escape that stays open", hash + `;Subject="a\`, nil},
		{"an escaped quote at the end", hash + `;Subject="a\"`, nil},
		{"text behind a quote", hash + `;Subject="a"b`, nil},
		{"a byte sequence", inBytes(cert), nil},
		{"larger than any chain", `Subject="` + strings.Repeat("a", 16<<10) + `";` + hash, nil},
	})
}

// An operator reads what is wrong with the field of his proxy, and not with one that
// is fine or is not there.
func TestAnElementIsRefusedForWhatIsWrongWithIt(t *testing.T) {
	escaped := byNGINX(inPEM(certificate(t, "a", "")))
	for line, want := range map[string]string{
		"By=a;URI=b":                        "expected a Hash or a Cert",
		`Hash=00;Cert="` + escaped + `"`:    "64 hexadecimal digits",
		`Cert="a"`:                          "PEM",
		`By=a;By=b;Cert="` + escaped + `",`: "expected one element",
	} {
		_, err := clientcert.Envoy.Thumbprint(http.Header{"X-Forwarded-Client-Cert": {line}}, "")
		if !errors.Is(err, clientcert.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: got %v; want ErrMalformed, with %q", line, err, want)
		}
	}
}

// The bound is where it is said to be.
func TestTheLongestLine(t *testing.T) {
	cert := certificate(t, "a", "")
	line := "Hash=" + inHex(cert) + ";DNS="
	line += strings.Repeat("a", 16<<10-len(line))
	try(t, clientcert.Envoy, "X-Forwarded-Client-Cert", []trial{
		{"16 KiB", line, cert},
		{"a byte more", line + "a", nil},
	})
}

// MTLS-05: Envoy writes a URI of the certificate as it is, so here is one that a
// client had put into its own, the hash of a certificate whose token it stole.
func TestACertificateCannotNameAnother(t *testing.T) {
	victim := certificate(t, "victim", "")
	for _, uri := range []string{"x,Hash=" + inHex(victim), "x;Hash=" + inHex(victim), "x,By=y;Hash=" + inHex(victim) + ";URI=z"} {
		own := certificate(t, "client", uri)
		if !bytes.Contains(own.Raw, []byte(uri)) {
			t.Errorf("the certificate does not have %q as its URI", uri)
		}
		line := "Hash=" + inHex(own) + `;Subject="CN=client";URI=` + uri
		try(t, clientcert.Envoy, "X-Forwarded-Client-Cert", []trial{{uri, line, nil}})
	}
}

// MTLS-05: a second line is refused even if it says the same.
func TestThereIsExactlyOneLine(t *testing.T) {
	cert := certificate(t, "a", "")
	sequence, escaped, hash := inBytes(cert), byNGINX(inPEM(cert)), "Hash="+inHex(cert)
	for _, test := range []struct {
		name   string
		format clientcert.Format
		field  string
		header http.Header
		want   error
	}{
		{"no Client-Cert", clientcert.ClientCert, "", http.Header{}, clientcert.ErrNone},
		{"no header", clientcert.Envoy, "", nil, clientcert.ErrNone},
		{"Client-Cert", clientcert.ClientCert, "", http.Header{"Client-Cert": {sequence}}, nil},
		{"Client-Cert beside a chain", clientcert.ClientCert, "", http.Header{"Client-Cert": {sequence}, "Client-Cert-Chain": {sequence, sequence}}, nil},
		{"a chain alone", clientcert.ClientCert, "", http.Header{"Client-Cert-Chain": {sequence}}, clientcert.ErrNone},
		{"Client-Cert twice", clientcert.ClientCert, "", http.Header{"Client-Cert": {sequence, sequence}}, clientcert.ErrMalformed},
		{"Client-Cert and an empty one", clientcert.ClientCert, "", http.Header{"Client-Cert": {sequence, ""}}, clientcert.ErrMalformed},
		{"Client-Cert has no other name", clientcert.ClientCert, "X-Other", http.Header{"X-Other": {sequence}}, clientcert.ErrNone},
		{"the operator's field", clientcert.NGINX, "x-ssl-client-cert", http.Header{"X-Ssl-Client-Cert": {escaped}}, nil},
		{"the operator's field twice", clientcert.NGINX, "X-SSL-Client-Cert", http.Header{"X-Ssl-Client-Cert": {escaped, escaped}}, clientcert.ErrMalformed},
		{"another field than the operator's", clientcert.NGINX, "X-SSL-Client-Cert", http.Header{"Client-Cert": {escaped}}, clientcert.ErrNone},
		{"an operator who names none", clientcert.NGINX, "", http.Header{"": {escaped}}, clientcert.ErrNone},
		{"XFCC", clientcert.Envoy, "", http.Header{"X-Forwarded-Client-Cert": {hash}}, nil},
		{"XFCC twice", clientcert.Envoy, "", http.Header{"X-Forwarded-Client-Cert": {hash, hash}}, clientcert.ErrMalformed},
		{"the leaf of an ALB", clientcert.ALB, "", http.Header{"X-Amzn-Mtls-Clientcert-Leaf": {escaped}}, nil},
		{"the chain of an ALB", clientcert.ALB, "", http.Header{"X-Amzn-Mtls-Clientcert": {escaped}}, nil},
		{"both of an ALB, one of them the client's", clientcert.ALB, "", http.Header{"X-Amzn-Mtls-Clientcert-Leaf": {escaped}, "X-Amzn-Mtls-Clientcert": {escaped}}, clientcert.ErrMalformed},
		{"an ALB's listener with another name", clientcert.ALB, "X-Other", http.Header{"X-Amzn-Mtls-Clientcert": {escaped}}, clientcert.ErrNone},
		{"no format", 0, "Client-Cert", http.Header{"Client-Cert": {sequence}}, clientcert.ErrNone},
	} {
		got, err := test.format.Thumbprint(test.header, test.field)
		if !errors.Is(err, test.want) || (err == nil) != (got == clientcert.ThumbprintOf(cert)) {
			t.Errorf("%s: got %q, %v; want %v", test.name, got, err, test.want)
		}
	}
}

// MTLS-05: net/http makes one line of a folded one, with a blank where the fold
// was; $ssl_client_cert of nginx is such a line.
func TestFoldedLines(t *testing.T) {
	cert := certificate(t, "a", "")
	sequence := inBytes(cert)
	for name, test := range map[string]struct {
		format clientcert.Format
		line   string
	}{
		"a byte sequence":  {clientcert.ClientCert, sequence[:8] + "\r\n " + sequence[8:]},
		"$ssl_client_cert": {clientcert.NGINX, strings.TrimSpace(strings.ReplaceAll(inPEM(cert), "\n", "\r\n\t"))},
		"a hash":           {clientcert.Envoy, "Hash=" + inHex(cert)[:8] + "\r\n " + inHex(cert)[8:]},
	} {
		field := test.format.Fields("X-SSL-Client-Cert")[0]
		text := "GET / HTTP/1.1\r\nHost: a\r\n" + field + ": " + test.line + "\r\n\r\n"
		request, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := test.format.Thumbprint(request.Header, "X-SSL-Client-Cert"); !errors.Is(err, clientcert.ErrMalformed) {
			t.Errorf("%s: got %q, %v; want %v", name, got, err, clientcert.ErrMalformed)
		}
	}
}

// MTLS-04: what is to be removed from a request that no proxy sent.
func TestFields(t *testing.T) {
	for _, test := range []struct {
		format clientcert.Format
		name   string
		want   []string
	}{
		{clientcert.ClientCert, "", []string{"Client-Cert", "Client-Cert-Chain"}},
		{clientcert.NGINX, "x-ssl-client-cert", []string{"X-Ssl-Client-Cert"}},
		{clientcert.NGINX, "", nil},
		{clientcert.Envoy, "X-Other", []string{"X-Forwarded-Client-Cert"}},
		{clientcert.ALB, "", []string{"X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert"}},
		{clientcert.ALB, "x-other", []string{"X-Other"}},
		{0, "X-Other", nil},
	} {
		if got := test.format.Fields(test.name); !slices.Equal(got, test.want) {
			t.Errorf("%d, %q: got %q; want %q", test.format, test.name, got, test.want)
		}
	}
}

// What a client sent is in no error.
func TestErrorsQuoteNothing(t *testing.T) {
	const mark = "c4n4ry"
	block := base64.StdEncoding.EncodeToString([]byte(mark + mark))
	for _, line := range []string{
		mark, ":" + mark + ":", ":" + block + ":", "%zz" + mark, mark + "%2", "Hash=" + mark, mark + "=a,b", `Cert="` + mark, `Cert="` + mark + `"`,
		byNGINX("-----BEGIN CERTIFICATE-----\n" + block + "\n-----END CERTIFICATE-----\n"), byNGINX("-----BEGIN CERTIFICATE-----\n" + mark),
	} {
		for _, format := range []clientcert.Format{clientcert.ClientCert, clientcert.NGINX, clientcert.Envoy, clientcert.ALB} {
			_, err := format.Thumbprint(http.Header{format.Fields("X-A")[0]: {line}}, "X-A")
			if err == nil || strings.Contains(err.Error(), mark) || strings.Contains(err.Error(), block) {
				t.Errorf("%q: got %v; want an error that does not quote it", line, err)
			}
		}
	}
}
