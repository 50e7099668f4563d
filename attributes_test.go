package accesstoken_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
)

func TestListsComeAsStringsOrAsObjects(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		value any
		want  []string
		fails bool
	}{
		"absent":                    {nil, nil, false},
		"strings":                   {[]string{"a", "b"}, []string{"a", "b"}, false},
		"objects":                   {[]any{map[string]any{"value": "a", "display": "A"}, map[string]any{"value": "b"}}, []string{"a", "b"}, false},
		"both":                      {[]any{"a", map[string]any{"value": "b"}}, []string{"a", "b"}, false},
		"a list of one as a string": {"a b", []string{"a b"}, false},
		"an empty list":             {[]any{}, nil, false},
		"null":                      {json.RawMessage("null"), nil, false},
		"numbers":                   {[]any{1}, nil, true},
		"a number":                  {1, nil, true},
		"an object":                 {map[string]any{"value": "a"}, nil, true},
		"an object without a value": {[]any{map[string]any{"Value": "a"}}, nil, true},
		"an object with a number":   {[]any{map[string]any{"value": 1}}, nil, true},
	} {
		claims := claimsOf(t, as, accesstokentest.Claims{"groups": test.value, "roles": test.value, "entitlements": test.value})
		for method, read := range map[string]func() ([]string, error){"Groups": claims.Groups, "Roles": claims.Roles, "Entitlements": claims.Entitlements} {
			got, err := read()
			if !slices.Equal(got, test.want) || (err != nil) != test.fails {
				t.Errorf("%s, %s: got %q, %v; want %q, an error: %v", name, method, got, err, test.want, test.fails)
			}
		}
	}
}

// A JSON Pointer goes through arrays, and through objects of any size.
func TestAListAtTheEndOfAPointer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	wide := map[string]any{"zz": []string{"a"}}
	for i := range 300 {
		wide[fmt.Sprint("m", i)] = i
	}
	for name, test := range map[string]struct {
		pointer string
		value   any
		want    []string
		fails   bool
	}{
		"in an array":                    {"/orgs/1/roles", []any{0, map[string]any{"roles": []string{"a"}}}, []string{"a"}, false},
		"beyond the end of an array":     {"/orgs/2/roles", []any{0, map[string]any{"roles": []string{"a"}}}, nil, false},
		"in an object of 301 members":    {"/orgs/zz", wide, []string{"a"}, false},
		"absent on the way":              {"/orgs/b/roles", map[string]any{"a": 1}, nil, false},
		"an array in place of an object": {"/orgs/b", []any{"a"}, nil, true},
		"a string on the way":            {"/orgs/b", "a", nil, true},
		"null on the way":                {"/orgs/b", accesstokentest.Null, nil, true},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Dialect = &dialect.Dialect{Roles: test.pointer} })
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"orgs": test.value})))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := claims.Roles(); !slices.Equal(got, test.want) || (err != nil) != test.fails {
			t.Errorf("%s: got %q, %v; want %q, an error: %v", name, got, err, test.want, test.fails)
		}
	}
}

// A list that the issuer keeps elsewhere is not an empty one.
func TestAListThatWasLeftOutIsAnError(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"_claim_names": map[string]any{"groups": "src1"}, "roles": []string{"a"}})
	if got, err := claims.Groups(); err == nil || !strings.Contains(err.Error(), "_claim_names") {
		t.Errorf("Groups: got %q, %v; want an error", got, err)
	}
	if got, err := claims.Roles(); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("Roles: got %q, %v; want a", got, err)
	}
	elsewhere := map[string]any{"zz": "src1"}
	for i := range 300 {
		elsewhere[fmt.Sprint("m", i)] = "src1"
	}
	elsewhere["groups"] = "src1"
	if got, err := claimsOf(t, as, accesstokentest.Claims{"_claim_names": elsewhere}).Groups(); err == nil {
		t.Errorf("Groups, one of 302 claims that are elsewhere: got %q; want an error", got)
	}
}

