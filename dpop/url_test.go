package dpop_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/dpop"
)

// DPOP-08, DPOP-09: whatever the Host was, the htu is one of our URLs.
func TestWhichURLsAreOurs(t *testing.T) {
	const api = "https://api.example.com"
	for _, c := range []struct {
		name, base, path, htu string
		want                  string
	}{
		{"as it is", api, "/orders", api + "/orders", "accepted"},
		{"of DPOP-08", api, "/a~b", "HTTPS://API.example.com:443/a%7eb?x#y", "accepted"},
		{"another path", api, "/orders", api + "/order", "ErrProof"},
		{"a longer path", api, "/orders", api + "/orders/", "ErrProof"},
		{"another case of the path", api, "/orders", api + "/Orders", "ErrProof"},
		{"another port", api, "/orders", api + ":8443/orders", "ErrProof"},
		{"another host", api, "/orders", "https://evil.example/orders", "ErrProof"},
		{"our host in another one", api, "/orders", api + ".evil.example/orders", "ErrProof"},
		{"our host before an @", api, "/orders", api + "@evil.example/orders", "ErrProof"},
		{"user information", api, "/orders", "https://user@api.example.com/orders", "ErrProof"},
		{"user information, empty", api, "/orders", "https://@api.example.com/orders", "ErrProof"},
		{"http", api, "/orders", "http://api.example.com/orders", "ErrProof"},
		{"http on the port of https", api, "/orders", "http://api.example.com:443/orders", "ErrProof"},
		{"no scheme", api, "/orders", "//api.example.com/orders", "ErrProof"},
		{"the path alone", api, "/orders", "/orders", "ErrProof"},
		{"another scheme", api, "/orders", "ftp://api.example.com/orders", "ErrProof"},
		{"one slash", api, "/orders", "https:/api.example.com/orders", "ErrProof"},
		{"three slashes", api, "/orders", "https:///api.example.com/orders", "ErrProof"},
		{"a backslash for a slash", api, "/orders", `https://api.example.com\orders`, "ErrProof"},
		{"a backslash in the path", api, `/a\b`, api + `/a\b`, "ErrProof"},
		{"a space before", api, "/orders", " " + api + "/orders", "ErrProof"},
		{"a line break in it", api, "/orders", api + "/or\nders", "ErrProof"},
		{"a NUL after", api, "/orders", api + "/orders\x00", "ErrProof"},

		{"a port of its own", api + ":8443", "/orders", api + ":8443/orders", "accepted"},
		{"an empty port", api, "/orders", api + ":/orders", "accepted"},
		{"a port with a zero before", api, "/orders", api + ":0443/orders", "ErrProof"},
		{"a port of six digits", api, "/orders", api + ":000443/orders", "ErrProof"},
		{"a port with a sign", api, "/orders", api + ":+443/orders", "ErrProof"},
		{"two ports", api, "/orders", api + ":443:443/orders", "ErrProof"},
		{"http on loopback", "http://127.0.0.1:8080", "/", "http://127.0.0.1:8080/", "accepted"},
		{"http on port 80", "http://localhost", "/", "http://LOCALHOST:80", "accepted"},

		{"IPv6", "https://[2001:db8::1]:8443", "/", "https://[2001:DB8:0:0::1]:8443/", "accepted"},
		{"IPv6 without brackets", "https://[2001:db8::1]", "/", "https://2001:db8::1/", "ErrProof"},
		{"IPv6 with a zone", "https://[fe80::1]", "/", "https://[fe80::1%25eth0]/", "ErrProof"},
		{"IPv6, not closed", "https://[2001:db8::1]", "/", "https://[2001:db8::1/", "ErrProof"},
		{"IPv4 in brackets", "https://127.0.0.1", "/", "https://[127.0.0.1]/", "ErrProof"},
		{"a dot after the host", api, "/", "https://api.example.com./", "ErrProof"},
		{"a dot after both", api + ".", "/", "https://api.example.com./", "accepted"},
		{"punycode", "https://xn--bcher-kva.example", "/", "https://XN--BCHER-KVA.example/", "accepted"},
		{"its script", "https://xn--bcher-kva.example", "/", "https://bücher.example/", "ErrProof"},
		{"an encoded host", api, "/", "https://%61pi.example.com/", "ErrProof"},

		{"no path", api, "/", api, "accepted"},
		{"no path, neither side", api, "", api, "accepted"},
		{"no path but a query", api, "/", api + "?x", "accepted"},
		{"a query in the htu", api, "/orders", api + "/orders?a=/../b", "accepted"},
		{"a fragment in the htu", api, "/orders", api + "/orders#?", "accepted"},
		{"a query in the path", api, "/orders?x", api + "/orders?x", "ErrProof"},
		{"encoded in small letters", api, "/a%2Fb", api + "/a%2fb", "accepted"},
		{"encoded in small letters, in the path", api, "/a%2fb", api + "/a%2Fb", "accepted"},
		{"an encoded slash is none", api, "/a/b", api + "/a%2Fb", "ErrProof"},
		{"a slash is no encoded one", api, "/a%2Fb", api + "/a/b", "ErrProof"},
		{"encoded letters", api, "/%61%2D%2E%5F%7E", api + "/a-._~", "accepted"},
		{"a reserved octet", api, "/a:b", api + "/a%3Ab", "ErrProof"},
		{"encoded twice", api, "/%41", api + "/%2541", "ErrProof"},
		{"half an octet", api, "/%4", api + "/%4", "ErrProof"},
		{"no octet", api, "/%4g", api + "/%4g", "ErrProof"},
		{"UTF-8, encoded", api, "/%c3%bc", api + "/%C3%BC", "accepted"},
		{"UTF-8, not encoded", api, "/%C3%BC", api + "/ü", "ErrProof"},
		{"what browsers leave", api, "/%7Ca%5B%5D%5E", api + "/|a[]^", "accepted"},
		{"dot segments", api, "/b", api + "/a/./../b", "accepted"},
		{"dot segments in the path", api, "/a/./../b", api + "/b", "accepted"},
		{"encoded dot segments", api, "/b", api + "/a/%2E%2e/b", "accepted"},
		{"a dot segment at the end", api, "/a/", api + "/a/.", "accepted"},
		{"two dots at the end", api, "/a/", api + "/a/b/..", "accepted"},
		{"dots above the root", api, "/a", api + "/../../a", "accepted"},
		{"dots in a name", api, "/.well-known/..a/b.", api + "/.well-known/..a/b.", "accepted"},
		{"empty segments", api, "//a//b/", api + "//a//b/", "accepted"},
		{"one slash for two", api, "//a", api + "/a", "ErrProof"},

		{"a prefix", api + "/v1", "/orders", api + "/v1/orders", "accepted"},
		{"a prefix with a slash", api + "/v1/", "/orders", api + "/v1/orders", "accepted"},
		{"a prefix left out", api + "/v1", "/orders", api + "/orders", "ErrProof"},
		{"the prefix alone", api + "/v1", "/", api + "/v1", "accepted"},
		{"the prefix alone, with a slash", api + "/v1", "/", api + "/v1/", "accepted"},
		{"out from under the prefix, by the path", api + "/v1", "/../v2/orders", api + "/v2/orders", "ErrProof"},
		{"out from under the prefix, on both sides", api + "/v1", "/../v2/orders", api + "/v1/../v2/orders", "ErrProof"},
		{"in under the prefix", api + "/v1", "/orders", api + "/v2/../v1/orders", "accepted"},
		{"OPTIONS of all", api, "*", api + "*", "ErrProof"},
		{"a path that goes on with the host", api, ".evil.example/", api + ".evil.example/", "ErrProof"},
		{"a whole URL as the path", api, "https://evil.example/", "https://evil.example/", "ErrProof"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := verifier(t, dpop.Config{URLs: []string{"https://other.example.com", c.base}})
			r := request(good(members{"htu": c.htu}))
			r.Path = c.path
			check(t, v, r, c.want)
		})
	}
}

