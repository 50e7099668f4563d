package accesstoken_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
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

// A program that makes the same mistake for thousands of tenants gets a list that it can
// print, and not one of all pairs.
func TestAMistakeOfAllIssuersIsOneFaultOfEach(t *testing.T) {
	client, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	keys := jwks.Static(accesstokentest.NewServer(t).Keys()...)
	for name, of := range map[string]func(url string) accesstoken.Issuer{
		"Name":        func(url string) accesstoken.Issuer { return accesstoken.Issuer{URL: url, Name: "a"} },
		"Keys":        func(url string) accesstoken.Issuer { return accesstoken.Issuer{URL: url, Keys: keys} },
		"TokenPrefix": func(url string) accesstoken.Issuer { return accesstoken.Issuer{URL: url, Introspection: client} },
	} {
		var issuers []accesstoken.Issuer
		for n := range 1_000 {
			issuers = append(issuers, of(fmt.Sprintf("https://tenant-%d.example", n)))
		}
		_, err := accesstoken.NewValidator(accesstoken.Config{Resource: "r", Issuers: issuers})
		if err == nil || strings.Count(err.Error(), "\n") != 998 || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %.500v; want 999 faults", name, err)
		}
	}
	var issuers []accesstoken.Issuer
	for n, prefix := range []string{"a_1", "b_", "a_", "a_2"} { // the third collides with the first and the fourth
		issuers = append(issuers, accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%d.example", n), Introspection: client, TokenPrefix: prefix})
	}
	_, err = accesstoken.NewValidator(accesstoken.Config{Resource: "r", Issuers: issuers})
	if err == nil || !strings.Contains(err.Error(), "Issuers[0] and Issuers[2]") || !strings.Contains(err.Error(), "Issuers[2] and Issuers[3]") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v; want the two pairs that collide", err)
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

// The caller may go on using what it gave: every list and map of a configuration is
// overwritten here once the Validator is made, and nothing changes.
func TestTheConfigurationIsCopied(t *testing.T) {
	as, client, stranger := accesstokentest.NewServer(t), newHolder(t), newHolder(t)
	const tenant = "11111111-1111-1111-1111-111111111111"
	httpClient := *as.Client()
	config := accesstoken.Config{
		Resource: resource, Audience: []string{"urn:a", "urn:b"}, HTTPClient: &httpClient, Logger: slog.New(slog.DiscardHandler),
		ScopeImplies: map[string][]string{"admin": {"read"}}, ACROrder: []string{"weak", "strong"},
		DetailTypes: map[string]accesstoken.DetailType{"detail": {AbsentIsAny: []string{"actions"}}},

		DraftRARMetadataRemediation: true, DraftRARReferenceKey: bytes.Repeat([]byte("k"), 32),
		ForwardedCertificate: accesstoken.ForwardedCertificate{
			Format: accesstoken.ClientCertField, Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		},
		Issuers: []accesstoken.Issuer{
			{URL: as.URL, Aliases: []string{"alias"}, Algorithms: []string{"RS256"}, Clients: []string{"client"}, Demand: map[string][]string{"team": {"red"}}},
			{URL: "https://login.example/" + tenant + "/", JWKSURI: as.JWKSURI(), Audience: []string{"urn:c"}, Profile: accesstoken.EntraV2, Tenants: []string{tenant}},
		},
	}
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if httpClient.CheckRedirect != nil {
		t.Error("NewValidator changed the caller's HTTP client")
	}
	overwrite(t, "Config", reflect.ValueOf(config))
	httpClient = http.Client{Transport: http.NewFileTransport(http.Dir("/"))}

	entra := map[string]any{"iss": "https://login.example/" + tenant + "/", "tid": tenant, "ver": "2.0", "azp": "app", "uti": "a", "scp": "read", "aud": "urn:c"}
	for _, test := range []struct {
		name   string
		header map[string]any
		claims accesstokentest.Claims
		want   accesstoken.Reason
	}{
		{"as it was configured", nil, nil, ""},
		{"the second audience", nil, accesstokentest.Claims{"aud": "urn:b"}, ""},
		{"an alias", nil, accesstokentest.Claims{"iss": "alias"}, ""},
		{"a certificate behind the proxy", nil, accesstokentest.Claims{"cnf": client.cnf(false, true)}, ""},
		{"the certificate of another client", nil, accesstokentest.Claims{"cnf": stranger.cnf(false, true)}, accesstoken.BindingMismatch},
		{"a tenant", map[string]any{"typ": "JWT"}, entra, ""},
		{"another algorithm", map[string]any{"alg": "ES256"}, nil, accesstoken.AlgorithmNotAllowed},
		{"another audience", nil, accesstokentest.Claims{"aud": "overwritten"}, accesstoken.AudienceMismatch},
		{"another client", nil, accesstokentest.Claims{"client_id": "overwritten"}, accesstoken.ClaimInvalid},
		{"another team", nil, accesstokentest.Claims{"team": "overwritten"}, accesstoken.ClaimInvalid},
		{"another issuer", nil, accesstokentest.Claims{"iss": "overwritten"}, accesstoken.IssuerUnknown},
		{"another scope", nil, accesstokentest.Claims{"scope": "overwritten"}, accesstoken.ScopeInsufficient},
	} {
		header := map[string]any{"typ": "at+jwt", "alg": "RS256"}
		maps.Copy(header, test.header)
		claims := accesstokentest.Claims{"aud": "urn:a", "client_id": "client", "team": "red", "scope": "admin", "acr": "strong", "authorization_details": []object{{"type": "detail"}}}
		maps.Copy(claims, test.claims)
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "192.0.2.7:443"
		r.Header = http.Header{"Authorization": {"Bearer " + as.Sign(header, as.Claims(claims))}, "Client-Cert": {client.field()}}
		_, err := v.Authorize(t.Context(), accesstoken.CredentialsOf(r), accesstoken.Policy{Scopes: scopes.Any("read", "granted"), ACR: []string{"weak"},
			Details: []accesstoken.DetailRequirement{{Type: "detail", Actions: []string{"a"}}}})
		if test.want == "" && err != nil {
			t.Errorf("%s: got %v; want it accepted", test.name, err)
		} else if test.want != "" {
			wantReason(t, err, test.want)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "198.51.100.7:443"
	r.Header = http.Header{"Client-Cert": {client.field()}, "Authorization": {"Bearer " + as.Token(accesstokentest.Claims{
		"aud": "urn:a", "client_id": "client", "team": "red", "cnf": client.cnf(false, true),
	})}}
	_, err = v.Validate(t.Context(), accesstoken.CredentialsOf(r))
	wantReason(t, err, accesstoken.BindingMismatch)
}

// overwrite changes every element of the lists and maps in a configuration.
func overwrite(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type().PkgPath() != reflect.TypeFor[accesstoken.Config]().PkgPath() {
			return
		}
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				overwrite(t, name+"."+field.Name, v.Field(i))
			}
		}
	case reflect.Map:
		if v.IsNil() {
			return
		}
		for _, key := range v.MapKeys() {
			overwrite(t, name, v.MapIndex(key))
		}
		if v.Type().Elem() == reflect.TypeFor[[]string]() {
			v.SetMapIndex(reflect.ValueOf("overwritten"), reflect.ValueOf([]string{"read"}))
		} else {
			v.SetMapIndex(reflect.ValueOf("overwritten"), reflect.Zero(v.Type().Elem()))
		}
	case reflect.Slice:
		for i := range v.Len() {
			switch element := v.Index(i); value := element.Addr().Interface().(type) {
			case *string:
				*value = "overwritten"
			case *byte:
				*value = 'o'
			case *netip.Prefix:
				*value = netip.MustParsePrefix("198.51.100.0/24")
			case *accesstoken.Issuer:
				overwrite(t, fmt.Sprintf("%s[%d]", name, i), element)
				*value = accesstoken.Issuer{URL: "overwritten"}
			default:
				t.Fatalf("%s: got %T, which this test does not overwrite", name, value)
			}
		}
	}
}

