package accesstoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

func TestAWrongConfigurationIsRefusedWithEveryFaultNamed(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	privateJWK, err := jwkset.NewJWKFromKey(private, jwkset.JWKOptions{Marshal: jwkset.JWKMarshalOptions{Private: true}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	shared := jwks.FromKeyfunc(nil)
	issuer := func(i accesstoken.Issuer) accesstoken.Config {
		if i.URL == "" {
			i.URL = "https://a.example"
		}
		return accesstoken.Config{Resource: "r", Issuers: []accesstoken.Issuer{i}}
	}
	for _, test := range []struct {
		name   string
		config accesstoken.Config
		want   []string
	}{
		{"nothing at all", accesstoken.Config{}, []string{"Resource is empty", "Issuers is empty"}},
		{"several at once", accesstoken.Config{Realm: "ä", Leeway: time.Hour, Audience: []string{}, Issuers: []accesstoken.Issuer{{}}},
			[]string{"Resource is empty", "Realm", "Leeway is 1h0m0s", "Audience is set but empty", "URL: the URL is empty"}},
		{"public addresses, and a client that connects as it likes", accesstoken.Config{Resource: "r", PublicAddressesOnly: true, HTTPClient: http.DefaultClient,
			Issuers: []accesstoken.Issuer{{URL: "https://a.example"}}}, []string{"exclude each other"}},
		{"plain http", issuer(accesstoken.Issuer{URL: "http://a.example"}), []string{"not https"}},
		{"a query", issuer(accesstoken.Issuer{URL: "https://a.example?x=1"}), []string{"has a query"}},
		{"a fragment", issuer(accesstoken.Issuer{URL: "https://a.example#x"}), []string{"fragment"}},
		{"no URL", issuer(accesstoken.Issuer{URL: "a.example"}), []string{"not an absolute https URL"}},
		{"plain http keys", issuer(accesstoken.Issuer{JWKSURI: "http://a.example/jwks"}), []string{"JWKSURI", "not https"}},
		{"plain http metadata", issuer(accesstoken.Issuer{MetadataURL: "http://a.example/x"}), []string{"MetadataURL", "not https"}},
		{"keys twice", issuer(accesstoken.Issuer{Keys: jwks.Static(), JWKSURI: "https://a.example/jwks"}), []string{"Keys is set"}},
		{"a private key", issuer(accesstoken.Issuer{Keys: jwks.Static(privateJWK)}), []string{"Keys", "private"}},
		{"two private keys", issuer(accesstoken.Issuer{Keys: jwks.Static(privateJWK, privateJWK)}), []string{"key 0", "key 1"}},
		{"the nil of a failed NewCache", issuer(accesstoken.Issuer{Keys: (*jwks.Cache)(nil)}), []string{"is nil"}},
		{"one key source for two issuers", accesstoken.Config{Resource: "r", Issuers: []accesstoken.Issuer{
			{URL: "https://a.example", Keys: shared}, {URL: "https://b.example", Keys: shared}}},
			[]string{"either could sign for the other"}},
		{"a password", issuer(accesstoken.Issuer{URL: "https://user:canary@a.example"}), []string{"user information"}},
		{"HMAC", issuer(accesstoken.Issuer{Algorithms: []string{"HS256"}}), []string{`"HS256" is not supported`}},
		{"none", issuer(accesstoken.Issuer{Algorithms: []string{"none"}}), []string{`"none" is not supported`}},
		{"no algorithm", issuer(accesstoken.Issuer{Algorithms: []string{}}), []string{"Algorithms is set but empty"}},
		{"no client", issuer(accesstoken.Issuer{Clients: []string{}}), []string{"Clients is set but empty"}},
		{"an empty audience", issuer(accesstoken.Issuer{Audience: []string{""}}), []string{"Audience has an empty element"}},
		{"a prefix without introspection", issuer(accesstoken.Issuer{TokenPrefix: "x"}), []string{"set Introspection"}},
		{"tenants", issuer(accesstoken.Issuer{Tenants: []string{"x"}}), []string{"Tenants"}},
		{"an unknown profile", issuer(accesstoken.Issuer{Profile: 99}), []string{"Profile(99) is unknown"}},
		{"Relax beside a profile", issuer(accesstoken.Issuer{Profile: accesstoken.Zitadel, Relax: accesstoken.Relax{JTI: true}}), []string{"Relax is for the profile RFC9068", "Zitadel"}},
		{"one issuer twice", accesstoken.Config{Resource: "r", Issuers: []accesstoken.Issuer{{URL: "https://a.example"}, {URL: "https://a.example"}}},
			[]string{"Issuers[0] and Issuers[1]"}},
		{"opaque tokens that nothing tells apart", accesstoken.Config{Resource: "r", Issuers: []accesstoken.Issuer{
			{URL: "https://a.example", Introspection: client}, {URL: "https://b.example", Introspection: client, TokenPrefix: "b_"}}},
			[]string{"do not tell their tokens apart"}},
		{"prefixes of each other", accesstoken.Config{Resource: "r", Issuers: []accesstoken.Issuer{
			{URL: "https://a.example", Introspection: client, TokenPrefix: "b_1"}, {URL: "https://b.example", Introspection: client, TokenPrefix: "b_"}}},
			[]string{"do not tell their tokens apart"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, err := accesstoken.NewValidator(test.config)
			if err == nil {
				_ = v.Close()
				t.Fatal("got a Validator; want an error")
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("got %q; want no password in it", err)
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "accesstoken: ") {
					t.Errorf("got the line %q; want each to begin with the package's name", line)
				}
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q; want it to say %q", err, want)
				}
			}
		})
	}
}

