package accesstoken_test

import (
	"slices"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/scopes"
)

// Decode promises the scopes that both have. In some profiles they are in scp.
func TestReviewDecodeShowsNoScopeInSCPThatTheAnswerTookAway(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as, func(c *accesstoken.Config) {
		c.Issuers[0].Introspection, c.Issuers[0].AlwaysIntrospect = newIntrospection(t, as), true
		c.Issuers[0].Profile = accesstoken.Hydra
	})
	token := as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"scope": nil, "scp": []string{"read", "admin"}}))
	as.Remember(token, accesstokentest.Claims{"scope": "read"})
	claims, err := v.Authorize(t.Context(), accesstoken.Bearer(token), accesstoken.Policy{Scopes: scopes.None()})
	if err != nil {
		t.Fatal(err)
	}
	if got := claims.Scopes().String(); got != "read" {
		t.Errorf("Scopes: got %q; want read", got)
	}
	var private struct {
		SCP []string `json:"scp"`
	}
	if err := claims.Decode(&private); err != nil || slices.Contains(private.SCP, "admin") {
		t.Errorf("Decode: got scp %q, %v; want no admin", private.SCP, err)
	}
}