func TestAProfileKnowsWhereTheListsAre(t *testing.T) {
	as := accesstokentest.NewServer(t)
	read := func(issuer accesstoken.Issuer, header map[string]any, claims accesstokentest.Claims) accesstoken.Claims {
		issuer.URL = as.URL
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuer} })
		found, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(header, as.Claims(claims))))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	keycloak := read(accesstoken.Issuer{Profile: accesstoken.Keycloak}, map[string]any{"typ": "JWT"},
		accesstokentest.Claims{"azp": "c", "client_id": "c", "typ": "Bearer", "roles": []string{"other"}, "realm_access": map[string]any{"roles": []string{"a"}}})
	if got, err := keycloak.Roles(); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("Keycloak: got roles %q, %v; want those of the realm", got, err)
	}
	broken := read(accesstoken.Issuer{Profile: accesstoken.Keycloak}, map[string]any{"typ": "JWT"},
		accesstokentest.Claims{"azp": "c", "client_id": "c", "typ": "Bearer", "realm_access": []string{"admin"}})
	if got, err := broken.Roles(); err == nil || got != nil {
		t.Errorf("Keycloak: got roles %q, %v; want an error where realm_access is no object", got, err)
	}
	cognito := read(accesstoken.Issuer{Profile: accesstoken.Cognito, Clients: []string{"c"}}, map[string]any{},
		accesstokentest.Claims{"client_id": "c", "token_use": "access", "cognito:groups": []string{"a"}})
	if got, err := cognito.Groups(); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("Cognito: got groups %q, %v; want a", got, err)
	}
	auth0 := read(accesstoken.Issuer{Profile: accesstoken.Auth0}, map[string]any{"typ": "JWT"},
		accesstokentest.Claims{"azp": "c", "client_id": "c", "permissions": []string{"a"}})
	if got, err := auth0.Entitlements(); err != nil || !slices.Equal(got, []string{"a"}) {
		t.Errorf("Auth0: got entitlements %q, %v; want the permissions", got, err)
	}
}

func TestHowTheUserAuthenticated(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"auth_time": 1700000000, "acr": "urn:mfa", "amr": []string{"pwd", "otp"}})
	if got := fmt.Sprintf("%d %s %v", claims.AuthTime().Unix(), claims.ACR(), claims.AMR()); got != "1700000000 urn:mfa [pwd otp]" {
		t.Errorf("got %s; want what the token says", got)
	}
	claims = claimsOf(t, as, nil)
	if !claims.AuthTime().IsZero() || claims.ACR() != "" || claims.AMR() != nil {
		t.Errorf("got %v, %q, %q; want nothing of a token that does not say", claims.AuthTime(), claims.ACR(), claims.AMR())
	}
}

// Only the current actor counts (RFC 8693 §4.1).
func TestTheActorIsTheOutermost(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"sub": "alice", "act": map[string]any{"sub": "service", "act": map[string]any{"sub": "admin"}}})
	if got, ok := claims.Actor(); !ok || got != (accesstoken.Actor{Subject: "service"}) || claims.Subject != "alice" {
		t.Errorf("got %+v, %v for %s; want service for alice", got, ok, claims.Subject)
	}
	if got, ok := claimsOf(t, as, accesstokentest.Claims{"may_act": map[string]any{"sub": "service"}}).Actor(); ok {
		t.Errorf("got %+v; want no actor: may_act is not act", got)
	}
}

func TestAuthorizationDetails(t *testing.T) {
	as := accesstokentest.NewServer(t)
	claims := claimsOf(t, as, accesstokentest.Claims{"authorization_details": []any{
		map[string]any{"type": "payment", "actions": []string{"initiate"}, "locations": []string{"https://x"}, "datatypes": []string{"d"},
			"privileges": []string{"p"}, "identifier": "account", "amount": json.Number("9007199254740993")},
		map[string]any{"type": "account", "Actions": []string{"read"}},
	}})
	details, err := claims.AuthorizationDetails()
	if err != nil || len(details) != 2 {
		t.Fatalf("got %+v, %v; want two", details, err)
	}
	first := details[0]
	if got := fmt.Sprintf("%+v", []any{first.Type, first.Identifier, first.Actions, first.Locations, first.DataTypes, first.Privileges}); got != "[payment account [initiate] [https://x] [d] [p]]" {
		t.Errorf("got %s; want what the token says", got)
	}
	var own struct {
		Amount int64 `json:"amount"`
	}
	if err := first.Decode(&own); err != nil || own.Amount != 9007199254740993 {
		t.Errorf("got %+v, %v; want the exact amount", own, err)
	}
	if details[1].Type != "account" || details[1].Actions != nil {
		t.Errorf("got %+v; want no actions, since only Actions are there", details[1])
	}
	claims = claimsOf(t, as, accesstokentest.Claims{"authorization_details": []any{map[string]any{"type": "a", "actions": "read"}}})
	if details, err := claims.AuthorizationDetails(); err == nil || details != nil {
		t.Errorf("actions as a string: got %+v, %v; want an error", details, err)
	}
	if err := (accesstoken.AuthorizationDetail{}).Decode(&own); err == nil {
		t.Error("Decode of a detail of no token: got nil; want an error")
	}
}

