package accesstoken_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/scopes"
)

// trustDomain returns a trust domain whose keys are those of a server.
func trustDomain(name string, as *accesstokentest.Server) accesstoken.Issuer {
	return accesstoken.Issuer{URL: "spiffe://" + name, Profile: accesstoken.SPIFFE, Keys: jwks.Static(as.Keys()...)}
}

// svid returns a JWT-SVID as SPIRE makes them. A claim overrides, and nil removes.
func svid(as *accesstokentest.Server, subject string, with accesstokentest.Claims) string {
	now := time.Now()
	claims := map[string]any{"sub": subject, "aud": []string{resource}, "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix()}
	for name, value := range with {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return as.Sign(map[string]any{"typ": "JWT", "alg": "ES256"}, claims)
}

// A sub that is not a workload's SPIFFE ID in the trust domain never passes, even with a
// good signature and the domain as iss.
func TestASubjectIsAWorkloadOfTheTrustDomain(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{trustDomain("example.org", as)} })
	const domain = "spiffe://example.org"
	for subject, want := range map[string]bool{
		domain + "/ns/prod/sa/orders":               true,
		domain + "/a":                               true,
		domain + "/A.b-c_d/.../0":                   true,
		domain + "/azAZ09":                          true,
		domain + "/" + strings.Repeat("a", 2048-21): true,
		domain + "/" + strings.Repeat("a", 2049-21): false,
		domain:                                false,
		domain + "/":                          false,
		domain + "/a/":                        false,
		domain + "//a":                        false,
		domain + "/a//b":                      false,
		domain + "/./a":                       false,
		domain + "/a/..":                      false,
		domain + "/a%20b":                     false,
		domain + "/a?b":                       false,
		domain + "/a#b":                       false,
		domain + "/ä":                         false,
		domain + "/a\x00":                     false,
		domain + ":443/a":                     false,
		"spiffe://user@example.org/a":         false,
		"spiffe://EXAMPLE.org/a":              false,
		"SPIFFE://example.org/a":              false,
		"spiffe:///a":                         false,
		"spiffe:/example.org/a":               false,
		"spiffe://example.org.evil.example/a": false,
		"spiffe://other.example/a":            false,
		"https://example.org/a":               false,
		"system:serviceaccount:prod:orders":   false,
		"spiffe://" + strings.Repeat("a", 256) + "/a": false,
		"spiffe://example.org\\/a":                    false,
		" spiffe://example.org/a":                     false,
		"spiffe://example.org/a ":                     false,
	} {
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(svid(as, subject, nil)))
		if (err == nil) != want || want && (claims.Subject != subject || claims.Issuer != domain || claims.ClientID != "" || !claims.ClientItself()) {
			t.Errorf("%q: got %v, %v; want it accepted: %v", subject, claims.Subject, err, want)
		}
		_, err = v.Validate(t.Context(), accesstoken.Bearer(svid(as, subject, accesstokentest.Claims{"iss": domain})))
		if !want {
			wantReason(t, err, accesstoken.ClaimInvalid)
		} else if err != nil {
			t.Errorf("%q with iss: got %v; want it accepted", subject, err)
		}
	}
}

// iss decides if it is configured, and sub otherwise. The keys of one domain never
// verify the workloads of another.
func TestATrustDomainIsFoundBySub(t *testing.T) {
	a, b, login := accesstokentest.NewServer(t), accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, login, func(c *accesstoken.Config) {
		first := trustDomain("a.example", a)
		first.Aliases = []string{"https://oidc.a.example"}
		c.Issuers = []accesstoken.Issuer{{URL: login.URL}, first, trustDomain("b.example", b)}
	})
	inA, inB := "spiffe://a.example/x", "spiffe://b.example/x"
	for name, test := range map[string]struct {
		signer  *accesstokentest.Server
		subject string
		iss     any
		want    accesstoken.Reason
	}{
		"without iss":                               {a, inA, nil, ""},
		"without iss, of the other domain":          {b, inB, nil, ""},
		"with a foreign iss":                        {a, inA, "https://spire.example", ""},
		"with an empty iss":                         {a, inA, "", ""},
		"with the domain as iss":                    {a, inA, "spiffe://a.example", ""},
		"with an alias as iss":                      {a, inA, "https://oidc.a.example", ""},
		"signed by the other domain":                {b, inA, nil, accesstoken.KeyNotFound},
		"signed by the other domain, which iss is":  {b, inA, "spiffe://b.example", accesstoken.ClaimInvalid},
		"signed by this domain, iss is the other":   {a, inA, "spiffe://b.example", accesstoken.KeyNotFound},
		"iss is an issuer that is no trust domain":  {login, inA, login.URL, accesstoken.TokenTypeMismatch},
		"of a domain that is not configured":        {a, "spiffe://c.example/x", nil, accesstoken.IssuerUnknown},
		"of a domain that begins as one configured": {a, "spiffe://a.example.evil/x", nil, accesstoken.IssuerUnknown},
		"of no domain, without iss":                 {a, "alice", nil, accesstoken.IssuerUnknown},
	} {
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(svid(test.signer, test.subject, accesstokentest.Claims{"iss": test.iss})))
		switch {
		case test.want != "":
			if refused := reasonOf(t, err); refused != test.want {
				t.Errorf("%s: got %s; want %s", name, refused, test.want)
			}
		case err != nil || claims.Subject != test.subject || claims.Issuer != test.subject[:len("spiffe://a.example")]:
			t.Errorf("%s: got %v of %q, %v; want it accepted", name, claims.Subject, claims.Issuer, err)
		}
	}
}

