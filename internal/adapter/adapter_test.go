package adapter_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/introspection"
	"github.com/accesstoken/accesstoken/scopes"
)

// newValidator makes a validator that asks the server about every opaque token,
// each time anew.
func newValidator(t *testing.T, as *accesstokentest.Server) *accesstoken.Validator {
	t.Helper()
	client, err := introspection.NewClient(introspection.Config{
		Endpoint:     as.IntrospectionEndpoint(),
		ClientID:     accesstokentest.ClientID,
		ClientSecret: accesstokentest.ClientSecret,
		HTTPClient:   as.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := accesstoken.NewValidator(accesstoken.Config{
		Resource:   "https://api.example.com",
		Issuers:    []accesstoken.Issuer{{URL: as.URL, Introspection: client}},
		HTTPClient: as.Client(),
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func TestAuthorize(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v, other := newValidator(t, as), newValidator(t, as)
	opaque := as.Opaque(accesstokentest.Claims{"scope": "a"})
	good, none := accesstoken.Bearer(opaque), accesstoken.CredentialsFrom(http.Header{})
	again := accesstoken.CredentialsFrom(http.Header{"Authorization": {"bearer  " + opaque}})
	twin, weak := accesstoken.Bearer(as.Opaque(accesstokentest.Claims{"scope": "a"})), accesstoken.Bearer(as.Opaque(nil))
	policy := func(scope string) accesstoken.Policy { return accesstoken.Policy{Scopes: scopes.All(scope)} }
	admitted := func(by *accesstoken.Validator) context.Context {
		ctx, _, err := adapter.Authorize(t.Context(), by, good, policy("a"))
		if err != nil {
			t.Fatal(err)
		}
		return ctx
	}
	ours, theirs := admitted(v), admitted(other)
	for _, test := range []struct {
		name        string
		ctx         context.Context
		credentials accesstoken.Credentials
		scope       string
		refused     accesstoken.Reason // "" is let in
		asked       int                // introspections
	}{
		{"good credentials", t.Context(), good, "a", "", 1},
		{"no credentials", t.Context(), none, "a", accesstoken.CredentialsMissing, 0},
		{"good credentials without the scope", t.Context(), good, "b", accesstoken.ScopeInsufficient, 1},
		{"let in before", ours, good, "a", "", 0},
		{"let in before, the same token written in another way", ours, again, "a", "", 0},
		{"let in before, with credentials that are gone by now", ours, none, "a", accesstoken.CredentialsMissing, 0},
		{"let in before, with other credentials by now", ours, twin, "a", "", 1},
		{"let in before, with weaker credentials by now", ours, weak, "a", accesstoken.ScopeInsufficient, 1},
		{"let in before, with bad credentials by now", ours, accesstoken.Bearer("unknown"), "a", accesstoken.TokenInactive, 1},
		{"let in before, without the scope", ours, good, "b", accesstoken.ScopeInsufficient, 0},
		{"let in by another validator", theirs, good, "a", "", 1},
		{"let in by another validator, without credentials for this one", theirs, none, "a", accesstoken.CredentialsMissing, 0},
		{"claims put there by hand", accesstokentest.NewContext(t.Context(), accesstokentest.Claims{"scope": "a"}), none, "a", accesstoken.CredentialsMissing, 0},
		{"claims put there by hand, of a real request", accesstoken.NewContext(t.Context(), claimsIn(t, ours)), none, "a", accesstoken.CredentialsMissing, 0},
		{"claims put there by hand over those of the validator", accesstoken.NewContext(ours, claimsIn(t, ours)), none, "a", accesstoken.CredentialsMissing, 0},
		{"let in by another validator since", func() context.Context {
			ctx, _, _ := adapter.Authorize(ours, other, good, policy("a"))
			return ctx
		}(), none, "a", accesstoken.CredentialsMissing, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := as.Requests(accesstokentest.IntrospectionPath)
			ctx, claims, err := adapter.Authorize(test.ctx, v, test.credentials, policy(test.scope))
			if asked := as.Requests(accesstokentest.IntrospectionPath) - before; asked != test.asked {
				t.Errorf("introspections: got %d; want %d", asked, test.asked)
			}
			if test.refused != "" {
				if !errors.Is(err, test.refused) {
					t.Errorf("got %v; want a refusal for %s", err, test.refused)
				}
				return
			}
			if err != nil || claims.Subject != "alice" {
				t.Errorf("got %q, %v; want alice", claims.Subject, err)
			}
			if got := claimsIn(t, ctx); got.Subject != "alice" {
				t.Errorf("in the context: got %q; want alice", got.Subject)
			}
		})
	}
}

// A refused request keeps the context that it came with: there are no claims in
// it that a handler could take for its caller's.
func TestARefusalPutsNothingIntoTheContext(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as)
	token := accesstoken.Bearer(as.Opaque(nil))
	ctx, claims, err := adapter.Authorize(t.Context(), v, token, accesstoken.Policy{Scopes: scopes.All("a")})
	if err == nil || claims.Subject != "" {
		t.Errorf("got %q, %v; want no claims and a refusal", claims.Subject, err)
	}
	if _, ok := accesstoken.FromContext(ctx); ok {
		t.Error("got claims in the context of a refused request; want none")
	}
}

func claimsIn(t *testing.T, ctx context.Context) accesstoken.Claims {
	t.Helper()
	claims, ok := accesstoken.FromContext(ctx)
	if !ok {
		t.Error("got no claims in the context; want some")
	}
	return claims
}

// A policy that wants a fresh answer gets one, whoever has let the request in:
// of this validator, for these credentials, a moment ago.
func TestINTRO10AFreshAnswerIsNotTheOuterOnes(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as)
	token := as.Opaque(nil)
	ctx, _, err := adapter.Authorize(t.Context(), v, accesstoken.Bearer(token), accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	as.Revoke(token)
	if _, _, err := adapter.Authorize(ctx, v, accesstoken.Bearer(token), accesstoken.Policy{}); err != nil {
		t.Errorf("the same request again: got %v; want nil", err)
	}
	_, _, err = adapter.Authorize(ctx, v, accesstoken.Bearer(token), accesstoken.Policy{FreshIntrospection: true})
	if !errors.Is(err, accesstoken.TokenInactive) {
		t.Errorf("a fresh answer: got %v; want TokenInactive", err)
	}
}
