package challenge_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/challenge"
)

func TestCredentials(t *testing.T) {
	for _, test := range []struct {
		name, line, scheme, rest string
		ok                       bool
	}{
		{"one space", "Bearer abc", "Bearer", "abc", true},
		{"several spaces", "bEaReR   abc", "bEaReR", "abc", true},
		{"white space around is not part of the value", "\t Bearer abc \t", "Bearer", "abc", true},
		{"no token", "Bearer", "Bearer", "", true},
		{"tab as separator", "Bearer\tabc", "Bearer\tabc", "", false},
		{"empty", "", "", "", false},
		{"a scheme that is no token", "Be(arer abc", "Be(arer", "abc", false},
		{"inner spaces stay", "Bearer a b", "Bearer", "a b", true},
	} {
		scheme, rest, ok := challenge.Credentials(test.line)
		if scheme != test.scheme || rest != test.rest || ok != test.ok {
			t.Errorf("%s: got %q, %q, %v; want %q, %q, %v", test.name, scheme, rest, ok, test.scheme, test.rest, test.ok)
		}
	}
}

func TestIsToken68(t *testing.T) {
	for text, want := range map[string]bool{
		"abc": true, "a.b.c": true, "-._~+/": true, "abc==": true, "A1": true,
		"": false, "=": false, "==": false, "a=b": false, "a b": false, "a,b": false, `a"b`: false, "é": false, "a\x00": false, "a\n": false, "{}": false,
	} {
		if got := challenge.IsToken68(text); got != want {
			t.Errorf("IsToken68(%q): got %v; want %v", text, got, want)
		}
	}
}

func TestWrite(t *testing.T) {
	for _, test := range []struct {
		name   string
		params []challenge.Param
		want   string
	}{
		{"no parameter", nil, "Bearer"},
		{"several", []challenge.Param{{"realm", "api"}, {"error", "invalid_token"}}, `Bearer realm="api", error="invalid_token"`},
		{"an empty one is left out", []challenge.Param{{"realm", ""}, {"error", "invalid_token"}}, `Bearer error="invalid_token"`},
		{"quotes are escaped", []challenge.Param{{"realm", `a"b\c`}}, `Bearer realm="a\"b\\c"`},
		{"CRLF does not split the header", []challenge.Param{{"realm", "a\r\nX: y"}, {"error", "invalid_token"}}, `Bearer error="invalid_token"`},
	} {
		if got := challenge.Write("Bearer", test.params...); got != test.want {
			t.Errorf("%s: got %s; want %s", test.name, got, test.want)
		}
	}
}

func FuzzWrite(f *testing.F) {
	f.Add(`a"b\`, "c\r\nd")
	f.Fuzz(func(t *testing.T, realm, description string) {
		got := challenge.Write("Bearer", challenge.Param{"realm", realm}, challenge.Param{"error_description", description})
		if strings.ContainsAny(got, "\r\n\x00") || !challenge.IsQuotable(got) {
			t.Fatalf("got %q; want printable ASCII only", got)
		}
		params := unquote(t, strings.TrimPrefix(got, "Bearer"))
		if challenge.IsQuotable(realm) && params["realm"] != realm {
			t.Errorf("realm came back as %q; want %q", params["realm"], realm)
		}
		if challenge.IsQuotable(description) && params["error_description"] != description {
			t.Errorf("error_description came back as %q; want %q", params["error_description"], description)
		}
	})
}

// unquote is a reader of its own for what Write writes.
func unquote(t *testing.T, text string) map[string]string {
	params := map[string]string{}
	for text != "" {
		name, rest, found := strings.Cut(strings.TrimLeft(text, " ,"), `="`)
		if !found {
			t.Fatalf("got %q; want name=\"value\"", text)
		}
		var value strings.Builder
		i := 0
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' {
				i++
			}
			value.WriteByte(rest[i])
		}
		params[name] = value.String()
		text = rest[i+1:]
	}
	return params
}
