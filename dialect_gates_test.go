package accesstoken_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
)

// issuerFaults returns what NewValidator says about an issuer.
func issuerFaults(t *testing.T, issuer accesstoken.Issuer) string {
	t.Helper()
	if issuer.URL == "" {
		issuer.URL = "https://a.example"
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{issuer}})
	if err != nil {
		return err.Error()
	}
	_ = v.Close()
	return ""
}

// Each literal would let in tokens that are not access tokens, or demands what no token
// has.
func TestADialectThatIsStoppedAtSetUp(t *testing.T) {
	marks := func(marks ...dialect.Mark) dialect.Dialect { return dialect.Dialect{Kind: marks} }
	for _, test := range []struct {
		name    string
		dialect dialect.Dialect
		want    string
	}{
		{"types that are empty by accident", dialect.Dialect{Types: []string{}}, "Dialect.Types is set but empty"},
		{"a DPoP proof", dialect.Dialect{Types: []string{"at+jwt", "dpop+jwt"}}, `Types has "dpop+jwt", the typ of a DPoP proof`},
		{"a logout token in capitals", dialect.Dialect{Types: []string{"Logout+JWT"}}, `Types has "Logout+JWT", the typ of a logout token`},
		{"an identity assertion", dialect.Dialect{Types: []string{"oauth-id-jag+jwt"}}, "list the typ of access tokens only"},
		{"an ID token by its typ", dialect.Dialect{Types: []string{"ID"}}, "the typ of an ID, refresh or logout token"},
		{"a refresh token by its typ", dialect.Dialect{Types: []string{"refresh"}}, "the typ of an ID, refresh or logout token"},
		{"a typ with its prefix", dialect.Dialect{Types: []string{"application/jwt"}}, "write it without application/"},
		{"a typ that is no media type", dialect.Dialect{Types: []string{"a b"}}, "is not the subtype of a media type"},
		{"tokens without exp", dialect.Dialect{Optional: []string{"exp"}}, `Optional has "exp", which every token must have`},
		{"tokens without iss", dialect.Dialect{Optional: []string{"iss"}}, `Optional has "iss", which every token must have`},
		{"a claim by its own name", dialect.Dialect{Client: []string{"azp"}, Optional: []string{"azp"}}, "expected client_id, jti, sub, aud or iat"},
		{"nothing optional", dialect.Dialect{Optional: []string{}}, "Dialect.Optional is set but empty"},
		{"tokens for any resource", dialect.Dialect{Optional: []string{"aud"}}, "set Clients to the client ids"},
		{"an ID token that names no client", dialect.Dialect{Types: []string{"jwt"}, Optional: []string{"client_id"}}, "so an ID token could pass"},
		{"an ID token without azp", dialect.Dialect{Types: []string{""}, Optional: []string{"client_id", "jti"}, Kind: []dialect.Mark{dialect.Without("azp")}}, "so an ID token could pass"},
		{"any ID token", dialect.Dialect{IDTokens: true}, "set Clients, or Demand"},
		{"a client that the caller chooses", dialect.Dialect{Client: []string{"nonce"}}, `Client has "nonce", which a caller chooses in its request`},
		{"a client that the user chooses", dialect.Dialect{Client: []string{"azp", "email"}}, `Client has "email", which a user chooses`},
		{"a client inside what the user chooses", dialect.Dialect{Client: []string{"/user_metadata/client"}}, "which a user chooses"},
		{"a client that all tokens name", dialect.Dialect{Client: []string{"iss"}}, "which is the same in all tokens of the issuer"},
		{"the audience as client", dialect.Dialect{Client: []string{"aud"}}, "which names resource servers"},
		{"no claim for the client", dialect.Dialect{Client: []string{}}, "Dialect.Client is set but empty"},
		{"an empty claim for the client", dialect.Dialect{Client: []string{""}}, "Dialect.Client: a claim's name is empty"},
		{"scopes in a pointer", dialect.Dialect{Scope: []string{"/a/b"}}, "name a claim, or use Roles"},
		{"a pointer that ends in a slash", dialect.Dialect{Roles: "/realm_access/"}, "is not a JSON Pointer (RFC 6901)"},
		{"a pointer with a bad escape", dialect.Dialect{Groups: "/a~2b"}, "is not a JSON Pointer (RFC 6901)"},
		{"a pointer with half an escape", dialect.Dialect{Groups: "/a~~01"}, "is not a JSON Pointer (RFC 6901)"},
		{"a pointer that ends within an escape", dialect.Dialect{Groups: "/a~"}, "is not a JSON Pointer (RFC 6901)"},
		{"a pointer that goes too deep", dialect.Dialect{Groups: "/1/2/3/4/5/6/7/8/9"}, "has more than 8 steps"},
		{"no mark", dialect.Dialect{Kind: []dialect.Mark{}}, "Dialect.Kind is set but empty"},
		{"the zero mark", marks(dialect.Mark{}), "a Mark is empty; make it with a function"},
		{"the zero mark inside another", marks(dialect.AnyOf(dialect.Mark{})), "a Mark is empty; make it with a function"},
		{"a mark of no claims", marks(dialect.Has()), "has a mark without claims"},
		{"a mark of an empty claim", marks(dialect.Without("")), "a claim's name is empty"},
		{"a mark without values", marks(dialect.Is("v")), "has no values"},
		{"a prefix of nothing", marks(dialect.HasPrefix("sub", "")), "has an empty prefix"},
		{"no alternatives", marks(dialect.AnyOf()), "has an AnyOf without marks"},
		{"a value that is a fraction", marks(dialect.Is("v", 2.5)), `Is("v") has a value of type float64`},
		{"a value that is a list", marks(dialect.Is("v", []string{"a"})), "expected a string, a bool or an integer"},
		{"a value that is nil", marks(dialect.Is("v", nil)), "has a value of type <nil>"},
		{"demanded and forbidden", marks(dialect.Has("sid"), dialect.Without("sid")), `both demands and forbids "sid"`},
		{"two values", marks(dialect.Is("v", 1), dialect.Is("v", 2)), "list all accepted values in one Is"},
		{"a value without the prefix", marks(dialect.Is("sub", "a"), dialect.HasPrefix("sub", "b")), `two marks on "sub" that no token meets`},
		{"two prefixes", marks(dialect.HasPrefix("sub", "a"), dialect.HasPrefix("sub", "b")), `two marks on "sub" that no token meets`},
		{"nonce as the only mark", marks(dialect.Has("nonce")), `demands "nonce", with which a token is refused`},
		{"a hash of an ID token", marks(dialect.Has("v", "at_hash")), `demands "at_hash", with which a token is refused`},
		{"no sub, which is required", marks(dialect.Without("sub")), `forbids "sub", which every token must have`},
		{"no client, which is required", dialect.Dialect{Client: []string{"cid"}, Kind: []dialect.Mark{dialect.Without("cid")}}, `forbids "cid", which every token must have`},
		{"no exp", marks(dialect.Without("exp")), `forbids "exp", which every token must have`},
		{"the mark of ID tokens", marks(dialect.Is("token_use", "id")), "is refused as an ID, refresh or logout token"},
		{"the mark of refresh tokens", marks(dialect.Is("typ", "Bearer", "Refresh")), "is refused as an ID, refresh or logout token"},
		{"a contradiction in Machine", dialect.Dialect{Machine: []dialect.Mark{dialect.Has("a"), dialect.Without("a")}}, `Dialect.Machine both demands and forbids "a"`},
		{"Machine that is always met", dialect.Dialect{Machine: []dialect.Mark{}}, "Dialect.Machine is set but empty"},
		{"a tenant that is not checked", dialect.Dialect{Tenant: "org"}, "Tenants is nil, and Dialect.Tenant says"},
	} {
		if got := issuerFaults(t, accesstoken.Issuer{Dialect: &test.dialect}); !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q; want one fault that says %q", test.name, got, test.want)
		}
	}
}

