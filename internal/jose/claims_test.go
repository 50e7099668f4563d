package jose_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/internal/jose"
)

func TestReadClaims(t *testing.T) {
	got, err := jose.ReadClaims(`{
		"iss":"https://login.example.com","sub":"alice","client_id":"client","azp":"party","jti":"1",
		"aud":["a","b"],"exp":1700000000,"nbf":1600000000.25,"iat":1.6e9,"auth_time":1,"acr":"x","amr":["pwd"],
		"scope":"a b","token_type":"Bearer","other":9007199254740993,"groups":[{"value":1}]}`)
	want := jose.Claims{
		Issuer: "https://login.example.com", Subject: "alice", ClientID: "client", AuthorizedParty: "party", ID: "1",
		Audience: []string{"a", "b"}, Expiry: time.Unix(1700000000, 0), NotBefore: time.Unix(1600000000, 250_000_000), IssuedAt: time.Unix(1600000000, 0),
		Scope: jose.Scope{Present: true, Text: "a b"}, TokenType: "Bearer",
		Login: jose.Login{IsThere: true, Class: "x", Time: time.Unix(1, 0), Methods: []string{"pwd"}},
	}
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// A claim of the wrong type is a fault, never an absent claim.
func TestReadClaimsOfTheWrongType(t *testing.T) {
	wrong := map[string][]string{
		"aud":   {`[["a"]]`, `["a",1]`, `[1]`, `["a",null]`, `[null]`, `{"a":1}`, `1`, `null`, `true`},
		"scope": {`1`, `null`, `true`, `{}`, `[1]`, `["a",null]`, `[["a"]]`},
		"cnf":   {`null`, `"x"`, `[]`, `[{"jkt":"a"}]`, `1`, `{}`, `true`, `{"jkt":1}`, `{"jkt":null}`, `{"jkt":""}`, `{"x5t#S256":[]}`},
	}
	for _, name := range []string{"iss", "sub", "jti", "client_id", "azp", "token_type"} {
		wrong[name] = []string{`1`, `null`, `true`, `[]`, `["x"]`, `{}`}
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		wrong[name] = []string{`"1700000000"`, `null`, `true`, `[]`, `{}`, `-1`, `1e999`, `253402300800`, `9223372036854775808`}
	}
	for name, values := range wrong {
		for _, value := range values {
			got, err := jose.ReadClaims(`{"` + name + `":` + value + `}`)
			if err != nil || !strings.HasPrefix(got.Fault, name+" ") {
				t.Errorf("%s %s: got fault %q, %v; want one of %s", name, value, got.Fault, err, name)
			}
		}
	}
}

func TestAClaimThatDecidesNothingHasNoFaults(t *testing.T) {
	for name, values := range map[string][]string{
		"acr":       {`1`, `null`, `[]`},
		"amr":       {`"pwd"`, `[1]`, `null`, `[{"method":"password","timestamp":1}]`},
		"auth_time": {`"1700000000"`, `null`, `253402300800`, `-1`},
		"act":       {`null`, `"alice"`, `[]`, `1`, `{"sub":1}`, `{"iss":null}`, `{"client_id":[]}`},
		"typ":       {`1`, `null`, `{}`},
		"token_use": {`1`, `null`, `[]`},

		"authorization_details": {`null`, `"x"`, `{"type":"a"}`, `[1]`, `[{}]`, `[{"type":1}]`},
	} {
		for _, value := range values {
			got, err := jose.ReadClaims(`{"sub":"alice","` + name + `":` + value + `}`)
			if err != nil || got.Fault != "" || got.Actor != nil || got.Delegated != (name == "act") || got.Subject != "alice" {
				t.Errorf("%s %s: got %+v, %v; want sub alone, no fault, and act noticed", name, value, got, err)
			}
		}
	}
}

func TestADateOutOfRangeIsToldFromWhatIsNoDate(t *testing.T) {
	for value, want := range map[string]string{
		`253402300800`:                 "exp is out of range; expected a date from 1970 to 9999, in at most 64 characters",
		`-1`:                           "exp is out of range; expected a date from 1970 to 9999, in at most 64 characters",
		`9999999999999`:                "exp is out of range; expected a date from 1970 to 9999, in at most 64 characters",
		`0.` + strings.Repeat("0", 63): "exp is out of range; expected a date from 1970 to 9999, in at most 64 characters",
		`"1"`:                          "exp has the wrong type",
		`true`:                         "exp has the wrong type",
	} {
		if got, err := jose.ReadClaims(`{"exp":` + value + `}`); err != nil || got.Fault != want {
			t.Errorf("exp %s: got %q, %v; want %q", value, got.Fault, err, want)
		}
	}
}

// Some servers write an empty list if a token has no particular audience.
func TestReadClaimsOfNoAudience(t *testing.T) {
	got, err := jose.ReadClaims(`{"aud":[]}`)
	if err != nil || got.Fault != "" || got.Audience == nil || len(got.Audience) != 0 {
		t.Errorf("got %#v, fault %q, %v; want an empty list that is not nil", got.Audience, got.Fault, err)
	}
}

func TestReadClaimsNamesTheFirstFault(t *testing.T) {
	got, err := jose.ReadClaims(`{"sub":1,"exp":"x","iss":"fine"}`)
	if err != nil || got.Fault != "sub has the wrong type" || got.Issuer != "fine" {
		t.Errorf("got fault %q, issuer %q, %v; want sub and fine", got.Fault, got.Issuer, err)
	}
}

func TestReadClaimsMalformed(t *testing.T) {
	for name, payload := range map[string]string{
		"nothing":             ``,
		"null":                `null`,
		"an array":            `[]`,
		"a string":            `"x"`,
		"a byte order mark":   "\xef\xbb\xbf{}",
		"two objects":         `{}{}`,
		"aud twice":           `{"aud":"a","aud":"b"}`,
		"sub twice, escaped":  `{"sub":"a","su\u0062":"b"}`,
		"a duplicate in cnf":  `{"cnf":{"jkt":"a","jkt":"b"}}`,
		"a duplicate, nested": `{"x":{"y":[{"z":1,"z":2}]}}`,
		"invalid UTF-8":       "{\"sub\":\"\xff\"}",
		"a lone surrogate":    `{"sub":"\ud800"}`,
		"nesting of 17":       `{"x":` + nested(16) + `}`,
		"257 members":         many(257),
	} {
		if got, err := jose.ReadClaims(payload); !errors.Is(err, jose.ErrMalformed) || got.Issuer != "" {
			t.Errorf("%s: got %+v, %v; want %v", name, got, err, jose.ErrMalformed)
		}
		if got, err := jose.ReadAnswer(payload); !errors.Is(err, jose.ErrMalformed) || got.Issuer != "" {
			t.Errorf("%s, as an answer: got %+v, %v; want %v", name, got, err, jose.ErrMalformed)
		}
	}
}

func TestReadClaimsMatchesNamesExactly(t *testing.T) {
	got, err := jose.ReadClaims(`{"ISS":"x","Sub":"x","EXP":1700000000,"Aud":"x","clientId":"x","iss ":"x","ſub":"x","iss\u0000":"x"}`)
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", jose.Claims{}) {
		t.Errorf("got %+v, %v; want no claims", got, err)
	}
	got, err = jose.ReadClaims(`{"is\u0073":"x","\u0065xp":1,"EXP":2}`)
	if err != nil || got.Issuer != "x" || got.Expiry.Unix() != 1 {
		t.Errorf("got %+v, %v; want iss x and exp 1", got, err)
	}
}

