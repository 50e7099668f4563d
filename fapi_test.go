package accesstoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

func verifierFor(t *testing.T, algorithms ...string) *dpop.Verifier {
	t.Helper()
	verifier, err := dpop.NewVerifier(dpop.Config{URLs: []string{resource}, Algorithms: algorithms})
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

func keptIntrospection(t *testing.T, as *accesstokentest.Server, cacheFor, stale time.Duration) *introspection.Client {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret,
		HTTPClient: as.Client(), CacheFor: cacheFor, DangerouslyServeStaleFor: stale,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestFAPI2Demands: what the profile does not allow is a fault of the configuration,
// each with what to do about it.
func TestFAPI2Demands(t *testing.T) {
	as := accesstokentest.NewServer(t)
	const other = "the profile allows PS256, ES256 and Ed25519 only"
	for _, test := range []struct {
		name   string
		change func(*accesstoken.Config)
		want   []string // beginnings of the faults
	}{
		{"nothing", func(*accesstoken.Config) {}, nil},
		{"introspection in place of short lives", func(c *accesstoken.Config) {
			c.Issuers[0].MaxLifetime, c.Issuers[0].AlwaysIntrospect, c.Issuers[0].Introspection = 0, true, newIntrospection(t, as)
		}, nil},
		{"the bounds", func(c *accesstoken.Config) {
			c.Leeway, c.Issuers[0].MaxLifetime, c.Issuers[0].Algorithms = time.Minute, 10*time.Minute, []string{"PS256", "ES256", "EdDSA", "Ed25519"}
		}, nil},
		{"the least leeway", func(c *accesstoken.Config) { c.Leeway = 10 * time.Second }, nil},
		{"no leeway", func(c *accesstoken.Config) { c.Leeway = -1 }, []string{"accesstoken: FAPI2: Leeway is 0s"}},
		{"too little leeway", func(c *accesstoken.Config) { c.Leeway = 10*time.Second - 1 }, []string{"accesstoken: FAPI2: Leeway is 9.999999999s"}},
		{"too much leeway", func(c *accesstoken.Config) { c.Leeway = time.Minute + 1 }, []string{"accesstoken: FAPI2: Leeway is 1m0.000000001s"}},
		{"the default algorithms of proofs", func(c *accesstoken.Config) { c.DPoP = verifierFor(t) }, []string{
			`accesstoken: FAPI2: DPoP: Algorithms has "ES384"; ` + other, `accesstoken: FAPI2: DPoP: Algorithms has "ES512"; ` + other, `accesstoken: FAPI2: DPoP: Algorithms has "PS384"; ` + other,
			`accesstoken: FAPI2: DPoP: Algorithms has "PS512"; ` + other, `accesstoken: FAPI2: DPoP: Algorithms has "RS256"; ` + other,
		}},
		{"RS256", func(c *accesstoken.Config) { c.Issuers[0].Algorithms = []string{"ES256", "RS256"} }, []string{
			`accesstoken: Issuers[0]: FAPI2: Algorithms has "RS256"; ` + other,
		}},
		{"plain HTTP", func(c *accesstoken.Config) { c.Issuers[0].DangerouslyAllowHTTP = true }, []string{
			"accesstoken: Issuers[0]: FAPI2 allows no setting whose name begins with Dangerously",
		}},
		{"no audience", func(c *accesstoken.Config) { c.Issuers[0].DangerouslyAcceptNoAudience = true }, []string{
			"accesstoken: Issuers[0]: FAPI2 allows no setting whose name begins with Dangerously",
		}},
		{"no way to notice a revocation", func(c *accesstoken.Config) { c.Issuers[0].MaxLifetime = 0 }, []string{
			"accesstoken: Issuers[0]: FAPI2: revoked tokens must be refused in time",
		}},
		{"lives that are too long", func(c *accesstoken.Config) { c.Issuers[0].MaxLifetime = 10*time.Minute + 1 }, []string{
			"accesstoken: Issuers[0]: FAPI2: revoked tokens must be refused in time",
		}},
		{"introspection of opaque tokens alone", func(c *accesstoken.Config) {
			c.Issuers[0].MaxLifetime, c.Issuers[0].Introspection = 0, newIntrospection(t, as)
		}, []string{"accesstoken: Issuers[0]: FAPI2: revoked tokens must be refused in time"}},
		{"answers that are kept", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection = keptIntrospection(t, as, 10*time.Minute, 0)
		}, nil},
		{"answers that are kept for too long", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection = keptIntrospection(t, as, 10*time.Minute+1, 0)
		}, []string{"accesstoken: Issuers[0]: FAPI2: Introspection: CacheFor is 10m0.000000001s"}},
		{"answers that are served in an outage", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection = keptIntrospection(t, as, 9*time.Minute, 15*time.Minute)
		}, []string{"accesstoken: Issuers[0]: FAPI2: Introspection: DangerouslyServeStaleFor"}},
		{"answers and keys over plain http, and clocks that must agree", func(c *accesstoken.Config) {
			c.DPoP = testkit.Must(dpop.NewVerifier(dpop.Config{URLs: []string{resource}, Algorithms: []string{"ES256"}, Leeway: -1}))
			c.Issuers[0].Keys = testkit.Must(jwks.NewCache(jwks.Config{URL: "http://as.example/jwks", DangerouslyAllowHTTP: true}))
			c.Issuers[0].Introspection = testkit.Must(introspection.NewClient(introspection.Config{
				Endpoint: "http://as.example/introspect", ClientID: "api", ClientSecret: "secret", DangerouslyAllowHTTP: true,
			}))
		}, []string{
			"accesstoken: FAPI2: DPoP: Leeway is 0s",
			"accesstoken: Issuers[0]: FAPI2: Introspection: Endpoint is plain http",
			"accesstoken: Issuers[0]: FAPI2: Keys: DangerouslyAllowHTTP is set",
		}},
		{"faults of keys for signed answers", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection = testkit.Must(introspection.NewClient(introspection.Config{
				Endpoint: "https://as.example/introspect", ClientID: "api", ClientSecret: "secret", Issuer: as.URL, Algorithms: []string{"RS256"}, Keys: lax{},
			}))
			c.Issuers[0].Keys = lax{}
		}, []string{
			"accesstoken: Issuers[0]: FAPI2: Introspection: Algorithms has",
			"accesstoken: Issuers[0]: FAPI2: Introspection: Keys: One is",
			"accesstoken: Issuers[0]: FAPI2: Introspection: Keys: Two is",
			"accesstoken: Issuers[0]: FAPI2: Keys: One is",
			"accesstoken: Issuers[0]: FAPI2: Keys: Two is",
		}},
		{"several at once", func(c *accesstoken.Config) { c.Leeway, c.Issuers[0].MaxLifetime = -1, 0 }, []string{
			"accesstoken: FAPI2: Leeway is 0s", "accesstoken: Issuers[0]: FAPI2: revoked tokens must be refused in time",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := fapiConfig(t, as)
			test.change(&config)
			v, err := accesstoken.NewValidator(config)
			if err == nil {
				_ = v.Close()
			}
			var lines []string
			if err != nil {
				lines = strings.Split(err.Error(), "\n")
			}
			if !slices.EqualFunc(lines, test.want, strings.HasPrefix) {
				t.Errorf("got %q; want %q", lines, test.want)
			}
		})
	}
}

