package accesstoken_test

import (
	"testing"

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
