package accesstoken_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// An unlisted issuer is one without a profile, its Dialect and its tokens.
type unlisted struct {
	name   string
	issuer accesstoken.Issuer
	header map[string]any
	claims accesstokentest.Claims // of a token that is accepted; the times are added
	want   string                 // subject, client, scopes, ID and whether the client acts for itself
	wrong  map[string]accesstokentest.Claims
}

// unlistedIssuers are issuers as their documentation shows their tokens.
func unlistedIssuers() []unlisted {
	jwt := map[string]any{"typ": "JWT"}
	return []unlisted{
		{
			name: "Clerk, whose client is in azp and whose tokens have no aud",
			issuer: accesstoken.Issuer{
				URL: "https://clerk.example.com", Clients: []string{"https://app.example.com"},
				Dialect: &dialect.Dialect{
					Name: "Clerk", Types: []string{"jwt"}, Client: []string{"azp"}, Optional: []string{"jti", "aud"},
					Kind: []dialect.Mark{dialect.Is("v", 2), dialect.Has("sid")},
				},
			},
			header: jwt,
			claims: accesstokentest.Claims{"sub": "user_1", "azp": "https://app.example.com", "v": 2, "sid": "sess_1", "scope": "a"},
			want:   "user_1 https://app.example.com a  false",
			wrong: map[string]accesstokentest.Claims{
				"a client that is not listed": {"azp": "https://evil.example.com"},
				"no client":                   {"azp": nil},
				"another version":             {"v": 1},
				"the version as a string":     {"v": "2"},
				"the version in a list":       {"v": []int{2}},
				"no session":                  {"sid": nil},
				"a session that is null":      {"sid": accesstokentest.Claims(nil)},
				"an aud of another server":    {"aud": "https://other.example.com"},
				"an empty aud":                {"aud": []string{}},
				"the hash of an ID token":     {"at_hash": "x"},
				"a logout token":              {"events": map[string]any{}},
				"a refresh token":             {"token_use": "refresh"},
			},
		},
		{
			name: "an issuer like Stytch, whose iss is no URL and whose aud is the project",
			issuer: accesstoken.Issuer{
				URL: "stytch.com/project-1", Audience: []string{"project-1"},
				Dialect: &dialect.Dialect{
					Name: "Stytch", Types: []string{"jwt"}, Optional: []string{"client_id", "jti"}, Kind: []dialect.Mark{dialect.Has("https://stytch.com/session")},
				},
			},
			header: jwt,
			claims: accesstokentest.Claims{"sub": "user-1", "aud": []string{"project-1"}, "https://stytch.com/session": map[string]any{"id": "s"}, "nbf": 1},
			want:   "user-1    false",
			wrong: map[string]accesstokentest.Claims{
				"no session":       {"https://stytch.com/session": nil},
				"another project":  {"aud": "project-2"},
				"an ID token":      {"typ": "ID"},
				"another iss":      {"iss": "stytch.com/project-2"},
				"iss with a slash": {"iss": "stytch.com/project-1/"},
			},
		},
		{
			name: "Dex, whose access tokens are made like ID tokens",
			issuer: accesstoken.Issuer{
				URL: "https://dex.example.com", Audience: []string{"web"}, Clients: []string{"web"},
				Dialect: &dialect.Dialect{Name: "Dex", Types: []string{""}, Client: []string{"aud"}, Optional: []string{"jti"}, IDTokens: true},
			},
			claims: accesstokentest.Claims{"sub": "CgVhbGljZQ", "aud": "web", "at_hash": "x", "nonce": "n", "email": "a@example.com"},
			want:   "CgVhbGljZQ web   false",
			wrong: map[string]accesstokentest.Claims{
				"a token for another client": {"aud": "cli"},
				"several audiences":          {"aud": []string{"web", "cli"}},
				"a logout token":             {"events": map[string]any{}},
				"a refresh token by its typ": {"typ": "refresh"},
			},
		},
		{
			name: "Casdoor, whose aud is the client and whose access tokens say so",
			issuer: accesstoken.Issuer{
				URL: "https://casdoor.example.com", Audience: []string{"app"}, Clients: []string{"app"},
				Dialect: &dialect.Dialect{
					Name: "Casdoor", Types: []string{"jwt"}, Client: []string{"azp"}, Kind: []dialect.Mark{dialect.Is("tokenType", "access-token")},
				},
			},
			header: jwt,
			claims: accesstokentest.Claims{"sub": "u", "aud": []string{"app"}, "azp": "app", "tokenType": "access-token", "nonce": "", "jti": "admin/1", "scope": "a"},
			want:   "u app a admin/1 false",
			wrong: map[string]accesstokentest.Claims{
				"an ID token":            {"tokenType": "id-token"},
				"a refresh token":        {"tokenType": "refresh-token"},
				"no kind":                {"tokenType": nil},
				"another client":         {"aud": "other", "azp": "other"},
				"another client's token": {"azp": "other"},
			},
		},
		{
			name: "Firebase, whose ID tokens are the credentials",
			issuer: accesstoken.Issuer{
				URL: "https://securetoken.google.com/project-1", Audience: []string{"project-1"},
				Demand: map[string][]string{"/firebase/sign_in_provider": {"password", "google.com"}, "/firebase/revision": {"3"}},
				Dialect: &dialect.Dialect{
					Name: "Firebase", Types: []string{"jwt"}, Optional: []string{"client_id", "jti"}, IDTokens: true,
					Kind: []dialect.Mark{dialect.Has("firebase", "auth_time"), dialect.Without("nonce")},
				},
			},
			header: jwt,
			claims: accesstokentest.Claims{"sub": "u", "aud": "project-1", "auth_time": 1, "firebase": map[string]any{"sign_in_provider": "password", "revision": 3}},
			want:   "u    false",
			wrong: map[string]accesstokentest.Claims{
				"an anonymous user":           {"firebase": map[string]any{"sign_in_provider": "anonymous", "revision": 3}},
				"a revision that is a string": {"firebase": map[string]any{"sign_in_provider": "password", "revision": "4"}},
				"no provider":                 {"firebase": map[string]any{"revision": 3}},
				"a provider at the top":       {"firebase": map[string]any{"revision": 3}, "sign_in_provider": "password"},
				"firebase that is a string":   {"firebase": "password"},
				"a nonce":                     {"nonce": "n"},
				"no auth_time":                {"auth_time": nil},
			},
		},
		{
			name: "an issuer whose client is in cid, with scopes in a list and a tenant",
			issuer: accesstoken.Issuer{
				URL: "urn:example:issuer", Tenants: []string{"Org A"},
				Dialect: &dialect.Dialect{
					Types: []string{"at+jwt", "JWT"}, Client: []string{"cid", "/client/id"}, Scope: []string{"scp", "scope"}, ScopeArray: true, ID: "uti", Tenant: "/org/name",
					Optional: []string{"sub"}, Machine: []dialect.Mark{dialect.Is("gty", "client-credentials")},
				},
			},
			header: jwt,
			claims: accesstokentest.Claims{
				"sub": "alice", "aud": resource, "cid": "c", "client": map[string]any{"id": "c"}, "scp": []string{}, "scope": "admin", "uti": "t", "org": map[string]any{"name": "Org A"},
				"gty": "client-credentials",
			},
			want: "alice c  t true",
			wrong: map[string]accesstokentest.Claims{
				"two clients that differ":        {"client": map[string]any{"id": "d"}},
				"a client of the wrong type":     {"cid": 1},
				"an id of the wrong type":        {"uti": []string{"t"}},
				"no id":                          {"uti": nil},
				"scopes of the wrong type":       {"scp": 1},
				"another tenant":                 {"org": map[string]any{"name": "Org B"}},
				"no tenant":                      {"org": nil},
				"an aud that names the client":   {"aud": []string{resource, "c"}},
				"an aud that names client_id":    {"aud": []string{resource, "d"}, "client_id": "d"},
				"an aud that names azp":          {"aud": []string{resource, "e"}, "azp": "e"},
				"a nonce, even if it is null":    {"nonce": accesstokentest.Claims(nil)},
				"neither a user nor a client":    {"sub": nil, "cid": nil, "client": nil},
				"a scope with a space in a list": {"scp": []string{"a b"}},
			},
		},
	}
}

