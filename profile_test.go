package accesstoken_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/resourcemetadata"
	"github.com/accesstoken/accesstoken/scopes"
)

// What a profile relaxes and demands is a decision, and shows in a commit as a
// changed line of testdata/profiles.txt.
func TestProfilesPrintThemselves(t *testing.T) {
	var got strings.Builder
	for p := accesstoken.RFC9068; !strings.HasPrefix(p.String(), "Profile("); p++ {
		got.WriteString(p.String() + "\n")
	}
	want, err := os.ReadFile("testdata/profiles.txt")
	if err != nil || got.String() != string(want) {
		t.Errorf("got\n%s\n%v; want testdata/profiles.txt:\n%s", got.String(), err, want)
	}
	if got := accesstoken.Profile(99).String(); got != "Profile(99)" {
		t.Errorf("got %s; want Profile(99)", got)
	}
}

// What comes first must not keep the advice on what comes next from the log.
func TestTheAdviceDoesNotDependOnTheOrder(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log bytes.Buffer
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, kind := range []string{"ID", "Bearer"} {
		token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"azp": "c", "client_id": nil, "typ": kind, "aud": "account"}))
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err == nil {
			t.Fatal("got it accepted; want a refusal")
		}
	}
	if !strings.Contains(log.String(), "if it is an ID token") || !strings.Contains(log.String(), "set Profile: accesstoken.Keycloak") {
		t.Errorf("got the log %s; want both", log.String())
	}
}

// The claim is named that the profile looks for.
func TestAMissingClientIsNamed(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for profile, want := range map[accesstoken.Profile]string{accesstoken.RFC9068: "client_id is missing", accesstoken.Auth0: "azp or client_id is missing", accesstoken.Okta: "cid is missing"} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Profile = profile })
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"client_id": nil, "ver": 1})))
		if refused := wantReason(t, err, accesstoken.ClaimInvalid); !strings.Contains(refused.Error(), want) {
			t.Errorf("%v: got %v; want it to say %q", profile, refused, want)
		}
	}
}

// A profile that is set is not suggested again.
func TestWhatAProfileRefusesIsSaidInItsOwnWords(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		issuer accesstoken.Issuer
		claims accesstokentest.Claims
		want   string
	}{
		"Keycloak without azp":        {accesstoken.Issuer{Profile: accesstoken.Keycloak}, accesstokentest.Claims{"client_id": nil, "typ": "Bearer"}, "fmt.Println(accesstoken.Keycloak)"},
		"an application without role": {accesstoken.Issuer{Profile: accesstoken.EntraV2, Tenants: []string{"1"}}, accesstokentest.Claims{"azp": "c", "ver": "2.0", "tid": "1"}, "neither scp nor"},
		"another tenant":              {accesstoken.Issuer{Profile: accesstoken.EntraV2, Tenants: []string{"1"}}, accesstokentest.Claims{"azp": "c", "ver": "2.0", "tid": "2", "scp": "a"}, "tid is not"},
		"another client":              {accesstoken.Issuer{Profile: accesstoken.Google, Clients: []string{"a"}}, accesstokentest.Claims{"azp": "c"}, "azp is not among Clients"},
	} {
		var log bytes.Buffer
		test.issuer.URL = as.URL
		v := newValidator(t, as, func(c *accesstoken.Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c.Issuers = []accesstoken.Issuer{test.issuer}
		})
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(map[string]any{"typ": "JWT"}, as.Claims(test.claims))))
		if err == nil || strings.Contains(err.Error(), "Relax") || strings.Contains(err.Error(), "set Profile") || !strings.Contains(log.String(), test.want) {
			t.Errorf("%s: got %v, log %s; want the log to say %q, and neither Relax nor a profile", name, err, log.String(), test.want)
		}
	}
}

