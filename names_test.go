package accesstoken_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
)

// faultsOf returns the lines of the constructor's error.
func faultsOf(config accesstoken.Config) []string {
	v, err := accesstoken.NewValidator(config)
	if err == nil {
		_ = v.Close()
	}
	return linesOf(err)
}

// wantOneFault wants a configuration of these issuers to have one fault, with all the
// texts in it; without texts, none.
func wantOneFault(t *testing.T, name string, issuers []accesstoken.Issuer, texts ...string) {
	t.Helper()
	lines := faultsOf(accesstoken.Config{Resource: resource, Issuers: issuers})
	if len(texts) == 0 {
		if len(lines) != 0 {
			t.Errorf("%s: got %q; want no fault", name, lines)
		}
		return
	}
	if len(lines) != 1 {
		t.Errorf("%s: got %q; want one fault", name, lines)
		return
	}
	for _, text := range texts {
		if !strings.Contains(lines[0], text) {
			t.Errorf("%s: got %q; want it to say %q", name, lines[0], text)
		}
	}
}

func TestOneIssuerUnderTwoNamesIsOneIssuer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	const inner, other = "http://as.internal:8080", "login"
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Aliases = []string{inner, other}
		c.Issuers[0].Introspection, c.Issuers[0].TokenPrefix = newIntrospection(t, as), "at_"
	})
	for n, iss := range []string{as.URL, inner, other} {
		opaque := fmt.Sprintf("at_%d", n)
		as.Remember(opaque, accesstokentest.Claims{"iss": iss})
		for kind, token := range map[string]string{"JWT": as.Token(accesstokentest.Claims{"iss": iss}), "opaque token": opaque} {
			for _, when := range []string{"new", "again"} {
				claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
				if err != nil || claims.Issuer != as.URL {
					t.Errorf("%s with the iss %q, %s: got the issuer %q, %v; want %q", kind, iss, when, claims.Issuer, err, as.URL)
				}
			}
		}
	}
	if got := as.Requests(accesstokentest.JWKSPath); got != 1 {
		t.Errorf("got %d requests for the keys; want 1", got)
	}
	for _, iss := range []string{inner + "/", strings.ToUpper(inner), "Login", "login "} {
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iss": iss})))
		wantReason(t, err, accesstoken.IssuerUnknown)
	}
	as.Remember("at_stranger", accesstokentest.Claims{"iss": "https://stranger.example"})
	_, err := v.Validate(t.Context(), accesstoken.Bearer("at_stranger"))
	wantReason(t, err, accesstoken.IssuerUnknown)
}

func TestTheAliasesOfSeveralTenantsAreSpelledOutForEach(t *testing.T) {
	as := accesstokentest.NewServer(t)
	const one, two = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{
			URL: "https://login.example/{tenantid}/v2.0", Aliases: []string{"https://old.example/{tenantid}/"}, JWKSURI: as.JWKSURI(),
			Profile: accesstoken.EntraV2, Tenants: []string{one, two},
		}}
	})
	for _, test := range []struct {
		iss, tid string
		want     accesstoken.Reason
	}{
		{"https://old.example/" + one + "/", one, ""},
		{"https://old.example/" + two + "/", two, ""},
		{"https://old.example/" + one + "/", two, accesstoken.ClaimInvalid},
		{"https://old.example/{tenantid}/", one, accesstoken.IssuerUnknown},
	} {
		token := as.Sign(map[string]any{"typ": "JWT", "alg": "RS256"}, as.Claims(accesstokentest.Claims{
			"iss": test.iss, "tid": test.tid, "ver": "2.0", "azp": "app", "uti": "a", "scp": "read",
		}))
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
		if test.want != "" {
			wantReason(t, err, test.want)
		} else if want := "https://login.example/" + test.tid + "/v2.0"; err != nil || claims.Issuer != want {
			t.Errorf("%+v: got %q, %v; want %q", test, claims.Issuer, err, want)
		}
	}
}