func TestIssuersThatHaveNoProfile(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, test := range unlistedIssuers() {
		t.Run(test.name, func(t *testing.T) {
			v := validatorOf(t, as, test.issuer)
			claims, err := v.Validate(t.Context(), accesstoken.Bearer(test.token(as, nil)))
			if err != nil {
				t.Fatalf("got %v; want the token accepted", err)
			}
			itself := map[bool]string{true: "true", false: "false"}[claims.ClientItself()]
			if got := strings.Join([]string{claims.Subject, claims.ClientID, claims.Scopes().String(), claims.ID, itself}, " "); got != test.want {
				t.Errorf("got %s; want %s", got, test.want)
			}
			for name, change := range test.wrong {
				if _, err := v.Validate(t.Context(), accesstoken.Bearer(test.token(as, change))); err == nil {
					t.Errorf("%s: got it accepted; want a refusal", name)
				}
			}
			for _, typ := range []string{"logout+jwt", "dpop+jwt", "x+jwt"} {
				token := as.Sign(map[string]any{"typ": typ}, test.whole(nil))
				if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); err == nil {
					t.Errorf("typ %s: got it accepted; want a refusal", typ)
				}
			}
		})
	}
}

// whole returns the claims with a change: nil removes a claim, a nil Claims makes it null.
func (u unlisted) whole(change accesstokentest.Claims) map[string]any {
	claims := map[string]any{"iss": u.issuer.URL, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
	maps.Copy(claims, u.claims)
	for name, value := range change {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func (u unlisted) token(as *accesstokentest.Server, change accesstokentest.Claims) string {
	header := u.header
	if header == nil {
		header = map[string]any{"typ": nil}
	}
	return as.Sign(header, u.whole(change))
}

// Without iat, the age of a token is not known, but its end is.
func TestWithoutIssuedAtMaxLifetimeCountsFromNow(t *testing.T) {
	as, clock := accesstokentest.NewServer(t), new(clock)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now = clock.Now
		c.Issuers[0].Dialect, c.Issuers[0].MaxLifetime = &dialect.Dialect{Optional: []string{"iat"}}, time.Hour
	})
	lasting := func(d time.Duration, iat any) error {
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iat": iat, "exp": time.Now().Add(d).Unix()})))
		return err
	}
	if err := lasting(50*time.Minute, nil); err != nil {
		t.Errorf("50 min from now: got %v; want it accepted", err)
	}
	wantReason(t, lasting(2*time.Hour, nil), accesstoken.ClaimInvalid)
	wantReason(t, lasting(50*time.Minute, time.Now().Add(-time.Hour).Unix()), accesstoken.ClaimInvalid)
	wantReason(t, lasting(50*time.Minute, "soon"), accesstoken.ClaimInvalid)
}

// If there is no sub, the client acts for itself.
func TestATokenWithoutSubjectIsTheClients(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Dialect = &dialect.Dialect{Optional: []string{"sub", "client_id"}, Machine: []dialect.Mark{dialect.Has("never")}}
	})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"sub": nil, "client_id": "c"})))
	if err != nil || !claims.ClientItself() || claims.ClientID != "c" {
		t.Errorf("got %q, %v, %v; want the client c itself", claims.ClientID, claims.ClientItself(), err)
	}
	claims, err = v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"client_id": nil})))
	if err != nil || claims.ClientItself() {
		t.Errorf("a user and no client: got %v, %v; want the user", claims.ClientItself(), err)
	}
	for _, sub := range []any{nil, ""} {
		_, err = v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"sub": sub, "client_id": nil})))
		if refused := wantReason(t, err, accesstoken.ClaimInvalid); !strings.Contains(refused.Error(), "neither a user nor a client") {
			t.Errorf("got %v; want it to say that neither is there", refused)
		}
	}
}