func TestWhatIsAllowedOnPurpose(t *testing.T) {
	for name, config := range map[string]accesstoken.Config{
		"http on loopback":     {Resource: "r", Issuers: []accesstoken.Issuer{{URL: "http://127.0.0.1:8080/"}}},
		"http, dangerously":    {Resource: "r", Issuers: []accesstoken.Issuer{{URL: "http://a.example", DangerouslyAllowHTTP: true}}},
		"a resource of words":  {Resource: "the orders API", Issuers: []accesstoken.Issuer{{URL: "https://a.example"}}},
		"another realm":        {Resource: "ä", Realm: "a", Issuers: []accesstoken.Issuer{{URL: "https://a.example"}}},
		"any tenant id":        {Resource: "r", Issuers: []accesstoken.Issuer{{URL: "https://a.example", Profile: accesstoken.EntraV2, Tenants: []string{"az-09"}}}},
		"prefixes that differ": {Resource: "r", Issuers: []accesstoken.Issuer{{URL: "https://a.example"}, {URL: "https://a.example/"}}},
	} {
		v, err := accesstoken.NewValidator(config)
		if err != nil {
			t.Errorf("%s: got %v; want a Validator", name, err)
			continue
		}
		_ = v.Close()
	}
}

// The caller may go on using what it gave.
func TestTheConfigurationIsCopied(t *testing.T) {
	audience, algorithms, clients := []string{"a"}, []string{"ES256"}, []string{"c"}
	client := &http.Client{}
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: "r", HTTPClient: client, Issuers: []accesstoken.Issuer{{
		URL: "https://a.example", Audience: audience, Algorithms: algorithms, Clients: clients,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if client.CheckRedirect != nil || client.Transport != nil {
		t.Error("NewValidator changed the caller's HTTP client")
	}
}

func TestUnkeyedLiteralsAreIllegal(t *testing.T) {
	for _, value := range []any{accesstoken.Config{}, accesstoken.Issuer{}, accesstoken.Policy{}, accesstoken.Claims{}, accesstoken.Credentials{}} {
		first := reflect.TypeOf(value).Field(0)
		if first.Name != "_" || first.Type != reflect.TypeFor[[0]func()]() {
			t.Errorf("%T: got the first field %v; want _ [0]func(), so that fields can be added", value, first)
		}
	}
}