// lax is a key source that knows two faults of its own.
type lax struct{ noKeys }

func (lax) FAPI2Err() error { return errors.Join(errors.New("One is set"), errors.New("Two is set")) }

// A verdict is what FAPI2 makes of a setting.
type verdict string

const (
	allowed       verdict = "allowed"        // and with it what FAPI2 demands still holds
	isFault       verdict = "a fault"        // one, that names FAPI2
	withoutEffect verdict = "without effect" // the profile says nothing about it
)

// A judged setting is one value of one field, and the others that it needs.
type judged[C any] struct {
	verdict
	set func(*C)
}

// judge holds each field of a configuration to what the table says of it. A field that
// the table does not have is one about which nobody has thought.
func judge[C any](t *testing.T, table map[string][]judged[C], faults func(change func(*C)) []string) {
	t.Helper()
	of := reflect.TypeFor[C]()
	for i := range of.NumField() {
		field := of.Field(i)
		if !field.IsExported() {
			continue
		}
		if len(table[field.Name]) == 0 {
			t.Errorf("%v.%s: got no verdict; say what FAPI2 makes of it", of, field.Name)
		}
		for n, setting := range table[field.Name] {
			lines := faults(setting.set)
			if setting.verdict == isFault && (len(lines) != 1 || !strings.Contains(lines[0], "FAPI2")) || setting.verdict != isFault && len(lines) != 0 {
				t.Errorf("%v.%s, value %d: got %q; want %s", of, field.Name, n, lines, setting.verdict)
			}
		}
	}
}