func TestDemandNamesPointersAndNumbers(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Demand = map[string][]string{"v": {"2"}, "/org/ids/0": {"7", "seven"}, "/a~1b": {"true"}}
	})
	good := accesstokentest.Claims{"v": 2, "org": map[string]any{"ids": []any{7}}, "a/b": true}
	for name, test := range map[string]struct {
		change accesstokentest.Claims
		isGood bool
	}{
		"all":                      {nil, true},
		"another listed value":     {accesstokentest.Claims{"org": map[string]any{"ids": []any{"seven", 1}}}, true},
		"the number as a string":   {accesstokentest.Claims{"v": "2"}, true},
		"another number":           {accesstokentest.Claims{"v": 20}, false},
		"a list with the number":   {accesstokentest.Claims{"v": []int{2}}, false},
		"null":                     {accesstokentest.Claims{"a/b": accesstokentest.Claims(nil)}, false},
		"nothing at the pointer":   {accesstokentest.Claims{"org": map[string]any{"ids": []any{}}}, false},
		"another at the pointer":   {accesstokentest.Claims{"org": map[string]any{"ids": []any{8, 7}}}, false},
		"the pointer's own text":   {accesstokentest.Claims{"org": nil, "/org/ids/0": "7"}, false},
		"a member instead of both": {accesstokentest.Claims{"a/b": nil, "a": map[string]any{"b": true}}, false},
	} {
		claims := maps.Clone(good)
		maps.Copy(claims, test.change)
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(claims)))
		if (err == nil) != test.isGood {
			t.Errorf("%s: got %v; want it accepted: %v", name, err, test.isGood)
		}
	}
	for demand, want := range map[string]string{"/aud/0": "is not allowed", "/a/": "is not a JSON Pointer"} {
		if got := issuerFaults(t, accesstoken.Issuer{Demand: map[string][]string{demand: {"a"}}}); !strings.Contains(got, want) {
			t.Errorf("%s: got %q; want a fault that says %q", demand, got, want)
		}
	}
}

