package accesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

func completing(t *testing.T, as *accesstokentest.Server, change func(*accesstoken.Config)) *accesstoken.Validator {
	t.Helper()
	return newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
		if change != nil {
			change(c)
		}
	})
}

func validateBoth(t *testing.T, as *accesstokentest.Server, v *accesstoken.Validator, jwt, answer accesstokentest.Claims) (accesstoken.Claims, error) {
	t.Helper()
	token := as.Token(jwt)
	answer["jti"] = nil
	as.Remember(token, answer)
	return v.Validate(t.Context(), accesstoken.Bearer(token))
}

// The signed JWT says "tin", which Demand does not list; the answer says "gold".
func TestDemandIsNotMetByAnAnswerThatContradictsTheJWT(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].Demand = map[string][]string{"tier": {"gold"}} })
	_, err := validateBoth(t, as, v, accesstokentest.Claims{"tier": "tin"}, accesstokentest.Claims{"tier": "gold"})
	wantReason(t, err, accesstoken.ClaimInvalid)
}

func TestANullMemberOfTheAnswerLeavesTheJWTsDemandedClaim(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].Demand = map[string][]string{"tier": {"gold"}} })
	if _, err := validateBoth(t, as, v, accesstokentest.Claims{"tier": "gold"}, accesstokentest.Claims{"tier": accesstokentest.Null}); err != nil {
		t.Errorf("got %v; want nil", err)
	}
}

func TestANullMemberOfTheAnswerLeavesTheJWTsClaim(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, nil)
	claims, err := validateBoth(t, as, v,
		accesstokentest.Claims{"groups": []string{"staff"}, "acr": "2", "sub": "alice"},
		accesstokentest.Claims{"groups": accesstokentest.Null, "acr": accesstokentest.Null, "sub": accesstokentest.Null, "client_id": accesstokentest.Null})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := claims.Groups()
	var decoded struct {
		Subject string `json:"sub"`
	}
	_ = claims.Decode(&decoded)
	if err != nil || !slices.Equal(groups, []string{"staff"}) || claims.ACR() != "2" || decoded.Subject != claims.Subject {
		t.Errorf("got the groups %q (%v), acr %q, sub %q beside Subject %q; want those of the JWT", groups, err, claims.ACR(), decoded.Subject, claims.Subject)
	}
}

func TestMaxAgeHoldsForTheJWTsOwnIat(t *testing.T) {
	as := accesstokentest.NewServer(t)
	now := time.Now()
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].MaxAge = time.Hour })
	_, err := validateBoth(t, as, v,
		accesstokentest.Claims{"iat": now.Add(-10 * time.Hour).Unix(), "exp": nil},
		accesstokentest.Claims{"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	wantReason(t, err, accesstoken.ClaimInvalid)
}

func TestMaxLifetimeHoldsForTheJWTsOwnIat(t *testing.T) {
	as := accesstokentest.NewServer(t)
	now := time.Now()
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].MaxLifetime = time.Hour })
	_, err := validateBoth(t, as, v,
		accesstokentest.Claims{"iat": now.Add(-10 * time.Hour).Unix(), "exp": nil},
		accesstokentest.Claims{"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()})
	wantReason(t, err, accesstoken.ClaimInvalid)
}

// Endpoints that write the time of the answer into iat would move the end of every
// stream on, with each check.
func TestTheEndIsThatOfTheJWTsAge(t *testing.T) {
	as := accesstokentest.NewServer(t)
	now := time.Now().Truncate(time.Second)
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].MaxAge = time.Hour; c.Leeway = -1 })
	claims, err := validateBoth(t, as, v,
		accesstokentest.Claims{"iat": now.Add(-50 * time.Minute).Unix(), "exp": now.Add(5 * time.Hour).Unix()},
		accesstokentest.Claims{"iat": now.Unix(), "exp": now.Add(5 * time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	if end := claims.End(); end.After(now.Add(10 * time.Minute)) {
		t.Errorf("got the end %v from now; want 10 minutes, which is iat of the JWT + MaxAge", end.Sub(now))
	}
}

func TestAnEmptyAudIsNoAbsentOne(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].DangerouslyAcceptNoAudience = true
		c.Issuers[0].Clients = []string{"client"}
	})
	_, err := validateBoth(t, as, v, accesstokentest.Claims{"aud": []string{}}, accesstokentest.Claims{"aud": nil})
	wantReason(t, err, accesstoken.ClaimInvalid)
}

