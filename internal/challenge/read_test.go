package challenge

import (
	"reflect"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	type params = map[string]string
	for _, test := range []struct {
		lines []string
		want  []Challenge
	}{
		{nil, nil},
		{[]string{""}, nil},
		{[]string{`Bearer realm="a b", error="invalid_token"`}, []Challenge{{"Bearer", params{"realm": "a b", "error": "invalid_token"}}}},
		{[]string{`Bearer realm="a", DPoP algs="ES256", resource_metadata="https://a/b"`}, []Challenge{{"Bearer", params{"realm": "a"}}, {"DPoP", params{"algs": "ES256", "resource_metadata": "https://a/b"}}}},
		{[]string{"Negotiate", "Basic realm=x"}, []Challenge{{"Negotiate", nil}, {"Basic", params{"realm": "x"}}}},
		{[]string{`Negotiate, Basic realm="x"`}, []Challenge{{"Negotiate", nil}, {"Basic", params{"realm": "x"}}}},
		{[]string{`Negotiate YII==, Bearer scope="a"`}, []Challenge{{"Negotiate", nil}, {"Bearer", params{"scope": "a"}}}},
		{[]string{`Bearer  REALM = "a\"b\\c" ,, x=y,`}, []Challenge{{"Bearer", params{"realm": `a"b\c`, "x": "y"}}}},
		{[]string{`Bearer a="1", a="2", A="3"`}, []Challenge{{"Bearer", params{"a": "1"}}}},
		{[]string{`Bearer realm="DPoP algs=\"x\", resource_metadata=\"https://evil\""`}, []Challenge{{"Bearer", params{"realm": `DPoP algs="x", resource_metadata="https://evil"`}}}},
		{[]string{`Bearer realm="unfinished`, `DPoP a="b"`}, nil},
		{[]string{`Bearer a="b" c="d"`}, nil},
		{[]string{`="x"`}, nil},
		{[]string{`/abc`}, nil},
		{[]string{`Bearer/abc`}, nil},
		{[]string{`Basic a=`, `DPoP x=y`}, []Challenge{{"Basic", nil}, {"DPoP", params{"x": "y"}}}},
		{[]string{`Negotiate Basic realm="x"`}, nil},
		{[]string{`Bearer a="b", c="unfinished`, `DPoP`}, []Challenge{{"Bearer", params{"a": "b"}}}},
		{[]string{`Bearer a="b\`}, nil},
		{[]string{`Basic realm="ok"`, `@`}, []Challenge{{"Basic", params{"realm": "ok"}}}},
	} {
		got := Read(test.lines)
		for n := range got {
			if len(got[n].Params) == 0 {
				got[n].Params = nil
			}
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got %q; want %q", test.lines, got, test.want)
		}
	}
}

// What Write makes, Read reads.
func FuzzReadWhatWasWritten(f *testing.F) {
	f.Add("realm", `a"b\c`)
	f.Fuzz(func(t *testing.T, realm, scope string) {
		line := Write("Bearer", Param{"realm", realm}, Param{"scope", scope})
		got := Read([]string{line, line})
		if len(got) != 2 || got[0].Scheme != "Bearer" || !reflect.DeepEqual(got[0], got[1]) {
			t.Fatalf("%q: got %q", line, got)
		}
		for name, value := range map[string]string{"realm": realm, "scope": scope} {
			if !IsQuotable(value) {
				value = ""
			}
			if got[0].Params[name] != value {
				t.Errorf("%q: got %s %q; want %q", line, name, got[0].Params[name], value)
			}
		}
		Read(strings.Split(scope, "\n")) // does not panic
	})
}
