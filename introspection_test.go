package accesstoken_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// introspecting makes a client of the server's endpoint.
func introspecting(t testing.TB, as *accesstokentest.Server, change func(*introspection.Config)) *introspection.Client {
	t.Helper()
	config := introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   as.Client(),
	}
	if change != nil {
		change(&config)
	}
	client, err := introspection.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func cachedFor(d time.Duration) func(*introspection.Config) {
	return func(c *introspection.Config) { c.CacheFor = d }
}

// validate wants the token to be refused for that reason; empty: accepted.
func validate(t *testing.T, v *accesstoken.Validator, token string, want accesstoken.Reason) {
	t.Helper()
	_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if want == "" {
		if err != nil {
			t.Errorf("got %v; want it accepted", err)
		}
		return
	}
	wantReason(t, err, want)
}

func TestINTRO12BothMustPassAndAgree(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
	})
	for _, c := range []struct {
		name string
		said accesstokentest.Claims // by the endpoint; nil: that it is not active
		want accesstoken.Reason
	}{
		{"both say the same", accesstokentest.Claims{}, ""},
		{"the endpoint says little", accesstokentest.Claims{"sub": nil, "client_id": nil, "iss": nil, "aud": nil, "exp": nil}, ""},
		{"revoked", nil, accesstoken.TokenInactive},
		{"another sub", accesstokentest.Claims{"sub": "mallory"}, accesstoken.ClaimInvalid},
		{"another client", accesstokentest.Claims{"client_id": "mallory"}, accesstoken.ClaimInvalid},
		{"another issuer", accesstokentest.Claims{"iss": "https://other.example"}, accesstoken.IssuerUnknown},
		{"a refresh token", accesstokentest.Claims{"token_type": "refresh_token"}, accesstoken.TokenTypeMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := as.Token(nil)
			as.Remember(token, c.said)
			if c.said == nil {
				as.Revoke(token)
			}
			validate(t, v, token, c.want)
			validate(t, v, token, c.want) // the JWT is remembered; the answer is not
			as.Revoke(token)
			if c.want == "" {
				validate(t, v, token, accesstoken.TokenInactive)
			}
		})
	}
	t.Run("the endpoint is down", func(t *testing.T) {
		token := as.Token(nil)
		as.Remember(token, nil)
		as.Break(accesstokentest.IntrospectionPath, accesstokentest.Fault{Status: 503})
		defer as.Mend(accesstokentest.IntrospectionPath)
		_, err := v.Validate(t.Context(), accesstoken.Bearer(token))
		if !errors.Is(err, accesstoken.Unavailable) {
			t.Errorf("got %v; want Unavailable", err)
		}
	})
	t.Run("a forged one is shown to nobody", func(t *testing.T) {
		before := as.Requests(accesstokentest.IntrospectionPath)
		token := as.Token(nil)
		as.Remember(token, nil)
		validate(t, v, token[:len(token)-8]+"AAAAAAAA", accesstoken.SignatureInvalid)
		if got := as.Requests(accesstokentest.IntrospectionPath); got != before {
			t.Errorf("asked %d times; want 0", got-before)
		}
	})
}

func TestAlwaysIntrospectNeedsIntrospection(t *testing.T) {
	_, err := accesstoken.NewValidator(accesstoken.Config{Resource: resource, Issuers: []accesstoken.Issuer{
		{URL: "https://a.example", AlwaysIntrospect: true},
	}})
	if err == nil {
		t.Error("got nil; want a fault")
	}
}

// A token that the server revokes is refused at most CacheFor later.
func TestARevokedTokenIsRefusedWithinTheStatedDelay(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var now atomic.Int64
	now.Store(time.Now().Unix())
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now = func() time.Time { return time.Unix(now.Load(), 0) }
		c.Issuers[0].Introspection = introspecting(t, as, cachedFor(time.Minute))
	})
	token := as.Opaque(accesstokentest.Claims{"exp": now.Load() + 3600})
	validate(t, v, token, "")
	as.Revoke(token)
	now.Add(59)
	validate(t, v, token, "")
	now.Add(1)
	validate(t, v, token, accesstoken.TokenInactive)
}

// A token that ends (exp + Leeway) while it is cached is refused in that second.
func TestACachedTokenEndsInItsSecond(t *testing.T) {
	as := accesstokentest.NewServer(t)
	var now atomic.Int64
	now.Store(time.Now().Unix())
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Now = func() time.Time { return time.Unix(now.Load(), 0) }
		c.Leeway = 10 * time.Second
		c.Issuers[0].Introspection = introspecting(t, as, cachedFor(time.Hour))
	})
	token := as.Opaque(accesstokentest.Claims{"exp": now.Load() + 60})
	validate(t, v, token, "")
	now.Add(69)
	validate(t, v, token, "")
	if got := as.Requests(accesstokentest.IntrospectionPath); got != 1 {
		t.Errorf("asked %d times; want 1: it was cached all the time", got)
	}
	now.Add(1)
	validate(t, v, token, accesstoken.TokenExpired)
}

