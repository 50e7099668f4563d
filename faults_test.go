package accesstoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// A password, and what else a configuration holds that no line may show.
const hidden = "hunter2canary"

// A fault is one thing that is wrong with a Config, and what the line about it
// has to say: the field, and what was expected or is to be done.
type fault[C any] struct {
	name   string
	field  string
	advice string
	change func(*C)
	alone  bool // it goes with no other fault of the table
}

// checkFaults builds a Config with each of the faults by itself, which has to
// give one line, and with all of them that go together, which has to give a line
// for each.
func checkFaults[C any](t *testing.T, prefix string, good func() C, faults []fault[C], build func(C) error) {
	t.Helper()
	together, several := good(), []fault[C]{}
	for _, f := range faults {
		one := good()
		f.change(&one)
		lines := linesOf(build(one))
		if len(lines) != 1 || !f.isIn(lines[0]) {
			t.Errorf("%s: got %q; want one line that names %s and says %q", f.name, lines, f.field, f.advice)
		}
		checkLines(t, f.name, prefix, lines)
		if !f.alone {
			f.change(&together)
			several = append(several, f)
		}
	}
	lines := linesOf(build(together))
	checkLines(t, "all together", prefix, lines)
	if len(lines) != len(several) {
		t.Errorf("all together: got %d lines; want one for each of %d faults:\n%s", len(lines), len(several), strings.Join(lines, "\n"))
	}
	for _, f := range several {
		at := slices.IndexFunc(lines, f.isIn)
		if at < 0 {
			t.Errorf("all together: got no line that names %s and says %q", f.field, f.advice)
			continue
		}
		lines = slices.Delete(lines, at, at+1)
	}
}

func (f fault[C]) isIn(line string) bool {
	return strings.Contains(line, f.field) && strings.Contains(line, f.advice)
}