func TestTheOperatorIsToldWhichProfileToTry(t *testing.T) {
	as := accesstokentest.NewServer(t)
	const tenant = "11111111-2222-3333-4444-555555555555"
	for _, test := range []struct {
		want   string
		header map[string]any
		claims accesstokentest.Claims
	}{
		{"Auth0", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "azp": "c"}},
		{"EntraV2", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "scope": nil, "azp": "c", "scp": "a", "tid": tenant, "ver": "2.0"}},
		{"EntraV1", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "scope": nil, "appid": "c", "scp": "a", "tid": tenant, "ver": "1.0"}},
		{"Okta", map[string]any{"typ": nil}, accesstokentest.Claims{"client_id": nil, "scope": nil, "cid": "c", "scp": []string{"a"}, "ver": 1}},
		{"Keycloak", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "azp": "c", "typ": "Bearer"}},
		{"Cognito", map[string]any{"typ": nil}, accesstokentest.Claims{"aud": nil, "token_use": "access"}},
		{"Hydra", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"scope": nil, "scp": []string{"a"}}},
		{"Duende", nil, accesstokentest.Claims{"scope": []string{"a"}}},
		{"Duende", nil, accesstokentest.Claims{"sub": nil}},
		{"Kubernetes", map[string]any{"typ": nil}, accesstokentest.Claims{"client_id": nil, "sub": "system:serviceaccount:prod:orders"}},
		{"Supabase", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "jti": nil, "role": "authenticated", "aal": "aal1", "session_id": "s"}},
		{"Clerk", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"aud": nil, "client_id": nil, "azp": "https://app.example.com", "v": 2, "sid": "s"}},
		{"Authentik", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"aud": "c", "client_id": nil, "jti": nil, "azp": "c", "uid": "u", "nonce": "n"}},
		{"CloudflareAccess", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "jti": nil, "type": "app"}},
		{"AzureADB2C", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "jti": nil, "scope": nil, "azp": "c", "scp": "a", "nonce": "n", "ver": "1.0", "tfp": "B2C_1_a"}},
		{"FusionAuth", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"aud": "c", "client_id": nil, "applicationId": "c", "tid": tenant}},
		{"GitLab", map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "namespace_id": "1", "project_id": "1", "pipeline_id": "1", "job_id": "1"}},
	} {
		t.Run(test.want, func(t *testing.T) {
			var log bytes.Buffer
			v := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
			header := map[string]any{"typ": "at+jwt"}
			for name, value := range test.header {
				header[name] = value
				if value == nil {
					delete(header, name)
				}
			}
			_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(header, as.Claims(test.claims))))
			want := "set Profile: accesstoken." + test.want
			if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.Contains(log.String(), want) {
				t.Errorf("got %v, log %s; want both to say %q", err, log.String(), want)
			}
		})
	}
}

// Profiles that accept the same tokens, or know theirs by little, are told by the issuer.
func TestTheOperatorIsToldTheProfileOfThisIssuer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	entra := accesstokentest.Claims{"client_id": nil, "azp": "c", "tid": "t", "ver": "2.0", "scp": "a", "scope": nil}
	workos := accesstokentest.Claims{"client_id": nil, "sid": "session_1"}
	for _, test := range []struct {
		iss, want string
		typ       any
		claims    accesstokentest.Claims
	}{
		{"https://login.microsoftonline.com/t/v2.0", "EntraV2", "JWT", entra},
		{"https://t.ciamlogin.com/t/v2.0", "EntraExternalID", "JWT", entra},
		{"https://api.workos.com/user_management/client_1", "WorkOS", nil, workos},
		{"https://login.example.com", "", nil, workos},
		{"https://auth.pingone.eu/e/as", "PingOne", nil, accesstokentest.Claims{"jti": nil}},
		{"https://login.example.com", "", nil, accesstokentest.Claims{"jti": nil}},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) {
			c.Issuers = []accesstoken.Issuer{{URL: test.iss, Keys: jwks.Static(as.Keys()...)}}
		})
		claims := as.Claims(test.claims)
		claims["iss"] = test.iss
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(map[string]any{"typ": test.typ}, claims)))
		_, named, _ := strings.Cut(fmt.Sprint(err), "set Profile: accesstoken.")
		if err == nil || named != test.want {
			t.Errorf("%s: got %v; want the profile %q", test.iss, err, test.want)
		}
	}
}

