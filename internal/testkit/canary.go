package testkit

import (
	"encoding/base64"
	"encoding/hex"
	"maps"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

// Canary marks text that comes from a request or a token. If a log or a response contains
// it, that text has leaked.
const Canary = "kanarie7x"

// Marked returns Authorization lines that are refused, each for a different reason. Every
// part of a line that can be chosen freely contains the canary.
func Marked(as *accesstokentest.Server) map[string][]string {
	claims := func(more accesstokentest.Claims) accesstokentest.Claims {
		all := accesstokentest.Claims{"sub": Canary + "-sub", "client_id": Canary + "-client", "jti": Canary, "scope": Canary, Canary: map[string]any{Canary: Canary}}
		maps.Copy(all, more)
		return as.Claims(all)
	}
	header := func(more map[string]any) map[string]any {
		all := map[string]any{"typ": "at+jwt", "jku": "https://" + Canary + ".example", "x5u": Canary, Canary: Canary}
		maps.Copy(all, more)
		return all
	}
	good := "Bearer " + as.Sign(header(nil), claims(nil))
	return map[string][]string{
		"two lines":               {good, good},
		"another scheme":          {Canary + " " + Canary},
		"malformed":               {"Bearer " + Canary + " " + Canary},
		"opaque":                  {"Bearer " + Canary},
		"a key that is not there": {"Bearer " + as.Sign(header(map[string]any{"kid": Canary}), claims(nil))},
		"another kind":            {"Bearer " + as.Sign(header(map[string]any{"typ": Canary}), claims(nil))},
		"another issuer":          {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"iss": "https://" + Canary + ".example"}))},
		"for another audience":    {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"aud": Canary}))},
		"expired":                 {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"exp": 1}))},
		"bound":                   {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"cnf": map[string]any{"jkt": Canary}}))},
		"of another sender":       {"Bearer " + as.Sign(header(nil), claims(accesstokentest.Claims{"cnf": map[string]any{"x5t#S256": Canary}}))},
		"tampered with":           {good[:len(good)-12] + "AAAAAAAAAAAA"},
		"without the scope":       {good},
	}
}

// WantNoCanary fails the test if text contains the canary as it is, in hex or in base64 at
// any offset, or the first or last 20 characters of a long part of the lines.
func WantNoCanary(t testing.TB, where, text string, lines []string) {
	t.Helper()
	forms := []string{Canary, hex.EncodeToString([]byte(Canary))}
	for before := range 3 {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("x", before) + Canary + "xxx"))
		forms = append(forms, encoded[(before*8+5)/6:(before+len(Canary))*8/6])
	}
	for _, line := range lines {
		for part := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == '.' || r == ' ' }) {
			if len(part) >= 20 {
				forms = append(forms, part[:20], part[len(part)-20:])
			}
		}
	}
	for _, form := range forms {
		if strings.Contains(text, form) || strings.Contains(strings.ToLower(text), form) {
			t.Errorf("%s: got %q; want nothing of %q in it", where, text, form)
		}
	}
}