// Every list and map of Config and Issuer is one that the test above fills.
func TestEveryListOfAConfigurationIsKnownToTheTestOfItsCopy(t *testing.T) {
	known := []string{"Audience", "Issuers", "ScopeImplies", "ACROrder", "DetailTypes", "DraftRARReferenceKey", "Aliases", "Algorithms", "Clients", "Tenants", "Demand", "Proxies"}
	for _, of := range []reflect.Type{reflect.TypeFor[accesstoken.Config](), reflect.TypeFor[accesstoken.Issuer](), reflect.TypeFor[accesstoken.ForwardedCertificate]()} {
		for i := range of.NumField() {
			field := of.Field(i)
			if kind := field.Type.Kind(); (kind == reflect.Slice || kind == reflect.Map) && !slices.Contains(known, field.Name) {
				t.Errorf("%v.%s is not in TestTheConfigurationIsCopied", of, field.Name)
			}
		}
	}
}

func TestMaxTokenSizeIsTheSizeOfTheLargestToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for setting, most := range map[int]int{0: 16 << 10, 2000: 2000, 20_000: 20_000, 64 << 10: 64 << 10} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.MaxTokenSize = setting })
		largest := tokenOfSize(t, as, most)
		for _, when := range []string{"new", "again"} {
			claims, err := v.Validate(t.Context(), accesstoken.Bearer(largest))
			var private struct {
				Pad  string `json:"pad"`
				Last string `json:"last"`
			}
			if err == nil {
				err = claims.Decode(&private)
			}
			if err != nil || private.Last != "z" || len(private.Pad) == 0 {
				t.Errorf("MaxTokenSize %d, a token of %d bytes, %s: got %d bytes of pad, %v; want it accepted and read whole", setting, most, when, len(private.Pad), err)
			}
		}
		for _, token := range []string{tokenOfSize(t, as, most+1), strings.Repeat("a", most+1), strings.Repeat("a", 1<<20)} {
			_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			refused := wantReason(t, err, accesstoken.TokenTooLarge)
			if want := fmt.Sprintf("at most %d bytes", most); !strings.Contains(refused.Error(), want) {
				t.Errorf("MaxTokenSize %d: got %q; want it to say %q", setting, refused, want)
			}
		}
	}
	for _, setting := range []int{-1, 64<<10 + 1, math.MaxInt, math.MinInt} {
		lines := faultsOf(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: as.URL}}, MaxTokenSize: setting})
		if want := fmt.Sprintf("MaxTokenSize is %d; expected at most 65536", setting); len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("MaxTokenSize %d: got %q; want one fault that says %q", setting, lines, want)
		}
	}
}

