package accesstokentest_test

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestNewContext(t *testing.T) {
	ctx := accesstokentest.NewContext(t.Context(), accesstokentest.Claims{"scope": "orders:read orders:write", "tenant": "acme"})
	claims, ok := accesstoken.FromContext(ctx)
	if !ok {
		t.Fatal("got no claims")
	}
	if claims.Issuer != "https://login.example.com" || claims.Subject != "alice" || claims.ClientID != "client" || claims.ID == "" {
		t.Errorf("got issuer %q, subject %q, client id %q, id %q", claims.Issuer, claims.Subject, claims.ClientID, claims.ID)
	}
	if got, want := claims.Audience(), []string{"https://api.example.com"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got audience %v; want %v", got, want)
	}
	if !claims.Scopes().Has("orders:write") {
		t.Errorf("got scopes %v; want orders:write among them", claims.Scopes())
	}
	if left := time.Until(claims.Expiry); left < 4*time.Minute || left > 5*time.Minute {
		t.Errorf("got %v until the end; want five minutes", left)
	}
	var private struct {
		Tenant string `json:"tenant"`
	}
	if err := claims.Decode(&private); err != nil || private.Tenant != "acme" {
		t.Errorf("got tenant %q, %v; want acme", private.Tenant, err)
	}
}

func TestNewContextTakesWhatAnAccessTokenCanHave(t *testing.T) {
	cases := map[string]accesstokentest.Claims{
		"nothing given":            nil,
		"audience":                 {"aud": "urn:orders"},
		"several audiences":        {"aud": []string{"a", "b"}},
		"audiences of any":         {"aud": []any{"a", "b"}},
		"no audience":              {"aud": nil},
		"another issuer":           {"iss": "https://other.example.com/tenant/"},
		"issuer on loopback":       {"iss": "http://127.0.0.1:8080"},
		"issuer over http":         {"iss": "http://keycloak.internal/realms/a"},
		"no client_id and no jti":  {"client_id": nil, "jti": nil},
		"scope as an array":        {"scope": []string{"a", "b"}},
		"an issuer that is no URL": {"iss": "login"},
		"an end far away":          {"exp": time.Now().Add(24 * time.Hour).Unix()},
	}
	for name, claims := range cases {
		t.Run(name, func(t *testing.T) {
			if _, ok := accesstoken.FromContext(accesstokentest.NewContext(t.Context(), claims)); !ok {
				t.Error("got no claims")
			}
		})
	}
}

func TestNewContextPanicsOnWhatNoAccessTokenHas(t *testing.T) {
	cases := map[string]accesstokentest.Claims{
		"no issuer":             {"iss": nil},
		"issuer of wrong type":  {"iss": 1},
		"no subject":            {"sub": nil},
		"subject of wrong type": {"sub": 1},
		"no end":                {"exp": nil},
		"expired":               {"exp": time.Now().Add(-time.Hour).Unix()},
		"end as a time.Time":    {"exp": time.Now().Add(time.Hour)},
		"empty audience":        {"aud": []string{}},
		"audience of numbers":   {"aud": []int{1}},
		"ID token":              {"nonce": "n"},
		"not JSON":              {"f": func() {}},
	}
	for name, claims := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				got := fmt.Sprint(recover())
				if !strings.HasPrefix(got, "accesstokentest: NewContext: no valid access token can have these claims: ") {
					t.Errorf("got panic %q; want a sentence", got)
				}
				t.Log(got)
			}()
			accesstokentest.NewContext(t.Context(), claims)
		})
	}
}

func TestNewContextKeepsTheParent(t *testing.T) {
	type key struct{}
	parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	ctx := accesstokentest.NewContext(parent, nil)
	if got := ctx.Value(key{}); got != "value" {
		t.Errorf("got value %v; want that of the parent", got)
	}
	cancel()
	if ctx.Err() == nil {
		t.Error("the context outlives its parent")
	}
	// A test may pass a context that has already ended.
	if _, ok := accesstoken.FromContext(accesstokentest.NewContext(parent, nil)); !ok {
		t.Error("got no claims in a context that has ended")
	}
}

func TestNewContextLeavesNothingBehind(t *testing.T) {
	accesstokentest.NewContext(t.Context(), nil)
	before := runtime.NumGoroutine()
	for range 50 {
		accesstokentest.NewContext(t.Context(), nil)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("got %d goroutines; want %d", runtime.NumGoroutine(), before)
}

func TestNewContextInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claims, ok := accesstoken.FromContext(accesstokentest.NewContext(t.Context(), nil))
		if !ok || time.Until(claims.Expiry) != 5*time.Minute {
			t.Errorf("got %v until the end, %v; want five minutes of the bubble's clock", time.Until(claims.Expiry), ok)
		}
	})
}

func BenchmarkNewContext(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		accesstokentest.NewContext(b.Context(), nil)
	}
}