func TestReadClaimsAudience(t *testing.T) {
	for payload, want := range map[string]string{
		`{"aud":"a"}`:                     `["a"]`,
		`{"aud":""}`:                      `[""]`,
		`{"aud":["a"]}`:                   `["a"]`,
		`{"aud":["a","a"]}`:               `["a" "a"]`,
		`{"aud":"a b"}`:                   `["a b"]`,
		`{"aud":["\u0061", "b/", "B/" ]}`: `["a" "b/" "B/"]`,
		`{}`:                              `[]`,
	} {
		got, err := jose.ReadClaims(payload)
		if err != nil || got.Fault != "" || fmt.Sprintf("%q", got.Audience) != want {
			t.Errorf("%s: got %q, fault %q, %v; want %s", payload, got.Audience, got.Fault, err, want)
		}
	}
}

func TestReadClaimsScope(t *testing.T) {
	for _, test := range []struct {
		payload, scope string
		list           []string
	}{
		{`{}`, "", nil},
		{`{"scope":""}`, "", nil},
		{`{"scope":"a b"}`, "a b", nil},
		{`{"scope":["a","b"]}`, "", []string{"a", "b"}},
		{`{"scope":[]}`, "", []string{}}, // present, which some issuers do not allow
	} {
		got, err := jose.ReadClaims(test.payload)
		want := jose.Scope{Present: test.payload != `{}`, Text: test.scope, List: test.list}
		if err != nil || got.Fault != "" || fmt.Sprintf("%#v", got.Scope) != fmt.Sprintf("%#v", want) {
			t.Errorf("%s: got %#v, %v; want %#v", test.payload, got.Scope, err, want)
		}
	}
}

