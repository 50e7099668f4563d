package accesstoken_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"log/slog"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dpop"
	"github.com/accesstoken/accesstoken/introspection"
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
			`accesstoken: FAPI2: DPoP has "ES384"; ` + other, `accesstoken: FAPI2: DPoP has "ES512"; ` + other, `accesstoken: FAPI2: DPoP has "PS384"; ` + other,
			`accesstoken: FAPI2: DPoP has "PS512"; ` + other, `accesstoken: FAPI2: DPoP has "RS256"; ` + other,
		}},
		{"RS256", func(c *accesstoken.Config) { c.Issuers[0].Algorithms = []string{"ES256", "RS256"} }, []string{
			`accesstoken: Issuers[0]: FAPI2: Algorithms has "RS256"; ` + other,
		}},
		{"plain HTTP", func(c *accesstoken.Config) { c.Issuers[0].DangerouslyAllowHTTP = true }, []string{
			"accesstoken: Issuers[0]: FAPI2 allows nothing that is called dangerous",
		}},
		{"no audience", func(c *accesstoken.Config) { c.Issuers[0].DangerouslyAcceptNoAudience = true }, []string{
			"accesstoken: Issuers[0]: FAPI2 allows nothing that is called dangerous",
		}},
		{"no way to notice a revocation", func(c *accesstoken.Config) { c.Issuers[0].MaxLifetime = 0 }, []string{
			"accesstoken: Issuers[0]: FAPI2: a token that was revoked has to be noticed",
		}},
		{"lives that are too long", func(c *accesstoken.Config) { c.Issuers[0].MaxLifetime = 10*time.Minute + 1 }, []string{
			"accesstoken: Issuers[0]: FAPI2: a token that was revoked has to be noticed",
		}},
		{"introspection of opaque tokens alone", func(c *accesstoken.Config) {
			c.Issuers[0].MaxLifetime, c.Issuers[0].Introspection = 0, newIntrospection(t, as)
		}, []string{"accesstoken: Issuers[0]: FAPI2: a token that was revoked has to be noticed"}},
		{"answers that are kept", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection = keptIntrospection(t, as, 9*time.Minute, time.Minute)
		}, nil},
		{"answers that are kept for too long", func(c *accesstoken.Config) {
			c.Issuers[0].Introspection = keptIntrospection(t, as, 9*time.Minute, time.Minute+1)
		}, []string{"accesstoken: Issuers[0]: FAPI2: the Introspection client may call a revoked token active for 10m0.000000001s"}},
		{"several at once", func(c *accesstoken.Config) { c.Leeway, c.Issuers[0].MaxLifetime = -1, 0 }, []string{
			"accesstoken: FAPI2: Leeway is 0s", "accesstoken: Issuers[0]: FAPI2: a token that was revoked has to be noticed",
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