// DPOP-08: the edges of what is a URI, beside any URL of ours.
func TestNormalize(t *testing.T) {
	for uri, want := range map[string]string{
		"HTTPS://AZaz09-._:443":                  "https://azaz09-._/",
		"https://h:99999/":                       "https://h:99999/",
		"https://h:1/":                           "https://h:1/",
		"http://h:443":                           "http://h:443/",
		"https://[::FFFF:7f00:1]:80":             "https://[::ffff:127.0.0.1]:80/",
		"https://h/%30%39%41%5A%61%7A%2d%2E%5f~": "https://h/09AZaz-._~",
		"https://h/%aF%0a%f9":                    "https://h/%AF%0A%F9",
		"https://h/%40%5b%60%7B%2f%3A":           "https://h/%40%5B%60%7B%2F%3A",
		"https://h/!$&'()*+,;=:@":                "https://h/!$&'()*+,;=:@",
		"https://h/a%2Fb/../.":                   "https://h/",
		"https://h/...":                          "https://h/...",
		"https://h/%2e":                          "https://h/",
	} {
		if got, err := dpop.Normalize(uri); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", uri, got, err, want)
		}
	}
	for _, uri := range []string{
		"", "https", "https:", "https://", "https:///a", "https://?", "https://#", "https://:443/", "ftp://h/", "://h/", " https://h/", "https ://h/",
		"https://h:0/", "https://h:0443/", "https://h:123456/", "https://h:4a/", "https://h:4/:", "https://h:-1/", "https://h:4:4/", "https://h:٤/",
		"https://[127.0.0.1]/", "https://[::1%25lo]/", "https://[::1%lo]/", "https://[::1", "https://[::1/", "https://[]/", "https://[::1]a/", "https://[::1]]/", "https://::1/", "https://[h]/",
		"https://u@h/", "https://h h/", "https://h h:8443/", "https://h%41/", "https://h,i/", "https://h/\x7f", "https://h/\t", "https://h/ ", "https://h/é", "https://h/\\",
		"https://h/%", "https://h/%4", "https://h/%4g", "https://h/%g4", "https://h/%4/", "https://h/%/4", "https://h/%4:", "https://h/%:4", "https://h/%4@", "https://h/%\x404",
		"https://h/%G0", "https://h/%0`",
	} {
		want := ""
		if uri == "https://h:4/:" { // a colon in the path
			want = uri
		}
		if got, err := dpop.Normalize(uri); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", uri, got, err, want)
		}
	}
}

