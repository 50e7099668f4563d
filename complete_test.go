package accesstoken_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/scopes"
)

func TestTheAnswerCompletesTheJWT(t *testing.T) {
	as, client := accesstokentest.NewServer(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP = verifierFor(t)
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
		c.Issuers[0].Clients = []string{"client"}
		c.Issuers[0].Demand = map[string][]string{"tier": {"gold"}}
	})
	whole := accesstokentest.Claims{"sub": "alice", "aud": resource, "client_id": "client", "jti": "1", "scope": "a b", "tier": "gold"}
	without := func(names ...string) accesstokentest.Claims {
		claims := maps.Clone(whole)
		for _, name := range names {
			claims[name] = nil
		}
		return claims
	}
	with := func(name string, value any) accesstokentest.Claims {
		claims := maps.Clone(whole)
		claims[name] = value
		return claims
	}
	all := []string{"sub", "aud", "client_id", "jti", "scope", "tier"}
	later, sooner := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	for _, test := range []struct {
		name        string
		jwt, answer accesstokentest.Claims
		want        accesstoken.Reason
		scopes      string
	}{
		{"both say all", whole, whole, "", "a b"},
		{"the JWT says all", whole, without(all...), "", "a b"},
		{"the answer says all", without(all...), whole, "", "a b"},
		{"the JWT has no sub", without("sub"), whole, "", "a b"},
		{"the JWT has no aud", without("aud"), whole, "", "a b"},
		{"the JWT has fewer scopes", with("scope", "b c"), whole, "", "b"},
		{"the answer has fewer scopes", whole, with("scope", "a"), "", "a"},
		{"the answer has no scopes", whole, with("scope", ""), "", ""},
		{"neither has sub", without("sub"), without("sub"), accesstoken.ClaimInvalid, ""},
		{"neither has aud", without("aud"), without("aud"), accesstoken.AudienceMismatch, ""},
		{"neither has client_id", without("client_id"), without("client_id"), accesstoken.ClaimInvalid, ""},
		{"neither has jti", without("jti"), without("jti"), accesstoken.ClaimInvalid, ""},
		{"neither has what Demand lists", without("tier"), without("tier"), accesstoken.ClaimInvalid, ""},
		{"the answer has another value than Demand lists", whole, with("tier", "tin"), accesstoken.ClaimInvalid, ""},
		{"the answer names another sub", whole, with("sub", "bob"), accesstoken.ClaimInvalid, ""},
		{"the answer names another client", whole, with("client_id", "other"), accesstoken.ClaimInvalid, ""},
		{"the answer names another jti", whole, with("jti", "2"), accesstoken.ClaimInvalid, ""},
		{"the JWT is for another audience", with("aud", "urn:other"), whole, accesstoken.AudienceMismatch, ""},
		{"the answer is for another audience", whole, with("aud", "urn:other"), accesstoken.AudienceMismatch, ""},
		{"only the answer has an audience, another one", without("aud"), with("aud", "urn:other"), accesstoken.AudienceMismatch, ""},
		{"the answer has ended", whole, with("exp", sooner), accesstoken.TokenExpired, ""},
		{"the answer begins later", whole, with("nbf", later), accesstoken.TokenNotYetValid, ""},
		{"the answer was issued in the future", whole, with("iat", later), accesstoken.TokenNotYetValid, ""},
		{"the client is not listed, as only the answer says", without("client_id"), with("client_id", "other"), accesstoken.ClaimInvalid, ""},
		{"the answer binds a bearer token", whole, with("cnf", client.cnf(true, false)), accesstoken.BindingRequired, ""},
		{"the answer calls a bearer token a DPoP token", whole, with("token_type", "DPoP"), accesstoken.BindingRequired, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := as.Token(test.jwt)
			as.Remember(token, test.answer)
			claims, err := v.Validate(t.Context(), accesstoken.Bearer(token))
			if test.want != "" {
				wantReason(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if claims.Subject != "alice" || claims.ClientID != "client" || claims.ID != "1" || !slices.Equal(claims.Audience(), []string{resource}) || claims.Scopes().String() != test.scopes {
				t.Errorf("got %q, %q, %q, %q, scopes %q; want alice, client, 1, %q, %q",
					claims.Subject, claims.ClientID, claims.ID, claims.Audience(), claims.Scopes(), resource, test.scopes)
			}
		})
	}
}

