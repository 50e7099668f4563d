package accesstoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

func proving(t *testing.T, algorithms ...string) *dpop.Verifier {
	t.Helper()
	v, err := dpop.NewVerifier(dpop.Config{URLs: []string{"https://api.example.com/"}, Algorithms: algorithms})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// published makes a Validator that fetches nothing, and returns it with its document.
func published(t *testing.T, change func(*accesstoken.Config)) (*accesstoken.Validator, string, string) {
	t.Helper()
	config := accesstoken.Config{
		Resource: resource,
		Issuers:  []accesstoken.Issuer{{URL: "https://login.example.com"}},
		Metadata: &resourcemetadata.Metadata{},
	}
	if change != nil {
		change(&config)
	}
	v, err := accesstoken.NewValidator(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	url, document := v.ResourceMetadata()
	return v, url, string(document)
}

// META-06, META-07, META-10, META-15 to META-17.
func TestTheDocumentSaysWhatIsEnforced(t *testing.T) {
	const servers = `"authorization_servers":["https://login.example.com"],`
	const header = `"bearer_methods_supported":["header"]`
	as := accesstokentest.NewServer(t)
	const named = `"resource":"https://api.example.com"`
	proxied := accesstoken.ForwardedCertificate{Format: accesstoken.ClientCertField, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	short := func(c *accesstoken.Config) { c.Issuers[0].MaxLifetime = 5 * 60e9 }
	for name, test := range map[string]struct {
		change func(*accesstoken.Config)
		want   string
	}{
		"as it is": {nil, "{" + servers + header + "," + named + "}"},
		"all fields": {func(c *accesstoken.Config) {
			*c.Metadata = resourcemetadata.Metadata{
				Name: "Orders", Documentation: "https://docs.example.com", Scopes: []string{"orders:read", "orders:write"}, ClientCertificates: true,
				Extra: map[string]any{"resource_name#it": "Ordini", "resource_policy_uri": "https://example.com/privacy", "x_limits": map[string]any{"n": json.Number("9007199254740993")}, "empty": []string{}, "no": false, "nil": nil, "text": "", "object": map[string]int{}},
			}
		}, "{" + servers + header + "," + named + `,"resource_documentation":"https://docs.example.com","resource_name":"Orders","resource_name#it":"Ordini","resource_policy_uri":"https://example.com/privacy","scopes_supported":["orders:read","orders:write"],"tls_client_certificate_bound_access_tokens":true,"x_limits":{"n":9007199254740993}}`},
		"an identifier of its own": {func(c *accesstoken.Config) {
			c.Resource, c.Metadata.Resource = "urn:orders", "https://api.example.com/mcp"
		}, "{" + servers + header + `,"resource":"https://api.example.com/mcp"}`},
		"the audience is not shown": {func(c *accesstoken.Config) { c.Audience = []string{"11111111-2222-3333-4444-555555555555"} }, "{" + servers + header + "," + named + "}"},
		"addresses are not shown": {func(c *accesstoken.Config) {
			c.Issuers[0].JWKSURI = "https://internal.example.com/jwks"
		}, "{" + servers + header + "," + named + "}"},
		"DPoP": {func(c *accesstoken.Config) { c.DPoP = proving(t, "ES256", "Ed25519") },
			"{" + servers + header + `,"dpop_signing_alg_values_supported":["ES256","Ed25519"],` + named + "}"},
		"certificates": {func(c *accesstoken.Config) { c.ForwardedCertificate = proxied },
			"{" + servers + header + "," + named + `,"tls_client_certificate_bound_access_tokens":true}`},
		"only DPoP": {func(c *accesstoken.Config) {
			c.FAPI2, c.DPoP = true, proving(t, "ES256")
			short(c)
		}, "{" + servers + `"bearer_methods_supported":[],"dpop_bound_access_tokens_required":true,"dpop_signing_alg_values_supported":["ES256"],` + named + "}"},
		"bound either way": {func(c *accesstoken.Config) {
			c.FAPI2, c.DPoP, c.ForwardedCertificate = true, proving(t, "ES256"), proxied
			short(c)
		}, "{" + servers + header + `,"dpop_signing_alg_values_supported":["ES256"],` + named + `,"tls_client_certificate_bound_access_tokens":true}`},
		"issuers of all kinds": {func(c *accesstoken.Config) {
			keys := func() accesstoken.KeySource { return jwks.Static(as.Keys()...) }
			c.Issuers = []accesstoken.Issuer{
				{URL: "https://second.example.com", Aliases: []string{"https://alias.example.com"}, MetadataURL: "https://internal.example.com/metadata"},
				{URL: "https://login.example.com"},
				{URL: "http://adfs.example.com/adfs/services/trust", Keys: keys()},
				{URL: "https://accounts.google.com", Profile: accesstoken.Google, Clients: []string{"app"}},
				{URL: "https://kubernetes.default.svc", Profile: accesstoken.Kubernetes},
				{URL: "https://token.actions.githubusercontent.com", Profile: accesstoken.CI, Demand: map[string][]string{"repository": {"a/b"}}},
				{URL: "spiffe://example.org", Profile: accesstoken.SPIFFE, Keys: keys()},
				{URL: "https://ids.example.com", Dialect: &dialect.Dialect{Name: "IDs", Types: []string{"jwt"}, IDTokens: true, Client: []string{"azp"}}, Clients: []string{"app"}},
				{URL: "https://login.microsoftonline.com/{tenantid}/v2.0", Profile: accesstoken.EntraV2, MetadataURL: "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration", Tenants: []string{"11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"}},
			}
		}, `{"authorization_servers":["https://second.example.com","https://login.example.com","https://login.microsoftonline.com/11111111-1111-1111-1111-111111111111/v2.0","https://login.microsoftonline.com/22222222-2222-2222-2222-222222222222/v2.0"],` + header + "," + named + "}"},
		"no authorization server": {func(c *accesstoken.Config) {
			c.Issuers[0] = accesstoken.Issuer{URL: "https://kubernetes.default.svc", Profile: accesstoken.Kubernetes}
		}, "{" + header + "," + named + "}"},
	} {
		t.Run(name, func(t *testing.T) {
			_, url, got := published(t, test.change)
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if !strings.HasPrefix(url, "https://api.example.com/.well-known/oauth-protected-resource") {
				t.Errorf("got the URL %s", url)
			}
		})
	}
}

func TestMetadataFaults(t *testing.T) {
	large := strings.Repeat("x", 64<<10)
	for name, test := range map[string]struct {
		change func(*accesstoken.Config)
		want   string
	}{
		"Resource is no URL": {func(c *accesstoken.Config) { c.Resource = "urn:api" }, "Metadata: \"urn:api\" is not an absolute https URL; set Metadata.Resource"},
		"fragment":           {func(c *accesstoken.Config) { c.Metadata.Resource = "https://a#b" }, "must not have a fragment; set Metadata.Resource"},
		"http":               {func(c *accesstoken.Config) { c.Metadata.Resource = "http://api.example.com" }, "is not https"},
		"TokenField":         {func(c *accesstoken.Config) { c.TokenField = "X-Token" }, "Metadata and TokenField exclude each other"},
		"offline_access":     {func(c *accesstoken.Config) { c.Metadata.Scopes = []string{"a", "offline_access"} }, "Metadata.Scopes has offline_access"},
		"scope":              {func(c *accesstoken.Config) { c.Metadata.Scopes = []string{"a b"} }, `Metadata.Scopes: "a b" is not a scope-token`},
		"no scopes":          {func(c *accesstoken.Config) { c.Metadata.Scopes = []string{} }, "Metadata.Scopes is set but empty"},
		"derived":            {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"resource": "https://b"} }, `Metadata.Extra has "resource", which follows from the Config`},
		"derived, tagged":    {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"resource#en": "https://b"} }, `Metadata.Extra has "resource#en", which follows from the Config`},
		"named":              {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"scopes_supported": []string{"a"}} }, "set Metadata.Scopes"},
		"named, in capitals": {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"Resource_Name": "a"} }, "set Metadata.Name"},
		"language":           {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"resource_name#it_IT": "a"} }, "a language tag behind a #"},
		"no name":            {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"": "a"} }, "expected a name"},
		"not JSON":           {func(c *accesstoken.Config) { c.Metadata.Extra = map[string]any{"f": func() {}} }, `Metadata.Extra["f"] cannot be written as JSON`},
		"too large":          {func(c *accesstoken.Config) { c.Metadata.Name = large }, "Metadata makes a document of 65"},
	} {
		t.Run(name, func(t *testing.T) {
			config := accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}, Metadata: &resourcemetadata.Metadata{}}
			test.change(&config)
			v, err := accesstoken.NewValidator(config)
			if v != nil || err == nil || !strings.Contains(err.Error(), test.want) || strings.Count(err.Error(), "\n") > 0 {
				t.Errorf("got %v; want one fault with %q", err, test.want)
			}
		})
	}
	v, _, _ := published(t, nil)
	_, err := v.ForResource(accesstoken.Resource{ID: "files", Metadata: &resourcemetadata.Metadata{Scopes: []string{"offline_access"}}})
	if err == nil || !strings.Contains(err.Error(), `Resource.Metadata: "files" is not an absolute https URL`) || !strings.Contains(err.Error(), "Resource.Metadata.Scopes has offline_access") {
		t.Errorf("ForResource: got %v; want both faults", err)
	}
}

