package accesstoken

import (
	"context"
	"crypto"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/introspection"
)

// aKeySource is a key source without keys.
type aKeySource struct{}

func (aKeySource) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return nil, 0, nil
}

// keyList is a key source that cannot be compared.
type keyList []crypto.PublicKey

func (l keyList) Keys(context.Context, string, string) ([]crypto.PublicKey, uint64, error) {
	return l, 1, nil
}

// What an issuer keeps if a field of it changes.
type keeps int

const (
	nothing    keeps = iota
	keys             // the cache of its keys
	everything       // and the facts of cached tokens, with the claims of open streams
)

// Each field of an Issuer has a place among what SetIssuers compares.
func TestWhatAnIssuerKeepsIfAFieldChanges(t *testing.T) {
	client := func() *introspection.Client {
		c, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "a", ClientSecret: "b"})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	type change struct {
		keeps keeps
		from  func(*Issuer) // nil: the ordinary Issuer
		to    func(*Issuer)
	}
	d := func(name string) *dialect.Dialect { return &dialect.Dialect{Name: name, ScopeArray: true} }
	withClient, own := client(), aKeySource{}
	const tenant = "11111111-0000-0000-0000-000000000000"
	entra := func(named string) func(*Issuer) {
		return func(i *Issuer) {
			i.URL, i.Name, i.Profile, i.Tenants = "https://login.microsoftonline.com/"+named+"/v2.0", "entra", EntraV2, []string{tenant}
			i.MetadataURL = "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
		}
	}
	changes := map[string][]change{
		"URL": {
			{nothing, nil, func(i *Issuer) { i.URL = "https://b.example" }},
			{nothing, entra("{tenantid}"), entra(tenant)},
		},
		"Name":        {{nothing, nil, func(i *Issuer) { i.Name = "b" }}},
		"MetadataURL": {{nothing, nil, func(i *Issuer) { i.MetadataURL = "https://a.example/m" }}},
		"JWKSURI":     {{nothing, nil, func(i *Issuer) { i.JWKSURI = "https://a.example/jwks" }}},
		"Keys": {
			{nothing, nil, func(i *Issuer) { i.Keys = own }},
			{nothing, func(i *Issuer) { i.Keys = own }, func(*Issuer) {}},
			{everything, func(i *Issuer) { i.Keys = own }, func(i *Issuer) { i.Keys = own }},
			{nothing, func(i *Issuer) { i.Keys = &keyList{} }, func(i *Issuer) { i.Keys = &keyList{} }},
			{nothing, func(i *Issuer) { i.Keys = own }, func(i *Issuer) { i.Keys = keyList{} }},
			{nothing, func(i *Issuer) { i.Keys = keyList{} }, func(i *Issuer) { i.Keys = own }},
			{nothing, func(i *Issuer) { i.Keys = keyList{} }, func(i *Issuer) { i.Keys = keyList{} }},
		},
		"HTTPClient":           {{nothing, nil, func(i *Issuer) { i.HTTPClient = new(http.Client) }}},
		"DangerouslyAllowHTTP": {{nothing, nil, func(i *Issuer) { i.DangerouslyAllowHTTP = true }}},
		"Aliases":              {{keys, nil, func(i *Issuer) { i.Aliases = []string{"https://c.example"} }}},
		"Introspection": {
			{keys, nil, func(i *Issuer) { i.Introspection = client() }},
			{everything, func(i *Issuer) { i.Introspection = withClient }, func(i *Issuer) { i.Introspection = withClient }},
		},
		"AlwaysIntrospect": {{keys, func(i *Issuer) { i.Introspection = withClient }, func(i *Issuer) { i.Introspection, i.AlwaysIntrospect = withClient, true }}},
		"TokenPrefix":      {{keys, func(i *Issuer) { i.Introspection = withClient }, func(i *Issuer) { i.Introspection, i.TokenPrefix = withClient, "x" }}},
		"Algorithms":       {{keys, nil, func(i *Issuer) { i.Algorithms = []string{"RS256"} }}},
		"Profile":          {{keys, nil, func(i *Issuer) { i.Profile = Keycloak }}},
		"Relax":            {{keys, nil, func(i *Issuer) { i.Relax.JTI = true }}},
		"Dialect": {
			{keys, nil, func(i *Issuer) { i.Dialect = d("b") }},
			{keys, func(i *Issuer) { i.Dialect = d("a") }, func(i *Issuer) { i.Dialect = d("b") }},
			{everything, func(i *Issuer) { i.Dialect = d("a") }, func(i *Issuer) { i.Dialect = d("a") }},
		},
		"Clients": {{keys, nil, func(i *Issuer) { i.Clients = []string{"a"} }}},
		"Demand":  {{keys, nil, func(i *Issuer) { i.Demand = map[string][]string{"a": {"b"}} }}},
		"Tenants": {{keys,
			func(i *Issuer) { i.Dialect, i.Tenants = &dialect.Dialect{Tenant: "org"}, []string{"a"} },
			func(i *Issuer) { i.Dialect, i.Tenants = &dialect.Dialect{Tenant: "org"}, []string{"a", "b"} }}},
		"Audience":                    {{everything, nil, func(i *Issuer) { i.Audience = []string{"urn:b"} }}},
		"SingleAudience":              {{everything, nil, func(i *Issuer) { i.SingleAudience = true }}},
		"DangerouslyAcceptNoAudience": {{everything, nil, func(i *Issuer) { i.DangerouslyAcceptNoAudience, i.Clients = true, nil }}},
		"Accept":                      {{everything, nil, func(i *Issuer) { i.Accept = func(context.Context, Claims) error { return nil } }}},
		"MaxAge":                      {{everything, nil, func(i *Issuer) { i.MaxAge = time.Hour }}},
		"MaxLifetime":                 {{everything, nil, func(i *Issuer) { i.MaxLifetime = time.Hour }}},
		"ReadyWithout":                {{everything, nil, func(i *Issuer) { i.ReadyWithout = true }}},
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Issuer]()) {
		if field.Name != "_" && changes[field.Name] == nil {
			t.Errorf("Issuer.%s: got no case; say what an issuer keeps if it changes", field.Name)
		}
	}
	for field, list := range changes {
		for n, c := range list {
			before, after := Issuer{URL: "https://a.example"}, Issuer{URL: "https://a.example"}
			if c.from != nil {
				c.from(&before)
			}
			c.to(&after)
			v, err := NewValidator(Config{Resource: "r", Issuers: []Issuer{before}})
			if err != nil {
				t.Fatalf("%s: %v", field, err)
			}
			was := v.roster.Load().groups[0]
			if err := v.SetIssuers(after); err != nil {
				t.Fatalf("%s: %v", field, err)
			}
			is, got := v.roster.Load().groups[0], nothing
			switch {
			case is.members[0] == was.members[0]:
				got = everything
			case is.owned != nil && is.owned == was.owned:
				got = keys
			}
			if got != c.keeps {
				t.Errorf("%s, case %d: got %d kept; want %d", field, n, got, c.keeps)
			}
			if removed := was.members[0].removed.Load(); removed != (c.keeps != everything) || (was.members[0].gone.Err() != nil) != removed {
				t.Errorf("%s, case %d: got the old issuer removed: %v", field, n, removed)
			}
			if got := is.members[0].settings().MaxAge; got != after.MaxAge {
				t.Errorf("%s, case %d: got the old settings", field, n)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Two Issuers of Entra ID can have the same URL and different tenants, for example to give
// them different audiences. Neither takes the other for its predecessor.
func TestIssuersWithOneURLAreToldApartByTheirTenants(t *testing.T) {
	const a, b = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"
	entra := func(audience string, tenants ...string) Issuer {
		return Issuer{
			URL: "https://login.microsoftonline.com/{tenantid}/v2.0", Profile: EntraV2, Tenants: tenants, Audience: []string{audience},
			MetadataURL: "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
		}
	}
	issuers := []Issuer{entra("urn:a", a), entra("urn:b", b)}
	v, err := NewValidator(Config{Resource: "r", Issuers: issuers})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	was := v.roster.Load().groups
	if err := v.SetIssuers(issuers...); err != nil {
		t.Fatal(err)
	}
	for n, is := range v.roster.Load().groups {
		if is.owned != was[n].owned || is.members[0] != was[n].members[0] || is.members[0].removed.Load() {
			t.Errorf("Issuers[%d]: got another issuer; want the keys and the issuer kept", n)
		}
	}
	if err := v.SetIssuers(issuers[1], entra("urn:a", "33333333-0000-0000-0000-000000000000", a)); err != nil {
		t.Fatal(err)
	}
	for n, is := range v.roster.Load().groups {
		if old := was[1-n]; is.owned != old.owned || is.members[len(is.members)-1] != old.members[0] || old.members[0].removed.Load() {
			t.Errorf("Issuers[%d] in another order: got another issuer; want the keys and the issuer kept", n)
		}
	}
}

// Of the tenants of Entra ID, those that stay keep everything.
func TestTenantsAreComparedOneByOne(t *testing.T) {
	const a, b, c = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000", "33333333-0000-0000-0000-000000000000"
	entra := func(tenants ...string) Issuer {
		return Issuer{
			URL: "https://login.microsoftonline.com/{tenantid}/v2.0", Profile: EntraV2, Tenants: tenants,
			MetadataURL: "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration",
		}
	}
	v, err := NewValidator(Config{Resource: "r", Issuers: []Issuer{entra(a, b)}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	was := v.roster.Load().groups[0]
	if err := v.SetIssuers(entra(b, c)); err != nil {
		t.Fatal(err)
	}
	is := v.roster.Load().groups[0]
	if is.owned != was.owned || is.members[0] != was.members[1] || slices.Contains(was.members, is.members[1]) {
		t.Error("got another set of issuers; want the keys and the second tenant kept, and the third one new")
	}
	if !was.members[0].removed.Load() || was.members[1].removed.Load() {
		t.Error("want the first tenant removed, and the second one kept")
	}
}