func TestADialectExcludesWhatSaysTheSame(t *testing.T) {
	d := &dialect.Dialect{ScopeArray: true}
	for name, test := range map[string]struct {
		issuer accesstoken.Issuer
		want   string
	}{
		"a profile":               {accesstoken.Issuer{Dialect: d, Profile: accesstoken.Keycloak}, "start from accesstoken.Keycloak.Dialect()"},
		"Relax":                   {accesstoken.Issuer{Dialect: d, Relax: accesstoken.Relax{JTI: true}}, "Dialect and Relax exclude each other"},
		"no audience":             {accesstoken.Issuer{Dialect: d, DangerouslyAcceptNoAudience: true}, `add "aud" to Dialect.Optional`},
		"the age of no iat":       {accesstoken.Issuer{Dialect: &dialect.Dialect{Optional: []string{"iat"}}, MaxAge: time.Hour}, "set MaxLifetime instead"},
		"a copy and its profile":  {accesstoken.Issuer{Dialect: accesstoken.Keycloak.Dialect(), Profile: accesstoken.Keycloak}, "Dialect and Profile exclude each other"},
		"a copy without its list": {accesstoken.Issuer{Dialect: accesstoken.Google.Dialect()}, "the profile Google demands the client ids"},
		"a template for tenants":  {accesstoken.Issuer{Dialect: d, URL: "https://a.example/{tenantid}"}, "URL has {tenantid}, which is for"},
		"tenants and no claim":    {accesstoken.Issuer{Dialect: d, Tenants: []string{"a"}}, "and for a Dialect with Tenant"},
	} {
		if got := issuerFaults(t, test.issuer); !strings.Contains(got, test.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: got %q; want one fault that says %q", name, got, test.want)
		}
	}
}