func linesOf(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func checkLines(t *testing.T, name, prefix string, lines []string) {
	t.Helper()
	for _, line := range lines {
		if !strings.HasPrefix(line, prefix) || strings.Contains(line, hidden) || strings.ContainsAny(line, "\r\x00") || len(line) > 400 {
			t.Errorf("%s: got the line %q; want it to begin with %q, to be short and to keep secrets", name, line, prefix)
		}
	}
}

// withIssuer appends an issuer that is good but for what change does to it.
func withIssuer(change func(*accesstoken.Issuer)) func(*accesstoken.Config) {
	return func(c *accesstoken.Config) {
		issuer := accesstoken.Issuer{URL: fmt.Sprintf("https://%d.example", len(c.Issuers))}
		change(&issuer)
		c.Issuers = append(c.Issuers, issuer)
	}
}

// badURLs are what no URL of a configuration may be, each with a secret in it
// where there is room for one.
var badURLs = []struct{ name, url, advice string }{
	{"malformed", "https://" + hidden + "%zz", "cannot be parsed"},
	{"with a password", "https://api:" + hidden + "@a.example", "must not carry user information"},
	{"relative", "a.example", "is not an absolute https URL"},
	{"of another scheme", "ftp://a.example", "is not an absolute https URL"},
	{"with a fragment", "https://a.example#" + hidden, "must not have a fragment"},
	{"plain http", "http://a.example", "is not https; plain http is refused except on a loopback host"},
}

// namedKeys are key sources that differ.
type namedKeys struct {
	noKeys
	name string
}

func TestEveryFaultOfAConfigurationIsALine(t *testing.T) {
	type config = accesstoken.Config
	type issuer = accesstoken.Issuer
	client, err := introspection.NewClient(goodIntrospection())
	if err != nil {
		t.Fatal(err)
	}
	faults := []fault[config]{
		{"no resource", "Resource", "name this resource server", func(c *config) { c.Resource, c.Realm = "", "r" }, false},
		{"a realm that no header can hold", "Realm", "is not printable ASCII; set Realm", func(c *config) { c.Realm = "a\r\nSet-Cookie: b" }, true},
		{"a resource that is no realm", "Realm", "is not printable ASCII; set Realm", func(c *config) { c.Resource = "ä" }, true},
		{"an empty audience", "Audience", "leave it nil for the default", func(c *config) { c.Audience = []string{} }, false},
		{"an audience of nothing", "Audience", "has an empty element", func(c *config) { c.Audience = []string{"a", ""} }, true},
		{"a clock that is far off", "Leeway", "the maximum is 5m0s", func(c *config) { c.Leeway = 5*time.Minute + 1 }, false},
		{"a client that connects as it likes", "PublicAddressesOnly and HTTPClient", "exclude each other", func(c *config) { c.PublicAddressesOnly, c.HTTPClient = true, http.DefaultClient }, false},
		{"no issuer", "Issuers", "name the authorization server", func(c *config) { c.Issuers = nil }, true},

		{"no URL", "URL", "is empty", withIssuer(func(i *issuer) { i.URL = "" }), false},
		{"a query", "URL", "an issuer identifier has none", withIssuer(func(i *issuer) { i.URL += "/?" + hidden }), false},
		{"keys and their place", "Keys", "set one of them", withIssuer(func(i *issuer) { i.Keys, i.JWKSURI = namedKeys{name: "a"}, "https://a.example/jwks" }), false},
		{"keys and metadata", "Keys", "set one of them", withIssuer(func(i *issuer) { i.Keys, i.MetadataURL = namedKeys{name: "b"}, "https://a.example/m" }), false},
		{"two places", "JWKSURI is set, so MetadataURL", "set one of them", withIssuer(func(i *issuer) { i.JWKSURI, i.MetadataURL = "https://a.example/jwks", "https://a.example/m" }), false},
		{"the nil of a failed constructor", "Keys", "did its constructor fail?", withIssuer(func(i *issuer) { i.Keys = (*jwks.Cache)(nil) }), false},
		{"a set without keys", "Keys", "needs a key", withIssuer(func(i *issuer) { i.Keys = jwks.Static() }), false},
		{"no keyfunc", "Keys", "the keyfunc is nil", withIssuer(func(i *issuer) { i.Keys = jwks.FromKeyfunc(nil) }), false},
		{"an empty audience of an issuer", "Audience", "leave it nil for the default", withIssuer(func(i *issuer) { i.Audience = []string{} }), false},
		{"an audience of nothing of an issuer", "Audience", "has an empty element", withIssuer(func(i *issuer) { i.Audience = []string{""} }), false},
		{"no algorithm", "Algorithms", "leave it nil for the default", withIssuer(func(i *issuer) { i.Algorithms = []string{} }), false},
		{"none", "Algorithms", "choose among [RS256", withIssuer(func(i *issuer) { i.Algorithms = []string{"RS256", "none"} }), false},
		{"HMAC", "Algorithms", "choose among [RS256", withIssuer(func(i *issuer) { i.Algorithms = []string{"HS256"} }), false},
		{"no client", "Clients", "leave it nil for the default", withIssuer(func(i *issuer) { i.Clients = []string{} }), false},
		{"a client of nothing", "Clients", "has an empty element", withIssuer(func(i *issuer) { i.Clients = []string{"a", ""} }), false},
		{"nobody to introspect", "AlwaysIntrospect", "set Introspection as well", withIssuer(func(i *issuer) { i.AlwaysIntrospect = true }), false},
		{"a prefix of nothing", "TokenPrefix", "set Introspection as well", withIssuer(func(i *issuer) { i.TokenPrefix = "x" }), false},
		{"an unknown profile", "Profile", "is unknown", withIssuer(func(i *issuer) { i.Profile = 99 }), false},
		{"relaxed beside a profile", "Relax", "is for the profile RFC9068", withIssuer(func(i *issuer) { i.Profile, i.Relax.JTI = accesstoken.Zitadel, true }), false},
		{"tenants", "Tenants", "is for the profiles of Entra ID", withIssuer(func(i *issuer) { i.Tenants = []string{"x"} }), false},

		{"one issuer twice", "URL", "both have the URL", func(c *config) {
			c.Issuers = append(c.Issuers, issuer{URL: "https://twin.example"}, issuer{URL: "https://twin.example"})
		}, false},
		{"tokens that nothing tells apart", "TokenPrefix", "do not tell their tokens apart", func(c *config) {
			c.Issuers = append(c.Issuers, issuer{URL: "https://c.example", Introspection: client, TokenPrefix: "at_"}, issuer{URL: "https://d.example", Introspection: client, TokenPrefix: "at_2"})
		}, false},
		{"one source of keys for two", "Keys", "either could sign for the other", func(c *config) {
			c.Issuers = append(c.Issuers, issuer{URL: "https://e.example", Keys: namedKeys{name: "c"}}, issuer{URL: "https://f.example", Keys: namedKeys{name: "c"}})
		}, false},
	}
	for _, bad := range badURLs {
		faults = append(faults,
			fault[config]{"URL " + bad.name, "URL", bad.advice, withIssuer(func(i *issuer) { i.URL = bad.url }), false},
			fault[config]{"MetadataURL " + bad.name, "MetadataURL", bad.advice, withIssuer(func(i *issuer) { i.MetadataURL = bad.url }), false},
			fault[config]{"JWKSURI " + bad.name, "JWKSURI", bad.advice, withIssuer(func(i *issuer) { i.JWKSURI = bad.url }), false},
		)
	}
	good := func() config {
		return config{Resource: "r", Issuers: []issuer{{URL: "https://good.example"}}}
	}
	checkFaults(t, "accesstoken: ", good, faults, func(c config) error {
		v, err := accesstoken.NewValidator(c)
		if err == nil {
			_ = v.Close()
		}
		return err
	})
}

func TestEveryFaultOfOneIssuerIsALine(t *testing.T) {
	_, err := accesstoken.NewValidator(accesstoken.Config{Resource: "r", Issuers: []accesstoken.Issuer{{
		URL: "https://api:" + hidden + "@a.example/?x", MetadataURL: "http://a.example", JWKSURI: "https://" + hidden + "%zz", Keys: (*jwks.Cache)(nil),
		Audience: []string{}, Algorithms: []string{"none", "HS256"}, Clients: []string{""}, AlwaysIntrospect: true, TokenPrefix: "x",
		Profile: accesstoken.Zitadel, Relax: accesstoken.Relax{Typ: true}, Tenants: []string{"x"},
	}}})
	lines := linesOf(err)
	checkLines(t, "one issuer", `accesstoken: Issuers[0] "https://a.example/": `, lines)
	for _, want := range []string{
		"URL: ", "MetadataURL: ", "JWKSURI: ", "Keys is set", "JWKSURI is set", "Keys: ", "Audience is set", `"none" is not supported`, `"HS256" is not supported`,
		"Clients has an empty", "AlwaysIntrospect asks", "TokenPrefix is for", "Relax is for", "Tenants is for",
	} {
		at := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, `": `+want) || strings.Contains(line, want+";") })
		if at < 0 {
			t.Errorf("got no line that says %q; want one", want)
			continue
		}
		lines = slices.Delete(lines, at, at+1)
	}
	if len(lines) != 0 {
		t.Errorf("got the lines %q as well; want none of them", lines)
	}
}