// TestFAPI2HasAVerdictOnEveryField of the configuration and of what it is made of.
func TestFAPI2HasAVerdictOnEveryField(t *testing.T) {
	as := accesstokentest.NewServer(t)
	ofConfig := func(change func(*accesstoken.Config)) []string {
		config := fapiConfig(t, as)
		change(&config)
		return faultsOf(config)
	}
	ofIssuer := func(change func(*accesstoken.Issuer)) []string {
		return ofConfig(func(c *accesstoken.Config) { change(&c.Issuers[0]) })
	}
	ofClient := func(change func(*introspection.Config)) []string {
		config := introspection.Config{Endpoint: "https://as.example/introspect", ClientID: "api", ClientSecret: "secret"}
		change(&config)
		return ofIssuer(func(i *accesstoken.Issuer) { i.Introspection = testkit.Must(introspection.NewClient(config)) })
	}
	ofKeys := func(change func(*jwks.Config)) []string {
		config := jwks.Config{URL: "https://as.example/jwks"}
		change(&config)
		return ofIssuer(func(i *accesstoken.Issuer) { i.Keys = testkit.Must(jwks.NewCache(config)) })
	}
	ofVerifier := func(change func(*dpop.Config)) []string {
		config := dpop.Config{URLs: []string{resource}, Algorithms: []string{"ES256", "PS256"}}
		change(&config)
		return ofConfig(func(c *accesstoken.Config) { c.DPoP = testkit.Must(dpop.NewVerifier(config)) })
	}
	rsaKey, p256, p384 := testkit.Must(rsa.GenerateKey(rand.Reader, 2048)), testkit.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), testkit.Must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	secretFrom := func(context.Context) (string, error) { return "secret", nil }
	asserts := func(key crypto.Signer, algorithm string) func(*introspection.Config) {
		return func(c *introspection.Config) {
			c.ClientSecret, c.AuthMethod, c.ClientKey, c.ClientKeyAlgorithm, c.Issuer = "", introspection.PrivateKeyJWT, key, algorithm, as.URL
		}
	}
	signed := func(algorithms ...string) func(*introspection.Config) {
		return func(c *introspection.Config) { c.Issuer, c.Keys, c.Algorithms = as.URL, noKeys{}, algorithms }
	}
	metadata := func(alg jwkset.ALG) func(*jwks.Config) {
		return func(c *jwks.Config) {
			key := testkit.Must(jwkset.NewJWKFromKey(rsaKey.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{ALG: alg}}))
			c.URL, c.Issuer, c.MetadataKeys = "", as.URL, jwks.Static(key)
		}
	}
	const minute = time.Minute

	judge(t, map[string][]judged[accesstoken.Config]{
		"Resource": {{withoutEffect, func(c *accesstoken.Config) { c.Resource = "another" }}},
		"Audience": {{withoutEffect, func(c *accesstoken.Config) { c.Audience = []string{"urn:a"} }}},
		"Issuers": {
			{allowed, func(c *accesstoken.Config) {
				c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: "https://a.example", MaxLifetime: minute})
			}},
			{isFault, func(c *accesstoken.Config) {
				c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: "https://a.example"})
			}},
		},
		"Leeway": {
			{allowed, func(c *accesstoken.Config) { c.Leeway = minute }},
			{isFault, func(c *accesstoken.Config) { c.Leeway = minute + 1 }}, {isFault, func(c *accesstoken.Config) { c.Leeway = -1 }},
		},
		"ACROrder":    {{withoutEffect, func(c *accesstoken.Config) { c.ACROrder = []string{"a"} }}},
		"DetailTypes": {{withoutEffect, func(c *accesstoken.Config) { c.DetailTypes = map[string]accesstoken.DetailType{"a": {}} }}},
		"DraftRARMetadataRemediation": {{withoutEffect, func(c *accesstoken.Config) {
			c.DraftRARMetadataRemediation, c.DetailTypes = true, map[string]accesstoken.DetailType{"a": {}}
		}}},
		"DraftRARReferenceKey": {{withoutEffect, func(c *accesstoken.Config) {
			c.DraftRARMetadataRemediation, c.DetailTypes = true, map[string]accesstoken.DetailType{"a": {}}
			c.DraftRARReferenceKey = make([]byte, 32)
		}}},
		"ScopeImplies": {{withoutEffect, func(c *accesstoken.Config) { c.ScopeImplies = map[string][]string{"a": {"b"}} }}},
		"DPoP": {
			{allowed, func(c *accesstoken.Config) { c.DPoP = nil }}, // tokens may be bound to certificates
			{isFault, func(c *accesstoken.Config) { c.DPoP = verifierFor(t, "RS256") }},
		},
		"ForwardedCertificate": {{allowed, func(c *accesstoken.Config) {
			c.ForwardedCertificate = accesstoken.ForwardedCertificate{Format: accesstoken.EnvoyField, UnixSocket: true}
		}}},
		"FAPI2":               {{allowed, func(c *accesstoken.Config) { c.FAPI2 = true }}},
		"Realm":               {{withoutEffect, func(c *accesstoken.Config) { c.Realm = "another" }}},
		"HTTPClient":          {{allowed, func(c *accesstoken.Config) { c.HTTPClient = nil }}}, // its TLS is up to the caller
		"PublicAddressesOnly": {{allowed, func(c *accesstoken.Config) { c.HTTPClient, c.PublicAddressesOnly = nil, true }}},
		"ResolveIssuer": {{allowed, func(c *accesstoken.Config) {
			c.ResolveIssuer = func(context.Context, string) (*accesstoken.Issuer, error) { return nil, nil }
		}}}, // what it returns is checked
		"Authenticate": {{isFault, func(c *accesstoken.Config) {
			c.Authenticate = func(context.Context, *http.Request) (accesstoken.Identity, error) { return accesstoken.Identity{}, nil }
		}}},
		"TokenField":   {{isFault, func(c *accesstoken.Config) { c.TokenField, c.DPoP = "X-Token", nil }}},
		"Metadata":     {{withoutEffect, func(c *accesstoken.Config) { c.Metadata = &resourcemetadata.Metadata{} }}},
		"MaxTokenSize": {{withoutEffect, func(c *accesstoken.Config) { c.MaxTokenSize = 64 << 10 }}},
		"Logger":       {{withoutEffect, func(c *accesstoken.Config) { c.Logger = nil }}},
		"Now":          {{withoutEffect, func(c *accesstoken.Config) { c.Now = time.Now }}},
		"OnDecide":     {{withoutEffect, func(c *accesstoken.Config) { c.OnDecide = func(context.Context, accesstoken.Decision) {} }}},
		"OnRefuse":     {{withoutEffect, func(c *accesstoken.Config) { c.OnRefuse = func(context.Context, *accesstoken.Error) {} }}},
	}, ofConfig)

	judge(t, map[string][]judged[accesstoken.Issuer]{
		"URL":         {{allowed, func(i *accesstoken.Issuer) { i.URL = "https://a.example" }}},
		"Name":        {{withoutEffect, func(i *accesstoken.Issuer) { i.Name = "a" }}},
		"Aliases":     {{withoutEffect, func(i *accesstoken.Issuer) { i.Aliases = []string{"a"} }}},
		"MetadataURL": {{allowed, func(i *accesstoken.Issuer) { i.MetadataURL = "https://a.example/m" }}},
		"JWKSURI":     {{allowed, func(i *accesstoken.Issuer) { i.JWKSURI = "https://a.example/jwks" }}},
		"Keys": {
			{allowed, func(i *accesstoken.Issuer) { i.Keys = jwks.Static(as.Keys()...) }},
			{isFault, func(i *accesstoken.Issuer) {
				i.Keys = testkit.Must(jwks.NewCache(jwks.Config{URL: "http://a.example", DangerouslyAllowHTTP: true}))
			}},
		},
		"HTTPClient":   {{allowed, func(i *accesstoken.Issuer) { i.HTTPClient = as.Client() }}},
		"ReadyWithout": {{withoutEffect, func(i *accesstoken.Issuer) { i.ReadyWithout = true }}},
		"Introspection": {
			{allowed, func(i *accesstoken.Issuer) { i.Introspection = newIntrospection(t, as) }},
			{isFault, func(i *accesstoken.Issuer) { i.Introspection = keptIntrospection(t, as, minute, minute) }},
		},
		"AlwaysIntrospect": {{allowed, func(i *accesstoken.Issuer) {
			i.AlwaysIntrospect, i.Introspection, i.MaxLifetime = true, newIntrospection(t, as), 0
		}}},
		"TokenPrefix": {{withoutEffect, func(i *accesstoken.Issuer) { i.Introspection, i.TokenPrefix = newIntrospection(t, as), "a" }}},
		"Audience":    {{withoutEffect, func(i *accesstoken.Issuer) { i.Audience = []string{"urn:a"} }}},
		"Algorithms": {
			{allowed, func(i *accesstoken.Issuer) { i.Algorithms = []string{"PS256", "ES256", "EdDSA", "Ed25519"} }},
			{isFault, func(i *accesstoken.Issuer) { i.Algorithms = []string{"RS256"} }}, {isFault, func(i *accesstoken.Issuer) { i.Algorithms = []string{"ES256", "ES384"} }},
		},
		"Profile": {{allowed, func(i *accesstoken.Issuer) { i.Profile = accesstoken.Keycloak }}},
		"Dialect": {{allowed, func(i *accesstoken.Issuer) { i.Dialect = &dialect.Dialect{ScopeArray: true} }}},
		"Clients": {{allowed, func(i *accesstoken.Issuer) { i.Clients = []string{"a"} }}},
		"Tenants": {{allowed, func(i *accesstoken.Issuer) {
			i.Profile, i.URL, i.JWKSURI, i.Tenants = accesstoken.EntraV2, "https://a.example/1", "https://a.example/jwks", []string{"1"}
		}}},
		"Demand": {{allowed, func(i *accesstoken.Issuer) { i.Demand = map[string][]string{"a": {"b"}} }}},
		"Accept": {{allowed, func(i *accesstoken.Issuer) { i.Accept = func(context.Context, accesstoken.Claims) error { return nil } }}},
		"MaxAge": {{allowed, func(i *accesstoken.Issuer) { i.MaxAge = time.Hour }}},
		"MaxLifetime": {
			{allowed, func(i *accesstoken.Issuer) { i.MaxLifetime = 10 * minute }},
			{isFault, func(i *accesstoken.Issuer) { i.MaxLifetime = 10*minute + 1 }}, {isFault, func(i *accesstoken.Issuer) { i.MaxLifetime = 0 }},
		},
		"SingleAudience":              {{allowed, func(i *accesstoken.Issuer) { i.SingleAudience = true }}},
		"Relax":                       {{allowed, func(i *accesstoken.Issuer) { i.Relax = accesstoken.Relax{Typ: true} }}},
		"DangerouslyAllowHTTP":        {{isFault, func(i *accesstoken.Issuer) { i.DangerouslyAllowHTTP = true }}},
		"DangerouslyAcceptNoAudience": {{isFault, func(i *accesstoken.Issuer) { i.DangerouslyAcceptNoAudience = true }}},
	}, ofIssuer)

	judge(t, map[string][]judged[introspection.Config]{
		"Endpoint": {
			{allowed, func(c *introspection.Config) { c.Endpoint = "http://127.0.0.1/introspect" }},
			{isFault, func(c *introspection.Config) {
				c.Endpoint, c.DangerouslyAllowHTTP = "http://as.example/introspect", true
			}},
		},
		"ClientID":         {{withoutEffect, func(c *introspection.Config) { c.ClientID = "another" }}},
		"ClientSecret":     {{withoutEffect, func(c *introspection.Config) { c.ClientSecret = "another" }}},
		"ClientSecretFrom": {{withoutEffect, func(c *introspection.Config) { c.ClientSecret, c.ClientSecretFrom = "", secretFrom }}},
		"AuthMethod": {
			{allowed, func(c *introspection.Config) { c.AuthMethod = introspection.ClientSecretPost }}, {allowed, asserts(p256, "")},
			{isFault, func(c *introspection.Config) {
				c.AuthMethod, c.ClientSecret, c.Issuer = introspection.ClientSecretJWT, strings.Repeat("s", 32), as.URL
			}},
		},
		"ClientKey":          {{allowed, asserts(rsaKey, "")}, {allowed, asserts(p256, "")}, {isFault, asserts(p384, "")}},
		"ClientKeyID":        {{withoutEffect, func(c *introspection.Config) { asserts(p256, "")(c); c.ClientKeyID = "a" }}},
		"ClientKeyAlgorithm": {{allowed, asserts(rsaKey, "PS256")}, {isFault, asserts(rsaKey, "RS256")}, {isFault, asserts(rsaKey, "PS512")}},
		"ClientCertificate": {{allowed, func(c *introspection.Config) {
			holder := newHolder(t)
			c.AuthMethod, c.ClientSecret, c.ClientCertificate = introspection.TLSClientAuth, "", &holder.certificate
		}}},
		"BearerToken": {{allowed, func(c *introspection.Config) {
			c.AuthMethod, c.ClientSecret, c.BearerToken = introspection.Bearer, "", secretFrom
		}}},
		"Issuer":     {{withoutEffect, func(c *introspection.Config) { c.Issuer = as.URL }}},
		"Keys":       {{allowed, signed("ES256")}, {isFault, signed()}},
		"Algorithms": {{allowed, signed("PS256", "ES256", "EdDSA", "Ed25519")}, {isFault, signed("ES256", "RS256")}},
		"Timeout":    {{withoutEffect, func(c *introspection.Config) { c.Timeout = minute }}},
		"CacheFor": {
			{allowed, func(c *introspection.Config) { c.CacheFor = 10 * minute }}, {isFault, func(c *introspection.Config) { c.CacheFor = 10*minute + 1 }},
		},
		"DangerouslyServeStaleFor": {{isFault, func(c *introspection.Config) { c.CacheFor, c.DangerouslyServeStaleFor = minute, 1 }}},
		"Store":                    {{allowed, shareAnswers}},
		"StoreKey":                 {{allowed, shareAnswers}},
		"OnStoreError":             {{withoutEffect, func(c *introspection.Config) { shareAnswers(c); c.OnStoreError = func(error) {} }}},
		"RequireTokenType":         {{withoutEffect, func(c *introspection.Config) { c.RequireTokenType = true }}},
		"HTTPClient":               {{allowed, func(c *introspection.Config) { c.HTTPClient = as.Client() }}},
		"DangerouslyAllowHTTP":     {{withoutEffect, func(c *introspection.Config) { c.DangerouslyAllowHTTP = true }}}, // the Endpoint is https
	}, ofClient)

	judge(t, map[string][]judged[jwks.Config]{
		"URL": {
			{allowed, func(c *jwks.Config) { c.URL = "http://127.0.0.1/jwks" }},
			{isFault, func(c *jwks.Config) { c.URL, c.DangerouslyAllowHTTP = "http://as.example/jwks", true }},
		},
		"Issuer":               {{allowed, func(c *jwks.Config) { c.URL, c.Issuer = "", as.URL }}},
		"MetadataURL":          {{allowed, func(c *jwks.Config) { c.URL, c.Issuer, c.MetadataURL = "", as.URL, "https://as.example/m" }}},
		"MetadataKeys":         {{allowed, metadata("PS256")}, {isFault, metadata("RS256")}, {isFault, metadata("")}},
		"SameOrigin":           {{allowed, func(c *jwks.Config) { c.URL, c.Issuer, c.SameOrigin = "", as.URL, true }}},
		"HTTPClient":           {{allowed, func(c *jwks.Config) { c.HTTPClient = as.Client() }}},
		"PublicAddressesOnly":  {{allowed, func(c *jwks.Config) { c.PublicAddressesOnly = true }}},
		"DangerouslyAllowHTTP": {{isFault, func(c *jwks.Config) { c.DangerouslyAllowHTTP = true }}},
		"Logger":               {{withoutEffect, func(c *jwks.Config) { c.Logger = slog.New(slog.DiscardHandler) }}},
		"OnFetch":              {{withoutEffect, func(c *jwks.Config) { c.OnFetch = func(jwks.Fetch) {} }}},
		"File":                 {{allowed, func(c *jwks.Config) { c.File = filepath.Join(t.TempDir(), "keys") }}},
		"RefreshAfter":         {{allowed, func(c *jwks.Config) { c.RefreshAfter = minute }}},
		"UsableFor":            {{allowed, func(c *jwks.Config) { c.UsableFor = 7 * 24 * time.Hour }}},
		"MissCooldown":         {{withoutEffect, func(c *jwks.Config) { c.MissCooldown = minute }}},
		"WithdrawAfter":        {{allowed, func(c *jwks.Config) { c.WithdrawAfter = minute }}},
		"FetchTimeout":         {{withoutEffect, func(c *jwks.Config) { c.FetchTimeout = minute }}},
		"WaitTimeout":          {{withoutEffect, func(c *jwks.Config) { c.WaitTimeout = minute }}},
	}, ofKeys)

	judge(t, map[string][]judged[dpop.Config]{
		"URLs": {{allowed, func(c *dpop.Config) { c.URLs = []string{"https://a.example", "http://127.0.0.1"} }}},
		"Algorithms": {
			{allowed, func(c *dpop.Config) { c.Algorithms = []string{"PS256", "ES256", "EdDSA", "Ed25519"} }},
			{isFault, func(c *dpop.Config) { c.Algorithms = []string{"ES256", "RS256"} }},
		},
		"MaxAge": {{allowed, func(c *dpop.Config) { c.MaxAge = 10 * minute }}},
		"Leeway": {
			{allowed, func(c *dpop.Config) { c.Leeway = minute }}, {isFault, func(c *dpop.Config) { c.Leeway = -1 }}, {isFault, func(c *dpop.Config) { c.Leeway = 10*time.Second - 1 }},
		},
		"Store":         {{allowed, func(c *dpop.Config) { c.Store = dpop.NewMemory(1) }}},
		"NonceKey":      {{allowed, func(c *dpop.Config) { c.NonceKey = make([]byte, 32) }}},
		"NonceLifetime": {{allowed, func(c *dpop.Config) { c.NonceKey, c.NonceLifetime = make([]byte, 32), time.Hour }}},
		"Now":           {{withoutEffect, func(c *dpop.Config) { c.Now = time.Now }}},
	}, ofVerifier)
}