func TestNoTwoIssuersShareASpellingOfIss(t *testing.T) {
	const taken = "both have the URL"
	template := func(more string) accesstoken.Issuer {
		return accesstoken.Issuer{
			URL: "https://login.example/{tenantid}/v2.0", Aliases: []string{"https://old.example/{tenantid}"}, Profile: accesstoken.EntraV2,
			Tenants: []string{"1", "2"}, MetadataURL: "https://login.example/common/v2.0/.well-known/openid-configuration", Name: more,
		}
	}
	for _, test := range []struct {
		name string
		a, b accesstoken.Issuer
		want string // "": none
	}{
		{"two that differ", accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"a"}}, accesstoken.Issuer{URL: "https://b.example", Aliases: []string{"b"}}, ""},
		{"an alias that is another's URL", accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"https://b.example"}}, accesstoken.Issuer{URL: "https://b.example"}, taken},
		{"a URL that is another's alias", accesstoken.Issuer{URL: "https://b.example"}, accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"https://b.example"}}, taken},
		{"one alias for two", accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"x"}}, accesstoken.Issuer{URL: "https://b.example", Aliases: []string{"x"}}, taken},
		{"an alias that is a tenant's URL", template(""), accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"https://login.example/2/v2.0"}}, taken},
		{"a URL that is a tenant's alias", template(""), accesstoken.Issuer{URL: "https://old.example/1"}, taken},
		{"Google without https://", accesstoken.Issuer{URL: "https://accounts.google.com", Profile: accesstoken.Google, Clients: []string{"c"}}, accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"accounts.google.com"}}, taken},
		{"aliases that differ in case", accesstoken.Issuer{URL: "https://a.example", Aliases: []string{"x"}}, accesstoken.Issuer{URL: "https://b.example", Aliases: []string{"X"}}, ""},
	} {
		var want []string
		if test.want != "" {
			want = []string{"Issuers[0] and Issuers[1]", test.want}
		}
		wantOneFault(t, test.name, []accesstoken.Issuer{test.a, test.b}, want...)
	}
	for _, test := range []struct {
		name    string
		aliases []string
		want    string
	}{
		{"set but empty", []string{}, "Aliases is set but empty"},
		{"an empty one", []string{"a", ""}, "Aliases has an empty element"},
		{"URL again", []string{"https://a.example"}, `Aliases[0] is "https://a.example"`},
		{"one twice", []string{"a", "b", "a"}, `Aliases[2] is "a"`},
		{"a password", []string{"https://user:canary@b.example"}, `Aliases[0]: "https://b.example" must not carry`},
		{"a document", []string{"https://b.example/.well-known/openid-configuration"}, "Aliases[0] is the address of a document"},
		{"tenants that URL does not have", []string{"https://b.example/{tenantid}"}, "Aliases[0]: {tenantid} has to be in URL"},
	} {
		wantOneFault(t, test.name, []accesstoken.Issuer{{URL: "https://a.example", Aliases: test.aliases}}, test.want)
	}
	one := template("")
	one.Aliases = []string{"https://old.example/1"}
	wantOneFault(t, "an alias of one tenant", []accesstoken.Issuer{one}, "Aliases[0]: {tenantid} has to be in URL")
}

func TestWhoSharesAKeySourceIsToldWhatToDoInstead(t *testing.T) {
	as := accesstokentest.NewServer(t)
	keys := jwks.Static(as.Keys()...)
	twins := func(profile accesstoken.Profile) []accesstoken.Issuer {
		return []accesstoken.Issuer{
			{URL: "https://a.example/1", Keys: keys, Profile: profile}, {URL: "https://b.example/2", Keys: keys, Profile: profile},
		}
	}
	wantOneFault(t, "two issuers", twins(accesstoken.RFC9068), "Issuers[0] and Issuers[1]", "either could sign for the other", "Aliases")
	wantOneFault(t, "two tenants", twins(accesstoken.EntraV2), "either could sign for the other", "Tenants of one Issuer", "jwks.Cache.For")
	if lines := faultsOf(accesstoken.Config{Resource: resource, Issuers: twins(accesstoken.RFC9068)}); strings.Contains(strings.Join(lines, ""), "Entra") {
		t.Errorf("got %q; want no word of Entra ID where it is not concerned", lines)
	}
}