// What the profile says of a JWT's scope holds whatever the answer has.
func TestTheFormOfTheJWTsScopeIsJudgedWithAnAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	for _, test := range []struct {
		relax accesstoken.Relax
		scope []string
	}{
		{accesstoken.Relax{}, []string{"a", "b"}},
		{accesstoken.Relax{ScopeArray: true}, []string{"a b"}}, // one element that is no scope
	} {
		v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].Relax = test.relax })
		claims, err := validateBoth(t, as, v, accesstokentest.Claims{"scope": test.scope}, accesstokentest.Claims{"scope": "a b"})
		if !errors.Is(err, accesstoken.ClaimInvalid) {
			t.Errorf("Relax %+v, scope %q: got %v with the scopes %q; want CLAIM_INVALID", test.relax, test.scope, err, claims.Scopes())
		}
	}
}

// In a JWT this is a fault: azp and client_id name different clients.
func TestAnAnswerThatNamesTwoClientsIsAFault(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Profile, c.Issuers[0].Clients = accesstoken.Keycloak, []string{"client"}
	})
	claims, err := validateBoth(t, as, v,
		accesstokentest.Claims{"typ": "Bearer", "client_id": nil},
		accesstokentest.Claims{"client_id": "client", "azp": "mallory"})
	if !errors.Is(err, accesstoken.ClaimInvalid) {
		t.Errorf("got %v for the client %q; want CLAIM_INVALID", err, claims.ClientID)
	}
}

func TestATokenTypeOfDPoPIsNotOverruled(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, nil)
	_, err := validateBoth(t, as, v, accesstokentest.Claims{"token_type": "DPoP"}, accesstokentest.Claims{"token_type": "Bearer"})
	wantReason(t, err, accesstoken.BindingRequired)
}

// The hook is told of the callers of good tokens for this resource server only.
func TestTheHookHasNoClaimsOfATokenForNobody(t *testing.T) {
	as := accesstokentest.NewServer(t)
	heard := ""
	v := completing(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(ctx context.Context, refused *accesstoken.Error) {
			claims, ok := accesstoken.FromContext(ctx)
			heard = fmt.Sprint(refused.Reason, " ", ok, " ", claims.Subject)
		}
	})
	_, err := validateBoth(t, as, v, accesstokentest.Claims{"aud": nil}, accesstokentest.Claims{"aud": nil})
	wantReason(t, err, accesstoken.AudienceMismatch)
	if heard != "AUDIENCE_MISMATCH false " {
		t.Errorf("got %q; want no claims, as for a JWT alone", heard)
	}
}

func TestClaimsOfAJWTAndAnAnswerWithManyMembersAreAllRead(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, nil)
	jwt, answer := accesstokentest.Claims{}, accesstokentest.Claims{}
	for i := range 200 {
		jwt[fmt.Sprint("a", i)], answer[fmt.Sprint("b", i)] = 1, 1
	}
	jwt["zz_last"], jwt["groups"] = "x", []string{"staff"}
	claims, err := validateBoth(t, as, v, jwt, answer)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := claims.Groups()
	var private struct {
		Last string `json:"zz_last"`
	}
	err2 := claims.Decode(&private)
	if err != nil || !slices.Equal(groups, []string{"staff"}) || err2 != nil || private.Last != "x" {
		t.Errorf("got groups %q, %v; Decode %q, %v; want staff and x", groups, err, private.Last, err2)
	}
}

// ZITADEL's profile refuses azp as the mark of an ID token: that is a matter of the JWT.
func TestAnAzpInTheAnswerIsNoMarkOfAnIDToken(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].Profile = accesstoken.Zitadel })
	if _, err := validateBoth(t, as, v, accesstokentest.Claims{}, accesstokentest.Claims{"azp": "client"}); err != nil {
		t.Errorf("got %v; want nil", err)
	}
}

func TestTwoActorsMustAgree(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, nil)
	claims, err := validateBoth(t, as, v, accesstokentest.Claims{"act": map[string]any{"sub": "clerk"}}, accesstokentest.Claims{"act": map[string]any{"sub": "mallory"}})
	if err != nil {
		return // refused, as other claims that differ are
	}
	actor, _ := claims.Actor()
	var decoded struct {
		Act struct {
			Sub string `json:"sub"`
		} `json:"act"`
	}
	_ = claims.Decode(&decoded)
	if decoded.Act.Sub != actor.Subject {
		t.Errorf("got the actor %q, and %q by Decode; want one actor, or a refusal", actor.Subject, decoded.Act.Sub)
	}
}

// Decode must not give more scopes than Scopes.
func TestDecodeGivesNoMoreScopesThanScopes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, nil)
	claims, err := validateBoth(t, as, v, accesstokentest.Claims{"scope": "read"}, accesstokentest.Claims{"scope": "read admin"})
	if err != nil {
		t.Fatal(err)
	}
	var decoded struct {
		Scope string `json:"scope"`
	}
	_ = claims.Decode(&decoded)
	if decoded.Scope != claims.Scopes().String() {
		t.Errorf("got %q by Decode, and %q by Scopes; want no more than the latter", decoded.Scope, claims.Scopes())
	}
}

