package accesstokentest_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

const tenant = "11111111-2222-3333-4444-555555555555"

// validatorFor makes a Validator for tokens of a Dialect, with the lists that it needs.
func validatorFor(t *testing.T, as *accesstokentest.Server, issuer accesstoken.Issuer) *accesstoken.Validator {
	t.Helper()
	issuer.URL = as.URL
	var last error
	for _, change := range []func(*accesstoken.Issuer){
		func(*accesstoken.Issuer) {},
		func(i *accesstoken.Issuer) { i.Demand = map[string][]string{"sub": {"alice"}} },
		func(i *accesstoken.Issuer) { i.Clients = []string{"client"} },
		func(i *accesstoken.Issuer) { i.Tenants = []string{tenant} },
	} {
		listed := issuer
		change(&listed)
		v, err := accesstoken.NewValidator(accesstoken.Config{
			Resource: "https://api.example.com", Issuers: []accesstoken.Issuer{listed}, HTTPClient: as.Client(), Logger: slog.New(slog.DiscardHandler),
		})
		if last = err; err == nil {
			t.Cleanup(func() { _ = v.Close() })
			return v
		}
	}
	t.Fatal(last)
	return nil
}

func TestATokenOfEveryProfileIsAccepted(t *testing.T) {
	as := accesstokentest.NewServer(t)
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, HTTPClient: as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for p := accesstoken.RFC9068; p.Dialect() != nil; p++ {
		if p == accesstoken.SPIFFE {
			continue // see TestATokenOfAWorkload
		}
		d := p.Dialect()
		issuers := map[string]accesstoken.Issuer{
			"profile":       {Profile: p},
			"dialect":       {Dialect: d},
			"introspection": {Profile: p, Introspection: client, AlwaysIntrospect: true},
		}
		if slices.Contains([]accesstoken.Profile{accesstoken.EntraV1, accesstoken.EntraV2, accesstoken.EntraExternalID}, p) { // there is nothing to ask
			delete(issuers, "introspection")
		}
		namesClient := !slices.Contains(d.Optional, "client_id") || p == accesstoken.FusionAuth // where only entities do without
		for name, issuer := range issuers {
			t.Run(d.Name+" as "+name, func(t *testing.T) {
				v := validatorFor(t, as, issuer)
				claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.TokenOf(d, nil)))
				if err != nil || claims.Scopes().String() != "" || claims.Subject == "" || claims.ClientID == "client" != namesClient {
					t.Fatalf("got %q, %q, the scopes %q, %v; want a user, a client and no scopes", claims.Subject, claims.ClientID, claims.Scopes(), err)
				}
				sub := map[bool]string{true: claims.Subject, false: "alice"}[p == accesstoken.Kubernetes]
				claims, err = v.Validate(t.Context(), accesstoken.Bearer(as.TokenOf(d, accesstokentest.Claims{
					"sub": sub, "jti": "id", "scope": "a b", "roles": []string{"r"}, "groups": []string{"g"}, "entitlements": []string{"e"}, "email": "a@example.com",
				})))
				roles, err1 := claims.Roles()
				groups, err2 := claims.Groups()
				entitlements, err3 := claims.Entitlements()
				got := strings.Join(slices.Concat([]string{claims.Scopes().String(), claims.ID}, roles, groups, entitlements), " ")
				if err != nil || err1 != nil || err2 != nil || err3 != nil || got != "a b id r g e" {
					t.Errorf("got %s, %v %v %v %v; want the claims where the profile reads them", got, err, err1, err2, err3)
				}
				if _, err = v.Validate(t.Context(), accesstoken.Bearer(as.TokenOf(d, accesstokentest.Claims{"aud": "urn:other"}))); err == nil {
					t.Error("for another audience: got it accepted; want a refusal")
				}
			})
		}
	}
}