// Without aud, nothing shows that a token is not a refresh token.
func TestTokensWithoutAudienceNeedAMark(t *testing.T) {
	for _, marks := range [][]dialect.Mark{nil, {dialect.Has("sid")}, {dialect.Without("azp"), dialect.AudienceBeyondClient()}} {
		issuer := accesstoken.Issuer{Clients: []string{"a"}, Dialect: &dialect.Dialect{Types: []string{"jwt"}, Optional: []string{"aud"}, Kind: marks}}
		if got := issuerFaults(t, issuer); !strings.Contains(got, "tells access tokens from refresh tokens") {
			t.Errorf("%v: got %q; want a fault", marks, got)
		}
	}
}

func TestADialectThatStarts(t *testing.T) {
	for name, issuer := range map[string]accesstoken.Issuer{
		"the zero Dialect": {Dialect: new(dialect.Dialect)},
		"Clerk": {Clients: []string{"https://app.example.com"}, Dialect: &dialect.Dialect{
			Name: "Clerk", Types: []string{"jwt"}, Client: []string{"azp"}, Scope: []string{"scp", "scope"}, Roles: "/realm_access/roles",
			Optional: []string{"jti", "aud"}, Kind: []dialect.Mark{dialect.Is("v", 2), dialect.Has("sid")},
		}},
		"ID tokens with clients": {Clients: []string{"a"}, Dialect: &dialect.Dialect{IDTokens: true, Client: []string{"aud"}}},
		"ID tokens with a demand": {Demand: map[string][]string{"/firebase/tenant": {"a"}}, Dialect: &dialect.Dialect{
			IDTokens: true, Kind: []dialect.Mark{dialect.Has("nonce")},
		}},
		"tenants":                     {Tenants: []string{"Org A"}, Dialect: &dialect.Dialect{Tenant: "/org/id"}},
		"a deep pointer with escapes": {Dialect: &dialect.Dialect{Groups: "/1/2/3/4/5/6/7/~0~1"}},
		"nonce beside a mark of its own": {Dialect: &dialect.Dialect{
			Types: []string{"jwt"}, Kind: []dialect.Mark{dialect.Has("nonce"), dialect.Is("v", 2)},
		}},
	} {
		if got := issuerFaults(t, issuer); got != "" {
			t.Errorf("%s: got %s; want no fault", name, got)
		}
	}
}

func TestEveryProfileFitsIssuerDialect(t *testing.T) {
	for name, profile := range profiles() {
		issuer := shapedIssuerOf(profile)
		issuer.Profile, issuer.Dialect = accesstoken.RFC9068, profile.Dialect()
		if got := issuerFaults(t, issuer); got != "" {
			t.Errorf("%s: got %s; want no fault", name, got)
		}
		needsMore := []accesstoken.Profile{
			accesstoken.CI, accesstoken.Kubernetes, accesstoken.Zitadel, accesstoken.SPIFFE, accesstoken.WorkOS, accesstoken.FusionAuth,
		}
		if renamed := profile.Dialect(); !slices.Contains(needsMore, profile) {
			renamed.Name = "renamed"
			if issuer.Dialect = renamed; issuerFaults(t, issuer) != "" {
				t.Errorf("%s, renamed: got %s; want no fault", name, issuerFaults(t, issuer))
			}
		}
		changed := profile.Dialect()
		changed.Types, changed.Kind = append(changed.Types, "x"), append(changed.Kind, dialect.Has("x"))
		if len(changed.Types) > 1 {
			changed.Types[0] = "x"
		}
		if strings.Contains(profile.String(), "typ is x") || len(profile.Dialect().Kind) == len(changed.Kind) {
			t.Errorf("%s: got the profile itself; want a copy", name)
		}
	}
	if got := accesstoken.Profile(99).Dialect(); got != nil {
		t.Errorf("got %v for an unknown profile; want nil", got)
	}
}

func TestADialectIsCopied(t *testing.T) {
	as, d := accesstokentest.NewServer(t), &dialect.Dialect{Types: []string{"at+jwt"}}
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Dialect = d })
	d.Types[0] = "jwt"
	if _, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(nil))); err != nil {
		t.Errorf("got %v; want at+jwt accepted, as it was at set-up", err)
	}
}

// No Dialect makes an access token of a JWT that says it is something else.
func TestATypOfAnotherKindOfJWTIsAFault(t *testing.T) {
	for _, typ := range []string{
		"dpop+jwt", "logout+jwt", "logout_token", "secevent+jwt", "token-introspection+jwt", "statuslist+jwt",
		"global-token-revocation+jwt", "wimse-proof+jwt", "wit+jwt", "wpt+jwt", "txn-authz-challenge+jwt", "txntoken+jwt",
		"oauth-id-jag+jwt", "oauth-client-attestation+jwt", "oauth-client-attestation-pop+jwt",
		"kb+jwt", "dc+sd-jwt", "trust-mark+jwt", "trust-mark-delegation+jwt", "explicit-registration-response+jwt", "Logout+JWT",
	} {
		_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{{
			URL: "https://login.example.com", Dialect: &dialect.Dialect{Types: []string{"at+jwt", typ}},
		}}})
		if err == nil || !strings.Contains(err.Error(), "which is never an access token; list the typ of access tokens only") {
			t.Errorf("%s: got %v; want a fault", typ, err)
		}
	}
}