// tokenOfSize returns a good token of exactly so many bytes. Base64 leaves some sizes
// out, which a longer kid makes up for.
func tokenOfSize(t *testing.T, as *accesstokentest.Server, size int) string {
	t.Helper()
	claims := as.Claims(accesstokentest.Claims{"last": "z"})
	for extra := range 4 {
		header := map[string]any{"typ": "at+jwt", "alg": "RS256", "x": strings.Repeat("x", extra)}
		claims["pad"] = ""
		pad := (size - len(as.Sign(header, claims))) / 4 * 3
		for ; pad < size; pad++ {
			claims["pad"] = strings.Repeat("p", pad)
			token := as.Sign(header, claims)
			if len(token) == size {
				return token
			}
			if len(token) > size {
				break
			}
		}
	}
	t.Fatalf("no token has %d bytes", size)
	return ""
}

// A showing client adds a secret to each request, as one for the API server of a
// Kubernetes cluster does.
type showing struct {
	next   http.RoundTripper
	secret string
}

func (s showing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", s.secret)
	return s.next.RoundTrip(r)
}

func TestTheClientOfOneIssuerShowsNothingToAnother(t *testing.T) {
	cluster, other := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	var mu sync.Mutex
	seen := map[string][]string{}
	for name, as := range map[string]*accesstokentest.Server{"cluster": cluster, "other": other} {
		for _, path := range []string{accesstokentest.OAuthMetadataPath, accesstokentest.OpenIDMetadataPath, accesstokentest.JWKSPath} {
			next := as.Endpoint(path)
			as.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen[name] = append(seen[name], r.Header.Get("Authorization"))
				mu.Unlock()
				next.ServeHTTP(w, r)
			}))
		}
	}
	v := newValidator(t, cluster, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{
			{URL: cluster.URL, HTTPClient: &http.Client{Transport: showing{cluster.Client().Transport, "Bearer ours"}}},
			{URL: other.URL},
		}
	})
	if err := v.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	good(t, v, cluster.Token(nil))
	good(t, v, other.Token(nil))
	if want := []string{"Bearer ours", "Bearer ours"}; !slices.Equal(seen["cluster"], want) {
		t.Errorf("the issuer with the client: got %q; want %q", seen["cluster"], want)
	}
	if want := []string{"", ""}; !slices.Equal(seen["other"], want) {
		t.Errorf("the other issuer: got %q; want %q", seen["other"], want)
	}
	wantOneFault(t, "HTTPClient beside Keys", []accesstoken.Issuer{{URL: cluster.URL, Keys: jwks.Static(cluster.Keys()...), HTTPClient: http.DefaultClient}},
		"HTTPClient fetches metadata and keys", "set one of them")
	lines := faultsOf(accesstoken.Config{Resource: resource, PublicAddressesOnly: true, Issuers: []accesstoken.Issuer{{URL: cluster.URL, HTTPClient: http.DefaultClient}}})
	if len(lines) != 1 || !strings.Contains(lines[0], "Issuers[0]") || !strings.Contains(lines[0], "HTTPClient and Config.PublicAddressesOnly exclude each other") {
		t.Errorf("HTTPClient beside PublicAddressesOnly: got %q; want one fault", lines)
	}
}