// An iss is any text where nothing is fetched from it, and a real one is read by its
// Dialect also with the answer of an introspection.
func TestADialectAndAnIntrospectionAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
		c.Issuers[0].Dialect = &dialect.Dialect{
			Client: []string{"cid"}, Scope: []string{"scp"}, ScopeArray: true,
			Kind: []dialect.Mark{dialect.Is("v", 2), dialect.AnyOf(dialect.Without("email"), dialect.Is("email_verified", true))},
		}
	})
	for name, test := range map[string]struct {
		jwt, answer accesstokentest.Claims
		isGood      bool
	}{
		"the answer has the client":        {accesstokentest.Claims{}, accesstokentest.Claims{"cid": "c", "client_id": "c"}, true},
		"the answer contradicts the mark":  {accesstokentest.Claims{"client_id": "c", "cid": "c"}, accesstokentest.Claims{"cid": "c", "client_id": "c", "v": 3}, false},
		"the answer names two clients":     {accesstokentest.Claims{}, accesstokentest.Claims{"cid": "c", "client_id": "d"}, false},
		"a client_id beside cid differs":   {accesstokentest.Claims{"client_id": "evil"}, accesstokentest.Claims{"cid": "c", "client_id": "c"}, false},
		"neither has the client":           {accesstokentest.Claims{}, accesstokentest.Claims{"cid": nil, "client_id": nil}, false},
		"the answer has another client":    {accesstokentest.Claims{"cid": "c"}, accesstokentest.Claims{"cid": "d"}, false},
		"the answer's email is unverified": {accesstokentest.Claims{"cid": "c"}, accesstokentest.Claims{"client_id": "c", "email": "a"}, false},
		"the JWT's email is unverified":    {accesstokentest.Claims{"cid": "c", "email": "a"}, accesstokentest.Claims{"client_id": "c", "email_verified": true}, false},
		"the mark is in the answer alone":  {accesstokentest.Claims{"cid": "c", "v": nil}, accesstokentest.Claims{"client_id": "c", "v": 2}, false},
	} {
		claims := as.Claims(accesstokentest.Claims{"client_id": nil, "scope": nil, "v": 2, "scp": []string{"a"}})
		maps.Copy(claims, test.jwt)
		token := as.Sign(map[string]any{"typ": "at+jwt"}, claims)
		as.Remember(token, test.answer)
		_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
		if (err == nil) != test.isGood {
			t.Errorf("%s: got %v; want it accepted: %v", name, err, test.isGood)
		}
	}
}