// reference is the long way round: net/url takes the URI apart, and RFC 3986 §5.2.4
// is followed to the letter.
func reference(uri string) (string, bool) {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.Contains(host, ":") {
		return "", false // the spelling of addresses is looked at elsewhere
	}
	if port != "" && port != map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		host += ":" + port
	}
	raw, _, _ := strings.Cut(uri[strings.Index(uri, "//")+2:], "#")
	raw, _, _ = strings.Cut(raw, "?")
	_, raw, _ = strings.Cut(raw, "/")
	path := ""
	for i := 0; i < len(raw); i++ {
		octet, next := raw[i:i+1], i
		if raw[i] == '%' {
			octet, next = string([]byte{unhex(raw[i+1])<<4 | unhex(raw[i+2])}), i+2
		}
		switch {
		case strings.Contains("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", octet):
			path += octet
		case raw[i] != '%' && strings.Contains("/!$&'()*+,;=:@", octet):
			path += octet
		default:
			path += "%" + strings.ToUpper(hexOf(octet[0]))
		}
		i = next
	}
	return u.Scheme + "://" + host + withoutDots("/"+path), true
}

func unhex(c byte) byte { return byte(strings.IndexByte("0123456789abcdef", c|0x20)) }

func hexOf(c byte) string { return string([]byte{"0123456789abcdef"[c>>4], "0123456789abcdef"[c&15]}) }

func withoutDots(input string) (output string) {
	for input != "" {
		switch {
		case strings.HasPrefix(input, "../"):
			input = input[3:]
		case strings.HasPrefix(input, "./"), strings.HasPrefix(input, "/./"):
			input = input[2:]
		case input == "/.":
			input = "/"
		case strings.HasPrefix(input, "/../"), input == "/..":
			input = "/" + strings.TrimPrefix(input[3:], "/")
			output = output[:max(strings.LastIndexByte(output, '/'), 0)]
		case input == ".", input == "..":
			input = ""
		default:
			end := strings.IndexByte(input[1:], '/') + 1
			if end == 0 {
				end = len(input)
			}
			output, input = output+input[:end], input[end:]
		}
	}
	return output
}

// FuzzNormalize: what is normal stays so, and is what the reference says.
func FuzzNormalize(f *testing.F) {
	for _, uri := range []string{
		"https://api.example.com/orders", "HTTPS://API.example.com:443/a%7eb?x#y", "http://h:80", "https://h:8443/%2f/../a/./b/..", "https://h//a//../b/%2e%2E",
		"https://u@h/", "https://[::1]:443/", "https://h/|", "https://h/ü", `https://h\a`, "https://h/%zz", "https://h:0443/", "https://h/a/..;x/...",
	} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		normal, err := dpop.Normalize(uri)
		if err != nil {
			return
		}
		if again, err := dpop.Normalize(normal); again != normal || err != nil {
			t.Errorf("%q: got %q, and of that %q, %v; want it to stay", uri, normal, again, err)
		}
		if want, ok := reference(uri); ok && normal != want {
			t.Errorf("%q: got %q; want %q", uri, normal, want)
		}
	})
}
