package adapter_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// Satisfies is Check by the same rules, but no hook and no log hears of it.
func TestSatisfiesReportsNothing(t *testing.T) {
	as := accesstokentest.NewServer(t)
	logged := new(bytes.Buffer)
	v := testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		c.OnRefuse = func(context.Context, *accesstoken.Error) { t.Error("OnRefuse heard of it") }
		c.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	claims, err := v.Validate(t.Context(), accesstoken.Bearer(as.Token(accesstokentest.Claims{"scope": "a", "auth_time": nil})))
	if err != nil {
		t.Fatal(err)
	}
	logged.Reset()
	for name, test := range map[string]struct {
		by     *accesstoken.Validator
		claims accesstoken.Claims
		policy accesstoken.Policy
		want   bool
	}{
		"the scope":               {v, claims, accesstoken.Policy{Scopes: scopes.All("a")}, true},
		"another scope":           {v, claims, accesstoken.Policy{Scopes: scopes.All("b")}, false},
		"no acr":                  {v, claims, accesstoken.Policy{ACR: []string{"mfa"}}, false},
		"no auth_time":            {v, claims, accesstoken.Policy{MaxAuthAge: 1 << 40}, false},
		"no claims":               {v, accesstoken.Claims{}, accesstoken.Policy{}, false},
		"of another Validator":    {testkit.NewValidator(t, as, nil), claims, accesstoken.Policy{}, false},
		"a policy that is faulty": {v, claims, accesstoken.Policy{Scopes: scopes.All("")}, false},
	} {
		if got := adapter.Satisfies(test.by, test.claims, test.policy); got != test.want {
			t.Errorf("%s: got %v; want %v", name, got, test.want)
		}
	}
	if logged.Len() != 0 {
		t.Errorf("got the log %s; want nothing", logged)
	}
}

func TestResourceOf(t *testing.T) {
	v := testkit.NewValidator(t, accesstokentest.NewServer(t), nil)
	other, err := v.ForResource(accesstoken.Resource{ID: "https://other.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if got := adapter.ResourceOf(v); got != testkit.Resource {
		t.Errorf("got %q; want that of the Config", got)
	}
	if got := adapter.ResourceOf(other); got != "https://other.example.com" {
		t.Errorf("got %q; want its own", got)
	}
}