func TestTheLogSuggestsADialect(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for name, test := range map[string]struct {
		header map[string]any
		claims accesstokentest.Claims
		want   string
		not    string
	}{
		"scopes in scp, the client in azp": {
			map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "scope": nil, "jti": nil, "azp": canary, "scp": []string{canary}, "v": 2, "aud": []string{canary, resource}},
			`since the client is in azp and the scopes are in scp, set Dialect: &dialect.Dialect{Types: []string{\"jwt\"}, Client: []string{\"azp\"}, Scope: []string{\"scp\"}, ScopeArray: true, Optional: []string{\"jti\"}}`, canary,
		},
		"scopes that the profile Auth0 would not read": {
			map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "jti": nil, "azp": "c", "scp": "a b", "ver": "1", "tfp": canary},
			`since the client is in azp and the scopes are in scp, set Dialect: &dialect.Dialect{Types: []string{\"jwt\"}, Client: []string{\"azp\"}, Scope: []string{\"scp\"}, Optional: []string{\"jti\"}}`, "set Profile",
		},
		"the id in uti and roles of a realm": {
			map[string]any{"typ": "x+JWT"}, accesstokentest.Claims{"jti": nil, "uti": canary, "scp": "a", "realm_access": map[string]any{"roles": []string{canary}}},
			`Dialect{Types: []string{\"x+jwt\"}, Scope: []string{\"scp\"}, ID: \"uti\", Roles: \"/realm_access/roles\"}`, canary,
		},
		"values that are not a client or scopes": {
			map[string]any{"typ": "x+jwt"}, accesstokentest.Claims{"client_id": nil, "azp": "", "cid": 1, "scp": 1, "scopes": map[string]any{}}, "set its Profile", "dialect.Dialect",
		},
		"nothing to find":     {map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "sub": canary}, "set its Profile", "dialect.Dialect"},
		"an ID token":         {map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "azp": "c", "nonce": canary}, "if it is an ID token", "dialect.Dialect"},
		"a profile that fits": {map[string]any{"typ": "JWT"}, accesstokentest.Claims{"client_id": nil, "azp": "c", "typ": "Bearer"}, "set Profile: accesstoken.Keycloak", "dialect.Dialect"},
	} {
		var log bytes.Buffer
		v := newValidator(t, as, func(c *accesstoken.Config) {
			c.Issuers = []accesstoken.Issuer{{URL: as.URL, Keys: jwks.Static(as.Keys()...)}}
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		claims := as.Claims(test.claims)
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Sign(test.header, claims)))
		if err == nil || !strings.Contains(log.String(), test.want) || strings.Contains(log.String(), test.not) {
			t.Errorf("%s: got %v, log %s; want it to say %q, and not %q", name, err, log.String(), test.want, test.not)
		}
	}
}

// Before the signature is verified, the log says nothing of a token's claims.
func TestNoDialectIsSuggestedForAForgedToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log bytes.Buffer
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"client_id": nil, "azp": "c", "scp": "a"}))
	_, err := v.Validate(t.Context(), accesstoken.Bearer(token[:len(token)-5]+"AAAAA"))
	wantReason(t, err, accesstoken.SignatureInvalid)
	if strings.Contains(log.String(), "scp") {
		t.Errorf("got the log %s; want it silent about scp", log.String())
	}
}

