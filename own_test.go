package accesstoken_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/accesstokentest"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// A keyring is a Config.Authenticate that knows one API key, and counts its calls.
type keyring struct {
	calls    atomic.Int32
	identity accesstoken.Identity
	err      error
	panics   any
}

func (k *keyring) authenticate(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
	k.calls.Add(1)
	switch {
	case r.Header.Get("X-Api-Key") == "":
		return accesstoken.Identity{}, nil
	case k.panics != nil:
		panic(k.panics)
	}
	return k.identity, k.err
}

func (k *keyring) config(c *accesstoken.Config) { c.Authenticate = k.authenticate }

// keyed is a request with an API key, and these further fields.
func keyed(fields ...string) *http.Request {
	r := httptest.NewRequest("POST", "/orders", nil)
	r.Header.Set("X-Api-Key", "good")
	for n := 0; n < len(fields); n += 2 {
		r.Header.Add(fields[n], fields[n+1])
	}
	return r
}

func TestAuthenticateIsAskedOnlyWithoutCredentials(t *testing.T) {
	as := accesstokentest.NewServer(t)
	k := &keyring{identity: robot(func(i *accesstoken.Identity) { i.Scopes = scopes.Parse("orders:read") })}
	v := newValidator(t, as, k.config)
	inField := newValidator(t, as, func(c *accesstoken.Config) { k.config(c); c.TokenField = "X-Token" })
	good := as.Token(nil)
	for _, test := range []struct {
		name    string
		v       *accesstoken.Validator
		r       *http.Request
		refused accesstoken.Reason // "": let in
		subject string
		asked   int32
	}{
		{"a key", v, keyed(), "", "svc-7", 1},
		{"neither key nor token", v, httptest.NewRequest("GET", "/", nil), accesstoken.CredentialsMissing, "", 1},
		{"a good token", v, keyed("Authorization", "Bearer "+good), "", "alice", 0},
		{"a damaged token", v, keyed("Authorization", "Bearer "+good+"x"), accesstoken.TokenMalformed, "", 0},
		{"a forged token", v, keyed("Authorization", "Bearer "+accesstokentest.NewServer(t).Token(accesstokentest.Claims{"iss": as.URL})), accesstoken.KeyNotFound, "", 0},
		{"an expired token", v, keyed("Authorization", "Bearer "+as.Token(accesstokentest.Claims{"exp": 1})), accesstoken.TokenExpired, "", 0},
		{"an opaque token", v, keyed("Authorization", "Bearer opaque"), accesstoken.TokenMalformed, "", 0},
		{"no token after the scheme", v, keyed("Authorization", "Bearer"), accesstoken.CredentialsMalformed, "", 0},
		{"an empty line", v, keyed("Authorization", ""), accesstoken.CredentialsMalformed, "", 0},
		{"another scheme", v, keyed("Authorization", "Basic YTpi"), accesstoken.SchemeUnsupported, "", 0},
		{"two lines", v, keyed("Authorization", "Bearer "+good, "Authorization", "Bearer "+good), accesstoken.CredentialsAmbiguous, "", 0},
		{"the scheme DPoP", v, keyed("Authorization", "DPoP "+good), accesstoken.SchemeUnsupported, "", 0},
		{"a proof without a token", v, keyed("DPoP", "proof"), "", "svc-7", 1},
		{"in a field: a key", inField, keyed(), "", "svc-7", 1},
		{"in a field: a key, and a line that is not read", inField, keyed("Authorization", "Bearer "+good), "", "svc-7", 1},
		{"in a field: a good token", inField, keyed("X-Token", good), "", "alice", 0},
		{"in a field: a bad token", inField, keyed("X-Token", "junk"), accesstoken.TokenMalformed, "", 0},
		{"in a field: an empty one", inField, keyed("X-Token", ""), accesstoken.CredentialsMalformed, "", 0},
		{"in a field: two", inField, keyed("X-Token", good, "X-Token", good), accesstoken.CredentialsAmbiguous, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := k.calls.Load()
			claims, err := test.v.Validate(t.Context(), test.v.CredentialsOf(test.r))
			if asked := k.calls.Load() - before; asked != test.asked {
				t.Errorf("got %d calls; want %d", asked, test.asked)
			}
			if claims.Subject != test.subject {
				t.Errorf("got the subject %q; want %q", claims.Subject, test.subject)
			}
			if test.refused == "" && err != nil {
				t.Errorf("got %v; want nil", err)
			}
			if test.refused != "" {
				wantReason(t, err, test.refused)
			}
		})
	}
}