// downIssuer is one that nothing listens for.
const downIssuer = "https://127.0.0.1:1"

func TestReadyDoesNotWaitForAnIssuerThatItCanDoWithout(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, without := range []bool{false, true} {
		v := newValidator(t, as, func(c *accesstoken.Config) {
			c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: downIssuer, ReadyWithout: without})
		})
		warm := v.Warm(t.Context())
		if got := allIssuerErrors(warm); !slices.Equal(got, []string{downIssuer}) {
			t.Errorf("ReadyWithout %t, Warm: got %v; want an error of %s alone", without, warm, downIssuer)
		}
		good(t, v, as.Token(nil))
		ready := v.Ready()
		var one *accesstoken.IssuerError
		switch {
		case without && ready != nil:
			t.Errorf("ReadyWithout: got %v; want nil", ready)
		case !without && (!errors.As(ready, &one) || one.Issuer != downIssuer || one.Err == nil || !strings.Contains(ready.Error(), one.Err.Error())):
			t.Errorf("without ReadyWithout: got %v; want an IssuerError of %s", ready, downIssuer)
		}
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iss": downIssuer})))
		if !errors.Is(err, accesstoken.Unavailable) {
			t.Errorf("a token of the issuer that is down: got %v; want Unavailable", err)
		}
	}
}

// Ready begins the fetch for an issuer that it does not wait for.
func TestReadyAsksForTheKeysOfAnIssuerThatItCanDoWithout(t *testing.T) {
	source := &slow{}
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Keys, c.Issuers[0].ReadyWithout, c.HTTPClient = source, true, nil
	})
	if err := v.Ready(); err != nil || source.asked.Load() != 1 {
		t.Errorf("got %v, asked %d times; want nil, and asked once", err, source.asked.Load())
	}
}

