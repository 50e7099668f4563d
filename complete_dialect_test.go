package accesstoken_test

import (
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/dialect"
)

// A tenant of the wrong type does not count as absent, and the answer does not replace
// it.
func TestATenantOfTheWrongTypeIsAFaultBesideAnAnswer(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Dialect, c.Issuers[0].Tenants = &dialect.Dialect{Tenant: "org"}, []string{"a"}
	})
	if _, err := validateBoth(t, as, v, accesstokentest.Claims{}, accesstokentest.Claims{"org": "a"}); err != nil {
		t.Errorf("without a tenant in the JWT: got %v; want that of the answer", err)
	}
	for _, wrong := range []any{1, []string{"a"}, map[string]any{}, false} {
		_, err := validateBoth(t, as, v, accesstokentest.Claims{"org": wrong}, accesstokentest.Claims{"org": "a"})
		wantReason(t, err, accesstoken.ClaimInvalid)
	}
}

// A member that is null in the JWT hides nothing that the answer says.
func TestANullInTheJWTDoesNotHideWhoIsCalling(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Dialect = &dialect.Dialect{Machine: []dialect.Mark{dialect.Is("gty", "client-credentials")}}
	})
	claims, err := validateBoth(t, as, v, accesstokentest.Claims{"gty": nil}, accesstokentest.Claims{"gty": "client-credentials"})
	if err != nil || !claims.ClientItself() {
		t.Errorf("absent in the JWT: got ClientItself %v, %v; want true", claims.ClientItself(), err)
	}
	claims, err = validateBoth(t, as, v, accesstokentest.Claims{"gty": "password"}, accesstokentest.Claims{"gty": "client-credentials"})
	if err != nil || claims.ClientItself() {
		t.Errorf("another value in the JWT: got ClientItself %v, %v; want false", claims.ClientItself(), err)
	}
	claims, err = validateBoth(t, as, v, accesstokentest.Claims{"gty": accesstokentest.Null}, accesstokentest.Claims{"gty": "client-credentials"})
	if err != nil || !claims.ClientItself() {
		t.Errorf("null in the JWT: got ClientItself %v, %v; want true", claims.ClientItself(), err)
	}
}

// Both tenants are listed, but the token is of one of them only.
func TestATenantOfTheAnswerIsThatOfTheJWT(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := completing(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Dialect, c.Issuers[0].Tenants = &dialect.Dialect{Tenant: "org"}, []string{"a", "b"}
	})
	if _, err := validateBoth(t, as, v, accesstokentest.Claims{"org": "a"}, accesstokentest.Claims{"org": "a"}); err != nil {
		t.Errorf("the same tenant: got %v; want nil", err)
	}
	_, err := validateBoth(t, as, v, accesstokentest.Claims{"org": "a"}, accesstokentest.Claims{"org": "b"})
	wantReason(t, err, accesstoken.ClaimInvalid)
}

// The issuer's own word that a token has what access tokens lack counts, even if the
// JWT leaves it out.
func TestAnAnswerWithTheMarksOfAnotherKindIsRefused(t *testing.T) {
	as := accesstokentest.NewServer(t)
	array := &dialect.Dialect{ScopeArray: true} // so nonce, at_hash and others are refused
	without := &dialect.Dialect{Kind: []dialect.Mark{dialect.Is("v", 2), dialect.Without("login", "/a/b")}}
	for _, test := range []struct {
		name    string
		dialect *dialect.Dialect
		answer  accesstokentest.Claims
		isGood  bool
	}{
		{"nonce", array, accesstokentest.Claims{"nonce": "n"}, false},
		{"at_hash", array, accesstokentest.Claims{"at_hash": "h"}, false},
		{"events", array, accesstokentest.Claims{"events": map[string]any{}}, false},
		{"a null nonce", array, accesstokentest.Claims{"nonce": accesstokentest.Null}, true},
		{"nothing of another kind", array, accesstokentest.Claims{}, true},
		{"nonce, which RFC 9068 does not forbid", nil, accesstokentest.Claims{"nonce": "n"}, true},
		{"nonce beside a mark", without, accesstokentest.Claims{"nonce": "n"}, true},
		{"what Without forbids", without, accesstokentest.Claims{"login": "l"}, false},
		{"what Without forbids inside a claim", without, accesstokentest.Claims{"a": map[string]any{"b": 1}}, false},
		{"a null for what Without forbids", without, accesstokentest.Claims{"login": accesstokentest.Null}, true},
		{"neither", without, accesstokentest.Claims{"a": 1}, true},
	} {
		v := completing(t, as, func(c *accesstoken.Config) { c.Issuers[0].Dialect = test.dialect })
		_, err := validateBoth(t, as, v, accesstokentest.Claims{"v": 2}, test.answer)
		if test.isGood && err != nil {
			t.Errorf("%s: got %v; want nil", test.name, err)
		} else if !test.isGood {
			wantReason(t, err, accesstoken.TokenTypeMismatch)
		}
	}
}

// If a JWT has no iat, its lifetime counts from now, to the second. If the issuer is asked
// as well, the answer may have iat.
func TestTheLifetimeOfATokenWithoutIAT(t *testing.T) {
	as, now := accesstokentest.NewServer(t), time.Now().Truncate(time.Second)
	without := func(c *accesstoken.Config) {
		c.Issuers[0].Dialect, c.Issuers[0].MaxLifetime = &dialect.Dialect{Optional: []string{"iat"}}, time.Hour
		c.Now, c.Leeway = func() time.Time { return now }, 10*time.Second
	}
	v := newValidator(t, as, without)
	for seconds, want := range map[int64]accesstoken.Reason{3610: "", 3611: accesstoken.ClaimInvalid} {
		validate(t, v, as.Token(accesstokentest.Claims{"iat": nil, "exp": now.Unix() + seconds}), want)
	}
	asking := completing(t, as, without)
	_, err := validateBoth(t, as, asking, accesstokentest.Claims{"iat": nil, "exp": now.Unix() + 7200}, accesstokentest.Claims{"iat": now.Unix() - 600, "exp": now.Unix() + 1200})
	if err != nil {
		t.Errorf("with iat in the answer: got %v; want nil", err)
	}
}

// The answer about an opaque token has to have iat, because a lifetime that counts from now
// would begin anew with each answer.
func TestAnOpaqueTokenWithoutIATHasNoLifetime(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].MaxLifetime = newIntrospection(t, as), time.Hour
	})
	exp := time.Now().Add(time.Minute).Unix()
	validate(t, v, as.Opaque(accesstokentest.Claims{"exp": exp}), "")
	validate(t, v, as.Opaque(accesstokentest.Claims{"exp": exp, "iat": nil}), accesstoken.ClaimInvalid)
}