func shareAnswers(c *introspection.Config) {
	c.CacheFor, c.Store, c.StoreKey = time.Minute, noStore{}, make([]byte, 32)
}

func fapiConfig(t *testing.T, as *accesstokentest.Server) accesstoken.Config {
	t.Helper()
	return accesstoken.Config{
		Resource:   resource,
		FAPI2:      true,
		DPoP:       verifierFor(t, "ES256", "PS256", "EdDSA", "Ed25519"),
		Issuers:    []accesstoken.Issuer{{URL: as.URL, MaxLifetime: 10 * time.Minute}},
		HTTPClient: as.Client(),
		Logger:     slog.New(slog.DiscardHandler),
	}
}

// TestFAPI2HoldsOnEveryRoute: no Policy has to demand it, and Check does as well.
func TestFAPI2HoldsOnEveryRoute(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { *c = fapiConfig(t, as) })
	es256 := map[string]any{"typ": "at+jwt", "alg": "ES256"}
	bearer := as.Sign(es256, as.Claims(nil))
	for _, policy := range []accesstoken.Policy{{}, {Scopes: scopes.None()}, {SenderConstrained: true}} {
		_, err := v.Authorize(t.Context(), accesstoken.Bearer(bearer), policy)
		wantReason(t, err, accesstoken.BindingRequired)
		claims, _ := accesstoken.FromContext(accesstokentest.NewContext(t.Context(), nil))
		wantReason(t, v.Check(t.Context(), claims, policy), accesstoken.BindingRequired)
		token := as.Sign(es256, as.Claims(accesstokentest.Claims{"cnf": client.cnf(true, false)}))
		sent := sending{dpop: true, proof: "right"}.request(t, token, client, client)
		if _, err := v.Authorize(t.Context(), accesstoken.CredentialsOf(sent), policy); err != nil {
			t.Errorf("a bound token: got %v; want nil", err)
		}
	}
}