func TestTheAddressOfADocumentIsNoIssuer(t *testing.T) {
	for address, advice := range map[string]string{
		"https://a.example/.well-known/openid-configuration":               `such as "https://a.example"; set MetadataURL`,
		"https://a.example/realms/x/.well-known/openid-configuration":      `such as "https://a.example/realms/x"; set MetadataURL`,
		"https://a.example/.well-known/oauth-authorization-server/x":       `such as "https://a.example/x"; set MetadataURL`,
		"https://a.example/.well-known/openid-configuration?secret=canary": "a key set belongs in JWKSURI",
		"https://a.example/.well-known/jwks.json":                          "a key set belongs in JWKSURI",
	} {
		wantOneFault(t, address, []accesstoken.Issuer{{URL: address}}, "URL is the address of a document", advice)
		wantOneFault(t, address+", with keys", []accesstoken.Issuer{{URL: address, JWKSURI: "https://a.example/jwks"}}, "URL is the address of a document", advice)
	}
	wantOneFault(t, "a path that resembles one", []accesstoken.Issuer{{URL: "https://a.example/well-known/x"}})
}

// Plain http is a danger where something is fetched over it, and an identifier that is
// compared and not asked is none.
func TestAnIssuerFromWhichNothingIsFetchedNeedsNoHTTPS(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, url := range []string{"http://adfs.example/adfs/services/trust", "stytch.com/project-1", "kubernetes/serviceaccount", "urn:example:issuer", "https://a.example/?x#y", "ä", "https://%zz"} {
		for name, issuer := range map[string]accesstoken.Issuer{
			"JWKSURI": {URL: url, JWKSURI: as.JWKSURI()},
			"Keys":    {URL: url, Keys: jwks.Static(as.Keys()...)},
		} {
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{issuer} })
			claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iss": url})))
			if err != nil || claims.Issuer != url {
				t.Errorf("%q with %s: got %q, %v; want the token accepted", url, name, claims.Issuer, err)
			}
		}
	}
	as.Handle("/adfs", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":"http://adfs.example/adfs/services/trust","jwks_uri":%q}`, as.JWKSURI())
	}))
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: "http://adfs.example/adfs/services/trust", MetadataURL: as.URL + "/adfs"}}
	})
	good(t, v, as.Token(accesstokentest.Claims{"iss": "http://adfs.example/adfs/services/trust"}))
	const plain = "http://a.example"
	for _, test := range []struct {
		name   string
		issuer accesstoken.Issuer
		want   string
	}{
		{"discovery", accesstoken.Issuer{URL: plain}, "URL: "},
		{"metadata over plain http", accesstoken.Issuer{URL: plain, MetadataURL: plain + "/metadata"}, "MetadataURL: "},
		{"metadata of what is no URL", accesstoken.Issuer{URL: "urn:a", MetadataURL: "https://a.example/metadata"}, "URL: "},
		{"keys over plain http", accesstoken.Issuer{URL: plain, JWKSURI: plain + "/jwks"}, "JWKSURI: "},
		{"nothing at all", accesstoken.Issuer{JWKSURI: "https://a.example/jwks"}, "URL: the URL is empty"},
		{"a password", accesstoken.Issuer{URL: "https://user:canary@a.example", JWKSURI: "https://a.example/jwks"}, "user information"},
	} {
		wantOneFault(t, test.name, []accesstoken.Issuer{test.issuer}, test.want)
	}
}

