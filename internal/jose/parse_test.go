package jose_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func TestParse(t *testing.T) {
	header := `{"alg":"RS256","kid":"a key","typ":"at+jwt"}`
	got := mustParse(t, part(header)+"."+part(`{"iss":"x"}`)+"."+part("signature"))
	want := jose.Header{Algorithm: "RS256", KeyID: "a key", Type: "at+jwt", HasType: true}
	if *got.Header != want {
		t.Errorf("got header %+v; want %+v", got.Header, want)
	}
	if got.SigningInput != part(header)+"."+part(`{"iss":"x"}`) {
		t.Errorf("got signing input %q; want the first two parts as they came", got.SigningInput)
	}
	if got.Payload != `{"iss":"x"}` || string(got.Signature) != "signature" {
		t.Errorf("got payload %q and signature %q", got.Payload, got.Signature)
	}
}

const plainHeader = `{"alg":"RS256"}`

// A token that is not a JWT may be opaque: for example, there are opaque tokens with
// dots, and with five parts.
func TestParseNotJWT(t *testing.T) {
	h, p := part(plainHeader), part(`{}`)
	for name, token := range map[string]string{
		"nothing":                         "",
		"one part":                        "opaque",
		"a JSON header alone":             h,
		"two parts":                       h + "." + p,
		"four parts":                      h + "." + p + ".AA.AA",
		"five parts":                      h + "." + p + ".AA.AA.AA",
		"six parts":                       h + "." + p + ".AA.AA.AA.AA",
		"dots only":                       "..",
		"many dots":                       strings.Repeat(".", 1000),
		"a leading dot":                   "." + h + "." + p,
		"no header":                       "." + p + ".AA",
		"a header that is no base64url":   "a~b." + p + ".AA",
		"a header that is an array":       part(`[]`) + "." + p + ".AA",
		"a header that is null":           part(`null`) + "." + p + ".AA",
		"a header of white space":         part(" \n") + "." + p + ".AA",
		"a header of much white space":    part(strings.Repeat(" ", 50)) + "." + p + ".AA",
		"much white space, and no object": part(strings.Repeat(" ", 50)+"[]") + "." + p + ".AA",
		"a random first part":             part("\x01\x02\x03") + "." + p + ".AA",
		"the JSON serialization":          `{"payload":"e30","protected":"` + h + `","signature":"AA"}`,
		"the general JSON serialization":  `{"payload":"e30","signatures":[{"protected":"` + h + `","signature":"AA"}]}`,
	} {
		if _, err := jose.Parse(token); !errors.Is(err, jose.ErrNotJWT) {
			t.Errorf("%s: got %v; want %v", name, err, jose.ErrNotJWT)
		}
	}
}

// respell writes a base64url text that has spare bits in another spelling of
// the same bytes.
func respell(t testing.TB, text string) string {
	t.Helper()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(text)%4 == 0 {
		t.Fatalf("the test's own text %q has no spare bits", text)
	}
	last := len(text) - 1
	return text[:last] + string(alphabet[strings.IndexByte(alphabet, text[last])+1])
}