func goodIntrospection() introspection.Config {
	return introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "api", ClientSecret: hidden}
}

// noStore is a store that is empty.
type noStore struct{}

func (noStore) Get(context.Context, string) ([]byte, error)              { return nil, nil }
func (noStore) Set(context.Context, string, []byte, time.Duration) error { return nil }

func TestEveryFaultOfAnIntrospectionConfigurationIsALine(t *testing.T) {
	type config = introspection.Config
	method := func(m introspection.AuthMethod, change func(*config)) func(*config) {
		return func(c *config) {
			c.AuthMethod, c.ClientSecret, c.Issuer = m, "", "https://a.example"
			change(c)
		}
	}
	bearer := func(context.Context) (string, error) { return hidden, nil }
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	faults := []fault[config]{
		{"no endpoint", "Endpoint", "is empty", func(c *config) { c.Endpoint = "" }, true},
		{"no client", "ClientID", "needs it to authenticate this client", func(c *config) { c.ClientID = "" }, false},
		{"no secret", "ClientSecret", "needs it", func(c *config) { c.ClientSecret = "" }, false},
		{"a key that is not used", "ClientKey is set", "leave it out, or set AuthMethod to private_key_jwt", func(c *config) { c.ClientKey = key }, false},
		{"the name of a key", "ClientKeyID", "leave it out, or set AuthMethod to private_key_jwt", func(c *config) { c.ClientKeyID = "k" }, false},
		{"the algorithm of a key", "ClientKeyAlgorithm", "leave it out, or set AuthMethod to private_key_jwt", func(c *config) { c.ClientKeyAlgorithm = "PS256" }, false},
		{"a certificate that is not shown", "ClientCertificate", "leave it out, or set AuthMethod to tls_client_auth", func(c *config) { c.ClientCertificate = new(tls.Certificate) }, false},
		{"a token that is not sent", "BearerToken", "leave it out, or set AuthMethod to Bearer", func(c *config) { c.BearerToken = bearer }, false},
		{"a time that has passed", "Timeout", "leave it zero for 5 s", func(c *config) { c.Timeout = -1 }, false},
		{"a long memory", "CacheFor", "the maximum is 1h0m0s", func(c *config) { c.CacheFor = time.Hour + 1 }, false},
		{"a negative memory", "CacheFor", "the maximum is 1h0m0s", func(c *config) { c.CacheFor = -1 }, true},
		{"answers that are old", "DangerouslyServeStaleFor", "the maximum is 15m0s", func(c *config) {
			c.CacheFor, c.DangerouslyServeStaleFor = max(c.CacheFor, time.Minute), 15*time.Minute+1
		}, false},
		{"answers from before time", "DangerouslyServeStaleFor", "the maximum is 15m0s", func(c *config) { c.DangerouslyServeStaleFor = -1 }, true},
		{"old answers that nobody kept", "DangerouslyServeStaleFor", "set CacheFor as well", func(c *config) { c.DangerouslyServeStaleFor = time.Minute }, true},
		{"the key of no store", "StoreKey", "are for Store; set it as well", func(c *config) { c.StoreKey = []byte(hidden) }, false},
		{"complaints about no store", "OnStoreError", "are for Store; set it as well", func(c *config) { c.OnStoreError = func(error) {} }, true},
		{"a store without a key", "Store", "StoreKey to 32 random bytes or more", func(c *config) { c.Store, c.CacheFor, c.StoreKey = noStore{}, time.Minute, []byte(hidden) }, true},
		{"a store of nothing", "Store", "set CacheFor", func(c *config) { c.Store, c.StoreKey = noStore{}, make([]byte, 32) }, true},
		{"a store for anybody", "Store", "needs ClientID", method(introspection.Bearer, func(c *config) {
			c.BearerToken, c.ClientID, c.Store, c.CacheFor, c.StoreKey = bearer, "", noStore{}, time.Minute, make([]byte, 32)
		}), true},
		{"an unknown method", "AuthMethod", "use client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth, self_signed_tls_client_auth or Bearer", func(c *config) { c.AuthMethod = "none" }, true},
		{"no key", "ClientKey", "private_key_jwt needs it", method(introspection.PrivateKeyJWT, func(*config) {}), true},
		{"a key of another kind", "ClientKey", "set one of RSA (2048 to 8192 bits), P-256, P-384, P-521 or Ed25519", method(introspection.PrivateKeyJWT, func(c *config) { c.ClientKey = small }), true},
		{"an algorithm of another key", "ClientKeyAlgorithm", "leave it empty to use the key's own", method(introspection.PrivateKeyJWT, func(c *config) { c.ClientKey, c.ClientKeyAlgorithm = key, "PS256" }), true},
		{"nobody to sign for", "Issuer", "as the audience of the JWT that it signs", method(introspection.PrivateKeyJWT, func(c *config) { c.ClientKey, c.Issuer = key, "" }), true},
		{"a short secret", "ClientSecret", "must have 32 bytes or more", method(introspection.ClientSecretJWT, func(c *config) { c.ClientSecret = hidden }), true},
		{"no token", "BearerToken", "Bearer needs it", method(introspection.Bearer, func(*config) {}), true},
		{"no certificate", "ClientCertificate", "set it, or an HTTPClient whose transport has one", method(introspection.TLSClientAuth, func(*config) {}), true},
		{"a client without a certificate", "HTTPClient", "set one in the TLSClientConfig", method(introspection.TLSClientAuth, func(c *config) { c.HTTPClient = new(http.Client) }), true},
		{"a certificate without a key", "ClientCertificate", "load both with tls.X509KeyPair", method(introspection.TLSClientAuth, func(c *config) { c.ClientCertificate = new(tls.Certificate) }), true},
		{"a certificate and a client", "HTTPClient", "leave one out", method(introspection.SelfSignedTLSClientAuth, func(c *config) { c.ClientCertificate, c.HTTPClient = new(tls.Certificate), new(http.Client) }), true},
		{"signed by nobody", "Issuer", "the iss of signed answers is checked", func(c *config) { c.Keys = noKeys{} }, true},
		{"signed for nobody", "ClientID", "the aud of signed answers is checked", method(introspection.Bearer, func(c *config) { c.BearerToken, c.ClientID, c.Keys = bearer, "", noKeys{} }), true},
		{"the nil of a failed constructor", "Keys", "did its constructor fail?", func(c *config) { c.Issuer, c.Keys = "https://a.example", (*jwks.Cache)(nil) }, true},
		{"a set without keys", "Keys", "needs a key", func(c *config) { c.Issuer, c.Keys = "https://a.example", jwks.Static() }, true},
	}
	for i, bad := range badURLs {
		faults = append(faults,
			fault[config]{"Endpoint " + bad.name, "Endpoint", bad.advice, func(c *config) { c.Endpoint = bad.url }, i > 0},
			fault[config]{"Issuer " + bad.name, "Issuer", bad.advice, func(c *config) { c.Issuer = bad.url }, i > 0},
		)
	}
	checkFaults(t, "introspection: ", goodIntrospection, faults, func(c config) error {
		_, err := introspection.NewClient(c)
		return err
	})
}