// What would open a trust domain, or could accept no token, is a fault.
func TestTheFaultsOfATrustDomain(t *testing.T) {
	client, err := introspection.NewClient(introspection.Config{Endpoint: "https://a.example/introspect", ClientID: "a", ClientSecret: "b"})
	if err != nil {
		t.Fatal(err)
	}
	good := func(change func(*accesstoken.Issuer)) []accesstoken.Issuer {
		i := accesstoken.Issuer{URL: "spiffe://example.org", Profile: accesstoken.SPIFFE, Keys: noKeys{}}
		change(&i)
		return []accesstoken.Issuer{i}
	}
	wantOneFault(t, "a good one", good(func(*accesstoken.Issuer) {}))
	wantOneFault(t, "its Dialect", good(func(i *accesstoken.Issuer) { i.Profile, i.Dialect = accesstoken.RFC9068, accesstoken.SPIFFE.Dialect() }))
	wantOneFault(t, "another Dialect", good(func(i *accesstoken.Issuer) {
		i.Profile, i.Dialect = accesstoken.RFC9068, &dialect.Dialect{Types: []string{"jwt"}, Client: []string{"azp"}}
	}))
	for text, change := range map[string]func(*accesstoken.Issuer){
		"Keys is nil":                        func(i *accesstoken.Issuer) { i.Keys = nil },
		"set Profile: accesstoken.SPIFFE":    func(i *accesstoken.Issuer) { i.Profile = accesstoken.RFC9068 },
		"Introspection is set":               func(i *accesstoken.Issuer) { i.Introspection = client },
		"MaxAge counts from iat":             func(i *accesstoken.Issuer) { i.MaxAge = time.Minute },
		"DangerouslyAcceptNoAudience is set": func(i *accesstoken.Issuer) { i.DangerouslyAcceptNoAudience = true },
		`Dialect.Optional has "aud", but every`: func(i *accesstoken.Issuer) {
			i.Profile, i.Clients = accesstoken.RFC9068, []string{"a"}
			i.Dialect = &dialect.Dialect{Optional: []string{"aud"}, Kind: []dialect.Mark{dialect.Has("custom")}}
		},
		"Clients is set":               func(i *accesstoken.Issuer) { i.Clients = []string{"a"} },
		"is not a SPIFFE trust domain": func(i *accesstoken.Issuer) { i.URL = "https://example.org" },
	} {
		wantOneFault(t, text, good(change), text)
	}
	for _, url := range []string{"spiffe://", "spiffe://example.org/", "spiffe://example.org/a", "spiffe://Example.org", "spiffe://a@b", "spiffe://a:1", "spiffe://" + strings.Repeat("a", 256), "spiffe://A", "spiffe://Z"} {
		wantOneFault(t, url, good(func(i *accesstoken.Issuer) { i.URL = url }), "the name of a trust domain")
	}
	wantOneFault(t, "the longest name", good(func(i *accesstoken.Issuer) { i.URL = "spiffe://" + strings.Repeat("a", 255) }))
	twice := append(good(func(*accesstoken.Issuer) {}), good(func(i *accesstoken.Issuer) { i.Keys = new(jwks.Bundle) })...)
	if lines := faultsOf(accesstoken.Config{Resource: resource, Issuers: twice}); len(lines) != 2 {
		t.Errorf("the same domain twice, and a bundle that was not read: got %q; want both", lines)
	}
	fapi := good(func(i *accesstoken.Issuer) { i.MaxLifetime = time.Minute })
	if lines := faultsOf(accesstoken.Config{Resource: resource, Issuers: fapi, FAPI2: true}); len(lines) != 1 || !strings.Contains(lines[0], "bearer tokens") {
		t.Errorf("FAPI2: got %q; want that SVIDs are bearer tokens", lines)
	}
}