// An ID token is not what a profile is for.
func TestNoProfileIsSuggestedForAnIDToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, claims := range map[string]accesstokentest.Claims{
		"of Auth0":    {"client_id": nil, "azp": "c", "nonce": "n"},
		"of Keycloak": {"client_id": nil, "azp": "c", "typ": "ID"},
		"of Cognito":  {"token_use": "id"},
		"for others":  {"client_id": nil, "azp": "c", "aud": "another"},
	} {
		v := newValidator(t, as, nil)
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(map[string]any{"typ": "JWT"}, as.Claims(claims))))
		if err == nil || strings.Contains(err.Error(), "set Profile:") || !strings.Contains(err.Error(), "if it is an ID token") {
			t.Errorf("%s: got %v; want no profile suggested", name, err)
		}
	}
}

func TestAnIssuerOfAnotherKindIsWarnedOf(t *testing.T) {
	for _, test := range []struct {
		profile   accesstoken.Profile
		url, want string
	}{
		{accesstoken.Okta, "https://dev-1.okta.com", "for Okta itself"},
		{accesstoken.Okta, "https://dev-1.okta.com/oauth2/default", ""},
		{accesstoken.Auth0, "https://tenant.eu.auth0.com", "write https://tenant.eu.auth0.com/"},
		{accesstoken.Auth0, "https://tenant.eu.auth0.com/", ""},
		{accesstoken.EntraV2, "https://sts.windows.net/1/", "set Profile: accesstoken.EntraV1"},
		{accesstoken.EntraV1, "https://login.microsoftonline.com/1/v2.0", "set Profile: accesstoken.EntraV2"},
		{accesstoken.EntraV1, "https://sts.windows.net/1/", ""},
		{accesstoken.EntraV2, "https://login.microsoftonline.com/1/v2.0", ""},
	} {
		var log bytes.Buffer
		v, err := accesstoken.NewValidator(accesstoken.Config{
			Resource: resource,
			Logger:   slog.New(slog.NewTextHandler(&log, nil)),
			Issuers:  []accesstoken.Issuer{{URL: test.url, Profile: test.profile}},
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = v.Close()
		if !strings.Contains(log.String(), test.want) || test.want == "" && log.Len() > 0 {
			t.Errorf("%s: got the log %q; want it to say %q", test.url, log.String(), test.want)
		}
	}
}

func TestAProfileWithoutWhatItDemandsIsNoConfiguration(t *testing.T) {
	client, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	const any = "https://login.microsoftonline.com/{tenantid}/v2.0"
	metadata := "https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"
	for _, test := range []struct {
		name   string
		issuer accesstoken.Issuer
		want   string
	}{
		{"Cognito without clients", accesstoken.Issuer{Profile: accesstoken.Cognito}, "Clients is nil; the profile Cognito demands"},
		{"Google without clients", accesstoken.Issuer{Profile: accesstoken.Google}, "Clients is nil; the profile Google demands"},
		{"Cognito with empty clients", accesstoken.Issuer{Profile: accesstoken.Cognito, Clients: []string{}}, "Clients is set but empty"},
		{"Keycloak without aud and clients", accesstoken.Issuer{Profile: accesstoken.Keycloak, DangerouslyAcceptNoAudience: true}, "Clients is nil; with DangerouslyAcceptNoAudience"},
		{"CI without a demand", accesstoken.Issuer{Profile: accesstoken.CI}, "Demand is nil; the profile CI demands"},
		{"CI with an empty demand", accesstoken.Issuer{Profile: accesstoken.CI, Demand: map[string][]string{}}, "Demand is set but empty"},
		{"a demand that is empty by accident", accesstoken.Issuer{Demand: map[string][]string{}}, "Demand is set but empty"},
		{"Clerk without clients", accesstoken.Issuer{Profile: accesstoken.Clerk}, "Clients is nil; the profile Clerk demands"},
		{"Firebase without a demand", accesstoken.Issuer{Profile: accesstoken.Firebase}, "Demand is nil; the profile Firebase demands claims that only your users have, such as /firebase/sign_in_provider"},
		{"IAP without a demand", accesstoken.Issuer{Profile: accesstoken.GoogleIAP}, "Demand is nil; the profile GoogleIAP demands claims that only your users have, such as hd"},
		{"Dex without clients or a demand", accesstoken.Issuer{Profile: accesstoken.Dex}, "Clients and Demand are nil; any client of Dex can get a token"},
		{"Dex as a Dialect without clients or a demand", accesstoken.Issuer{Dialect: accesstoken.Dex.Dialect()}, "Clients and Demand are nil; any client of Dex can get a token"},
		{"clients of Firebase", accesstoken.Issuer{Profile: accesstoken.Firebase, Clients: []string{"a"}, Demand: map[string][]string{"a": {"b"}}}, "tokens of the profile Firebase name no client"},
		{"clients of IAP", accesstoken.Issuer{Profile: accesstoken.GoogleIAP, Clients: []string{"a"}, Demand: map[string][]string{"a": {"b"}}}, "tokens of the profile GoogleIAP name no client"},
		{"GitLab without a demand", accesstoken.Issuer{Profile: accesstoken.GitLab}, "Demand is nil; the profile GitLab demands claims that only your jobs have, such as project_id"},
		{"clients of GitLab", accesstoken.Issuer{Profile: accesstoken.GitLab, Clients: []string{"a"}, Demand: map[string][]string{"a": {"b"}}}, "tokens of the profile GitLab name no client"},
		{"FusionAuth without tenants", accesstoken.Issuer{Profile: accesstoken.FusionAuth}, "Tenants is nil; the profile FusionAuth demands the tenant ids (tid)"},
		{"FusionAuth as a Dialect without tenants", accesstoken.Issuer{Dialect: accesstoken.FusionAuth.Dialect()}, "Tenants is nil, and Dialect.Tenant says where"},
		{"FusionAuth with empty tenants", accesstoken.Issuer{Profile: accesstoken.FusionAuth, Tenants: []string{}}, "Tenants is set but empty"},
		{"WorkOS without aud and clients", accesstoken.Issuer{Profile: accesstoken.WorkOS, DangerouslyAcceptNoAudience: true}, "Clients is nil; with DangerouslyAcceptNoAudience the profile WorkOS demands"},
		{"External ID without a tenant", accesstoken.Issuer{Profile: accesstoken.EntraExternalID}, "Tenants is nil, and URL names no tenant"},
		{"tenants of B2C", accesstoken.Issuer{Profile: accesstoken.AzureADB2C, Tenants: []string{"1"}}, "Tenants is for the profiles of Entra ID and FusionAuth"},
		{"clients where no token names one", accesstoken.Issuer{Profile: accesstoken.Kubernetes, Clients: []string{"a"}}, "tokens of the profile Kubernetes name no client"},
		{"several tenants that nobody listed, below a path", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: "https://a.example/x/{tenantid}/v2.0", JWKSURI: "https://a.example/jwks"}, "Tenants is nil"},
		{"a tenant in the URL that is not listed", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: "https://a.example/1/v2.0", Tenants: []string{"2"}}, `Tenants does not have "1"`},
		{"a URL that is none", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: "https://a.example/%zz", Tenants: []string{"1"}}, "cannot be parsed"},
		{"a tenant twice", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: any, MetadataURL: metadata, Tenants: []string{"1", "1"}}, "lists a tenant twice"},
		{"a tenant in capitals", accesstoken.Issuer{Profile: accesstoken.EntraV2, Tenants: []string{"ABC"}}, "GUIDs in lower case"},
		{"a demand without values", accesstoken.Issuer{Demand: map[string][]string{"repository": {}}}, `Demand["repository"] has no values`},
		{"a demand of nothing", accesstoken.Issuer{Demand: map[string][]string{"repository": {""}}}, `Demand["repository"] has no values`},
		{"a demand of an audience", accesstoken.Issuer{Demand: map[string][]string{"aud": {"x"}}}, `Demand["aud"] is not allowed`},
		{"Entra without a tenant", accesstoken.Issuer{Profile: accesstoken.EntraV2}, "Tenants is nil, and URL names no tenant"},
		{"Entra with empty tenants", accesstoken.Issuer{Profile: accesstoken.EntraV1, Tenants: []string{}}, "Tenants is set but empty"},
		{"Entra with a domain", accesstoken.Issuer{Profile: accesstoken.EntraV2, Tenants: []string{"contoso.com"}}, "tid never holds a domain name"},
		{"Entra with common in its URL", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: "https://login.microsoftonline.com/common/v2.0"}, "for several tenants write {tenantid} in URL"},
		{"several tenants that nobody listed", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: any, MetadataURL: metadata}, "Tenants is nil, and URL names no tenant"},
		{"several tenants without metadata", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: any, Tenants: []string{"1"}}, "MetadataURL is empty"},
		{"several tenants and introspection", accesstoken.Issuer{Profile: accesstoken.EntraV2, URL: any, MetadataURL: metadata, Tenants: []string{"1"}, Introspection: client}, "Entra ID has no introspection endpoint"},
		{"tenants elsewhere", accesstoken.Issuer{Profile: accesstoken.Auth0, Tenants: []string{"1"}}, "Tenants is for the profiles of Entra ID and FusionAuth"},
		{"a template elsewhere", accesstoken.Issuer{URL: "https://a.example/{tenantid}"}, "URL has {tenantid}, which is for"},
		{"a negative age", accesstoken.Issuer{MaxAge: -1}, "MaxAge is -1ns"},
		{"a negative life", accesstoken.Issuer{MaxLifetime: -1}, "MaxLifetime -1ns"},
		{"a demand of no claim", accesstoken.Issuer{Demand: map[string][]string{"": {"x"}}}, `Demand[""] has no values`},
	} {
		if test.issuer.URL == "" {
			test.issuer.URL = "https://a.example"
		}
		v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{test.issuer}})
		if err == nil {
			_ = v.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v; want one fault that says %q", test.name, err, test.want)
		}
	}
}