func TestReadClaimsIDTokenMarks(t *testing.T) {
	for payload, want := range map[string]jose.Claims{
		`{"nonce":"x"}`: {Nonce: true}, `{"non\u0063e":null}`: {Nonce: true}, `{"Nonce":"x"}`: {}, `{"x":{"nonce":"y"}}`: {}, `{}`: {},
		`{"at_hash":"x"}`: {OtherKind: true}, `{"c_hash":null}`: {OtherKind: true}, `{"s_hash":1}`: {OtherKind: true}, `{"events":{}}`: {OtherKind: true},
		`{"token_use":"id"}`: {OtherUse: true}, `{"typ":"Refresh"}`: {OtherUse: true}, `{"typ":"Bearer"}`: {},
	} {
		if got, err := jose.ReadClaims(payload); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: got %+v, %v; want %+v", payload, got, err, want)
		}
	}
}

// A cnf counts as present even if it cannot be read: a bound token must not become a
// bearer token because of a member that is not understood.
func TestReadClaimsConfirmation(t *testing.T) {
	for payload, want := range map[string]jose.Confirmation{
		`{}`:                                     {},
		`{"cnf":{"jkt":"a"}}`:                    {Present: true, KeyThumbprint: "a"},
		`{"cnf":{"x5t#S256":"a"}}`:               {Present: true, CertificateThumbprint: "a"},
		`{"cnf":{"jkt":"a","x5t#S256":"a"}}`:     {Present: true, KeyThumbprint: "a", CertificateThumbprint: "a"},
		`{"cnf":{"jwk":{"kty":"OKP"}}}`:          {Present: true},
		`{"cnf":{"JKT":"a"}}`:                    {Present: true},
		`{"cnf":{"x":{"jkt":"a"}}}`:              {Present: true},
		`{"cnf":{"jk\u0074":"b"}}`:               {Present: true, KeyThumbprint: "b"},
		`{"cnf":null}`:                           {Present: true},
		`{"cnf":"a"}`:                            {Present: true},
		`{"cnf":[]}`:                             {Present: true},
		`{"cnf":{}}`:                             {Present: true},
		`{"cnf":` + many(257) + `}`:              {Present: true},
		`{"cnf":{"a":` + nested(14) + `}}`:       {Present: true},
		`{"CNF":{"jkt":"a"},"x":{"cnf":"a"}}`:    {},
		`{"\u0063nf":{"jkt":"a"},"sub":"mixed"}`: {Present: true, KeyThumbprint: "a"},
	} {
		if got, err := jose.ReadClaims(payload); err != nil || got.Confirmation != want {
			t.Errorf("%.60s: got %+v, %v; want %+v", payload, got.Confirmation, err, want)
		}
	}
}