// JWT-SVID §2.1 has no EdDSA, so it must be listed by hand.
func TestASignatureOfAnSVIDIsOfTheListedAlgorithms(t *testing.T) {
	as := accesstokentest.NewServer(t)
	now := time.Now().Unix()
	token := as.Sign(map[string]any{"typ": "JWT", "alg": "EdDSA"}, map[string]any{"sub": "spiffe://example.org/a", "aud": resource, "iat": now, "exp": now + 60})
	for _, listed := range [][]string{nil, {"ES256"}, {"EdDSA"}} {
		v := newValidator(t, as, func(c *accesstoken.Config) {
			issuer := trustDomain("example.org", as)
			issuer.Algorithms = listed
			c.Issuers = []accesstoken.Issuer{issuer}
		})
		_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
		if slices.Contains(listed, "EdDSA") {
			if err != nil {
				t.Errorf("Algorithms %q: got %v; want nil", listed, err)
			}
			continue
		}
		wantReason(t, err, accesstoken.AlgorithmNotAllowed)
	}
}

// Without iat, the lifetime counts from now.
func TestAnSVIDLivesForAnHour(t *testing.T) {
	as := accesstokentest.NewServer(t)
	now := time.Now()
	for name, test := range map[string]struct {
		most, exp time.Duration
		iat       any
		want      bool
	}{
		"an hour":                 {0, time.Hour, now.Unix(), true},
		"more than an hour":       {0, time.Hour + time.Second, now.Unix(), false},
		"an hour, without iat":    {0, time.Hour + 30*time.Second, nil, true}, // one Leeway
		"more, without iat":       {0, time.Hour + 32*time.Second, nil, false},
		"a day, which is allowed": {24 * time.Hour, 24 * time.Hour, now.Unix(), true},
		"more than is allowed":    {time.Minute, 2 * time.Minute, now.Unix(), false},
	} {
		v := newValidator(t, as, func(c *accesstoken.Config) {
			issuer := trustDomain("example.org", as)
			issuer.MaxLifetime = test.most
			c.Issuers, c.Now = []accesstoken.Issuer{issuer}, func() time.Time { return now }
		})
		token := svid(as, "spiffe://example.org/a", accesstokentest.Claims{"iat": test.iat, "exp": now.Add(test.exp).Unix()})
		if _, err := v.Validate(t.Context(), accesstoken.Bearer(token)); (err == nil) != test.want {
			t.Errorf("%s: got %v; want it accepted: %v", name, err, test.want)
		}
	}
}

// A policy names workloads one by one, or those below a path that ends where a segment
// does. A token of another issuer is never one of them.
func TestAPolicyListsWorkloads(t *testing.T) {
	as, login := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	v := newValidator(t, login, func(c *accesstoken.Config) {
		c.Issuers = []accesstoken.Issuer{{URL: login.URL}, trustDomain("example.org", as)}
	})
	const domain = "spiffe://example.org"
	for name, test := range map[string]struct {
		ids  []string
		sub  string
		want bool
	}{
		"the very ID":               {[]string{domain + "/ns/a"}, domain + "/ns/a", true},
		"one of several":            {[]string{domain + "/x", domain + "/ns/a"}, domain + "/ns/a", true},
		"an ID below one listed":    {[]string{domain + "/ns/a"}, domain + "/ns/a/b", false},
		"an ID that begins as one":  {[]string{domain + "/ns/a"}, domain + "/ns/ab", false},
		"below a path":              {[]string{domain + "/ns/a/*"}, domain + "/ns/a/b/c", true},
		"the path itself":           {[]string{domain + "/ns/a/*"}, domain + "/ns/a", false},
		"a path that begins as one": {[]string{domain + "/ns/a/*"}, domain + "/ns/ab", false},
		"below one that begins so":  {[]string{domain + "/ns/a/*"}, domain + "/ns/ab/c", false},
		"another domain":            {[]string{"spiffe://other.example/ns/a"}, domain + "/ns/a", false},
		"any, without a list":       {nil, domain + "/ns/a", true},
	} {
		policy := accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: test.ids}
		claims, err := v.Authorize(t.Context(), accesstoken.Bearer(svid(as, test.sub, nil)), policy)
		if (err == nil) != test.want {
			t.Errorf("%s: got %v; want it accepted: %v", name, err, test.want)
		}
		if err != nil && (reasonOf(t, err) != accesstoken.PolicyDenied || policy.Err() != nil) {
			t.Errorf("%s: got %v, and %v at set-up; want POLICY_DENIED", name, err, policy.Err())
		}
		if err == nil && v.Check(t.Context(), claims, policy) != nil {
			t.Errorf("%s: got it refused by Check; want it accepted again", name)
		}
	}
	other := login.Token(accesstokentest.Claims{"sub": domain + "/ns/a"})
	_, err := v.Authorize(t.Context(), accesstoken.Bearer(other), accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: []string{domain + "/ns/a"}})
	wantReason(t, err, accesstoken.PolicyDenied)
}