func TestTwoIssuersWithATenantInCommonAreNoConfiguration(t *testing.T) {
	_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{
		{URL: "https://a.example/{tenantid}/v2.0", JWKSURI: "https://a.example/jwks", Profile: accesstoken.EntraV2, Tenants: []string{"1", "2"}},
		{URL: "https://a.example/2/v2.0", Profile: accesstoken.EntraV2},
	}})
	if err == nil || !strings.Contains(err.Error(), `both have the URL "https://a.example/2/v2.0"`) {
		t.Errorf("got %v; want the tenant that is there twice", err)
	}
}

func TestAScopeHierarchyNamesScopes(t *testing.T) {
	for name, implies := range map[string]map[string][]string{
		"nothing implied": {"admin": {}}, "two in one": {"admin": {"a b"}}, "an empty one": {"": {"a"}},
	} {
		_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, ScopeImplies: implies, Issuers: []accesstoken.Issuer{{URL: "https://a.example"}}})
		if err == nil || !strings.Contains(err.Error(), "ScopeImplies[") {
			t.Errorf("%s: got %v; want the fault of ScopeImplies", name, err)
		}
	}
}

// The tenants of Entra ID share a document: one fetch serves all, and a key that
// says whose it is signs for nobody else.
func TestTenantsShareOneCache(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{
			URL: as.URL + "/{tenantid}/v2.0", JWKSURI: as.JWKSURI(), Profile: accesstoken.EntraV2, Tenants: []string{"1", "2"},
		}}
	})
	if err := v.Warm(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"1", "2"} {
		token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{
			"iss": as.URL + "/" + tenant + "/v2.0", "tid": tenant, "ver": "2.0", "azp": "c", "scp": "a", "uti": "id-" + tenant,
		}))
		for range 2 { // the second one from the cache
			claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			if err != nil || claims.Issuer != as.URL+"/"+tenant+"/v2.0" || claims.ID != "id-"+tenant || claims.ClientID != "c" {
				t.Errorf("got %q, %q, %q, %v; want the tenant's own", claims.Issuer, claims.ID, claims.ClientID, err)
			}
		}
	}
	if got := as.Requests(accesstokentest.JWKSPath); got != 1 {
		t.Errorf("got %d fetches of the keys; want 1", got)
	}
	if err := v.Ready(); err != nil {
		t.Errorf("Ready: got %v; want nil", err)
	}
}

