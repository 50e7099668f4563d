package adapter_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/adapter"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/scopes"
)

// keyring is a validator that knows API keys, each of which has one scope: "bad" is refused,
// and no other key is unknown. It counts the calls of its hook, and its refusals.
type keyring struct {
	*accesstoken.Validator
	calls, refusals atomic.Int32
}

func newKeyring(t *testing.T) *keyring {
	t.Helper()
	k := new(keyring)
	k.Validator = testkit.NewValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) {
		c.OnRefuse = func(context.Context, *accesstoken.Error) { k.refusals.Add(1) }
		c.Authenticate = func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
			k.calls.Add(1)
			switch key := r.Header.Get("X-Api-Key"); key {
			case "":
				return accesstoken.Identity{}, nil
			case "bad":
				return accesstoken.Identity{}, accesstoken.CredentialsMissing
			default:
				return accesstoken.Identity{Issuer: "api-keys", Subject: key, Scopes: scopes.Parse("a"), Expiry: time.Now().Add(time.Hour)}, nil
			}
		}
	})
	return k
}

func keyed(method, target, key string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	if key != "" {
		r.Header.Set("X-Api-Key", key)
	}
	return r
}

func TestACallerWithoutATokenIsAskedAboutOnceForEachRequest(t *testing.T) {
	k := newKeyring(t)
	outer := keyed("GET", "https://a.example/orders?page=1", "key-1")
	leaf, another := new(x509.Certificate), new(x509.Certificate)
	shown := func(certificate *x509.Certificate) *tls.ConnectionState {
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
	}
	outer.TLS = shown(leaf)
	copied := func(change func(*http.Request)) *http.Request {
		r := outer.Clone(outer.Context())
		r.TLS = shown(leaf)
		change(r)
		return r
	}
	for _, test := range []struct {
		name    string
		inner   *http.Request
		asked   int32
		subject string
	}{
		{"a copy of the request", outer.WithContext(outer.Context()), 0, "key-1"},
		{"a clone", copied(func(*http.Request) {}), 0, "key-1"},
		{"a copy that a router has cut the path of", copied(func(r *http.Request) { r.URL = &url.URL{Path: "/"} }), 0, "key-1"},
		{"another method", copied(func(r *http.Request) { r.Method = "POST" }), 1, "key-1"},
		{"another path", copied(func(r *http.Request) { r.RequestURI = "/b?page=1" }), 1, "key-1"},
		{"another query", copied(func(r *http.Request) { r.RequestURI = "/orders?page=2" }), 1, "key-1"},
		{"made by hand, another query", copied(func(r *http.Request) { r.RequestURI, r.URL.RawQuery = "", "page=2" }), 1, "key-1"},
		{"made by hand, without URL", copied(func(r *http.Request) { r.RequestURI, r.URL = "", nil }), 1, "key-1"},
		{"another host", copied(func(r *http.Request) { r.Host = "b.example" }), 1, "key-1"},
		{"another HTTP version", copied(func(r *http.Request) { r.Proto = "HTTP/2.0" }), 1, "key-1"},
		{"another certificate", copied(func(r *http.Request) { r.TLS = shown(another) }), 1, "key-1"},
		{"no certificate", copied(func(r *http.Request) { r.TLS = nil }), 1, "key-1"},
		{"another key", copied(func(r *http.Request) { r.Header.Set("X-Api-Key", "key-2") }), 1, "key-2"},
		{"a key more", copied(func(r *http.Request) { r.Header.Add("X-Api-Key", "key-2") }), 1, "key-1"},
		{"another field more", copied(func(r *http.Request) { r.Header.Set("Cookie", "a=b") }), 1, "key-1"},
		{"no key any more", copied(func(r *http.Request) { r.Header.Del("X-Api-Key") }), 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := adapter.Authorize(t.Context(), k.Validator, "", k.CredentialsOf(outer), accesstoken.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			defer a.End()
			before := k.calls.Load()
			inner, err := adapter.Authorize(a.Context, k.Validator, "", k.CredentialsOf(test.inner), accesstoken.Policy{})
			if asked := k.calls.Load() - before; asked != test.asked {
				t.Errorf("got %d calls; want %d", asked, test.asked)
			}
			if inner.Claims.Subject != test.subject || (err == nil) != (test.subject != "") {
				t.Errorf("got %q, %v; want %q", inner.Claims.Subject, err, test.subject)
			}
		})
	}
}