func TestAnIssuerErrorTellsIssuersApart(t *testing.T) {
	as, broken := accesstokentest.NewServer(t), errors.New("broken")
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = append(c.Issuers,
			accesstoken.Issuer{URL: "https://login.example/{tenantid}/", Keys: &slow{fails: broken}, Profile: accesstoken.EntraV2, Tenants: []string{"1", "2"}},
			accesstoken.Issuer{URL: "https://b.example", Keys: &slow{fails: broken}},
		)
	})
	want := []string{"https://b.example", "https://login.example/{tenantid}/"} // one for all tenants, who share the keys
	for name, err := range map[string]error{"Warm": v.Warm(t.Context()), "Ready": v.Ready()} {
		if got := allIssuerErrors(err); !slices.Equal(got, want) || !errors.Is(err, broken) {
			t.Errorf("%s: got %q in %v; want %q, and the cause", name, got, err, want)
		}
		var first *accesstoken.IssuerError
		if !errors.As(err, &first) || first.Issuer != want[1] {
			t.Errorf("%s: got %v first; want that of the first in Config.Issuers", name, first)
		}
	}
}

// A slow key source takes a second to be warm, counts who waits for it, and fails as it
// is told.
type slow struct {
	noKeys
	now, most *atomic.Int64 // sources that are being warmed; may be nil
	asked     atomic.Int64
	fails     error
}

func (s *slow) Warm(ctx context.Context) error {
	s.asked.Add(1)
	if s.now == nil {
		return s.fails
	}
	defer s.now.Add(-1)
	for now := s.now.Add(1); now > s.most.Load(); {
		s.most.Store(now)
	}
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.fails
}

func (s *slow) Ready() error {
	s.asked.Add(1)
	return s.fails
}

func TestWarmAsksAtMostSixteenIssuersAtOnce(t *testing.T) {
	const issuers = 1000
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		sources := make([]*slow, issuers)
		config := accesstoken.Config{Resource: resource, Logger: slog.New(slog.DiscardHandler)}
		for n := range sources {
			sources[n] = &slow{now: &now, most: &most}
			config.Issuers = append(config.Issuers, accesstoken.Issuer{URL: fmt.Sprintf("https://%d.example", n), Keys: sources[n]})
		}
		asked := func() (count int) {
			for _, source := range sources {
				count += int(source.asked.Swap(0))
			}
			return count
		}
		v, err := accesstoken.NewValidator(config)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		began := time.Now()
		if err := v.Warm(t.Context()); err != nil {
			t.Error(err)
		}
		if got, want := time.Since(began), 63*time.Second; got != want { // the 1000 in groups of 16, a second each
			t.Errorf("got %v; want %v", got, want)
		}
		if got := asked(); got != issuers || most.Load() != 16 {
			t.Errorf("got %d issuers asked, %d at once; want %d, 16", got, most.Load(), issuers)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		failed := allIssuerErrors(v.Warm(ctx))
		if got := asked(); got != 32 || len(failed) != issuers-16 {
			t.Errorf("a context that ends in the second group: got %d asked, %d failed; want 32, and all but the first 16", got, len(failed))
		}
		began = time.Now()
		if err := v.Ready(); err != nil || time.Since(began) != 0 {
			t.Errorf("Ready: got %v after %v; want nil at once", err, time.Since(began))
		}
	})
}

func TestUnkeyedLiteralsAreIllegal(t *testing.T) {
	for _, value := range []any{accesstoken.Config{}, accesstoken.Issuer{}, accesstoken.Policy{}, accesstoken.Claims{}, accesstoken.Credentials{}} {
		first := reflect.TypeOf(value).Field(0)
		if first.Name != "_" || first.Type != reflect.TypeFor[[0]func()]() {
			t.Errorf("%T: got the first field %v; want _ [0]func(), so that fields can be added", value, first)
		}
	}
}