// An h2c upgrade behind a Wrap: the connection's later requests have the context of the
// upgrade. Each brings the same proof.
func TestAProofIsUsedOnceByRequestsThatShareAContext(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.DPoP = newVerifier(t) })
	auth := middleware.New(v, nil)
	token := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	proof := client.proof(t, "POST", "/transfer", token)
	served := 0
	inner := auth.Require(scopes.None()).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	request := func(ctx context.Context, body string) *http.Request {
		r := httptest.NewRequestWithContext(ctx, "POST", "/transfer?"+body, strings.NewReader(body))
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", strings.Clone(proof))
		return r
	}
	var codes []int
	outer := auth.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			recorder := httptest.NewRecorder()
			inner.ServeHTTP(recorder, request(r.Context(), fmt.Sprint("amount=", i)))
			codes = append(codes, recorder.Code)
		}
	}))
	outer.ServeHTTP(httptest.NewRecorder(), request(t.Context(), "upgrade"))
	if served > 0 {
		t.Errorf("got %d further requests served with one proof, %v; want none", served, codes)
	}
}

type nilText struct{ text string }

func (e *nilText) Error() string { return e.text }

// A cause that is a nil pointer is a usual slip; only the log reads it.
func TestALogAtDebugDoesNotMakeARefusalPanic(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Logger = slog.New(slog.NewTextHandler(new(strings.Builder), &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("got a panic: %v; want a refusal", p)
		}
	}()
	var cause *nilText
	if got := v.Refuse(t.Context(), accesstoken.Deny("ACCOUNT_CLOSED", cause)); got.HTTPStatus() != 403 {
		t.Errorf("got %d; want 403", got.HTTPStatus())
	}
}

func TestAWrappedNilErrorIsAnInternalError(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, nil)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("got a panic: %v; want an internal error", p)
		}
	}()
	var none *accesstoken.Error
	if got := v.Refuse(t.Context(), fmt.Errorf("orders: %w", none)); got.HTTPStatus() != 500 {
		t.Errorf("got %d; want 500", got.HTTPStatus())
	}
}

// A clone is a copy of the request: its credentials are those of the request.
func TestACloneOfARequestIsTheRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = newIntrospection(t, as) })
	auth := middleware.New(v, nil)
	token := as.Opaque(accesstokentest.Claims{"scope": "a"})
	inner := auth.Require(scopes.None()).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	outer := auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(w, r.Clone(r.Context())) }))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	outer.ServeHTTP(httptest.NewRecorder(), r)
	if got := as.Requests(accesstokentest.IntrospectionPath); got != 1 {
		t.Errorf("got %d introspections for one request; want 1", got)
	}
}

// A refresh token in the form of a JWT, of an issuer whose access tokens have no typ of
// their own (Relax.Typ): the JWT has nothing of an access token, and the answer does not
// say that it is one (no token_type, as RFC 7662 servers answer about refresh tokens).
func TestAJWTWithoutAnyMarkOfAnAccessTokenIsNotCompletedToOne(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].Relax = accesstoken.Relax{Typ: true} })
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"aud": nil, "client_id": nil, "scope": nil}))
	as.Remember(token, accesstokentest.Claims{"token_type": nil, "scope": "admin", "jti": nil})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
	if err == nil {
		t.Errorf("got let in with the scopes %q; want a refusal", claims.Scopes())
	}
}

// Scopes are put together in time that grows with their length, not with its square.
func BenchmarkManyScopes(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			as := accesstokentest.NewServer(b)
			client, err := introspection.NewClient(introspection.Config{
				Endpoint: as.IntrospectionEndpoint(), ClientID: accesstokentest.ClientID, ClientSecret: accesstokentest.ClientSecret,
				HTTPClient: as.Client(), CacheFor: time.Minute,
			})
			if err != nil {
				b.Fatal(err)
			}
			v := newValidator(b, as, func(c *accesstoken.Config) {
				c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = client, true
			})
			var all []string
			for i := range n {
				all = append(all, fmt.Sprintf("api:%04d", i))
			}
			token := as.Token(accesstokentest.Claims{"scope": strings.Join(all, " "), "jti": "1"})
			as.Remember(token, accesstokentest.Claims{"scope": strings.Join(all, " "), "jti": "1"})
			for b.Loop() {
				if _, err := v.Validate(b.Context(), accesstoken.Bearer(token)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