func TestClaimsWithoutATokenCountOnlyWhereTheyWereFound(t *testing.T) {
	k, other := newKeyring(t), newKeyring(t)
	r := keyed("GET", "/", "key-1")
	credentials := k.CredentialsOf(r)
	outer, err := adapter.Authorize(t.Context(), k.Validator, "", credentials, accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		err    error
		policy accesstoken.Policy
	}{
		"enough":       {nil, accesstoken.Policy{Scopes: scopes.All("a")}},
		"too little":   {accesstoken.ScopeInsufficient, accesstoken.Policy{Scopes: scopes.All("b")}},
		"not fresh":    {accesstoken.PolicyDenied, accesstoken.Policy{FreshIntrospection: true}},
		"not by proof": {accesstoken.BindingRequired, accesstoken.Policy{SenderConstrained: true}},
	} {
		if _, err := adapter.Authorize(outer.Context, k.Validator, "", credentials, want.policy); !errors.Is(err, want.err) {
			t.Errorf("%s: got %v; want %v", name, err, want.err)
		}
	}
	if _, err := adapter.Authorize(outer.Context, other.Validator, "", credentials, accesstoken.Policy{}); err != nil || other.calls.Load() != 1 {
		t.Errorf("another validator: got %v and %d calls; want it to ask by itself", err, other.calls.Load())
	}
	bare := k.CredentialsOf(keyed("GET", "/", ""))
	byHand := accesstoken.NewContext(t.Context(), outer.Claims)
	_, err = adapter.Authorize(byHand, k.Validator, "", bare, accesstoken.Policy{})
	testkit.WantReason(t, err, accesstoken.CredentialsMissing)
	before := k.calls.Load()
	outer.End()
	if _, err := adapter.Authorize(outer.Context, k.Validator, "", credentials, accesstoken.Policy{}); err != nil || k.calls.Load() != before+1 {
		t.Errorf("after the end: got %v and %d calls; want another call", err, k.calls.Load()-before)
	}
}

func TestAnOptionalRequestMayHaveACallerWithoutAToken(t *testing.T) {
	k := newKeyring(t)
	plain := newValidator(t, accesstokentest.NewServer(t))
	for _, test := range []struct {
		name    string
		v       *accesstoken.Validator
		r       *http.Request
		ok      bool
		refused accesstoken.Reason
		calls   int32
	}{
		{"a key", k.Validator, keyed("GET", "/", "key-1"), true, "", 1},
		{"no key", k.Validator, keyed("GET", "/", ""), false, "", 1},
		{"a bad key", k.Validator, keyed("GET", "/", "bad"), false, accesstoken.CredentialsMissing, 1},
		{"a bad token", k.Validator, request("GET", "/", "junk"), false, accesstoken.TokenMalformed, 0},
		{"no hook", plain, keyed("GET", "/", "key-1"), false, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			calls, refusals := k.calls.Load(), k.refusals.Load()
			a, err := adapter.Optional(t.Context(), test.v, test.v.CredentialsOf(test.r))
			if got := k.calls.Load() - calls; got != test.calls {
				t.Errorf("got %d calls; want %d", got, test.calls)
			}
			if test.refused != "" {
				testkit.WantReason(t, err, test.refused)
				if got := k.refusals.Load() - refusals; got != 1 || a.Context != nil {
					t.Errorf("got %d refusals and the context %v; want one refusal", got, a.Context)
				}
				return
			}
			claims, ok := accesstoken.FromContext(a.Context)
			if err != nil || ok != test.ok || ok && claims.Subject != "key-1" || k.refusals.Load() != refusals {
				t.Errorf("got %q, %v, %v and %d refusals; want %v and none", claims.Subject, ok, err, k.refusals.Load()-refusals, test.ok)
			}
		})
	}
	outer, err := adapter.Authorize(t.Context(), k.Validator, "", k.CredentialsOf(keyed("GET", "/", "key-1")), accesstoken.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	calls := k.calls.Load()
	inner, err := adapter.Optional(outer.Context, k.Validator, k.CredentialsOf(keyed("GET", "/", "key-1")))
	if err != nil || inner.Claims.Subject != "key-1" || inner.Stay != nil || k.calls.Load() != calls {
		t.Errorf("inside an outer adapter: got %q, %v; want the claims of that adapter", inner.Claims.Subject, err)
	}
	inner, err = adapter.Optional(outer.Context, k.Validator, k.CredentialsOf(keyed("GET", "/", "")))
	if _, ok := accesstoken.FromContext(inner.Context); ok || err != nil {
		t.Errorf("another request inside: got claims or %v; want neither", err)
	}
}

func TestCachesAreToldWhatAResponseDependsOn(t *testing.T) {
	for _, test := range []struct {
		name, field, before string
		optional, asked     bool
		vary                []string
		control             string
	}{
		{"an ordinary route", "Authorization", "", false, false, nil, ""},
		{"an optional route", "Authorization", "", true, false, []string{"Authorization"}, ""},
		{"another field", "X-Token", "", false, false, []string{"X-Token"}, ""},
		{"the hook is asked", "Authorization", "", false, true, nil, "private"},
		{"the hook is asked on an optional route", "Authorization", "", true, true, []string{"Authorization"}, "private"},
		{"the hook is asked, and caching is off already", "Authorization", "no-store", false, true, nil, "no-store"},
	} {
		header := http.Header{}
		if test.before != "" {
			header.Set("Cache-Control", test.before)
		}
		adapter.Depends(header, test.field, test.optional, test.asked)
		if got := header.Values("Vary"); !slices.Equal(got, test.vary) || header.Get("Cache-Control") != test.control {
			t.Errorf("%s: got %v; want Vary %q and Cache-Control %q", test.name, header, test.vary, test.control)
		}
	}
}
