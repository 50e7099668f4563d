package adapter_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/testkit"
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
	return testkit.NewValidator(t, as, func(c *accesstoken.Config) { c.Issuers[0].Introspection = client })
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
		a, err := adapter.Authorize(t.Context(), by, "", good, policy("a"))
		if err != nil {
			t.Fatal(err)
		}
		return a.Context
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
			a, _ := adapter.Authorize(ours, other, "", good, policy("a"))
			return a.Context
		}(), none, "a", accesstoken.CredentialsMissing, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := as.Requests(accesstokentest.IntrospectionPath)
			a, err := adapter.Authorize(test.ctx, v, "", test.credentials, policy(test.scope))
			if asked := as.Requests(accesstokentest.IntrospectionPath) - before; asked != test.asked {
				t.Errorf("introspections: got %d; want %d", asked, test.asked)
			}
			if test.refused != "" {
				if !errors.Is(err, test.refused) {
					t.Errorf("got %v; want a refusal for %s", err, test.refused)
				}
				return
			}
			if err != nil || a.Claims.Subject != "alice" {
				t.Fatalf("got %q, %v; want alice", a.Claims.Subject, err)
			}
			if got := claimsIn(t, a.Context); got.Subject != "alice" {
				t.Errorf("in the context: got %q; want alice", got.Subject)
			}
		})
	}
}

// There are no claims that a handler could take for those of its caller.
func TestARefusalHasNeitherContextNorClaims(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as)
	token := accesstoken.Bearer(as.Opaque(nil))
	outer, err := adapter.Authorize(t.Context(), v, "", token, accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	for name, ctx := range map[string]context.Context{"first": t.Context(), "in an outer adapter": outer.Context} {
		a, err := adapter.Authorize(ctx, v, "", token, accesstoken.Policy{Scopes: scopes.All("a")})
		if err == nil || a.Claims.Subject != "" || a.Context != nil {
			t.Errorf("%s: got %q in %v, %v; want no claims, no context and a refusal", name, a.Claims.Subject, a.Context, err)
		}
	}
}

// request is one with a token, whose copies share its header.
func request(method, target, token string, proofs ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	for _, proof := range proofs {
		r.Header.Add("DPoP", proof)
	}
	return r
}

func TestAContextIsForOneRequest(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as)
	token := as.Opaque(nil)
	outer := request("GET", "/a", token)
	proved := request("GET", "/a", token, "proof")
	copied := func(r *http.Request, change func(*http.Request)) *http.Request {
		r = r.WithContext(r.Context())
		change(r)
		return r
	}
	for _, test := range []struct {
		name         string
		outer, inner *http.Request
		asked        int // introspections for the inner one
	}{
		{"a copy of the request", outer, copied(outer, func(*http.Request) {}), 0},
		{"a copy that a router has cut the path of", outer, copied(outer, func(r *http.Request) { r.URL = &url.URL{Path: "/"} }), 0},
		{"another method", outer, copied(outer, func(r *http.Request) { r.Method = "POST" }), 1},
		{"another path", outer, copied(outer, func(r *http.Request) { r.RequestURI = "/b" }), 1},
		{"an equal request that came later", outer, request("GET", "/a", token), 1},
		{"a clone", outer, outer.Clone(t.Context()), 0},
		{"a clone with its proof", proved, proved.Clone(t.Context()), 0},
		{"an equal request with an equal proof that came later", proved, request("GET", "/a", token, strings.Clone("proof")), 1},
		{"another HTTP version", outer, copied(outer, func(r *http.Request) { r.Proto = "HTTP/2.0" }), 1},
		{"another proof", proved, request("GET", "/a", token, "another"), 1},
		{"a proof more", proved, request("GET", "/a", token, "proof", "another"), 1},
		{"no proof any more", proved, request("GET", "/a", token), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := adapter.Authorize(t.Context(), v, "", accesstoken.CredentialsOf(test.outer), accesstoken.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.End()
			before := as.Requests(accesstokentest.IntrospectionPath)
			if _, err := adapter.Authorize(a.Context, v, "", accesstoken.CredentialsOf(test.inner), accesstoken.Policy{}); err != nil {
				t.Fatal(err)
			}
			if asked := as.Requests(accesstokentest.IntrospectionPath) - before; asked != test.asked {
				t.Errorf("introspections: got %d; want %d", asked, test.asked)
			}
		})
	}
}

func TestClaimsEndWithTheAdapterThatPutThemThere(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as)
	credentials := accesstoken.Bearer(as.Opaque(nil))
	byHand := accesstokentest.NewContext(t.Context(), accesstokentest.Claims{"sub": "somebody else"})
	outer, err := adapter.Authorize(byHand, v, "", credentials, accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := adapter.Authorize(outer.Context, v, "", credentials, accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	job := accesstoken.NewContext(context.WithoutCancel(outer.Context), outer.Claims)
	inner.End()
	if got := claimsIn(t, outer.Context); got.Subject != "alice" {
		t.Errorf("after the inner adapter: got %q; want the claims of the outer one", got.Subject)
	}
	outer.End()
	if got, ok := accesstoken.FromContext(outer.Context); ok || got.Subject != "" {
		t.Errorf("after the outer adapter: got %q, %v; want nothing, whatever lies further out", got.Subject, ok)
	}
	if got := claimsIn(t, job); got.Subject != "alice" {
		t.Errorf("a job: got %q; want the claims that NewContext gave it", got.Subject)
	}
	before := as.Requests(accesstokentest.IntrospectionPath)
	if _, err := adapter.Authorize(outer.Context, v, "", credentials, accesstoken.Policy{}); err != nil {
		t.Fatal(err)
	}
	if asked := as.Requests(accesstokentest.IntrospectionPath) - before; asked != 1 {
		t.Errorf("the same credentials after the end: got %d introspections; want 1", asked)
	}
}

func TestAnAnonymousRequestHasNoClaimsOfAnOuterOne(t *testing.T) {
	as := accesstokentest.NewServer(t)
	v := newValidator(t, as)
	outer, err := adapter.Authorize(t.Context(), v, "", accesstoken.Bearer(as.Opaque(nil)), accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if claims, ok := accesstoken.FromContext(adapter.Anonymous(outer.Context)); ok {
		t.Errorf("got %q; want no claims", claims.Subject)
	}
	if _, ok := accesstoken.FromContext(outer.Context); !ok {
		t.Error("the outer request lost its claims; want them to stay")
	}
	if ctx := adapter.Anonymous(t.Context()); ctx != t.Context() {
		t.Errorf("without an outer request: got %v; want the context as it is", ctx)
	}
	byHand := accesstokentest.NewContext(t.Context(), nil)
	if _, ok := accesstoken.FromContext(adapter.Anonymous(byHand)); !ok {
		t.Error("claims put there by hand: got none; want them, since code that authenticates by itself put them there")
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
	outer, err := adapter.Authorize(t.Context(), v, "", accesstoken.Bearer(token), accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := outer.Context
	as.Revoke(token)
	if _, err := adapter.Authorize(ctx, v, "", accesstoken.Bearer(token), accesstoken.Policy{}); err != nil {
		t.Errorf("the same request again: got %v; want nil", err)
	}
	_, err = adapter.Authorize(ctx, v, "", accesstoken.Bearer(token), accesstoken.Policy{FreshIntrospection: true})
	if !errors.Is(err, accesstoken.TokenInactive) {
		t.Errorf("a fresh answer: got %v; want TokenInactive", err)
	}
}
