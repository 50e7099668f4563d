package main

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/accesstoken/accesstoken/accesstokentest"
)

func TestTheHandlersBehindTheirRoutes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, err := newValidator(as.URL, "https://api.example.com", as.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	keycloak := func(scope, role string) string { // a token as Keycloak makes it
		return as.Sign(map[string]any{"typ": "JWT"}, as.Claims(accesstokentest.Claims{"typ": "Bearer", "azp": "client",
			"scope": scope, "realm_access": map[string]any{"roles": []string{role}}}))
	}
	for _, test := range []struct{ method, path, token, want string }{
		{"GET", "/orders", keycloak("orders:read", ""), "200 text/plain; charset=utf-8"},
		{"GET", "/orders", keycloak("", "clerk"), "403 application/problem+json"},
		{"DELETE", "/orders/1", keycloak("", "clerk"), "204 "},
		{"DELETE", "/orders/1", keycloak("orders:read", ""), "403 application/problem+json"},
		{"GET", "/orders", as.Token(nil), "401 application/problem+json"}, // not Keycloak's
		{"GET", "/ready", "", "200 "},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(test.method, test.path, nil)
		r.Header.Set("Authorization", "Bearer "+test.token)
		routes(v).ServeHTTP(w, r)
		if got := fmt.Sprint(w.Code, " ", w.Header().Get("Content-Type")); got != test.want {
			t.Errorf("%s %s: got %s, %s; want %s", test.method, test.path, got, w.Body, test.want)
		}
	}
	if got := refusals.Get("SCOPE_INSUFFICIENT"); fmt.Sprint(got) != "1" {
		t.Errorf("got %v refusals for a scope; want 1", got)
	}
}