func TestWhatAuthenticateReturnsDecides(t *testing.T) {
	type told struct {
		reason accesstoken.Reason
		caller string
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	enough := accesstoken.Policy{Scopes: scopes.All("orders:read")}
	for _, test := range []struct {
		name      string
		change    func(*accesstoken.Identity)
		err       error
		panics    any
		ctx       context.Context
		policy    accesstoken.Policy
		reason    accesstoken.Reason
		status    int
		challenge string // a part of it
		caller    string // whom OnRefuse finds
	}{
		{name: "enough", policy: enough, status: 200},
		{name: "a scope too few", policy: accesstoken.Policy{Scopes: scopes.All("orders:write")}, reason: accesstoken.ScopeInsufficient, status: 403,
			challenge: `error="insufficient_scope", error_description="the access token lacks a required scope", scope="orders:write"`, caller: "svc-7"},
		{name: "a bound token is demanded", policy: accesstoken.Policy{SenderConstrained: true}, reason: accesstoken.BindingRequired, status: 401, challenge: `error="invalid_token"`, caller: "svc-7"},
		{name: "a fresh introspection is demanded", policy: accesstoken.Policy{FreshIntrospection: true}, reason: accesstoken.PolicyDenied, status: 403, caller: "svc-7"},
		{name: "a workload is demanded", policy: accesstoken.Policy{SPIFFEIDs: []string{"spiffe://example.org/a"}}, reason: accesstoken.PolicyDenied, status: 403, caller: "svc-7"},
		{name: "an expired identity", change: func(i *accesstoken.Identity) { i.Expiry = i.Expiry.AddDate(-1, 0, 0) }, reason: accesstoken.TokenExpired, status: 401, challenge: `error="invalid_token"`},
		{name: "an issuer of tokens", change: func(i *accesstoken.Identity) { i.Issuer = "https://configured.example" }, reason: accesstoken.ResourceServerMisconfigured, status: 500},
		{name: "a name alone", change: func(i *accesstoken.Identity) { *i = accesstoken.Identity{Issuer: "api-keys"} }, reason: accesstoken.ResourceServerMisconfigured, status: 500},
		{name: "a Payload alone", change: func(i *accesstoken.Identity) { *i = accesstoken.Identity{Payload: []byte("{}")} }, reason: accesstoken.ResourceServerMisconfigured, status: 500},
		{name: "an Expiry alone", change: func(i *accesstoken.Identity) { *i = accesstoken.Identity{Expiry: i.Expiry} }, reason: accesstoken.ResourceServerMisconfigured, status: 500},
		{name: "the zero Identity", change: func(i *accesstoken.Identity) { *i = accesstoken.Identity{} }, policy: enough, reason: accesstoken.CredentialsMissing, status: 401, challenge: `scope="orders:read"`},
		{name: "an error and an identity", err: errors.New("canary"), reason: accesstoken.InternalError, status: 500},
		{name: "a key that is not good", err: accesstoken.TokenInactive, reason: accesstoken.TokenInactive, status: 401, challenge: `error="invalid_token"`},
		{name: "no key, as an error", err: accesstoken.CredentialsMissing, policy: enough, reason: accesstoken.CredentialsMissing, status: 401, challenge: `scope="orders:read"`},
		{name: "Deny", err: fmt.Errorf("wrapped: %w", accesstoken.Deny("KEY_SUSPENDED", nil)), reason: "KEY_SUSPENDED", status: 403},
		{name: "Unavailable", err: fmt.Errorf("the database is down: %w", accesstoken.Unavailable), reason: accesstoken.StatusUnavailable, status: 503},
		{name: "a nil *Error", err: (*accesstoken.Error)(nil), reason: accesstoken.InternalError, status: 500},
		{name: "the caller has gone", err: context.Canceled, ctx: canceled, reason: "", status: 503},
		{name: "a panic", panics: "canary", reason: accesstoken.InternalError, status: 500},
		{name: "a panic for net/http", panics: http.ErrAbortHandler, reason: accesstoken.InternalError, status: 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := &keyring{identity: robot(func(i *accesstoken.Identity) { i.Scopes = scopes.Parse("orders:read") }), err: test.err, panics: test.panics}
			if test.change != nil {
				test.change(&k.identity)
			}
			var heard []told
			v := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) {
				k.config(c)
				c.Issuers = append(c.Issuers, accesstoken.Issuer{URL: "https://configured.example"})
				c.OnRefuse = func(ctx context.Context, err *accesstoken.Error) {
					caller, _ := accesstoken.FromContext(ctx)
					heard = append(heard, told{err.Reason, caller.Subject})
				}
			})
			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx
			}
			claims, err := v.Authorize(ctx, v.CredentialsOf(keyed()), test.policy)
			if test.status == 200 {
				if err != nil || claims.Subject != "svc-7" || len(heard) != 0 {
					t.Errorf("got %q, %v, %v; want the caller", claims.Subject, err, heard)
				}
				return
			}
			var refused *accesstoken.Error
			if !errors.As(err, &refused) || refused.Reason != test.reason || refused.HTTPStatus() != test.status || claims.Subject != "" {
				t.Fatalf("got %q, %v; want %s and %d", claims.Subject, err, test.reason, test.status)
			}
			if got := refused.Header().Get("WWW-Authenticate"); !strings.Contains(got, test.challenge) || (got != "") != (test.challenge != "") {
				t.Errorf("got the challenge %q; want %q in it", got, test.challenge)
			}
			if len(heard) != 1 || heard[0] != (told{test.reason, test.caller}) {
				t.Errorf("OnRefuse heard %v; want %v once", heard, told{test.reason, test.caller})
			}
			if test.panics != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("got %v; want nothing of the panic's value", err)
			}
		})
	}
}

