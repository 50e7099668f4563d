package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/accesstoken/accesstoken"
	"github.com/accesstoken/accesstoken/internal/testkit"
	"github.com/accesstoken/accesstoken/jwks"
	"github.com/accesstoken/accesstoken/middleware"
	"github.com/accesstoken/accesstoken/scopes"
)

// keyring makes a validator whose callers may have an API key, and counts the calls of its
// Authenticate.
func keyring(t testing.TB, h *heard, change func(*accesstoken.Config)) (*accesstoken.Validator, *atomic.Int32) {
	t.Helper()
	calls := new(atomic.Int32)
	return testkit.NewValidator(t, as, func(c *accesstoken.Config) {
		testkit.Offline(as)(c)
		c.Leeway, c.OnRefuse = leeway, h.hear
		c.Authenticate = func(_ context.Context, r *http.Request) (accesstoken.Identity, error) {
			calls.Add(1)
			if r.Header.Get("X-Api-Key") == "" {
				return accesstoken.Identity{}, nil
			}
			return accesstoken.Identity{Issuer: "api-keys", Subject: "svc-7", Scopes: scopes.Parse("a"), Expiry: time.Now().Add(end - leeway)}, nil
		}
		if change != nil {
			change(c)
		}
	}), calls
}

func caller(w http.ResponseWriter, r *http.Request) {
	claims, ok := accesstoken.FromContext(r.Context())
	fmt.Fprint(w, claims.Issuer, " ", claims.Subject, " ", ok)
}

func TestACallerWithoutAToken(t *testing.T) {
	h := new(heard)
	v, calls := keyring(t, h, nil)
	auth, optional := middleware.New(v, nil), middleware.New(v, &middleware.Options{Optional: true})
	mux := http.NewServeMux()
	mux.Handle("/one", auth.Require(scopes.All("a")).Wrap(http.HandlerFunc(caller)))
	inner := http.NewServeMux()
	inner.Handle("/two/b", auth.Require(scopes.All("b")).Wrap(http.HandlerFunc(caller)))
	inner.Handle("/two/a", auth.Require(scopes.All("a")).Wrap(optional.Wrap(http.HandlerFunc(caller))))
	mux.Handle("/two/", auth.Wrap(inner))
	mux.Handle("/optional", optional.Wrap(http.HandlerFunc(caller)))
	mux.Handle("/replaced", auth.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		caller(w, r)
	})))
	mux.Handle("/checked", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims, err := auth.Require(scopes.All("a")).Check(r)
		if err != nil {
			auth.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, claims.Subject)
	}))
	for _, test := range []struct {
		path, key, token string
		status           int
		body, control    string
		calls            int32
		reason           accesstoken.Reason
	}{
		{"/one", "k", "", 200, "api-keys svc-7 true", "private", 1, ""},
		{"/one", "", "", 401, "an access token is required\n", "no-store", 1, accesstoken.CredentialsMissing},
		{"/one", "k", "Bearer a b", 400, "the credentials are malformed\n", "no-store", 0, accesstoken.CredentialsMalformed},
		{"/one", "k", bearer("a"), 200, as.URL + " alice true", "", 0, ""},
		{"/two/a", "k", "", 200, "api-keys svc-7 true", "private", 1, ""},
		{"/two/b", "k", "", 403, "the access token lacks a required scope\n", "no-store", 1, accesstoken.ScopeInsufficient},
		{"/optional", "k", "", 200, "api-keys svc-7 true", "private", 1, ""},
		{"/optional", "", "", 200, "  false", "private", 1, ""},
		{"/replaced", "k", "", 200, "api-keys svc-7 true", "max-age=60", 1, ""},
		{"/checked", "k", "", 200, "svc-7", "", 1, ""},
		{"/checked", "", "", 401, "an access token is required\n", "no-store", 1, accesstoken.CredentialsMissing},
	} {
		t.Run(test.path+" "+test.key+" "+fmt.Sprint(test.token != ""), func(t *testing.T) {
			*h = heard{}
			calls.Store(0)
			var fields []string
			if test.key != "" {
				fields = append(fields, "X-Api-Key", test.key)
			}
			if test.token != "" {
				fields = append(fields, "Authorization", test.token)
			}
			server := serve(t, mux)
			got := send(t, server.Client(), http.MethodGet, server.URL+test.path, "", fields...)
			if got.status != test.status || got.body != test.body || got.header.Get("Cache-Control") != test.control {
				t.Errorf("got %d %q, Cache-Control %q; want %d %q, %q", got.status, got.body, got.header.Get("Cache-Control"), test.status, test.body, test.control)
			}
			if calls.Load() != test.calls {
				t.Errorf("got %d calls; want %d", calls.Load(), test.calls)
			}
			if test.reason == "" {
				h.want(t)
			} else {
				h.want(t, test.reason)
			}
		})
	}
}

// A caller without any credentials is told the scopes of the inner Wraps at once.
func TestTheScopesOfInnerWrapsAreAskedForWithoutAToken(t *testing.T) {
	v, _ := keyring(t, new(heard), nil)
	auth := middleware.New(v, nil)
	got := get(t, auth.Wrap(auth.Require(scopes.All("a")).Wrap(http.HandlerFunc(caller))))
	if got.status != 401 || !strings.Contains(got.challenge(), `scope="a"`) {
		t.Errorf("got %d, %s; want 401 and the scope", got.status, got.challenge())
	}
}

func TestAResponseEndsWithTheIdentity(t *testing.T) {
	for _, protocol := range testkit.Protocols {
		synctest.Test(t, func(t *testing.T) {
			h := new(heard)
			v, _ := keyring(t, h, nil)
			client, url := testkit.Pipe(t, protocol, middleware.New(v, nil).EndWithToken().Wrap(http.HandlerFunc(events)))
			begun := time.Now()
			r := testkit.Must(http.NewRequest(http.MethodGet, url, nil))
			r.Header.Set("X-Api-Key", "k")
			response := testkit.Must(client.Do(r))
			_, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if took := time.Since(begun); err != nil || took != end {
				t.Errorf("%s: the stream ended after %v, %v; want %v", protocol, took, err, end)
			}
			h.want(t, accesstoken.TokenExpired)
		})
	}
}

func TestAResponseEndsIfAnIssuerTakesTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(heard)
		v, _ := keyring(t, h, nil)
		begun, cause := make(chan struct{}), make(chan error, 1)
		client, url := testkit.Pipe(t, testkit.Protocols[0], middleware.New(v, nil).EndWithToken().Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(begun)
			<-r.Context().Done()
			cause <- context.Cause(r.Context())
		})))
		r := testkit.Must(http.NewRequest(http.MethodGet, url, nil))
		r.Header.Set("X-Api-Key", "k")
		go func() {
			<-begun
			_ = v.SetIssuers(accesstoken.Issuer{URL: "api-keys", Keys: jwks.Static(as.Keys()...)})
		}()
		at := time.Now()
		response := testkit.Must(client.Do(r))
		_ = response.Body.Close()
		if err := <-cause; !errors.Is(err, accesstoken.IssuerUnknown) || time.Since(at) > time.Second {
			t.Errorf("got %v after %v; want IssuerUnknown at once", err, time.Since(at))
		}
		h.want(t, accesstoken.IssuerUnknown)
	})
}