// A JWT never counts as an opaque token, because it would then be sent to the
// introspection endpoint of an issuer that did not issue it.
func TestParseMalformed(t *testing.T) {
	h, p := part(plainHeader), part(`{"iss":"x"}`)
	for name, token := range map[string]string{
		"a header in standard base64":           strings.ReplaceAll(part(`{"alg":"RS256","x":"???>>>"}`), "_", "/") + "." + p + ".AA",
		"a padded header":                       part(`{"alg":"ES256" }`) + "=." + p + ".AA",
		"a header behind a BOM":                 part("\xef\xbb\xbf"+plainHeader) + "." + p + ".AA",
		"a JWT with LF in the header":           h[:4] + "\n" + h[4:] + "." + p + ".AA",
		"a JWT with CR at its beginning":        "\r" + h + "." + p + ".AA",
		"a header with spare bits set":          respell(t, part(`{"alg":"RS256"} `)) + "." + p + ".AA",
		"a header of one letter too many":       h + "A." + p + ".AA",
		"LF in the payload":                     h + "." + p[:4] + "\n" + p[4:] + ".AAAA",
		"CR at the end of the payload":          h + "." + p + "\r.AAAA",
		"LF at the end of the signature":        h + "." + p + ".AAAA\n",
		"CRLF as the signature":                 h + "." + p + ".\r\n",
		"a space in the payload":                h + ". " + p + ".AAAA",
		"a space after the signature":           h + "." + p + ".AAAA ",
		"a tab":                                 h + "." + p + "\t.AAAA",
		"NUL":                                   h + "." + p + "\x00.AAAA",
		"a plus sign":                           h + "." + p + ".AA+A",
		"a slash":                               h + "." + p + ".AA/A",
		"a tilde":                               h + "." + p + ".AA~A",
		"a brace":                               h + ".{}.AAAA",
		"padding of the payload":                h + "." + part(`{"a":1}`) + "=.AAAA",
		"padding of the signature":              h + "." + p + ".AAA=",
		"padding twice":                         h + "." + p + ".AA==",
		"padding alone":                         h + "." + p + ".=",
		"a letter outside ASCII":                h + "." + p + ".AAAé",
		"a full-width letter":                   h + "." + p + ".AAＡ",
		"a payload of length 1 mod 4":           h + "." + p + "AA.AAAA",
		"a signature of length 1 mod 4":         h + "." + p + ".AAAAA",
		"a signature of one letter":             h + "." + p + ".A",
		"spare bits in the payload":             h + "." + respell(t, part(`{"a":1}`)) + ".AAAA",
		"spare bits in the signature, 4 of 6":   h + "." + p + ".AB",
		"spare bits in the signature, 2 of 6":   h + "." + p + ".AAB",
		"a duplicate alg":                       part(`{"alg":"RS256","alg":"RS256"}`) + "." + p + ".AAAA",
		"a duplicate alg in another spelling":   part(`{"alg":"RS256","al\u0067":"none"}`) + "." + p + ".AAAA",
		"a duplicate, nested":                   part(`{"alg":"RS256","jwk":{"a":1,"a":1}}`) + "." + p + ".AAAA",
		"two objects in the header":             part(`{"alg":"RS256"}{}`) + "." + p + ".AAAA",
		"an open header":                        part(`{"alg":"RS256"`) + "." + p + ".AAAA",
		"a brace alone":                         part(`{`) + "." + p + ".AAAA",
		"bad UTF-8 in the header":               part("{\"alg\":\"RS256\",\"x\":\"\xff\"}") + "." + p + ".AAAA",
		"a lone surrogate in the header":        part(`{"alg":"RS256","kid":"\ud800"}`) + "." + p + ".AAAA",
		"a header nested too deep":              part(`{"alg":"RS256","x":`+nested(16)+`}`) + "." + p + ".AAAA",
		"a header of 257 members":               part(many(257)) + "." + p + ".AAAA",
		"a kid that is a number":                part(`{"alg":"RS256","kid":1}`) + "." + p + ".AAAA",
		"a kid that is null":                    part(`{"alg":"RS256","kid":null}`) + "." + p + ".AAAA",
		"a kid that is an array":                part(`{"alg":"RS256","kid":["a"]}`) + "." + p + ".AAAA",
		"a kid of 257 bytes":                    part(`{"alg":"RS256","kid":"`+strings.Repeat("k", 257)+`"}`) + "." + p + ".AAAA",
		"a kid of 257 bytes in 129 characters":  part(`{"alg":"RS256","kid":"k`+strings.Repeat("é", 128)+`"}`) + "." + p + ".AAAA",
		"white space before a malformed header": part("\n {]") + "." + p + ".AAAA",
		"much white space before one":           part(strings.Repeat(" ", 100)+"{]") + "." + p + ".AAAA",
		"much white space behind a BOM":         part("\xef\xbb\xbf"+strings.Repeat("\n", 20)+"{]") + "." + p + ".AAAA",
	} {
		if _, err := jose.Parse(token); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%s: got %v; want %v", name, err, jose.ErrMalformed)
		}
	}
}