func TestAuthenticateNeedsTheRequest(t *testing.T) {
	k := &keyring{identity: robot(nil)}
	v := newValidator(t, accesstokentest.NewServer(t), k.config)
	for name, credentials := range map[string]accesstoken.Credentials{"from a header": accesstoken.CredentialsFrom(keyed().Header), "zero": {}} {
		_, err := v.Validate(t.Context(), credentials)
		refused := wantReason(t, err, accesstoken.CredentialsMissing)
		if k.calls.Load() != 0 || !strings.Contains(refused.Error(), "Validator.CredentialsOf") {
			t.Errorf("%s: got %d calls and %v; want none, and the cure", name, k.calls.Load(), refused)
		}
	}
}

func TestAuthenticateIsNotAskedByAValidatorThatDoesNotWork(t *testing.T) {
	k := &keyring{identity: robot(nil)}
	v := newValidator(t, accesstokentest.NewServer(t), k.config)
	_ = v.Close()
	_, err := v.Validate(t.Context(), v.CredentialsOf(keyed()))
	wantReason(t, err, accesstoken.KeysUnavailable)
	if k.calls.Load() != 0 {
		t.Errorf("got %d calls; want none", k.calls.Load())
	}
	unmade := new(accesstoken.Validator)
	_, err = unmade.Validate(t.Context(), unmade.CredentialsOf(keyed()))
	wantReason(t, err, accesstoken.ResourceServerMisconfigured)
}

// Each resource vouches by itself, so the claims of one are not those of the other.
func TestRelativesAskTheSameAuthenticate(t *testing.T) {
	k := &keyring{identity: robot(nil)}
	v := newValidator(t, accesstokentest.NewServer(t), k.config)
	child := testkit.Must(v.ForResource(accesstoken.Resource{ID: "urn:files"}))
	claims, err := child.Validate(t.Context(), child.CredentialsOf(keyed()))
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Check(t.Context(), claims, accesstoken.Policy{}); err != nil {
		t.Errorf("got %v; want nil", err)
	}
	wantReason(t, v.Check(t.Context(), claims, accesstoken.Policy{}), accesstoken.ResourceServerMisconfigured)
}

// An identity that was good once is asked about again by the next request.
func TestAnIdentityIsNotCached(t *testing.T) {
	k := &keyring{identity: robot(nil)}
	v := newValidator(t, accesstokentest.NewServer(t), k.config)
	for range 3 {
		if _, err := v.Validate(t.Context(), v.CredentialsOf(keyed())); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.calls.Load(); got != 3 {
		t.Errorf("got %d calls; want 3", got)
	}
	k.err = accesstoken.TokenInactive
	_, err := v.Validate(t.Context(), v.CredentialsOf(keyed()))
	wantReason(t, err, accesstoken.TokenInactive)
}

// A body that Authenticate reads and replaces reaches the handler.
func TestAuthenticateMayReplaceTheBody(t *testing.T) {
	v := newValidator(t, accesstokentest.NewServer(t), func(c *accesstoken.Config) {
		c.Authenticate = func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
			body, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			if string(body) != "signed" {
				return accesstoken.Identity{}, err
			}
			return robot(nil), err
		}
	})
	handler := middleware.New(v, nil).Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	for body, want := range map[string]int{"signed": 200, "forged": 401} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(body)))
		if w.Code != want || want == 200 && w.Body.String() != body {
			t.Errorf("%s: got %d %q; want %d", body, w.Code, w.Body, want)
		}
	}
}