func TestTwoIssuersShareNoAnswer(t *testing.T) {
	one, two := accesstokentest.NewServer(t), accesstokentest.NewServer(t)
	of := func(as *accesstokentest.Server) *accesstoken.Validator {
		client := introspecting(t, as, cachedFor(time.Hour))
		return newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = client })
	}
	first, second := of(one), of(two)
	token := one.Opaque(nil)
	validate(t, first, token, "")
	validate(t, second, token, accesstoken.TokenInactive)
	validate(t, first, token, "")
}

func TestINTRO10ARouteThatWantsAFreshAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection = introspecting(t, as, cachedFor(time.Hour))
	})
	auth := middleware.New(v, nil)
	fresh := accesstoken.Policy{Scopes: scopes.None(), FreshIntrospection: true}
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, handler := range map[string]http.Handler{
		"alone":                     auth.RequirePolicy(fresh).Wrap(ok),
		"after another requirement": auth.Require(scopes.None()).RequirePolicy(fresh).Wrap(ok),
		"before another":            auth.RequirePolicy(fresh).Require(scopes.None()).Wrap(ok),
		"inside one that is not":    auth.Wrap(auth.RequirePolicy(fresh).Wrap(ok)),
	} {
		t.Run(name, func(t *testing.T) {
			token := as.Opaque(nil)
			get := func(h http.Handler) int {
				r := httptest.NewRequest("GET", "/", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w.Code
			}
			usual := auth.Wrap(ok)
			if got := get(usual); got != http.StatusOK {
				t.Fatalf("got %d; want 200", got)
			}
			as.Revoke(token)
			if got := get(usual); got != http.StatusOK {
				t.Errorf("a cached answer: got %d; want 200", got)
			}
			if got := get(handler); got != http.StatusUnauthorized {
				t.Errorf("a fresh one: got %d; want 401", got)
			}
			if got := get(usual); got != http.StatusUnauthorized {
				t.Errorf("afterwards: got %d; want 401", got)
			}
		})
	}
	t.Run("cannot be checked later", func(t *testing.T) {
		claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Opaque(nil)))
		if err != nil {
			t.Fatal(err)
		}
		wantReason(t, v.Check(t.Context(), claims, fresh), accesstoken.ResourceServerMisconfigured)
	})
}

// A server that introspects no JWTs is the operator's to look at where it is
// asked about each, and says of any other token that it is not one of its own.
func TestATypeThatIsNotIntrospected(t *testing.T) {
	as := accesstokentest.NewServer(t)
	as.Break(accesstokentest.IntrospectionPath, accesstokentest.Fault{Status: 400, Body: []byte(`{"error":"unsupported_token_type"}`)})
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
	})
	validate(t, v, as.Token(nil), accesstoken.ResourceServerMisconfigured)
	validate(t, v, as.Opaque(nil), accesstoken.TokenTypeMismatch)
}

// INTRO-04 of the answer about a JWT: "both must pass".
func TestAlwaysIntrospectAppliesLocalChecks(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = introspecting(t, as, nil), true
	})
	for name, c := range map[string]struct {
		said accesstokentest.Claims
		want accesstoken.Reason
	}{
		"exp over":    {accesstokentest.Claims{"exp": time.Now().Add(-time.Hour).Unix()}, accesstoken.TokenExpired},
		"nbf to come": {accesstokentest.Claims{"nbf": time.Now().Add(time.Hour).Unix()}, accesstoken.TokenNotYetValid},
		"foreign aud": {accesstokentest.Claims{"aud": "https://other.example"}, accesstoken.AudienceMismatch},
		"cnf":         {accesstokentest.Claims{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, accesstoken.BindingRequired},
		"DPoP":        {accesstokentest.Claims{"token_type": "DPoP"}, accesstoken.BindingRequired},
		"another jti": {accesstokentest.Claims{"jti": "another"}, accesstoken.ClaimInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			token := as.Token(nil)
			as.Remember(token, c.said)
			validate(t, v, token, c.want)
		})
	}
}

// TestNobodyIsAskedAboutWhatIsRefusedAnyway: a JWT that is refused for what it says
// itself costs the issuer nothing.
func TestNobodyIsAskedAboutWhatIsRefusedAnyway(t *testing.T) {
	as, client, thief := accesstokentest.NewServer(t), newHolder(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP = newVerifier(t)
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
	})
	right := sending{dpop: true, proof: "right"}
	for _, test := range []struct {
		name    string
		sending sending
		claims  accesstokentest.Claims
		want    accesstoken.Reason // "" is let in
		asked   int
	}{
		{"the client itself", right, accesstokentest.Claims{}, "", 1},
		{"as a bearer token", sending{}, accesstokentest.Claims{}, accesstoken.BindingRequired, 0},
		{"another audience", right, accesstokentest.Claims{"aud": "https://other.example"}, accesstoken.AudienceMismatch, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.claims["cnf"] = client.cnf(true, false)
			before := as.Requests(accesstokentest.IntrospectionPath)
			r := test.sending.request(t, as.Token(test.claims), client, thief)
			_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(r))
			if test.want == "" && err != nil || test.want != "" && !errors.Is(err, test.want) {
				t.Errorf("got %v; want %q", err, test.want)
			}
			if asked := as.Requests(accesstokentest.IntrospectionPath) - before; asked != test.asked {
				t.Errorf("got %d introspections; want %d", asked, test.asked)
			}
		})
	}
}