func TestClaimsOfNobodyHaveNoAttributes(t *testing.T) {
	var claims accesstoken.Claims
	groups, err := claims.Groups()
	details, err2 := claims.AuthorizationDetails()
	_, acting := claims.Actor()
	_, bound := claims.Confirmation()
	if groups != nil || details != nil || err != nil || err2 != nil || acting || bound || claims.ClientItself() || claims.ACR() != "" || claims.AuthTime() != (time.Time{}) {
		t.Errorf("got %v, %v, %v, %v; want nothing", groups, details, err, err2)
	}
}

func TestAClaimThatDecidesNothingRefusesNothing(t *testing.T) {
	as := accesstokentest.NewServer(t)
	raw := func(text string) json.RawMessage { return json.RawMessage(text) }
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	for name, value := range map[string]json.RawMessage{
		"acr":                   raw(`1`),
		"amr":                   raw(`[{"method":"password","timestamp":1}]`),
		"auth_time":             raw(`"1700000000"`),
		"act":                   raw(`"admin"`),
		"authorization_details": raw(`{"type":"a"}`),
		"typ":                   raw(`1`),
	} {
		claims := accesstokentest.Claims{name: value, "sub": "alice"}
		for kind, token := range map[string]string{"JWT": as.Token(claims), "opaque": as.Opaque(claims)} {
			got, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			if err != nil {
				t.Errorf("%s as %s, %s: got %v; want the token accepted", name, value, kind, err)
				continue
			}
			actor, delegated := got.Actor() // another party acts, but it is not known who
			details, err := got.AuthorizationDetails()
			if got.ACR() != "" || got.AMR() != nil || !got.AuthTime().IsZero() || actor != (accesstoken.Actor{}) || details != nil {
				t.Errorf("%s as %s, %s: got acr %q, amr %q, auth_time %v, the actor %v, details %v; want nothing of any",
					name, value, kind, got.ACR(), got.AMR(), got.AuthTime(), actor, details)
			}
			if delegated != (name == "act") {
				t.Errorf("%s as %s, %s: Actor: got %v; want it true for act in any form", name, value, kind, delegated)
			}
			if (err != nil) != (name == "authorization_details") {
				t.Errorf("%s as %s, %s: AuthorizationDetails: got the error %v; want one for details that are no array", name, value, kind, err)
			}
		}
	}
}

func TestAuthorizationDetailsAreAllOrAnError(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for value, want := range map[string]int{
		`null`:                           -1,
		`[1]`:                            -1,
		`[{"actions":["a"]}]`:            -1,
		`[{"type":""}]`:                  -1,
		`[{"type":"a"},null]`:            -1,
		`[{"type":"a","actions":"b"}]`:   -1,
		`[{"type":"a"},{"type":"b"}]`:    2,
		`[]`:                             0,
		`[{"type":"a","actions":["b"]}]`: 1,
	} {
		claims := claimsOf(t, as, accesstokentest.Claims{"authorization_details": json.RawMessage(value)})
		details, err := claims.AuthorizationDetails()
		if want < 0 && (err == nil || details != nil) || want >= 0 && (err != nil || len(details) != want) {
			t.Errorf("%s: got %v, %v; want %d of them, or for -1 an error", value, details, err, want)
		}
	}
}