func TestEveryFaultOfAKeyConfigurationIsALine(t *testing.T) {
	type config = jwks.Config
	const day = 24 * time.Hour
	faults := []fault[config]{
		{"no place", "URL and Issuer", "is required", func(c *config) { c.URL = "" }, true},
		{"an issuer with a query", "issuer", "must not have a query", func(c *config) { c.URL, c.Issuer = "", "https://a.example?"+hidden }, true},
		{"keys of the metadata that are none", "MetadataKeys", "needs a key", func(c *config) { c.URL, c.Issuer, c.MetadataKeys = "", "https://a.example", jwks.Static() }, true},
		{"metadata that is not read", "MetadataURL", "with URL set no metadata is read", func(c *config) { c.MetadataURL = "https://a.example/m" }, false},
		{"an origin that is not looked at", "SameOrigin", "with URL set no metadata is read", func(c *config) { c.SameOrigin = true }, true},
		{"asking too seldom", "RefreshAfter", "want 100ms to 24h0m0s", func(c *config) { c.RefreshAfter, c.UsableFor = day+1, 2*day }, true},
		{"asking too often", "RefreshAfter", "want 100ms to 24h0m0s", func(c *config) { c.RefreshAfter = time.Millisecond }, false},
		{"ending before it is asked", "RefreshAfter", "must be less than UsableFor", func(c *config) { c.RefreshAfter, c.UsableFor = time.Hour, time.Hour }, true},
		{"trusting for ever", "UsableFor", "want 100ms to 168h0m0s", func(c *config) { c.UsableFor = 7*day + 1 }, false},
		{"trusting never", "UsableFor", "want 100ms to 168h0m0s", func(c *config) { c.UsableFor = time.Millisecond }, true},
		{"trusting before time", "UsableFor", "want 100ms to 168h0m0s", func(c *config) { c.UsableFor = -1 }, true},
		{"a flood", "MissCooldown", "want 100ms to 1h0m0s", func(c *config) { c.MissCooldown = 1 }, false},
		{"a withdrawal without end", "WithdrawAfter", "want 100ms to 1m0s", func(c *config) { c.WithdrawAfter = time.Hour }, false},
		{"a fetch without end", "FetchTimeout", "want 100ms to 5m0s", func(c *config) { c.FetchTimeout = time.Hour }, false},
		{"a wait without end", "WaitTimeout", "want 10ms to 1m0s", func(c *config) { c.WaitTimeout = time.Hour }, false},
		{"a wait of nothing", "WaitTimeout", "want 10ms to 1m0s", func(c *config) { c.WaitTimeout = -1 }, true},
		{"a client that connects as it likes", "PublicAddressesOnly and HTTPClient", "exclude each other", func(c *config) { c.PublicAddressesOnly, c.HTTPClient = true, http.DefaultClient }, false},
	}
	for i, bad := range badURLs {
		faults = append(faults,
			fault[config]{"URL " + bad.name, "URL", bad.advice, func(c *config) { c.URL = bad.url }, i > 0},
			fault[config]{"Issuer " + bad.name, "issuer", bad.advice, func(c *config) { c.URL, c.Issuer = "", bad.url }, true},
			fault[config]{"MetadataURL " + bad.name, "metadata URL", bad.advice, func(c *config) { c.URL, c.Issuer, c.MetadataURL = "", "https://a.example", bad.url }, true},
		)
	}
	checkFaults(t, "jwks: ", func() config { return config{URL: "https://a.example/jwks"} }, faults, func(c config) error {
		cache, err := jwks.NewCache(c)
		if err == nil {
			_ = cache.Close()
		}
		return err
	})
}
