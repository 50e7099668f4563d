package shape_test

import (
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken/internal/jose"
	"github.com/accesstoken/accesstoken/internal/shape"
)

func TestWhatATokenShows(t *testing.T) {
	const rest = `"sub":"s","aud":"a","iat":1,`
	for name, test := range map[string]struct {
		typ     any // a string, or nil for none
		payload string
		want    string
	}{
		"RFC 9068":                     {"application/AT+JWT", rest + `"client_id":"c","jti":"j","scope":"x"`, ""},
		"no typ":                       {nil, rest + `"client_id":"c","jti":"j"`, `Types: []string{""}`},
		"a typ of its own":             {"application/X+JWT", rest + `"client_id":"c","jti":"j"`, `Types: []string{"x+jwt"}`},
		"client_id beside azp":         {"at+jwt", rest + `"client_id":"c","azp":"c","jti":"j"`, ""},
		"the first claim with a text":  {"at+jwt", rest + `"azp":"","cid":1,"appid":"c","jti":"j"`, `Client: []string{"appid"}`},
		"scope that is an array":       {"at+jwt", rest + `"client_id":"c","jti":"j","scope":["x"],"scp":"y"`, `ScopeArray: true`},
		"scp that is an array":         {"at+jwt", rest + `"client_id":"c","jti":"j","scp":[]`, `Scope: []string{"scp"}, ScopeArray: true`},
		"scp of the wrong type":        {"at+jwt", rest + `"client_id":"c","jti":"j","scp":1,"scopes":"x"`, `Scope: []string{"scopes"}`},
		"uti in place of jti":          {"at+jwt", rest + `"client_id":"c","uti":"j"`, `ID: "uti"`},
		"uti beside jti":               {"at+jwt", rest + `"client_id":"c","uti":"j","jti":"j"`, ""},
		"groups and roles":             {"at+jwt", rest + `"client_id":"c","jti":"j","cognito:groups":["g"],"realm_access":{"roles":[]}`, `Groups: "cognito:groups", Roles: "/realm_access/roles"`},
		"a realm that is not an array": {"at+jwt", rest + `"client_id":"c","jti":"j","realm_access":"r"`, ""},
		"hardly anything":              {"at+jwt", `"sub":"",`, `Optional: []string{"client_id", "jti", "sub", "aud", "iat"}`},
	} {
		payload := "{" + strings.TrimSuffix(test.payload, ",") + "}"
		claims, err := jose.ReadClaims(payload)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		header := &jose.Header{}
		header.Type, header.HasType = test.typ.(string) // nil is not a string
		if got := strings.Join(shape.Suggest(header, &claims, payload).Fields(), ", "); got != test.want {
			t.Errorf("%s: got %s; want %s", name, got, test.want)
		}
	}
}

func TestFieldsAreThoseThatAreSet(t *testing.T) {
	spec := shape.Spec{Name: `"N"`, Tenant: "tid", Entitlements: "e", IDTokens: true, Optional: []string{}}
	const want = `Name: "\"N\"", Tenant: "tid", Entitlements: "e", Optional: []string{}, IDTokens: true`
	if got := strings.Join(spec.Fields(), ", "); got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}