// Keys that are handed over belong to whom they are handed over for.
func TestATenantOfFixedKeys(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: as.URL + "/1/", Keys: jwks.Static(as.Keys()...), Profile: accesstoken.EntraV1}}
	})
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{
		"iss": as.URL + "/1/", "tid": "1", "ver": "1.0", "appid": "c", "scp": "a",
	}))
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil {
		t.Errorf("got %v; want the token accepted", err)
	}
}

// A cache that the caller made knows the keys of tenants as well.
func TestTenantsOfACallersOwnCache(t *testing.T) {
	as := accesstokentest.NewServer(t)
	cache, err := jwks.NewCache(jwks.Config{URL: as.JWKSURI(), HTTPClient: as.Client()})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: as.URL + "/1/", Keys: cache, Profile: accesstoken.EntraV1}}
	})
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{
		"iss": as.URL + "/1/", "tid": "1", "ver": "1.0", "appid": "c", "scp": "a",
	}))
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil {
		t.Errorf("got %v; want the token accepted", err)
	}
}

// A hook that fails refuses, and says nothing of what it was given.
func TestAcceptCannotLetTheSubjectOut(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		accept func(context.Context, accesstoken.Claims) error
		want   accesstoken.Reason
	}{
		"a panic with a claim": {func(_ context.Context, claims accesstoken.Claims) error { panic(claims.Subject) }, accesstoken.InternalError},
		"a nil *Error":         {func(context.Context, accesstoken.Claims) error { return (*accesstoken.Error)(nil) }, accesstoken.InternalError},
		"could not find out":   {func(context.Context, accesstoken.Claims) error { return accesstoken.Unavailable }, accesstoken.StatusUnavailable},
		"a policy of its own":  {func(context.Context, accesstoken.Claims) error { return fmt.Errorf("x: %w", accesstoken.TokenInactive) }, accesstoken.TokenInactive},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Accept = test.accept })
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"sub": "canary"})))
		if refused := wantReason(t, err, test.want); strings.Contains(refused.Error(), "canary") || strings.Contains(refused.Error(), "nil pointer") {
			t.Errorf("%s: got %v; want no claim in it, and no accident", name, refused)
		}
	}
}