// A binding that only the answer knows is proved as any other.
func TestTheAnswerMayBindTheJWT(t *testing.T) {
	as, client, thief := accesstokentest.NewServer(t), newHolder(t), newHolder(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.DPoP = verifierFor(t)
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
	})
	token := as.Token(nil)
	as.Remember(token, accesstokentest.Claims{"cnf": client.cnf(true, false), "token_type": "DPoP"})
	sent := func(by holder) error {
		_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, token, by, by)))
		return err
	}
	if err := sent(client); err != nil {
		t.Errorf("with the key that the answer names: got %v; want nil", err)
	}
	wantReason(t, sent(thief), accesstoken.BindingMismatch)
	as.Remember(token, accesstokentest.Claims{"cnf": thief.cnf(true, false)})
	bound := as.Token(accesstokentest.Claims{"cnf": client.cnf(true, false)})
	as.Remember(bound, accesstokentest.Claims{"cnf": thief.cnf(true, false)})
	_, err := v.Validate(t.Context(), accesstoken.CredentialsOf(sending{dpop: true, proof: "right"}.request(t, bound, client, client)))
	wantReason(t, err, accesstoken.BindingRequired)
}

// Whatever reads the claims finds those of both.
func TestTheClaimsOfJWTAndAnswerAreReadTogether(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
		c.Issuers[0].Profile = accesstoken.Keycloak
	})
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{
		"typ": "Bearer", "azp": "client", "acr": "1", "sid": "s", "sub": nil, "aud": nil, "client_id": nil,
	}))
	as.Remember(token, accesstokentest.Claims{
		"sub": "alice", "aud": resource, "azp": "client", "acr": "2",
		"realm_access": map[string]any{"roles": []string{"clerk"}},
	})
	for range 2 { // verified, and remembered
		claims, err := v.Authorize(t.Context(), accesstoken.Bearer(strings.Clone(token)), accesstoken.Policy{Scopes: scopes.None()})
		if err != nil {
			t.Fatal(err)
		}
		roles, err := claims.Roles()
		if err != nil || !slices.Equal(roles, []string{"clerk"}) || claims.Subject != "alice" || claims.ACR() != "2" {
			t.Errorf("got %q with %q, %v, acr %q; want alice with clerk and the newer acr", claims.Subject, roles, err, claims.ACR())
		}
		var private struct {
			SID string `json:"sid"`
			AZP string `json:"azp"`
		}
		if err := claims.Decode(&private); err != nil || private.SID != "s" || private.AZP != "client" {
			t.Errorf("got %+v, %v; want the sid of the JWT and the azp of both", private, err)
		}
		var all map[string]json.RawMessage
		if err := claims.Decode(&all); err != nil || all["realm_access"] == nil || all["iss"] == nil {
			t.Errorf("got %s, %v; want the members of both", all, err)
		}
	}
	if got := as.Requests(accesstokentest.JWKSPath); got != 1 {
		t.Errorf("got %d fetches of the keys; want 1", got)
	}
}

// What is not for us is not shown to the issuer, unless only the issuer can tell.
func TestATokenForAnotherAudienceIsRefusedBeforeTheIssuerIsAsked(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
	})
	_, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"aud": "urn:other"})))
	wantReason(t, err, accesstoken.AudienceMismatch)
	if got := as.Requests(accesstokentest.IntrospectionPath); got != 0 {
		t.Errorf("got %d introspections; want 0", got)
	}
	token := as.Token(accesstokentest.Claims{"aud": nil})
	as.Remember(token, nil)
	if _, err = v.Validate(t.Context(), accesstoken.Bearer(token)); err != nil || as.Requests(accesstokentest.IntrospectionPath) != 1 {
		t.Errorf("without an aud: got %v after %d introspections; want the answer's aud after 1", err, as.Requests(accesstokentest.IntrospectionPath))
	}
}
