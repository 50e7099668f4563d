package main

import (
	"encoding/base64"
	"go/parser"
	"strings"
	"testing"
)

// Whatever a token has in it, the program prints Go, or refuses it in one line.
func FuzzDescribe(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"alg":"RS256"}`, `{"iss":"https://a","exp":1,"aud":["b"],"azp":"c","scp":["d"],"x\ny":1,"/z":{},"w\u2028":true}`},
		{`{"alg":"ES256","typ":"a\"+jwt"}`, `{"iss":"\u0000\n","exp":1,"client_id":"*/\u2028"}`},
		{`{"alg":"PS256","typ":"JWT"}`, `{"iss":"a","exp":1,"sub":"s","typ":"Bearer","realm_access":{"roles":[]}}`},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "."
		out, err := describe(token)
		switch {
		case err != nil && (out != "" || strings.ContainsAny(err.Error(), "\n\x1b")):
			t.Errorf("got %q, %q; want an error of one line, and nothing else", out, err)
		case err == nil:
			if _, err := parser.ParseExpr(out); err != nil || strings.ContainsAny(out, "\x00\x1b") {
				t.Errorf("got\n%s\n%v; want Go", out, err)
			}
		}
	})
}