// Who has gone away is not told that the hook broke.
func TestAcceptOfACallerWhoIsGone(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Accept = func(ctx context.Context, _ accesstoken.Claims) error { return ctx.Err() }
	})
	credentials := accesstoken.Bearer(as.Token(nil))
	if _, err := v.Validate(t.Context(), credentials); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := v.Validate(gone, credentials)
	if refused := wantReason(t, err, ""); !errors.Is(refused, context.Canceled) || !errors.Is(refused, accesstoken.Unavailable) {
		t.Errorf("got %v; want the caller's own end", refused)
	}
}

// An accident of the hook's own code is told to who has to mend it.
func TestAcceptThatCrashes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Accept = func(context.Context, accesstoken.Claims) error {
			var none []int
			return fmt.Errorf("%d", none[1])
		}
	})
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil)))
	if refused := wantReason(t, err, accesstoken.InternalError); !strings.Contains(refused.Error(), "index out of range") {
		t.Errorf("got %v; want it to say what happened", refused)
	}
}

// Accept runs on every request, with the caller's context and the claims, also
// for a token that is remembered.
func TestAcceptIsAskedOnEveryRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	type key struct{}
	blocked := false
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Accept = func(ctx context.Context, claims accesstoken.Claims) error {
			if ctx.Value(key{}) != "caller" || claims.Subject != "alice" {
				return errors.New("not what the request brought")
			}
			if blocked {
				return accesstoken.Deny("ACCOUNT_CLOSED", nil)
			}
			return nil
		}
	})
	ctx := context.WithValue(t.Context(), key{}, "caller")
	credentials := accesstoken.Bearer(as.Token(accesstokentest.Claims{"sub": "alice"}))
	for range 2 {
		if _, err := v.Validate(ctx, credentials); err != nil {
			t.Fatal(err)
		}
	}
	blocked = true
	_, err := v.Validate(ctx, credentials)
	if refused := wantReason(t, err, "ACCOUNT_CLOSED"); refused.HTTPStatus() != 403 {
		t.Errorf("got %d; want 403", refused.HTTPStatus())
	}
}