// A token that passes but for its scopes may have them in a claim that is not read.
func TestTheLogNamesTheClaimThatHasTheScopes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	const want = `Scope of a Dialect, such as &dialect.Dialect{Scope: []string{\"scp\"}}`
	for name, test := range map[string]struct {
		change func(*accesstoken.Issuer)
		claims accesstokentest.Claims
		warned bool
	}{
		"in scp":                      {func(*accesstoken.Issuer) {}, accesstokentest.Claims{"scp": canary}, true},
		"in scp, and scope is empty":  {func(*accesstoken.Issuer) {}, accesstokentest.Claims{"scp": canary, "scope": ""}, false},
		"null in scp":                 {func(*accesstoken.Issuer) {}, accesstokentest.Claims{"scp": accesstokentest.Null}, false},
		"other scopes than demanded":  {func(*accesstoken.Issuer) {}, accesstokentest.Claims{"scp": "a", "scope": "b"}, false},
		"no scopes":                   {func(*accesstoken.Issuer) {}, accesstokentest.Claims{}, false},
		"in scp, where it is read":    {func(i *accesstoken.Issuer) { i.Dialect = &dialect.Dialect{Scope: []string{"scp"}} }, accesstokentest.Claims{"scp": ""}, false},
		"in scp, where scopes is":     {func(i *accesstoken.Issuer) { i.Dialect = &dialect.Dialect{Scope: []string{"scopes"}} }, accesstokentest.Claims{"scp": "a"}, true},
		"in scp, with another policy": {func(i *accesstoken.Issuer) { i.Relax.JTI = true }, accesstokentest.Claims{"scp": []string{canary}, "jti": nil}, true},
	} {
		var log bytes.Buffer
		v := newValidator(t, as, func(c *accesstoken.Config) {
			c.Logger = slog.New(slog.NewTextHandler(&log, nil))
			test.change(&c.Issuers[0])
		})
		for _, scope := range []string{"read", "write"} {
			_, err := v.Authorize(t.Context(), accesstoken.Bearer(as.Token(test.claims)), accesstoken.Policy{Scopes: scopes.All(scope)})
			wantReason(t, err, accesstoken.ScopeInsufficient)
		}
		if got := strings.Count(log.String(), want); got != map[bool]int{true: 1}[test.warned] || strings.Contains(log.String(), canary) {
			t.Errorf("%s: got the log %s; want one line: %v", name, log.String(), test.warned)
		}
	}
}

// A number of a Demand is any that JSON can write.
func TestDemandTakesAnyNumber(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Demand = map[string][]string{"v": {"-5", "0", "9", "[1]", "{}", "null"}}
	})
	for value, isGood := range map[string]bool{"-5": true, "0": true, "9": true, "-9": false, "[1]": false, "{}": false, "null": false} {
		_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"v": json.RawMessage(value)})))
		if (err == nil) != isGood {
			t.Errorf("%s: got %v; want it accepted: %v", value, err, isGood)
		}
	}
}

// The advice to set a profile, or Relax, is for what an issuer may have in another way,
// and for issuers that have neither a profile nor a dialect.
func TestTheAdviceToSetAProfileIsForWhatMayDepart(t *testing.T) {
	as := accesstokentest.NewServer(t)
	plain := newValidator(t, as, nil)
	own := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Dialect = &dialect.Dialect{ScopeArray: true} })
	for _, test := range []struct {
		name  string
		v     *accesstoken.Validator
		token string
		want  bool
	}{
		{"no jti", plain, as.Token(accesstokentest.Claims{"jti": nil}), true},
		{"no exp", plain, as.Token(accesstokentest.Claims{"exp": nil}), false},
		{"no jti, and a dialect", own, as.Token(accesstokentest.Claims{"jti": nil}), false},
	} {
		_, err := test.v.Validate(t.Context(), accesstoken.Bearer(test.token))
		if err == nil || strings.Contains(err.Error(), "set its Profile") != test.want {
			t.Errorf("%s: got %v; want the advice: %v", test.name, err, test.want)
		}
	}
}