// TestFAPI2RefusesRS256 in tokens and in proofs, by the defaults, and keys that are
// too short.
func TestFAPI2RefusesRS256(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { *c = fapiConfig(t, as) })
	for alg, want := range map[string]accesstoken.Reason{
		"RS256": accesstoken.AlgorithmNotAllowed, "PS384": accesstoken.AlgorithmNotAllowed, "ES384": accesstoken.AlgorithmNotAllowed,
		"ES256": "", "PS256": "", "EdDSA": "", "Ed25519": "",
	} {
		token := as.Sign(map[string]any{"typ": "at+jwt", "alg": alg}, as.Claims(accesstokentest.Claims{"cnf": client.cnf(true, false)}))
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, token, client, client)))
		if want == "" && err != nil {
			t.Errorf("%s: got %v; want nil", alg, err)
		} else if want != "" {
			wantReason(t, err, want)
		}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ofRSA, err := dpop.NewSigner(rsaKey) // signs with PS256
	if err != nil {
		t.Fatal(err)
	}
	ofP384, err := dpop.NewSigner(p384)
	if err != nil {
		t.Fatal(err)
	}
	for signer, want := range map[*dpop.Signer]accesstoken.Reason{ofRSA: "", ofP384: accesstoken.DPoPProofInvalid} {
		sender := holder{signer: signer}
		token := as.Sign(map[string]any{"typ": "at+jwt", "alg": "ES256"}, as.Claims(accesstokentest.Claims{"cnf": sender.cnf(true, false)}))
		r := httptest.NewRequest("GET", "/orders", nil)
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", sender.proof(t, "GET", "/orders", token))
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r))
		if want == "" && err != nil {
			t.Errorf("a proof that is allowed: got %v; want nil", err)
		} else if want != "" {
			wantReason(t, err, want)
		}
	}
}