func TestARefusalSaysWhatIsTheCase(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		profile accesstoken.Profile
		claims  accesstokentest.Claims
		want    string
	}{
		"azp and client_id that differ": {accesstoken.Keycloak, accesstokentest.Claims{"typ": "Bearer", "azp": "a", "client_id": "b"}, "azp and client_id name different clients"},
		"neither":                       {accesstoken.Keycloak, accesstokentest.Claims{"typ": "Bearer", "client_id": nil}, "azp or client_id is missing"},
		"a date after the year 9999":    {accesstoken.RFC9068, accesstokentest.Claims{"exp": json.RawMessage("253402300800")}, "exp is out of range"},
		"a date that is a text":         {accesstoken.RFC9068, accesstokentest.Claims{"exp": "soon"}, "exp has the wrong type"},
		"scp of the wrong type":         {accesstoken.Okta, accesstokentest.Claims{"cid": "a", "ver": 1, "scp": 1}, "scp has the wrong type"},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Profile = test.profile })
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(test.claims)))
		if refused := wantReason(t, err, accesstoken.ClaimInvalid); !strings.Contains(refused.Error(), test.want) {
			t.Errorf("%s: got %v; want it to say %q", name, refused, test.want)
		}
	}
}

// Entra ID issues the short name of a scope, and clients must request the long one, which
// begins with the resource. docs/issuers/entra.md shows this configuration.
func TestClientsOfEntraLearnTheLongNameOfAScope(t *testing.T) {
	const server, short = "https://mcp.example.com/mcp", "tools.read"
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Resource, c.Audience = server, []string{"11111111-aaaa-bbbb-cccc-222222222222"}
		c.ScopeImplies = map[string][]string{short: {server + "/" + short}}
		c.Metadata = &resourcemetadata.Metadata{Scopes: []string{server + "/" + short}}
		c.Issuers[0].Profile, c.Issuers[0].Tenants = accesstoken.EntraV2, []string{"t"}
	})
	route := accesstoken.Policy{Scopes: scopes.All(server + "/" + short)}
	token := func(claims accesstokentest.Claims) accesstoken.Credentials {
		all := accesstokentest.Claims{"aud": "11111111-aaaa-bbbb-cccc-222222222222", "client_id": nil, "scope": nil, "azp": "c", "tid": "t", "ver": "2.0", "scp": short}
		maps.Copy(all, claims)
		return accesstoken.Bearer(as.Sign(map[string]any{"typ": "JWT"}, as.Claims(all)))
	}
	if _, err := v.Authorize(t.Context(), token(nil), route); err != nil {
		t.Errorf("got %v; want the token accepted", err)
	}
	_, err := v.Authorize(t.Context(), token(accesstokentest.Claims{"aud": "33333333-aaaa-bbbb-cccc-222222222222"}), route)
	wantReason(t, err, accesstoken.AudienceMismatch)
	for want, credentials := range map[accesstoken.Reason]accesstoken.Credentials{
		accesstoken.CredentialsMissing: {},
		accesstoken.ScopeInsufficient:  token(accesstokentest.Claims{"scp": "tools.write"}),
	} {
		_, err := v.Authorize(t.Context(), credentials, route)
		got := wantReason(t, err, want).Header().Get("WWW-Authenticate")
		if want := `scope="https://mcp.example.com/mcp/tools.read"`; !strings.Contains(got, want) {
			t.Errorf("got %s; want %s", got, want)
		}
	}
	_, document := v.ResourceMetadata()
	for _, want := range []string{`"resource":"https://mcp.example.com/mcp"`, `"scopes_supported":["https://mcp.example.com/mcp/tools.read"]`} {
		if !strings.Contains(string(document), want) {
			t.Errorf("got %s; want it to have %s", document, want)
		}
	}
}