func TestReadClaimsActor(t *testing.T) {
	got, err := jose.ReadClaims(`{"act":{"sub":"admin","iss":"i","client_id":"c","x":1,"act":{"sub":"nested"}}}`)
	if want := (jose.Actor{Issuer: "i", Subject: "admin", ClientID: "c"}); err != nil || got.Fault != "" || *got.Actor != want {
		t.Errorf("got %+v, fault %q, %v; want the outermost actor, %+v", got.Actor, got.Fault, err, want)
	}
	if got, _ := jose.ReadClaims(`{"x":{"act":{}},"may_act":{"sub":"x"}}`); got.Actor != nil || got.Delegated {
		t.Errorf("got the actor %+v, delegated %v; want none", got.Actor, got.Delegated)
	}
}

// Earlier actors decide nothing, whatever their form, but there can be only seven.
func TestReadClaimsCountsActors(t *testing.T) {
	nested := func(n int, innermost string) string {
		return `{"act":` + strings.Repeat(`{"sub":"a","act":`, n) + innermost + strings.Repeat("}", n) + `}`
	}
	for payload, want := range map[string]bool{
		nested(1, `{}`): true,
		nested(7, `{}`): true,
		nested(8, `{}`): false,
		nested(9, `{}`): false,

		nested(8, `"x"`):       true, // the ninth is not an object
		nested(8, `null`):      true,
		nested(1, `{"sub":1}`): true,

		`{"act":{"act":{"act":1}}}`: true,
		`{"act":null}`:              false,
		`{"act":[{"act":{}}]}`:      false,
	} {
		got, err := jose.ReadClaims(payload)
		if err != nil || !got.Delegated || (got.Actor != nil) != want {
			t.Errorf("%s: got the actor %+v, delegated %v, %v; want an actor %v, and it delegated", payload, got.Actor, got.Delegated, err, want)
		}
	}
	if got, err := jose.ReadAnswer(`{"act":null}`); err != nil || got.Delegated || got.Actor != nil {
		t.Errorf("null in an answer: got %+v, delegated %v, %v; want it absent", got.Actor, got.Delegated, err)
	}
}

// A claim that only some issuers use is not read, and causes no fault, whatever its type.
func TestReadClaimsOfSingleIssuers(t *testing.T) {
	for _, payload := range []string{
		`{"scp":["a"],"token_use":"access","typ":"Bearer","appid":"1","cid":"2","uid":"u","uti":"3","tid":"4","idtyp":"app","ver":1,"roles":["x"],"email":"e"}`,
		`{"scp":1,"appid":1,"cid":[],"uti":{},"tid":null,"idtyp":1,"ver":"2.0","roles":{"a":1},"email":"e","email_verified":true}`,
	} {
		if got, err := jose.ReadClaims(payload); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", jose.Claims{}) {
			t.Errorf("%s: got %+v, %v; want no claims", payload, got, err)
		}
	}
}

// The input is not verified yet, so an attacker can make it as costly as possible.
func BenchmarkReadClaims(b *testing.B) {
	names := strings.Builder{}
	for i := range 1300 {
		fmt.Fprintf(&names, `,"%x":1`, i)
	}
	for _, row := range []struct{ name, payload string }{
		{"real", `{"iss":"https://login.example.com","sub":"alice","aud":["https://api.example.com"],"client_id":"client","exp":1700000300,"iat":1700000000,"jti":"9f1c","scope":"orders:read orders:write"}`},
		{"audiences=2900", `{"iss":"x","aud":["a"` + strings.Repeat(`,"a"`, 2899) + `]}`},
		{"depth=5900", `{"iss":"x","x":` + nested(5900) + `}`},
		{"nested-names=1300", `{"iss":"x","x":{"z":1` + names.String() + `}}`},
		{"string=11k", `{"iss":"x","x":"` + strings.Repeat("a", 11_000) + `"}`},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(len(row.payload)))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = jose.ReadClaims(row.payload)
			}
		})
	}
}