// The sub of a JWT-SVID is a SPIFFE ID, which also names its issuer.
func TestATokenOfAWorkload(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource: "https://api.example.com",
		Issuers:  []accesstoken.Issuer{{URL: "spiffe://example.org", Profile: accesstoken.SPIFFE, Keys: jwks.Static(as.Keys()...)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	token := as.TokenOf(accesstoken.SPIFFE.Dialect(), accesstokentest.Claims{"iss": nil, "sub": "spiffe://example.org/ns/a"})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err != nil || claims.Subject != "spiffe://example.org/ns/a" || !claims.ClientItself() {
		t.Errorf("got %q, %v; want the workload, which acts for itself", claims.Subject, err)
	}
}

func TestATokenOfADialectOfItsOwn(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		dialect dialect.Dialect
		claims  accesstokentest.Claims
	}{
		"all kinds of marks": {dialect.Dialect{
			Types: []string{"x+jwt"}, Client: []string{"/client/id"}, ID: "/ids/1", Tenant: "/org/tenant", Scope: []string{"scp"}, ScopeArray: true, Roles: "/org/roles",
			Kind: []dialect.Mark{
				dialect.Has("sid", "/org/name", "/org/a/b", "/org/a/c", "/org/roles"), dialect.Has("scp"), dialect.Without("nonce", "/org/z"), dialect.Is("v", 2), dialect.Is("on", true), dialect.Is("kind", "a", "b"),
				dialect.HasPrefix("from", "urn:"), dialect.AnyOf(dialect.Without("email"), dialect.Is("email_verified", true)), dialect.AudienceBeyondClient(),
			},
		}, accesstokentest.Claims{"email": "a@example.com", "roles": []string{"r"}}},
		"a subject that must be absent":      {dialect.Dialect{Optional: []string{"sub"}, Kind: []dialect.Mark{dialect.Without("sub")}}, nil},
		"an application of Entra ID":         {*accesstoken.EntraV2.Dialect(), accesstokentest.Claims{"scope": ""}},
		"the scopes in their own claim":      {dialect.Dialect{Scope: []string{"scope"}}, accesstokentest.Claims{"scope": "a"}},
		"what is optional":                   {dialect.Dialect{Optional: []string{"jti", "iat", "sub"}}, nil},
		"no typ, and no aud":                 {dialect.Dialect{Types: []string{""}, Optional: []string{"aud"}, Kind: []dialect.Mark{dialect.Has("v")}}, nil},
		"ID tokens of a client":              {dialect.Dialect{Types: []string{"jwt"}, Client: []string{"aud"}, IDTokens: true}, accesstokentest.Claims{"aud": "client"}},
		"the scopes in a claim with a mark":  {dialect.Dialect{Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.Has("scope"), dialect.Has("v")}}, nil},
		"a claim given under its own name":   {dialect.Dialect{Client: []string{"azp"}, Kind: []dialect.Mark{dialect.Has("v")}}, accesstokentest.Claims{"azp": "client", "v": 7}},
		"a mark that what is given can meet": {dialect.Dialect{Kind: []dialect.Mark{dialect.AnyOf(dialect.Is("v", 1), dialect.HasPrefix("w", "x"))}}, accesstokentest.Claims{"v": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			issuer := accesstoken.Issuer{Dialect: &test.dialect}
			if test.dialect.Client != nil && test.dialect.Client[0] == "aud" {
				issuer.Audience = []string{"client"}
			}
			claims, err := validatorFor(t, as, issuer).Validate(t.Context(), accesstoken.Bearer(as.TokenOf(&test.dialect, test.claims)))
			if err != nil {
				t.Fatalf("got %v; want the token accepted", err)
			}
			if scope, _ := test.claims["scope"].(string); claims.Scopes().String() != scope {
				t.Errorf("got the scopes %q; want %q", claims.Scopes(), scope)
			}
			if roles, err := claims.Roles(); test.claims["roles"] != nil && (err != nil || !slices.Equal(roles, []string{"r"})) {
				t.Errorf("got the roles %q, %v; want r", roles, err)
			}
		})
	}
}

// What a test gives under the issuer's own name is signed as it is.
func TestATokenOfADialectCanBeWrong(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := validatorFor(t, as, accesstoken.Issuer{Profile: accesstoken.Keycloak})
	for _, wrong := range []accesstokentest.Claims{{"typ": "ID"}, {"azp": 1}, {"azp": ""}, {"exp": 1}, {"sub": nil}} {
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(as.TokenOf(accesstoken.Keycloak.Dialect(), wrong))); err == nil {
			t.Errorf("%v: got it accepted; want a refusal", wrong)
		}
	}
	d := &dialect.Dialect{Kind: []dialect.Mark{dialect.Without("login")}}
	v = validatorFor(t, as, accesstoken.Issuer{Dialect: d})
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(as.TokenOf(d, accesstokentest.Claims{"login": 1}))); err == nil {
		t.Error("a claim that Kind forbids: got it accepted; want a refusal")
	}
	given := accesstokentest.Claims{"scope": "a", "roles": []string{"r"}, "realm_access": map[string]any{}}
	d = accesstoken.Keycloak.Dialect()
	d.ScopeArray = true
	_ = as.TokenOf(d, given)
	if len(given) != 3 || given["scope"] != "a" || len(given["realm_access"].(map[string]any)) != 0 {
		t.Errorf("got the caller's claims changed to %v", given)
	}
}
