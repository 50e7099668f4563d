package challenge_test

import (
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