// What one issuer signs of a token is not another's word: an introspection client that
// names its issuer is for that one.
func TestAnIntrospectionClientIsForTheIssuerThatItNames(t *testing.T) {
	as := accesstokentest.NewServer(t)
	naming := func(issuer string) *introspection.Client {
		return testkit.Must(introspection.NewClient(introspection.Config{
			Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret, Issuer: issuer,
		}))
	}
	for named, want := range map[string][]string{
		as.URL: nil, "https://alias.example": nil, "": nil,
		"https://b.example": {`Introspection is for the issuer "https://b.example"`, "set introspection.Config.Issuer to URL"},
		as.URL + "/":        {"Introspection is for the issuer"},
	} {
		wantOneFault(t, "the issuer "+named, []accesstoken.Issuer{{URL: as.URL, Aliases: []string{"https://alias.example"}, Introspection: naming(named)}}, want...)
	}
	shared := naming(as.URL)
	wantOneFault(t, "one client for two issuers", []accesstoken.Issuer{
		{URL: as.URL, Introspection: shared, TokenPrefix: "a_"}, {URL: "https://b.example", Introspection: shared, TokenPrefix: "b_"},
	}, "Issuers[1]", "Introspection is for the issuer")
}

// An ID token without the marks that the OpenID flow may leave out has all that is left
// to check, if typ, jti and client_id may be missing.
func TestRelaxOfAllMarksDemandsSomethingInReturn(t *testing.T) {
	as := accesstokentest.NewServer(t)
	all := accesstoken.Relax{Typ: true, JTI: true, ClientID: true}
	wantOneFault(t, "nothing in return", []accesstoken.Issuer{{URL: as.URL, Relax: all}}, "Relax has Typ, JTI and ClientID", "Clients, Demand or Accept")
	withArray := all
	withArray.ScopeArray = true
	wantOneFault(t, "nothing in return, and arrays", []accesstoken.Issuer{{URL: as.URL, Relax: withArray}}, "Relax has Typ, JTI and ClientID")
	for name, relax := range map[string]accesstoken.Relax{
		"jti and client_id": {JTI: true, ClientID: true}, "typ and client_id": {Typ: true, ClientID: true}, "typ and jti": {Typ: true, JTI: true},
	} {
		wantOneFault(t, name, []accesstoken.Issuer{{URL: as.URL, Relax: relax}})
	}
	idToken := as.Sign(map[string]any{"typ": "JWT", "alg": "RS256"}, as.Claims(accesstokentest.Claims{"jti": nil, "client_id": nil}))
	for name, issuer := range map[string]accesstoken.Issuer{
		"Clients": {Relax: all, Clients: []string{"app"}},
		"Demand":  {Relax: all, Demand: map[string][]string{"token_kind": {"access"}}},
		"Accept":  {Relax: all, Accept: func(context.Context, accesstoken.Claims) error { return accesstoken.ClaimInvalid }},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) {
			issuer.URL = as.URL
			c.Issuers = []accesstoken.Issuer{issuer}
		})
		_, err := v.Validate(t.Context(), accesstoken.Bearer(idToken))
		if !errors.Is(err, accesstoken.ClaimInvalid) {
			t.Errorf("%s: got %v for an ID token; want CLAIM_INVALID", name, err)
		}
	}
}

func TestTheNameIsTheLabelInLogs(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, want := range map[string]string{"staff": "name=staff ", "": "name=" + strings.TrimPrefix(as.URL, "https://") + " "} {
		var log bytes.Buffer
		v := newValidator(t, as, func(c *accesstoken.Config) {
			c.Logger, c.Issuers[0].Name = slog.New(slog.NewTextHandler(&log, nil)), name
		})
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"aud": "another"})))
		wantReason(t, err, accesstoken.AudienceMismatch)
		if !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "issuer="+as.URL) {
			t.Errorf("Name %q: got the log %q; want %q in it, and the URL", name, log.String(), want)
		}
	}
	wantOneFault(t, "one Name for two", []accesstoken.Issuer{{URL: "https://a.example", Name: "a"}, {URL: "https://b.example", Name: "a"}}, `both have the Name "a"`)
	wantOneFault(t, "no Name for two", []accesstoken.Issuer{{URL: "https://a.example/1"}, {URL: "https://a.example/2"}})
}

// allIssuerErrors walks to each of them, as the documentation of IssuerError says.
func allIssuerErrors(err error) (issuers []string) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return nil
	}
	for _, line := range joined.Unwrap() {
		var one *accesstoken.IssuerError
		if errors.As(line, &one) {
			issuers = append(issuers, one.Issuer)
		}
	}
	slices.Sort(issuers)
	return issuers
}