// A list that is a mistake is told at set-up, and opens nothing if it is used anyway.
func TestAPolicyOfNoWorkloadIsAFault(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers = []accesstoken.Issuer{trustDomain("example.org", as)} })
	for _, ids := range [][]string{
		{}, {""}, {"*"}, {"/*"}, {"spiffe://example.org"}, {"spiffe://example.org/"}, {"spiffe://example.org/*"}, {"spiffe://example.org//*"}, {"spiffe://*"},
		{"spiffe://example.org/a*"}, {"spiffe://example.org/*/a"}, {"spiffe://example.org/a/*/*"}, {"example.org/a"}, {"spiffe://example.org/a", "b"},
		{"spiffe://Example.org/a"}, {"spiffe:///a"}, {"spiffe://example.org:1/a"}, {"spiffe://a@example.org/a"}, {"spiffe://" + strings.Repeat("a", 256) + "/a"},
	} {
		policy := accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: ids}
		if policy.Err() == nil {
			t.Errorf("%q: got nil; want a fault", ids)
		}
		_, err := v.Authorize(t.Context(), accesstoken.Bearer(svid(as, "spiffe://example.org/a", nil)), policy)
		wantReason(t, err, accesstoken.ResourceServerMisconfigured)
	}
}

// Two policies together accept what both accept.
func TestPoliciesOfWorkloadsCombine(t *testing.T) {
	const a = "spiffe://example.org/a"
	for _, test := range []struct{ one, other, want []string }{
		{nil, nil, nil},
		{[]string{a}, nil, []string{a}},
		{[]string{a}, []string{a, a + "/b"}, []string{a}},
		{[]string{a + "/*"}, []string{a, a + "/b", a + "/c/*", a + "b"}, []string{a + "/b", a + "/c/*"}},
		{[]string{a + "/*"}, []string{a + "/*"}, []string{a + "/*"}},
		{[]string{a}, []string{a + "/*"}, []string{}},
		{[]string{a}, []string{}, []string{}},
	} {
		one, other := accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: test.one}, accesstoken.Policy{Scopes: scopes.None(), SPIFFEIDs: test.other}
		for _, both := range []accesstoken.Policy{one.And(other), other.And(one)} {
			if got := both.SPIFFEIDs; strings.Join(got, " ") != strings.Join(test.want, " ") || (got == nil) != (test.want == nil) {
				t.Errorf("%q and %q: got %q; want %q", test.one, test.other, got, test.want)
			}
			if isFault := both.Err() != nil; isFault != (test.want != nil && len(test.want) == 0) {
				t.Errorf("%q and %q: got the fault %v", test.one, test.other, both.Err())
			}
		}
	}
}

// A trust domain has the host of an https issuer, and is not what a misspelt iss meant.
func TestATrustDomainIsNotAdvised(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var log bytes.Buffer
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c.Issuers = []accesstoken.Issuer{{URL: "https://example.org", Keys: jwks.Static(as.Keys()...)}, trustDomain("example.org", accesstokentest.NewServer(t))}
	})
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"iss": "https://example.org/"})))
	wantReason(t, err, accesstoken.IssuerUnknown)
	if !strings.Contains(log.String(), "iss ends in a slash") || !strings.Contains(log.String(), "issuer=https://example.org ") {
		t.Errorf("got the log %s; want advice about the https issuer", log.String())
	}
}