// Each derived member of RFC 9728 §2 is refused in Extra, whatever its value.
func TestNoDerivedMemberCanBeWrittenByHand(t *testing.T) {
	for _, name := range []string{
		"resource", "authorization_servers", "bearer_methods_supported", "dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required",
		"tls_client_certificate_bound_access_tokens", "authorization_details_types_supported", "signed_metadata",
	} {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ReplaceAll(name, "s", "ſ") + "#it"} {
			if spelling == name+"#it" {
				continue
			}
			_, err := accesstoken.NewValidator(accesstoken.Config{
				Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}},
				Metadata: &resourcemetadata.Metadata{Extra: map[string]any{spelling: nil}},
			})
			if err == nil {
				t.Errorf("%s: got no fault", spelling)
			}
		}
	}
}

// reasonsInSource returns every Reason of this package.
func reasonsInSource(t *testing.T) (reasons []accesstoken.Reason) {
	t.Helper()
	source, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`Reason = "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		reasons = append(reasons, accesstoken.Reason(found[1]))
	}
	if len(reasons) < 30 {
		t.Fatalf("found %d reasons; want more", len(reasons))
	}
	return reasons
}

// META-08: each challenge of each scheme names the document, and a response without a
// challenge does not.
func TestEveryChallengeNamesTheDocument(t *testing.T) {
	v, url, _ := published(t, func(c *accesstoken.Config) { c.DPoP = proving(t, "ES256") })
	plain, _, _ := published(t, func(c *accesstoken.Config) { c.Metadata = nil })
	for _, reason := range reasonsInSource(t) {
		refused := v.Refuse(t.Context(), reason)
		lines := refused.Header().Values("WWW-Authenticate")
		if want := refused.HTTPStatus() < 500 && reason != accesstoken.PolicyDenied && reason != accesstoken.TransportInsecure && reason != accesstoken.OriginRefused; (lines != nil) != want {
			t.Errorf("%s: got the challenges %q", reason, lines)
		}
		for _, line := range lines {
			if strings.Count(line, `resource_metadata="`+url+`"`) != 1 {
				t.Errorf("%s: got %s; want one resource_metadata", reason, line)
			}
		}
		if lines == nil && strings.Contains(fmt.Sprint(refused.Header()), "resource_metadata") {
			t.Errorf("%s: got %v", reason, refused.Header())
		}
		if got := refused.Public().Params["resource_metadata"]; (got == url) != (lines != nil) { // META-19
			t.Errorf("%s: gRPC clients see the URL %q", reason, got)
		}
		for _, line := range plain.Refuse(t.Context(), reason).Header().Values("WWW-Authenticate") {
			if strings.Contains(line, "resource_metadata") {
				t.Errorf("%s, without Metadata: got %s", reason, line)
			}
		}
	}
	if got := v.Refuse(t.Context(), accesstoken.Deny("ACCOUNT_CLOSED", nil)).Header(); got.Get("WWW-Authenticate") != "" {
		t.Errorf("Deny: got %v; want no challenge", got)
	}
}

// META-09: the validator that refuses chooses the document.
func TestEachResourceHasADocumentOfItsOwn(t *testing.T) {
	v, url, _ := published(t, nil)
	files, err := v.ForResource(accesstoken.Resource{ID: "https://files.example.com/a", Metadata: &resourcemetadata.Metadata{Name: "Files"}, DPoP: proving(t, "ES256")})
	if err != nil {
		t.Fatal(err)
	}
	silent, err := v.ForResource(accesstoken.Resource{ID: "https://silent.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	place, document := files.ResourceMetadata()
	if want := `{"authorization_servers":["https://login.example.com"],"bearer_methods_supported":["header"],"dpop_signing_alg_values_supported":["ES256"],"resource":"https://files.example.com/a","resource_name":"Files"}`; string(document) != want {
		t.Errorf("got  %s\nwant %s", document, want)
	}
	mux := http.NewServeMux()
	for path, one := range map[string]*accesstoken.Validator{"GET /api": v, "GET /files": files, "GET /silent": silent} {
		mux.Handle(path, middleware.New(one, nil).Require(scopes.All("a")).Wrap(http.NotFoundHandler()))
	}
	for path, want := range map[string]string{"/api": url, "/files": place, "/silent": ""} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		lines := w.Result().Header.Values("WWW-Authenticate")
		if got := strings.Count(strings.Join(lines, "\n"), `resource_metadata="`+want+`"`); want != "" && got != len(lines) || want == "" && strings.Contains(lines[0], "resource_metadata") {
			t.Errorf("%s: got %q; want %q", path, lines, want)
		}
	}
	if place, document := silent.ResourceMetadata(); place != "" || document != nil {
		t.Errorf("without Metadata: got %q, %s", place, document)
	}
}

// D19: the document follows SetIssuers, at once and for the whole family.
func TestTheDocumentFollowsSetIssuers(t *testing.T) {
	v, _, before := published(t, nil)
	files, err := v.ForResource(accesstoken.Resource{ID: "https://files.example.com", Metadata: &resourcemetadata.Metadata{}})
	if err != nil {
		t.Fatal(err)
	}
	_, first := v.ResourceMetadata()
	if _, again := v.ResourceMetadata(); &first[0] != &again[0] {
		t.Error("the document was made twice")
	}
	if got := testing.AllocsPerRun(100, func() { v.ResourceMetadata() }); got != 0 {
		t.Errorf("got %v allocations; want none", got)
	}
	if err := v.SetIssuers(accesstoken.Issuer{URL: "https://new.example.com"}); err != nil {
		t.Fatal(err)
	}
	for _, one := range []*accesstoken.Validator{v, files} {
		if _, document := one.ResourceMetadata(); !strings.Contains(string(document), `"authorization_servers":["https://new.example.com"]`) {
			t.Errorf("got %s; want the new issuer", document)
		}
	}
	if string(first) != before {
		t.Error("the old document was changed")
	}
}

// META-17.
func TestALongListOfIssuersIsLeftOut(t *testing.T) {
	var log lockedBuffer
	v, _, _ := published(t, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	var issuers []accesstoken.Issuer
	for n := range 3000 {
		issuers = append(issuers, accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%d.example.com", n)})
	}
	if err := v.SetIssuers(issuers...); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			if _, document := v.ResourceMetadata(); string(document) != `{"bearer_methods_supported":["header"],"resource":"https://api.example.com"}` {
				t.Errorf("got %.200s; want no list", document)
			}
		})
	}
	wait.Wait()
	if got := strings.Count(log.String(), "does not list the authorization servers"); got != 1 {
		t.Errorf("got %d warnings in %q; want one", got, log.String())
	}
	if err := v.SetIssuers(issuers[:100]...); err != nil {
		t.Fatal(err)
	}
	if _, document := v.ResourceMetadata(); strings.Count(string(document), "https://tenant-") != 100 {
		t.Errorf("got %.200s; want 100 issuers", document)
	}
}

// The caller may change its own Metadata afterwards.
func TestMetadataIsCopied(t *testing.T) {
	m := &resourcemetadata.Metadata{Scopes: []string{"a"}, Extra: map[string]any{"list": []string{"a"}}}
	v, _, before := published(t, func(c *accesstoken.Config) { c.Metadata = m })
	m.Scopes[0], m.Name = "b", "b"
	m.Extra["list"].([]string)[0] = "b"
	m.Extra["more"] = "b"
	if err := v.SetIssuers(accesstoken.Issuer{URL: "https://login.example.com", Name: "renamed"}); err != nil {
		t.Fatal(err)
	}
	if _, document := v.ResourceMetadata(); string(document) != before {
		t.Errorf("got  %s\nwant %s", document, before)
	}
}

// A resolved issuer is not listed, because the list would grow with the tokens.
func TestResolvedIssuersAreNotListed(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		issuer := c.Issuers[0]
		c.ResolveIssuer = func(context.Context, string) (*accesstoken.Issuer, error) { return &issuer, nil }
		c.Issuers, c.Metadata = nil, &resourcemetadata.Metadata{}
	})
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil))); err != nil {
		t.Fatal(err)
	}
	if _, document := v.ResourceMetadata(); strings.Contains(string(document), "authorization_servers") {
		t.Errorf("got %s", document)
	}
}

// A hand signs, unless it is told to fail.
type hand struct {
	*ecdsa.PrivateKey
	signed atomic.Int32
	fails  atomic.Bool
	panics atomic.Bool
}

func (h *hand) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	switch {
	case h.fails.Load():
		return nil, errors.New("the KMS is down")
	case h.panics.Load():
		panic("the KMS is gone")
	}
	h.signed.Add(1)
	return h.PrivateKey.Sign(random, digest, opts)
}

// META-14: a client verifies what the server has signed, and the server signs again before
// it expires.
func TestSignedMetadata(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var clock testkit.Clock
	var log lockedBuffer
	signing := &hand{PrivateKey: key}
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	v, url, first := published(t, func(c *accesstoken.Config) {
		c.Resource, c.Now, c.Logger = server.URL, clock.Now, slog.New(slog.NewTextHandler(&log, nil))
		c.Metadata = &resourcemetadata.Metadata{Name: "Orders", Signer: &resourcemetadata.Signer{Key: signing, Algorithm: "ES256", KeyID: "k", Issuer: "https://signer.example.com"}}
	})
	server.Config.Handler = resourcemetadata.Handler(v)
	client := resourcemetadata.Client{
		HTTPClient: server.Client(), Now: clock.Now,
		Signers: map[string]resourcemetadata.KeySource{"https://signer.example.com": jwks.Static(testkit.Must(jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: "k", ALG: "ES256"}})))},
	}
	get := func() (*resourcemetadata.Document, error) { return client.Get(t.Context(), server.URL, url) }
	expect := func(when string, signatures int32, signedBy string) {
		t.Helper()
		got, err := get()
		if err != nil || got.Name != "Orders" || got.SignedBy != signedBy || got.AuthorizationServers[0] != "https://login.example.com" {
			t.Errorf("%s: got %+v, %v; want it signed by %q", when, got, err, signedBy)
		}
		if n := signing.signed.Load(); n != signatures {
			t.Errorf("%s: signed %d times; want %d", when, n, signatures)
		}
	}
	const by = "https://signer.example.com"
	expect("at first", 1, by)
	plain := map[string]any{}
	if err := json.Unmarshal([]byte(first), &plain); err != nil || len(strings.Split(plain["signed_metadata"].(string), ".")) != 3 {
		t.Errorf("got %s, %v", first, err)
	}
	clock.Advance(11 * time.Hour)
	expect("after 11 h", 1, by)
	clock.Advance(2 * time.Hour)
	expect("after 13 h", 2, by)
	signing.fails.Store(true)
	clock.Advance(23 * time.Hour)
	expect("while the signer fails", 2, by)
	expect("at once again", 2, by)
	if got := strings.Count(log.String(), "the KMS is down"); got != 1 {
		t.Errorf("got %d lines of the log; want one, because the next try is a minute away", got)
	}
	if err := v.SetIssuers(accesstoken.Issuer{URL: "https://login.example.com"}, accesstoken.Issuer{URL: "https://other.example.com"}); err != nil {
		t.Fatal(err)
	}
	expect("while the signer fails, with other issuers", 2, "")
	signing.fails.Store(false)
	signing.panics.Store(true)
	clock.Advance(2 * time.Hour)
	expect("when it has expired", 2, "")
	signing.panics.Store(false)
	clock.Advance(61 * time.Second)
	expect("a minute later", 3, by)
	if err := v.SetIssuers(accesstoken.Issuer{URL: "https://login.example.com"}, accesstoken.Issuer{URL: "https://new.example.com"}); err != nil {
		t.Fatal(err)
	}
	expect("with other issuers", 4, by)
}

// If the signer fails from the start, the document has no signature until it works.
func TestASignerThatFailsAtFirst(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var clock testkit.Clock
	signing := &hand{PrivateKey: key}
	signing.fails.Store(true)
	v, _, first := published(t, func(c *accesstoken.Config) {
		c.Now, c.Logger = clock.Now, slog.New(slog.DiscardHandler)
		c.Metadata = &resourcemetadata.Metadata{Signer: &resourcemetadata.Signer{Key: signing, Algorithm: "ES256"}}
	})
	signing.fails.Store(false)
	clock.Advance(61 * time.Second)
	_, second := v.ResourceMetadata()
	if strings.Contains(first, "signed_metadata") || !strings.Contains(string(second), "signed_metadata") {
		t.Errorf("got %s, then %s; want a signature in the second", first, second)
	}
}

func TestSignerFaults(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, signer := range map[string]resourcemetadata.Signer{
		"no key": {Algorithm: "ES256"}, "no algorithm": {Key: key}, "HMAC": {Key: key, Algorithm: "HS256"}, "another key": {Key: key, Algorithm: "RS256"}, "another curve": {Key: key, Algorithm: "ES384"},
	} {
		_, err := accesstoken.NewValidator(accesstoken.Config{
			Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}, Metadata: &resourcemetadata.Metadata{Signer: &signer},
		})
		if err == nil || !strings.Contains(err.Error(), "Metadata.Signer: Algorithm") {
			t.Errorf("%s: got %v; want a fault", name, err)
		}
	}
}

// The bound is 64 KiB: a document may have that many bytes.
func TestTheLargestDocument(t *testing.T) {
	named := func(bytes int) func(*accesstoken.Config) {
		return func(c *accesstoken.Config) { c.Metadata.Name = strings.Repeat("x", bytes) }
	}
	const without = `{"bearer_methods_supported":["header"],"resource":"https://api.example.com","resource_name":""}`
	const servers = `"authorization_servers":["https://login.example.com"],`
	most := 64<<10 - len(without)
	if _, _, document := published(t, named(most)); strings.Contains(document, "authorization_servers") || len(document) != 64<<10 {
		t.Errorf("got %d bytes; want 64 KiB, without the list", len(document))
	}
	if _, _, document := published(t, named(most-len(servers))); !strings.Contains(document, servers) || len(document) != 64<<10 {
		t.Errorf("got %d bytes; want 64 KiB, with the list", len(document))
	}
	config := accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}, Metadata: &resourcemetadata.Metadata{}}
	named(most + 1)(&config)
	if _, err := accesstoken.NewValidator(config); err == nil {
		t.Error("64 KiB and a byte: got no fault")
	}
}

// A signed document has its members twice, and is not longer than 64 KiB all the same,
// because clients would refuse it.
func TestTheLargestSignedDocument(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer := &resourcemetadata.Signer{Key: key, Algorithm: "ES256"}
	config := accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{URL: "https://login.example.com"}}}
	config.Metadata = &resourcemetadata.Metadata{Name: strings.Repeat("x", 40<<10), Signer: signer}
	if _, err := accesstoken.NewValidator(config); err == nil || !strings.Contains(err.Error(), "expected at most 65536") {
		t.Errorf("a name of 40 KiB: got %v; want a fault", err)
	}
	_, _, document := published(t, func(c *accesstoken.Config) {
		c.Metadata = &resourcemetadata.Metadata{Name: strings.Repeat("x", 20<<10), Signer: signer}
	})
	if !strings.Contains(document, "signed_metadata") || !strings.Contains(document, "authorization_servers") || len(document) > 64<<10 {
		t.Errorf("a name of 20 KiB: got %d bytes; want all members in at most 64 KiB", len(document))
	}
	_, _, document = published(t, func(c *accesstoken.Config) {
		c.Metadata, c.Logger = &resourcemetadata.Metadata{Signer: signer}, slog.New(slog.DiscardHandler)
		for n := range 1000 {
			c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: fmt.Sprintf("https://tenant-%032d.example.com", n)})
		}
	})
	if !strings.Contains(document, "signed_metadata") || strings.Contains(document, "authorization_servers") {
		t.Errorf("1000 issuers: got %d bytes; want it without the list", len(document))
	}
}

// While a signature is renewed, only the request that renews it waits, because a signer
// may take long, and the earlier document is still good. If it is not, all wait.
func TestOthersDoNotWaitForASignature(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*accesstoken.Validator, *testkit.Clock) // while the signature is made
		waits  bool
		want   string // in the document of a request that waits
	}{
		"nothing happens": {func(*accesstoken.Validator, *testkit.Clock) {}, false, ""},
		"it expires":      {func(_ *accesstoken.Validator, clock *testkit.Clock) { clock.Advance(12 * time.Hour) }, true, "https://login.example.com"},
		"other issuers": {func(v *accesstoken.Validator, _ *testkit.Clock) {
			if err := v.SetIssuers(accesstoken.Issuer{URL: "https://new.example.com"}); err != nil {
				t.Error(err)
			}
		}, true, "https://new.example.com"},
	} {
		var clock testkit.Clock
		signing := &slowHand{PrivateKey: key, begun: make(chan struct{}, 10), goOn: make(chan struct{})}
		close(signing.goOn)
		v, _, first := published(t, func(c *accesstoken.Config) {
			c.Now, c.Metadata = clock.Now, &resourcemetadata.Metadata{Signer: &resourcemetadata.Signer{Key: signing, Algorithm: "ES256"}}
		})
		<-signing.begun
		signing.goOn = make(chan struct{})
		clock.Advance(13 * time.Hour)
		ask := func() <-chan string {
			got := make(chan string, 1)
			go func() {
				_, document := v.ResourceMetadata()
				got <- string(document)
			}()
			return got
		}
		renewed := ask()
		<-signing.begun
		test.change(v, &clock)
		other := ask()
		if !test.waits {
			if document := <-other; document != first {
				t.Errorf("%s: got %s; want the earlier document", name, document)
			}
		}
		for n := 0; test.waits && n < 10_000 && len(other) == 0; n++ {
			runtime.Gosched()
		}
		if test.waits && len(other) > 0 {
			t.Errorf("%s: got a document before there is a signature; want it to wait", name)
		}
		close(signing.goOn)
		if document := <-renewed; document == first || !strings.Contains(document, "signed_metadata") {
			t.Errorf("%s: got %s; want another signature", name, document)
		}
		if test.waits {
			if document := <-other; document == first || !strings.Contains(document, test.want) {
				t.Errorf("%s: got %s; want it with %s, and another signature", name, document, test.want)
			}
		}
	}
}

// A slowHand signs when it may go on.
type slowHand struct {
	*ecdsa.PrivateKey
	begun, goOn chan struct{}
}

func (h *slowHand) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	h.begun <- struct{}{}
	<-h.goOn
	return h.PrivateKey.Sign(random, digest, opts)
}

// META-05, META-15: what is legal, but probably a mistake, is told once.
func TestMetadataWarnings(t *testing.T) {
	for name, test := range map[string]struct {
		m    resourcemetadata.Metadata
		want string // "" is no warning
	}{
		"nothing":           {resourcemetadata.Metadata{Name: "a", Extra: map[string]any{"resource_name#it": "b", "x": 1, "x#de": 2}}, ""},
		"a query":           {resourcemetadata.Metadata{Resource: "https://api.example.com/a?x=canary"}, "the resource identifier has a query"},
		"a variant alone":   {resourcemetadata.Metadata{Extra: map[string]any{"resource_name#it": "canary"}}, "the metadata has resource_name#it and no resource_name"},
		"an extension's":    {resourcemetadata.Metadata{Extra: map[string]any{"x#it": "canary"}}, "the metadata has x#it and no x"},
		"an empty original": {resourcemetadata.Metadata{Extra: map[string]any{"x": "", "x#it": "canary"}}, "the metadata has x#it and no x"},
	} {
		var log lockedBuffer
		v, _, _ := published(t, func(c *accesstoken.Config) {
			c.Metadata, c.Logger = &resourcemetadata.Metadata{}, slog.New(slog.NewTextHandler(&log, nil))
		})
		if _, err := v.ForResource(accesstoken.Resource{ID: "https://files.example.com", Metadata: &test.m}); err != nil {
			t.Fatal(err)
		}
		if _, _, document := published(t, func(c *accesstoken.Config) { c.Metadata, c.Logger = &test.m, slog.New(slog.NewTextHandler(&log, nil)) }); document == "" {
			t.Error("got no document")
		}
		if got := strings.Count(log.String(), "level=WARN"); got != 2 && test.want != "" || got != 0 && test.want == "" || !strings.Contains(log.String(), test.want) || strings.Contains(log.String(), "canary") {
			t.Errorf("%s: got %s; want %q, for each of the two resources", name, log.String(), test.want)
		}
	}
}