// TestFAPI2WithBothLimits: what an introspection answer leaves out, the JWT has said, and
// what it says is held to the MaxLifetime as well.
func TestFAPI2WithBothLimits(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		*c = fapiConfig(t, as)
		c.Issuers[0].AlwaysIntrospect, c.Issuers[0].Introspection = true, newIntrospection(t, as)
	})
	for name, test := range map[string]struct {
		said accesstokentest.Claims
		want accesstoken.Reason
	}{
		"all":           {nil, ""},
		"no iat":        {accesstokentest.Claims{"iat": nil}, ""},
		"no exp":        {accesstokentest.Claims{"exp": nil}, ""},
		"no aud":        {accesstokentest.Claims{"aud": nil}, ""},
		"a longer life": {accesstokentest.Claims{"iat": time.Now().Add(-time.Hour).Unix()}, accesstoken.ClaimInvalid},
		"a later end":   {accesstokentest.Claims{"exp": time.Now().Add(time.Hour).Unix()}, ""}, // the earlier one counts
	} {
		claims := as.Claims(accesstokentest.Claims{"cnf": client.cnf(true, false)})
		token := as.Sign(map[string]any{"typ": "at+jwt", "alg": "ES256"}, claims)
		said := accesstokentest.Claims{"cnf": claims["cnf"]}
		maps.Copy(said, test.said)
		as.Remember(token, said)
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, token, client, client)))
		var refused *accesstoken.Error
		if errors.As(err, &refused); (err == nil) != (test.want == "") || err != nil && refused.Reason != test.want {
			t.Errorf("%s: got %v; want %q", name, err, test.want)
		}
	}
}