// A token with a header over the bound is still a JWT: x5c makes real headers that
// long.
func TestParseLongHeader(t *testing.T) {
	long := func(length int) string {
		const frame = `{"alg":"RS256","x5c":[""]}`
		return part(`{"alg":"RS256","x5c":["`+strings.Repeat("A", length-len(frame))+`"]}`) + ".e30.AAAA"
	}
	if _, err := jose.Parse(long(4096)); err != nil {
		t.Errorf("4096 bytes: got %v; want none", err)
	}
	for _, length := range []int{4097, 4098, 4099, 12_000} {
		if _, err := jose.Parse(long(length)); !errors.Is(err, jose.ErrMalformed) {
			t.Errorf("%d bytes: got %v; want %v", length, err, jose.ErrMalformed)
		}
	}
}

func TestParseRefusesOtherKinds(t *testing.T) {
	for name, header := range map[string]string{
		"crit, empty":                       `{"alg":"RS256","crit":[]}`,
		"crit, a string":                    `{"alg":"RS256","crit":"exp"}`,
		"crit, null":                        `{"alg":"RS256","crit":null}`,
		"crit, unknown":                     `{"alg":"RS256","crit":["exp2"],"exp2":1}`,
		"crit, its member absent":           `{"alg":"RS256","crit":["exp"]}`,
		"crit, a registered name":           `{"alg":"RS256","crit":["alg"]}`,
		"crit, twice the same":              `{"alg":"RS256","crit":["b64","b64"],"b64":true}`,
		"crit in an escaped spelling":       `{"alg":"RS256","cr\u0069t":["exp"],"exp":1}`,
		"b64 false with crit":               `{"alg":"RS256","b64":false,"crit":["b64"]}`,
		"b64 false without crit":            `{"alg":"RS256","b64":false}`,
		"b64 true":                          `{"alg":"RS256","b64":true}`,
		"b64, a string":                     `{"alg":"RS256","b64":"x"}`,
		"zip":                               `{"alg":"RS256","zip":"DEF"}`,
		"enc":                               `{"alg":"dir","enc":"A256GCM"}`,
		"cty JWT":                           `{"alg":"RS256","cty":"JWT"}`,
		"cty jwt":                           `{"alg":"RS256","cty":"jwt"}`,
		"cty application/JWT":               `{"alg":"RS256","cty":"application/JWT"}`,
		"cty, no string":                    `{"alg":"RS256","cty":1}`,
		"typ, a number":                     `{"alg":"RS256","typ":1}`,
		"typ, null":                         `{"alg":"RS256","typ":null}`,
		"typ, an array":                     `{"alg":"RS256","typ":["at+jwt"]}`,
		"crit, after a member that is fine": `{"typ":"at+jwt","alg":"RS256","kid":"k","crit":["x"]}`,
	} {
		if _, err := jose.Parse(part(header) + ".e30.AAAA"); !errors.Is(err, jose.ErrType) {
			t.Errorf("%s: got %v; want %v", name, err, jose.ErrType)
		}
	}
}

