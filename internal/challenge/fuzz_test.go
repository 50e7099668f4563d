package challenge_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/challenge"
)

// The grammars, copied from the RFCs into another notation: the code under test
// has tables and cuts instead.
var (
	token68        = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)                        // RFC 9110 §11.2
	tchars         = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"                                       // RFC 9110 §5.6.2
	credentials    = regexp.MustCompile(`(?s)^[\t ]*(` + tchars + `)(?: +(.*))?[\t ]*$`) // RFC 9110 §5.5, §11.4
	quotedString   = `"((?:[\t !#-\[\]-~]|\\[\t -~])*)"`                                 // RFC 9110 §5.6.4, without obs-text
	authParam      = regexp.MustCompile(`^(?: |, )(` + tchars + `)=` + quotedString)     // RFC 9110 §11.2, as it is written here
	descriptionSet = regexp.MustCompile(`^[\x20-\x21\x23-\x5B\x5D-\x7E]*$`)              // RFC 6750 §3
	quotableSet    = regexp.MustCompile(`^[\x20-\x7E]*$`)                                // what a quoted-string holds as it is meant
	unescaped      = regexp.MustCompile(`\\(.)`)
)

// Credentials and IsToken68 together accept what the grammar of RFC 6750 §2.1
// does, nothing else, and find the same parts in it.
func FuzzCredentials(f *testing.F) {
	for _, line := range []string{
		"Bearer abc", "bEaReR   abc=", "\t Bearer abc \t", "Bearer", "Bearer\tabc", "", "Be(arer abc", "Bearer a b", "Bearer a, Bearer b", "Bearer a,b", "a,b", "abc==", "-._~+/",
		"Bearer \tabc", "Bearer =", "Bearer a=b", "Bearer é", "Bearer abc\x00", "Bearer abc\n", "Basic eA==", `Bearer "abc"`, "Bearer a.b.c", " ", "\u00a0Bearer abc", "Bearer abc\u2003",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if got, want := challenge.IsToken68(line), token68.MatchString(line); got != want {
			t.Errorf("IsToken68(%q): got %v; want %v", line, got, want)
		}
		scheme, rest, ok := challenge.Credentials(line)
		token := ok && challenge.IsToken68(rest)
		wantScheme, wantRest, wantOK := readSlowly(line)
		wantToken := wantOK && token68.MatchString(wantRest)
		if ok != wantOK || token != wantToken {
			t.Fatalf("Credentials(%q): got %q, %q, %v, a token68: %v; want %v, a token68: %v", line, scheme, rest, ok, token, wantOK, wantToken)
		}
		if ok && (scheme != wantScheme || rest != wantRest) {
			t.Errorf("Credentials(%q): got %q, %q; want %q, %q", line, scheme, rest, wantScheme, wantRest)
		}
		if again, same, _ := challenge.Credentials(scheme + " " + rest); ok && (again != scheme || same != rest) {
			t.Errorf("Credentials(%q): put together and read again, got %q, %q; want %q, %q", line, again, same, scheme, rest)
		}
	})
}

// readSlowly reads a line by the grammar.
func readSlowly(line string) (scheme, rest string, ok bool) {
	parts := credentials.FindStringSubmatch(line)
	if parts == nil {
		return "", "", false
	}
	return parts[1], strings.TrimRight(parts[2], "\t "), true
}

// What Write writes is one challenge by the grammar: each parameter that can be
// said stands in it once, as it was meant, and no other.
func FuzzWrite(f *testing.F) {
	f.Add(`a"b\`, "c\r\nd", "", "a b")
	f.Add("https://api.example.com", "invalid_token", "the access token is invalid", "orders:read")
	f.Add(`", error="`, `\`, "\x7f", "é")
	f.Fuzz(func(t *testing.T, realm, code, description, scope string) {
		params := []challenge.Param{{"realm", realm}, {"error", code}, {"error_description", description}, {"scope", scope}}
		text := challenge.Write("Bearer", params...)
		if !quotableSet.MatchString(text) {
			t.Fatalf("got %q; want printable ASCII only", text)
		}
		got := readChallenge(t, text)
		for _, p := range params {
			want, said := p.Value, p.Value != "" && quotableSet.MatchString(p.Value)
			if !said {
				want = ""
			}
			if value, found := got[p.Name]; found != said || value != want {
				t.Errorf("%s %q came back as %q, %v; want %q, %v", p.Name, p.Value, value, found, want, said)
			}
			if got, want := challenge.IsDescription(p.Value), descriptionSet.MatchString(p.Value); got != want {
				t.Errorf("IsDescription(%q): got %v; want %v", p.Value, got, want)
			}
			if got, want := challenge.IsQuotable(p.Value), quotableSet.MatchString(p.Value); got != want {
				t.Errorf("IsQuotable(%q): got %v; want %v", p.Value, got, want)
			}
		}
	})
}

// readChallenge reads one challenge by the grammar, to its end.
func readChallenge(t *testing.T, text string) map[string]string {
	t.Helper()
	params := map[string]string{}
	for rest := strings.TrimPrefix(text, "Bearer"); rest != ""; {
		parts := authParam.FindStringSubmatch(rest)
		if parts == nil {
			t.Fatalf("got %q; want auth-params, not %q", text, rest)
		}
		if _, twice := params[parts[1]]; twice {
			t.Fatalf("got %q; want %s once (RFC 6750 §3)", text, parts[1])
		}
		params[parts[1]] = unescaped.ReplaceAllString(parts[2], "$1")
		rest = rest[len(parts[0]):]
	}
	return params
}