func TestParseReadsTheHeaderAsItIs(t *testing.T) {
	const typ, kid = `"typ":"at+jwt"`, `"kid":"k"`
	for _, test := range []struct {
		name, header string
		want         jose.Header
	}{
		{"no member", `{}`, jose.Header{}},
		{"white space around", " \r\n\t{} ", jose.Header{}},
		{"an alg in another case is another member", `{"alg":"RS256","ALG":"none","Alg":"HS256"}`, jose.Header{Algorithm: "RS256"}},
		{"an alg in another case alone is none", `{"ALG":"RS256"}`, jose.Header{}},
		{"alg is not folded", `{"alg":"rs256"}`, jose.Header{Algorithm: "rs256"}},
		{"alg is not trimmed", `{"alg":"RS256 "}`, jose.Header{Algorithm: "RS256 "}},
		{"an alg that is a number", `{"alg":1}`, jose.Header{}},
		{"an alg that is an array", `{"alg":["RS256"]}`, jose.Header{}},
		{"an alg that is null", `{"alg":null}`, jose.Header{}},
		{"an escaped alg", `{"\u0061lg":"\u0052S256"}`, jose.Header{Algorithm: "RS256"}},
		{"keys in the header are nothing", `{"jwk":{"kty":"oct"},"jku":"https://evil.example","x5u":"https://evil.example","x5c":["AA"],"x5t":"AA",` + kid + `}`, jose.Header{KeyID: "k"}},
		{"a kid is opaque text", `{"kid":"../../x' or 1=1--\u0000\r\n"}`, jose.Header{KeyID: "../../x' or 1=1--\x00\r\n"}},
		{"an empty kid", `{"kid":""}`, jose.Header{}},
		{"a kid of 256 bytes", `{"kid":"` + strings.Repeat("k", 256) + `"}`, jose.Header{KeyID: strings.Repeat("k", 256)}},
		{"an empty typ is there", `{"typ":""}`, jose.Header{HasType: true}},
		{"cty of another kind", `{"cty":"application/json",` + typ + `}`, jose.Header{Type: "at+jwt", HasType: true}},
		{"unknown members", `{"x":{"crit":["y"]},` + typ + `}`, jose.Header{Type: "at+jwt", HasType: true}},
	} {
		if got := mustParse(t, part(test.header)+".e30.AAAA").Header; *got != test.want {
			t.Errorf("%s: got %+v; want %+v", test.name, got, test.want)
		}
	}
}

func TestHasMediaType(t *testing.T) {
	for _, typ := range []string{"at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"} {
		if h := (jose.Header{Type: typ, HasType: true}); !h.HasMediaType("at+jwt") {
			t.Errorf("typ %q: got another media type; want at+jwt", typ)
		}
	}
	for _, typ := range []string{
		"", "JWT", "at", "at+jwt ", " at+jwt", "at+jwt;v=1", "at+jwt+x", "xat+jwt", "text/at+jwt", "application/", "application",
		"application/application/at+jwt", "application//at+jwt", "/at+jwt", "at-jwt", "dpop+jwt", "logout+jwt", "secevent+jwt",
		"token-introspection+jwt", "txntoken+jwt", "statuslist+jwt", "client-authentication+jwt", "at+jwt\x00", "at+ｊwt",
	} {
		if h := (jose.Header{Type: typ, HasType: true}); h.HasMediaType("at+jwt") {
			t.Errorf("typ %q: got at+jwt; want another media type", typ)
		}
	}
	if (jose.Header{Type: "at+jwt"}).HasMediaType("at+jwt") {
		t.Error("an absent typ: got at+jwt; want none")
	}
	if (jose.Header{HasType: true}).HasMediaType("at+jwt") {
		t.Error("an empty typ: got at+jwt; want none")
	}
}

// A token has only one spelling: if anything in it is changed, it is a different
// token, or not a token. Caches and replay stores depend on this.
func TestParseHasOneSpelling(t *testing.T) {
	token := part(`{"alg":"RS256"} `) + "." + part(`{"a":1}`) + "." + part("signature of 25 bytes....")
	want := mustParse(t, token)
	for i := range len(token) {
		for c := range 256 {
			changed := token[:i] + string([]byte{byte(c)}) + token[i+1:]
			got, err := jose.Parse(changed)
			if err == nil && changed != token && got.SigningInput == want.SigningInput && slices.Equal(got.Signature, want.Signature) {
				t.Errorf("%q at %d: got the same token in another spelling", byte(c), i)
			}
		}
	}
	for i := range len(token) + 1 {
		for _, c := range []string{"\n", "\r", "\r\n", "=", " ", "\t", "\x00", "A"} {
			changed := token[:i] + c + token[i:]
			got, err := jose.Parse(changed)
			if err == nil && got.SigningInput == want.SigningInput && slices.Equal(got.Signature, want.Signature) {
				t.Errorf("%q inserted at %d: got the same token in another spelling", c, i)
			}
		}
	}
}
